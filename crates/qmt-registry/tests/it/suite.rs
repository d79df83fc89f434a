//! One suite of behaviours for everything that is a registry: the test kit's, an OCI layout, and
//! real servers.
//!
//! [`behaviour`] holds the rules; here are the places where they must hold. A server of others is
//! named by `QMT_SUITE_REGISTRY` (`host:port`, plain HTTP), with `QMT_SUITE_USERNAME` and
//! `QMT_SUITE_PASSWORD` where it asks; `cargo xtask e2e --real` starts several and sets them.

mod behaviour;

use std::sync::Arc;

use http::Version;
use qmt_oci_ref::{RegistryHost, Repository};
use qmt_registry::credentials::Credential;
use qmt_registry::{HostOptions, HttpRegistry, OciLayout, RegistryWriter};
use qmt_testkit::{Auth, FakeRegistry, TlsOptions};

use crate::support::{CANARY, Fixed, ca_of, plain, quick};

/// Blobs above this go up in parts, so that the suite needs no large ones.
const CHUNK: u64 = 100_000;

/// Where the behaviours are tried.
pub(crate) struct Place {
    registry: Arc<dyn RegistryWriter>,
    /// `None` for a layout, which is one repository.
    host: Option<RegistryHost>,
    whole: Repository,
}

impl Place {
    fn of_host(host: &RegistryHost, credential: Option<Credential>) -> Self {
        Self::with_options(host, plain(), credential)
    }

    fn with_options(
        host: &RegistryHost,
        options: HostOptions,
        credential: Option<Credential>,
    ) -> Self {
        let mut builder = HttpRegistry::builder()
            .host(host.clone(), options)
            .limits(quick().upload_chunk(CHUNK));
        if let Some(credential) = credential {
            builder = builder.credentials(Arc::new(Fixed(credential)));
        }
        Self {
            registry: Arc::new(builder.build().unwrap()),
            host: Some(host.clone()),
            whole: Repository::new(host.clone(), "suite").unwrap(),
        }
    }

    fn of_layout(layout: OciLayout) -> Self {
        let whole = layout.reference(None, None).repository().clone();
        Self {
            registry: Arc::new(layout),
            host: None,
            whole,
        }
    }

    /// A repository that no other behaviour uses; a layout has one only.
    fn repository(&self, name: &str) -> Repository {
        match &self.host {
            Some(host) => Repository::new(host.clone(), &format!("suite/{name}")).unwrap(),
            None => self.whole.clone(),
        }
    }
}

#[tokio::test]
async fn the_test_kits_registry() {
    for auth in [
        Auth::None,
        Auth::basic("alice", CANARY),
        Auth::token("alice", CANARY),
    ] {
        for referrers_api in [true, false] {
            let server = FakeRegistry::builder()
                .auth(auth.clone())
                .referrers_api(referrers_api)
                .serve()
                .await;
            let credential = Some(Credential::basic("alice", CANARY));
            behaviour::all(&Place::of_host(&server.host(), credential)).await;
        }
    }
}

/// As public registries are reached: one encrypted connection that carries everything.
#[tokio::test]
async fn the_test_kits_registry_over_http2() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeRegistry::builder()
        .auth(Auth::token("alice", CANARY))
        .tls(TlsOptions::new().http2())
        .serve()
        .await;
    let credential = Some(Credential::basic("alice", CANARY));
    let options = HostOptions::new().ca_file(ca_of(&server, &folder));
    behaviour::all(&Place::with_options(&server.host(), options, credential)).await;
    let requests = server.requests();
    assert!(!requests.is_empty());
    for request in requests {
        assert_eq!(request.version, Version::HTTP_2, "{}", request.target);
    }
}

#[tokio::test]
async fn an_oci_layout_in_a_folder_and_in_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["layout", "layout.tar"] {
        let layout = OciLayout::create(&folder.path().join(name)).unwrap();
        behaviour::all(&Place::of_layout(layout)).await;
    }
}

/// Does nothing where no server is named: plain tests require no other program.
#[tokio::test]
async fn an_external_registry() {
    let Ok(host) = std::env::var("QMT_SUITE_REGISTRY") else {
        return;
    };
    let user = std::env::var("QMT_SUITE_USERNAME");
    let password = std::env::var("QMT_SUITE_PASSWORD");
    let credential = match (user, password) {
        (Ok(user), Ok(password)) => Some(Credential::basic(user, password)),
        _ => None,
    };
    let count = behaviour::all(&Place::of_host(&host.parse().unwrap(), credential)).await;
    // What `cargo xtask e2e --real` looks for, so that a filter that fits nothing is noticed.
    println!("suite: {count} behaviours hold");
}
