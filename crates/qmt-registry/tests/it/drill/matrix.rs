//! F9: every kind of redirect for everything that is asked for: the canary credential is seen by
//! the registry alone, and every chain ends.

use std::net::SocketAddr;

use qmt_oci_ref::{Descriptor, PinnedReference, Registry as _, RegistryError, manifest};
use qmt_testkit::{Auth, FakeRegistry, Fault, LoggedRequest, PlainServer};

use super::Tally;
use crate::support::{CANARY, MANIFEST, client_with_password, noise, pull, put_image};

const CODES: [u16; 5] = [301, 302, 303, 307, 308];

/// Most requests that one operation may make here: a challenge, a token, six hops, the same again
/// after a new challenge, and the fallback of the referrers.
const REQUESTS_MAX: usize = 24;

/// What is asked for when the redirect comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Manifest,
    Blob,
    Referrers,
    Signature,
    Token,
}

/// Where the redirect leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leads {
    /// To another path of the registry.
    Inside,
    /// To another port of the same machine.
    Port,
    /// To another address.
    Address,
    /// Away and back again.
    AndBack,
    /// To where it came from.
    Loop,
    /// On and on, eleven times.
    Chain,
    /// To a machine of a private network.
    Private,
    /// To another port, with a name and a password in the URL.
    UserInfo,
    /// To the same registry, with a scheme that does not exist.
    Scheme,
}

const ASKED: [Asked; 5] = [
    Asked::Manifest,
    Asked::Blob,
    Asked::Referrers,
    Asked::Signature,
    Asked::Token,
];
const LEADS: [Leads; 9] = [
    Leads::Inside,
    Leads::Port,
    Leads::Address,
    Leads::AndBack,
    Leads::Loop,
    Leads::Chain,
    Leads::Private,
    Leads::UserInfo,
    Leads::Scheme,
];

struct Scene {
    server: FakeRegistry,
    others: [PlainServer; 2],
    image: Descriptor,
    blob: Descriptor,
}

/// AUTH-01, AUTH-02, AUTH-12: 405 cases.
#[tokio::test]
async fn f9_the_credential_stays_wherever_a_redirect_leads() {
    let mut tally = Tally::default();
    for asked in ASKED {
        for leads in LEADS {
            for code in CODES {
                for auth in [Auth::token("alice", CANARY), Auth::basic("alice", CANARY)] {
                    let is_basic = matches!(auth, Auth::Basic { .. });
                    if asked == Asked::Token && is_basic {
                        continue;
                    }
                    tally.add(case(asked, leads, code, auth).await);
                }
            }
        }
    }
    let tally = tally.close("F9");
    assert_eq!(tally.cases, 9 * 5 * 9);
}

async fn case(asked: Asked, leads: Leads, code: u16, auth: Auth) -> Tally {
    let scene = Scene::new(auth).await;
    scene.redirect(asked, leads, code);
    let outcome = scene.ask(asked).await;
    let mut tally = Tally {
        cases: 1,
        ..Tally::default()
    };
    let name = format!("{asked:?} {leads:?} {code}");
    let mut violate = |what: String| tally.violations.push(format!("{name}: {what}"));
    for other in &scene.others {
        for request in other.requests() {
            if !is_clean(&request) {
                violate(format!("a credential went elsewhere: {request:?}"));
            }
        }
    }
    for request in scene.server.requests() {
        if request.target.ends_with("back=1") && !is_clean(&request) {
            violate(format!("the way back regained a credential: {request:?}"));
        }
    }
    let seen: usize = scene
        .others
        .iter()
        .map(|other| other.requests().len())
        .sum();
    let requests = scene.server.requests().len() + seen;
    if requests > REQUESTS_MAX {
        violate(format!("{requests} requests"));
    }
    let forbidden = [
        Leads::Loop,
        Leads::Chain,
        Leads::Private,
        Leads::UserInfo,
        Leads::Scheme,
    ];
    match outcome {
        Ok(()) if forbidden.contains(&leads) => violate("it was followed".to_owned()),
        Err(error) if leads == Leads::Inside => violate(format!("not followed: {error:?}")),
        Ok(()) => tally.genuine = 1,
        Err(_) => tally.refused = 1,
    }
    tally
}

impl Scene {
    async fn new(auth: Auth) -> Self {
        let server = FakeRegistry::builder().auth(auth).serve().await;
        let other =
            |address: [u8; 4]| PlainServer::start_at(SocketAddr::from((address, 0)), None).unwrap();
        let image = put_image(&server);
        let content = noise(1000);
        let blob = server.put_blob("acme/echo", content.clone());
        let tag = format!("{}.sig", image.digest().to_string().replace(':', "-"));
        server.put_manifest("acme/echo", tag.as_str(), manifest::OCI_MANIFEST, MANIFEST);
        Self {
            server,
            others: [other([127, 0, 0, 1]), other([127, 0, 0, 2])],
            image,
            blob,
        }
    }

