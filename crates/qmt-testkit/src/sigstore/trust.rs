//! What a client of this Sigstore trusts: a `trusted_root.json`, or PEM files.
//!
//! Schema: <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto>.

use std::time::SystemTime;

use qmt_oci_ref::time::rfc3339;
use serde_json::{Value, json};

use super::PrivateSigstore;
use super::codec::{Must, base64, certificate_pem};
use super::key::KeyPair;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";

/// A part of a trusted root that can be modified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustPart {
    /// Rekor v1.
    RekorV1,
    /// Rekor v2.
    RekorV2,
    /// The certificate authority that issues.
    Fulcio,
    /// The certificate authority that has expired. Trusting it with no end makes the certificates'
    /// own dates the only thing that ends it.
    Retired,
    /// The certificate transparency log.
    Ctfe,
    /// The timestamp authority.
    Tsa,
}

/// A trusted root, to be modified before it is written.
#[derive(Clone, Debug)]
pub struct TrustedRootBuilder {
    root: Value,
}

impl TrustedRootBuilder {
    /// Leaves a part out.
    ///
    /// # Panics
    ///
    /// Where it was left out before.
    #[must_use]
    pub fn without(mut self, part: TrustPart) -> Self {
        let (list, position) = place(part);
        let entry = self.list(list).get_mut(position);
        let entry = entry.must("find the part in the trusted root");
        assert!(!entry.is_null(), "{part:?} was left out before");
        *entry = Value::Null; // Keeps the places of the others until it is written.
        self
    }

    /// Trusts a part in these times only.
    ///
    /// # Panics
    ///
    /// Where the part was left out before.
    #[must_use]
    pub fn valid(mut self, part: TrustPart, from: SystemTime, until: Option<SystemTime>) -> Self {
        let (list, position) = place(part);
        let entry = self
            .list(list)
            .get_mut(position)
            .must("find the part in the trusted root");
        assert!(!entry.is_null(), "{part:?} was left out before");
        let window = match until {
            Some(until) => json!({ "start": rfc3339(from), "end": rfc3339(until) }),
            None => json!({ "start": rfc3339(from) }),
        };
        match part {
            TrustPart::Fulcio | TrustPart::Retired | TrustPart::Tsa => entry["validFor"] = window,
            _ => entry["publicKey"]["validFor"] = window,
        }
        self
    }

    /// Adds a log whose key no client knows how to use, as a future trusted root might.
    #[must_use]
    pub fn with_unknown_key(mut self) -> Self {
        self.list("tlogs").push(json!({
            "baseUrl": "https://log2031.private.test",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": base64(b"a key of a kind that is not yet invented"),
                "keyDetails": "PKIX_LATTICE_9000",
                "validFor": { "start": "2020-01-01T00:00:00Z" },
            },
            "logId": { "keyId": base64([9; 32]) },
        }));
        self
    }

    /// Lists a part twice.
    ///
    /// # Panics
    ///
    /// Where the part was left out before.
    #[must_use]
    pub fn twice(mut self, part: TrustPart) -> Self {
        let (list, position) = place(part);
        let list = self.list(list);
        let entry = list.get(position).cloned();
        let entry = entry.must("find the part in the trusted root");
        assert!(!entry.is_null(), "{part:?} was left out before");
        list.push(entry);
        self
    }

    /// Removes the certificates of an authority, but not its entry.
    ///
    /// # Panics
    ///
    /// Where the part is not an authority, or was removed before.
    #[must_use]
    pub fn with_empty_chain(mut self, part: TrustPart) -> Self {
        let (list, position) = place(part);
        let entry = self.list(list).get_mut(position);
        let chain = entry.and_then(|entry| entry.pointer_mut("/certChain/certificates"));
        *chain.must("find a chain in the trusted root") = json!([]);
        self
    }

    /// Also trusts everything that another Sigstore's root lists.
    #[must_use]
    pub fn with_all_of(mut self, other: &PrivateSigstore) -> Self {
        let mut theirs = other.trusted_root();
        for list in [
            "tlogs",
            "certificateAuthorities",
            "ctlogs",
            "timestampAuthorities",
        ] {
            let mut entries = std::mem::take(theirs.list(list));
            self.list(list).append(&mut entries);
        }
        self
    }

    /// Writes `trusted_root.json`.
    pub fn json(&self) -> String {
        let mut root = self.root.clone();
        for list in root
            .as_object_mut()
            .into_iter()
            .flat_map(|o| o.values_mut())
        {
            if let Some(entries) = list.as_array_mut() {
                entries.retain(|entry| !entry.is_null());
            }
        }
        root.to_string()
    }

    fn list(&mut self, name: &str) -> &mut Vec<Value> {
        self.root[name]
            .as_array_mut()
            .must("find a list in the trusted root")
    }
}

