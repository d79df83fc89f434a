//! Trust material in PEM files: each with one or many entries, chains in any order.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::{Digest, text};
use serde_json::{Value, json};
use sigstore_verify::types::DerCertificate;

use super::issuers::{self, Issued, NO_AUTHORITY};
use super::material::MEDIA_TYPE;
use super::read_file;
use crate::error::VerifyError;
use crate::pem::{self, Block, Label};

/// PEM files with the keys and certificates of a Sigstore instance.
///
/// They cannot describe a Rekor v2 log with an Ed25519 key, whose id depends on its name: use a
/// `trusted_root.json`.
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
    /// All file names, for messages.
    pub(super) fn names(&self) -> String {
        let all = [&self.fulcio, &self.rekor, &self.ctfe, &self.tsa];
        let all = all.into_iter().flatten();
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
            let blocks = read(path, Label::Certificate, "fulcio_certs")?;
            for block in &blocks {
                require_authority(path, &block.der)?;
            }
            fulcio.push(authority(path, blocks.into_iter().map(|block| block.der)));
        }
        let root = json!({
            "mediaType": MEDIA_TYPE,
            "tlogs": logs(&self.rekor, "rekor_pub_keys")?,
            "certificateAuthorities": fulcio,
            "ctlogs": logs(&self.ctfe, "ctfe_keys")?,
            "timestampAuthorities": timestamp_authorities(&self.tsa)?,
        });
        Ok(root.to_string().into_bytes())
    }
}

/// The keys in `paths` as logs, each named by the digest of its key.
fn logs(paths: &[PathBuf], setting: &str) -> Result<Vec<Value>, VerifyError> {
    let mut logs = Vec::new();
    for path in paths {
        for block in read(path, Label::PublicKey, setting)? {
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

/// Refuses the certificate of a signer.
fn require_authority(path: &Path, der: &[u8]) -> Result<(), VerifyError> {
    let refuse = |problem: String| VerifyError::trust(path.display().to_string(), problem);
    let parsed = Issued::parse(&DerCertificate::new(der.to_vec())).map_err(refuse)?;
    if parsed.is_authority() {
        return Ok(());
    }
    let subject = text::escape(&parsed.certificate.tbs_certificate.subject.to_string());
    Err(refuse(format!(
        "`{subject}` {NO_AUTHORITY}; remove it from the file"
    )))
}

/// An authority with the certificates of one chain.
fn authority(path: &Path, chain: impl Iterator<Item = Vec<u8>>) -> Value {
    let certificates = chain.map(|der| json!({ "rawBytes": STANDARD.encode(der) }));
    json!({
        "uri": path.display().to_string(),
        "certChain": { "certificates": certificates.collect::<Vec<_>>() },
    })
}

/// Reads the blocks of a file that `setting` names, all of which must be of one kind.
fn read(path: &Path, label: Label, setting: &str) -> Result<Vec<Block>, VerifyError> {
    let (text, _) = read_file(path)?;
    let expected = match label {
        Label::Certificate => "CERTIFICATE",
        _ => "PUBLIC KEY",
    };
    let problem = match pem::blocks(&text) {
        Err(problem) => problem,
        Ok(blocks) if blocks.is_empty() => format!("holds no `{expected}` in PEM form"),
        Ok(blocks) => match blocks.iter().find(|block| block.label != label) {
            Some(other) => format!(
                "holds a `{}`, expected `{expected}` for `{setting}`{}",
                other.name,
                settings_for(other.label)
            ),
            None => return Ok(blocks),
        },
    };
    Err(VerifyError::trust(path.display().to_string(), problem))
}

/// Which settings a block is for that is in a file of another setting.
fn settings_for(label: Label) -> &'static str {
    match label {
        Label::Certificate => "; certificates belong in `fulcio_certs` or `tsa_certs`",
        Label::PublicKey => "; public keys belong in `rekor_pub_keys` or `ctfe_keys`",
        _ => "",
    }
}

/// Sorts the certificates of all files into chains from the signing certificate up to its root, by their
/// signatures. Each is an authority, named by the file of its signing certificate.
fn timestamp_authorities(paths: &[PathBuf]) -> Result<Vec<Value>, VerifyError> {
    let refuse = |path: &Path| {
        let name = path.display().to_string();
        move |problem: String| VerifyError::trust(name, problem)
    };
    let (mut certificates, mut files) = (Vec::new(), Vec::new());
    for path in paths {
        for block in read(path, Label::Certificate, "tsa_certs")? {
            let parsed = Issued::parse(&DerCertificate::new(block.der)).map_err(refuse(path))?;
            if !certificates.contains(&parsed) {
                certificates.push(parsed);
                files.push(path.as_path());
            }
        }
    }
    let mut authorities = Vec::new();
    for (certificate, path) in certificates.iter().zip(files) {
        if issuers::is_issuer(certificate, &certificates).map_err(refuse(path))? {
            continue;
        }
        for chain in issuers::chains(certificate, &certificates).map_err(refuse(path))? {
            authorities.push(authority(
                path,
                chain.into_iter().map(|one| one.der.clone()),
            ));
        }
    }
    match paths {
        [path, ..] if authorities.is_empty() => {
            let problem = "the certificates of `tsa_certs` issue one another in a circle";
            Err(refuse(path)(problem.to_owned()))
        }
        _ => Ok(authorities),
    }
}
