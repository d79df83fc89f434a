//! Judges what the private Sigstore makes with an independent verifier.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_testkit::{PrivateSigstore, SignedBundle, SimpleSigning};
use serde_json::{Value, json};
use sigstore_trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, DerPublicKey, Sha256Hash};
use sigstore_verify::{
    PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult, Verifier,
};

pub(crate) const DIGEST: &str =
    "sha256:c05263d2ff654c3a94243662440913f045075d59c436e2c69e9145ec2b87a321";

/// What the signature is judged with.
pub(crate) struct Judge {
    verifier: Verifier,
    key: Option<String>,
    log_required: bool,
}

impl Judge {
    pub(crate) fn new(trusted_root: &str) -> Self {
        let root = TrustedRoot::from_json(trusted_root).unwrap();
        Self {
            verifier: Verifier::new(&root).unwrap(),
            key: None,
            log_required: true,
        }
    }

    pub(crate) fn of(sigstore: &PrivateSigstore) -> Self {
        Self::new(&sigstore.trusted_root_json())
    }

    pub(crate) fn key(mut self, pem: String) -> Self {
        self.key = Some(pem);
        self
    }

    pub(crate) fn without_log(mut self) -> Self {
        self.log_required = false;
        self
    }

    pub(crate) fn bundle(&self, bundle: &SignedBundle) -> Result<VerificationResult, String> {
        self.bundle_json(DIGEST, &bundle.json)
    }

    pub(crate) fn bundle_json(
        &self,
        digest: &str,
        json: &[u8],
    ) -> Result<VerificationResult, String> {
        let text = std::str::from_utf8(json).map_err(|e| e.to_string())?;
        let bundle = Bundle::from_json(text).map_err(|e| e.to_string())?;
        let hex = digest.strip_prefix("sha256:").unwrap();
        let digest = Sha256Hash::from_hex(hex).unwrap();
        self.judge(&bundle, |verifier, policy| match policy {
            Ok(policy) => verifier.verify(digest, &bundle, &policy),
            Err(policy) => verifier.verify(digest, &bundle, &policy),
        })
    }

    pub(crate) fn simple(&self, signature: &SimpleSigning) -> Result<VerificationResult, String> {
        let bundle = bundle_of(&signature.annotations, &signature.payload)?;
        self.judge(&bundle, |verifier, policy| match policy {
            Ok(policy) => verifier.verify(&signature.payload[..], &bundle, &policy),
            Err(policy) => verifier.verify(&signature.payload[..], &bundle, &policy),
        })
    }

    fn judge(
        &self,
        _bundle: &Bundle,
        verify: impl FnOnce(
            &Verifier,
            Result<VerificationPolicy, PublicKeyVerificationPolicy>,
        ) -> sigstore_verify::Result<VerificationResult>,
    ) -> Result<VerificationResult, String> {
        let policy = match &self.key {
            None => {
                let policy = VerificationPolicy::any_identity();
                Ok(if self.log_required {
                    policy
                } else {
                    policy.skip_tlog_unsafe()
                })
            }
            Some(pem) => {
                let policy = PublicKeyVerificationPolicy::new(DerPublicKey::from_pem(pem).unwrap());
                Err(if self.log_required {
                    policy
                } else {
                    policy.skip_tlog_unsafe()
                })
            }
        };
        verify(&self.verifier, policy).map_err(|e| format!("{e}"))
    }
}

/// The bundle v0.1 (v0.2 where there is no log) that says what the annotations say.
fn bundle_of(annotations: &BTreeMap<String, String>, payload: &[u8]) -> Result<Bundle, String> {
    let decode = |text: &str| STANDARD.decode(text).map_err(|e| e.to_string());
    let mut material = match annotations.get("dev.sigstore.cosign/certificate") {
        Some(pem) => json!({ "x509CertificateChain": { "certificates": [
            { "rawBytes": pem.lines().filter(|l| !l.starts_with('-')).collect::<String>() },
        ] } }),
        None => json!({ "publicKey": { "hint": "" } }),
    };
    let mut media_type = "application/vnd.dev.sigstore.bundle+json;version=0.2";
    if let Some(entry) = annotations.get("dev.sigstore.cosign/bundle") {
        media_type = "application/vnd.dev.sigstore.bundle+json;version=0.1";
        let entry: Value = serde_json::from_str(entry).map_err(|e| e.to_string())?;
        let payload = &entry["Payload"];
        let body = decode(payload["body"].as_str().unwrap_or_default())?;
        let body: Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        let log = hex::decode(payload["logID"].as_str().unwrap_or_default()).unwrap();
        material["tlogEntries"] = json!([{
            "logIndex": payload["logIndex"].to_string(),
            "logId": { "keyId": STANDARD.encode(log) },
            "kindVersion": { "kind": body["kind"], "version": body["apiVersion"] },
            "integratedTime": payload["integratedTime"].to_string(),
            "inclusionPromise": { "signedEntryTimestamp": entry["SignedEntryTimestamp"] },
            "canonicalizedBody": payload["body"],
        }]);
    }
    if let Some(token) = annotations.get("dev.sigstore.cosign/rfc3161timestamp") {
        let token: Value = serde_json::from_str(token).map_err(|e| e.to_string())?;
        material["timestampVerificationData"] = json!({ "rfc3161Timestamps": [
            { "signedTimestamp": token["SignedRFC3161Timestamp"] },
        ] });
    }
    let digest = sigstore_verify::crypto::sha256(payload);
    let bundle = json!({
        "mediaType": media_type,
        "verificationMaterial": material,
        "messageSignature": {
            "messageDigest": { "algorithm": "SHA2_256", "digest": STANDARD.encode(digest.as_bytes()) },
            "signature": annotations["dev.cosignproject.cosign/signature"],
        },
    });
    Bundle::from_json(&bundle.to_string()).map_err(|e| e.to_string())
}