/// The parts' places in a root of which nothing was left out.
fn place(part: TrustPart) -> (&'static str, usize) {
    match part {
        TrustPart::RekorV1 => ("tlogs", 0),
        TrustPart::RekorV2 => ("tlogs", 1),
        TrustPart::Fulcio => ("certificateAuthorities", 0),
        TrustPart::Retired => ("certificateAuthorities", 1),
        TrustPart::Ctfe => ("ctlogs", 0),
        TrustPart::Tsa => ("timestampAuthorities", 0),
    }
}

impl PrivateSigstore {
    /// The trusted root as its TUF repository would serve it.
    pub fn trusted_root_json(&self) -> String {
        self.trusted_root().json()
    }

    /// The trusted root, to be modified first.
    pub fn trusted_root(&self) -> TrustedRootBuilder {
        let start = rfc3339(self.began());
        let log = |url: &str, key: &KeyPair, id: &[u8]| {
            json!({
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": base64(key.public_der()),
                    "keyDetails": key.kind().details(),
                    "validFor": { "start": start },
                },
                "logId": { "keyId": base64(id) },
            })
        };
        let authority = |url: &str, name: &str, chain: [&[u8]; 2]| {
            json!({
                "subject": { "organization": self.organisation, "commonName": name },
                "uri": url,
                "certChain": {
                    "certificates": chain.map(|der| json!({ "rawBytes": base64(der) })),
                },
                "validFor": { "start": start },
            })
        };
        // As in the public good instance, an authority that has expired stays listed for what it
        // signed, with its end.
        let mut retired = authority(
            "https://fulcio.private.test",
            "fulcio root",
            [&self.retired.intermediate, &self.retired.root],
        );
        retired["validFor"]["end"] = rfc3339(self.retired_at()).into();
        let root = json!({
            "mediaType": MEDIA_TYPE,
            "tlogs": [
                log("https://rekor.private.test", &self.rekor.key, &self.rekor.id()),
                log("https://log.rekor.private.test", &self.rekor_v2.key, &self.rekor_v2.id()),
            ],
            "certificateAuthorities": [
                authority(
                    "https://fulcio.private.test",
                    "fulcio root",
                    [&self.fulcio.intermediate, &self.fulcio.root],
                ),
                retired,
            ],
            "ctlogs": [log("https://ctfe.private.test/log", &self.ctfe, &self.ctfe.id())],
            "timestampAuthorities": [authority(
                "https://timestamp.private.test/api/v1/timestamp",
                "timestamp root",
                [&self.tsa.leaf, &self.tsa.root],
            )],
        });
        TrustedRootBuilder { root }
    }

    /// The root and the intermediate that issues, PEM.
    pub fn fulcio_pem(&self) -> String {
        certificate_pem(&self.fulcio.root) + &certificate_pem(&self.fulcio.intermediate)
    }

    /// The root alone, PEM.
    pub fn fulcio_root_pem(&self) -> String {
        certificate_pem(&self.fulcio.root)
    }

    /// The key of Rekor v1, PEM.
    pub fn rekor_pem(&self) -> String {
        self.rekor.key.public_pem()
    }

    /// The key of Rekor v2, PEM. It is of Ed25519, and such logs are called by a hash that
    /// includes their origin, so that the PEM alone does not name the log; see
    /// [`with_rekor_v2_key`](Self::with_rekor_v2_key).
    pub fn rekor_v2_pem(&self) -> String {
        self.rekor_v2.key.public_pem()
    }

    /// The key of the certificate transparency log, PEM.
    pub fn ctfe_pem(&self) -> String {
        self.ctfe.public_pem()
    }

    /// The timestamp authority's certificate and its root, PEM.
    pub fn tsa_pem(&self) -> String {
        certificate_pem(&self.tsa.leaf) + &certificate_pem(&self.tsa.root)
    }
}