    /// The path that is asked for, and what it gives.
    fn place(&self, asked: Asked) -> (String, Vec<u8>) {
        let digest = self.image.digest().to_string();
        match asked {
            Asked::Manifest => ("/v2/acme/echo/manifests/1".to_owned(), MANIFEST.into()),
            Asked::Signature => (
                format!("/v2/acme/echo/manifests/{}.sig", digest.replace(':', "-")),
                MANIFEST.into(),
            ),
            Asked::Blob => (
                format!("/v2/acme/echo/blobs/{}", self.blob.digest()),
                noise(1000).to_vec(),
            ),
            Asked::Referrers => (
                format!("/v2/acme/echo/referrers/{digest}"),
                format!(
                    r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#,
                    manifest::OCI_INDEX
                )
                .into(),
            ),
            Asked::Token => ("/token".to_owned(), br#"{"token":"stolen"}"#.to_vec()),
        }
    }

    fn redirect(&self, asked: Asked, leads: Leads, code: u16) {
        let (path, content) = self.place(asked);
        let query = match asked {
            Asked::Token => "service=testkit&scope=repository%3Aacme%2Fecho%3Apull&",
            _ => "",
        };
        let away = |other: &PlainServer| {
            other.put(&format!("/elsewhere{path}"), content.clone());
            format!("{}/elsewhere{path}", other.url())
        };
        let own = self.server.url();
        let [port, address] = &self.others;
        let fault = Fault::on("GET", path.clone());
        // Only the first request is led away; what comes back to the path is answered.
        let once = fault
            .clone()
            .when(|request| !request.target.contains("redirect="));
        let fault = match leads {
            Leads::Inside => once.redirect(code, &format!("{path}?{query}redirect=1")),
            Leads::Port => once.redirect(code, &away(port)),
            Leads::Address => once.redirect(code, &away(address)),
            Leads::AndBack => {
                let there = format!("/elsewhere{path}");
                let back = format!("{own}{path}?{query}redirect=1&back=1");
                address.fault(Fault::on("GET", there.as_str()).redirect(code, &back));
                once.redirect(code, &format!("{}{there}", address.url()))
            }
            Leads::Loop => fault.redirect(code, &path),
            Leads::Chain => {
                // Eleven hops, each to another query, and an answer at their end.
                for redirect in 1..11 {
                    let from = format!("redirect={redirect}&");
                    let to = format!("{path}?{query}redirect={}&", redirect + 1);
                    let at = move |request: &LoggedRequest| request.target.contains(&from);
                    let fault = Fault::on("GET", path.clone());
                    self.server.fault(fault.when(at).redirect(code, &to));
                }
                once.redirect(code, &format!("{path}?{query}redirect=1&"))
            }
            Leads::Private => once.redirect(code, &format!("http://10.0.0.1{path}")),
            Leads::UserInfo => {
                let url = away(port).replace("http://", "http://alice:canary@");
                once.redirect(code, &url)
            }
            Leads::Scheme => once.redirect(code, &own.replace("http://", "gopher://")),
        };
        self.server.fault(fault);
    }

    async fn ask(&self, asked: Asked) -> Result<(), RegistryError> {
        let client = client_with_password(&self.server);
        let subject = PinnedReference::new(
            self.server.repository("acme/echo"),
            self.image.digest().clone(),
        );
        match asked {
            Asked::Manifest | Asked::Token => {
                let reference = self.server.reference("acme/echo:1");
                client.resolve(&reference).await.map(drop)
            }
            Asked::Signature => {
                let tag = format!("{}.sig", self.image.digest().to_string().replace(':', "-"));
                let reference = self.server.reference(&format!("acme/echo:{tag}"));
                client.resolve(&reference).await.map(drop)
            }
            Asked::Blob => {
                let from = self.server.repository("acme/echo");
                let content = pull(&client, &from, &self.blob).await?;
                assert_eq!(content, noise(1000));
                Ok(())
            }
            Asked::Referrers => client.referrers(&subject).await.map(drop),
        }
    }
}

/// Nothing in the request could be a credential.
fn is_clean(request: &LoggedRequest) -> bool {
    ["authorization", "cookie", "proxy-authorization"]
        .iter()
        .all(|name| request.header(name).is_none())
        && !request.target.contains(CANARY)
}
