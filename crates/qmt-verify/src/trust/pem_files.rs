//! Trust material in PEM files: each with one or many entries, chains in any order.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::Digest;
use serde_json::{Value, json};
use sigstore_verify::types::DerCertificate;
use x509_cert::Certificate;

use super::{material, read_file};
use crate::error::VerifyError;
use crate::pem::{self, Block};

/// The longest chain of a timestamp authority.
const CHAIN_MAX: usize = 8;

/// PEM files with the keys and certificates of a Sigstore.
///
/// A Rekor v2 log with an Ed25519 key cannot be named this way, because its id depends on its name:
/// use a `trusted_root.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PemTrust {
    /// Certificates of the certificate authority, roots and intermediates.
    pub fulcio: Vec<PathBuf>,
    /// Public keys of the transparency logs.
    pub rekor: Vec<PathBuf>,
    /// Public keys of the certificate transparency logs.
    pub ctfe: Vec<PathBuf>,
    /// Certificate chains of the timestamp authorities.
    pub tsa: Vec<PathBuf>,
}

impl PemTrust {
    /// Names certificates of the certificate authority.
    #[must_use]
    pub fn with_fulcio(mut self, path: impl Into<PathBuf>) -> Self {
        self.fulcio.push(path.into());
        self
    }

    /// Names public keys of transparency logs.
    #[must_use]
    pub fn with_rekor(mut self, path: impl Into<PathBuf>) -> Self {
        self.rekor.push(path.into());
        self
    }

    /// Names public keys of certificate transparency logs.
    #[must_use]
    pub fn with_ctfe(mut self, path: impl Into<PathBuf>) -> Self {
        self.ctfe.push(path.into());
        self
    }

    /// Names certificate chains of timestamp authorities.
    #[must_use]
    pub fn with_tsa(mut self, path: impl Into<PathBuf>) -> Self {
        self.tsa.push(path.into());
        self
    }

    /// All file names, for messages.
    pub(super) fn names(&self) -> String {
        let all = self
            .fulcio
            .iter()
            .chain(&self.rekor)
            .chain(&self.ctfe)
            .chain(&self.tsa);
        let names: Vec<String> = all.map(|path| path.display().to_string()).collect();
        if names.is_empty() {
            "PEM files".to_owned()
        } else {
            names.join(", ")
        }
    }

    /// The same as the JSON of a trusted root.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, VerifyError> {
        let mut fulcio = Vec::new();
        for path in &self.fulcio {
            // One authority per file: its certificates are each other's issuers.
            let certificates: Vec<Value> = read(path, "CERTIFICATE")?
                .iter()
                .map(|block| raw(&block.der))
                .collect();
            fulcio.push(json!({
                "uri": path.display().to_string(),
                "certChain": { "certificates": certificates },
            }));
        }
        let mut tsa = Vec::new();
        for path in &self.tsa {
            for chain in chains(path, read(path, "CERTIFICATE")?)? {
                let certificates: Vec<Value> = chain.iter().map(|der| raw(der)).collect();
                tsa.push(json!({
                    "uri": path.display().to_string(),
                    "certChain": { "certificates": certificates },
                }));
            }
        }
        let root = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": logs(&self.rekor)?,
            "certificateAuthorities": fulcio,
            "ctlogs": logs(&self.ctfe)?,
            "timestampAuthorities": tsa,
        });
        Ok(root.to_string().into_bytes())
    }
}

/// The keys in `paths` as logs, each named by the digest of its key.
fn logs(paths: &[PathBuf]) -> Result<Vec<Value>, VerifyError> {
    let mut logs = Vec::new();
    for path in paths {
        for block in read(path, "PUBLIC KEY")? {
            let id = hex::decode(Digest::sha256(&block.der).hex()).unwrap_or_default();
            logs.push(json!({
                "baseUrl": path.display().to_string(),
                "hashAlgorithm": "SHA2_256",
                // The kind of a key is read from the key itself.
                "publicKey": {
                    "rawBytes": STANDARD.encode(&block.der),
                    "keyDetails": "PUBLIC_KEY_DETAILS_UNSPECIFIED",
                },
                "logId": { "keyId": STANDARD.encode(id) },
            }));
        }
    }
    Ok(logs)
}

fn raw(der: &[u8]) -> Value {
    json!({ "rawBytes": STANDARD.encode(der) })
}

/// Reads the blocks of a file, all of which must be of one kind.
fn read(path: &Path, label: &str) -> Result<Vec<Block>, VerifyError> {
    let (text, _) = read_file(path)?;
    let origin = path.display().to_string();
    let blocks =
        pem::blocks(&text).map_err(|problem| VerifyError::trust(origin.clone(), problem))?;
    if blocks.is_empty() {
        return Err(VerifyError::trust(
            origin,
            format!("holds no `{label}` in PEM form"),
        ));
    }
    if let Some(other) = blocks.iter().find(|block| block.label != label) {
        let problem = format!("holds a `{}` where only `{label}` belongs", other.label);
        return Err(VerifyError::trust(origin, problem));
    }
    Ok(blocks)
}

/// Sorts certificates into chains from the signing certificate up to its root.
fn chains(path: &Path, blocks: Vec<Block>) -> Result<Vec<Vec<Vec<u8>>>, VerifyError> {
    let refuse = |problem: String| VerifyError::trust(path.display().to_string(), problem);
    let mut certificates = Vec::new();
    for block in blocks {
        let der = DerCertificate::new(block.der);
        let parsed = material::certificate(&der).map_err(refuse)?;
        certificates.push((parsed, der.as_bytes().to_vec()));
    }
    let issues = |upper: &Certificate, lower: &Certificate| {
        upper.tbs_certificate.subject == lower.tbs_certificate.issuer
            && upper.tbs_certificate.subject != lower.tbs_certificate.subject
    };
    let leaves = certificates.iter().filter(|(candidate, _)| {
        !certificates
            .iter()
            .any(|(lower, _)| issues(candidate, lower))
    });
    let mut chains = Vec::new();
    for (leaf, der) in leaves {
        let mut chain = vec![der.clone()];
        let mut current = leaf;
        while let Some((upper, der)) = certificates
            .iter()
            .find(|(upper, _)| issues(upper, current))
        {
            if chain.len() == CHAIN_MAX {
                return Err(refuse(format!(
                    "holds a chain of over {CHAIN_MAX} certificates"
                )));
            }
            chain.push(der.clone());
            current = upper;
        }
        chains.push(chain);
    }
    if chains.is_empty() {
        return Err(refuse(
            "its certificates issue one another in a circle".to_owned(),
        ));
    }
    Ok(chains)
}
