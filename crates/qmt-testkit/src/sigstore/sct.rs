//! The certificate transparency log: signs that it saw a precertificate.
//!
//! Spec: <https://www.rfc-editor.org/rfc/rfc6962#section-3.2>.

use std::time::SystemTime;

use const_oid::db::rfc6962::CT_PRECERT_SCTS;
use der::Encode as _;
use der::asn1::OctetString;
use serde_json::json;
use x509_cert::ext::Extension;

use super::codec::{Must, base64, since_1970};
use super::key::{KeyPair, sha256};

/// `SignatureAndHashAlgorithm` of ECDSA with SHA-256 in TLS 1.2.
const ECDSA_SHA256: [u8; 2] = [4, 3];

/// What is wrong with the timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SctDefect {
    /// Another key signed, under the log's own name.
    WrongKey,
    /// Another log signed, under its own name.
    UnknownLog,
    /// The log saw another certificate.
    OtherCertificate,
}

/// A log's promise to show a certificate: what `add-pre-chain` answers, and what certificates carry.
#[derive(Clone, Debug)]
pub struct SignedCertificateTimestamp {
    log_id: [u8; 32],
    milliseconds: u64,
    signature: Vec<u8>,
}

impl SignedCertificateTimestamp {
    /// Signs a precertificate entry with the key of a log, which must be of P-256.
    ///
    /// `tbs` is the certificate's signed part without poison and without timestamps, `issuer_spki`
    /// the `SubjectPublicKeyInfo` of who issues it.
    ///
    /// # Panics
    ///
    /// Where `tbs` is longer than 16 MiB, or `time` before 1970.
    pub fn sign(log: &KeyPair, tbs: &[u8], issuer_spki: &[u8], time: SystemTime) -> Self {
        let milliseconds = since_1970(time).as_millis();
        let milliseconds = u64::try_from(milliseconds).must("count milliseconds");
        let mut signed = vec![0, 0];
        signed.extend_from_slice(&milliseconds.to_be_bytes());
        signed.extend_from_slice(&1_u16.to_be_bytes()); // A precertificate entry.
        signed.extend_from_slice(&sha256(issuer_spki));
        let length = tbs.len().to_be_bytes();
        let (head, length) = length.split_at(length.len() - 3);
        assert!(
            head.iter().all(|byte| *byte == 0),
            "the private Sigstore could not fit a certificate into 24 bits"
        );
        signed.extend_from_slice(length);
        signed.extend_from_slice(tbs);
        signed.extend_from_slice(&0_u16.to_be_bytes()); // No extensions.
        Self {
            log_id: log.id(),
            milliseconds,
            signature: log.sign(&signed),
        }
    }

    /// The answer of `add-pre-chain`, JSON.
    pub fn json(&self) -> String {
        json!({
            "sct_version": 0,
            "id": base64(self.log_id),
            "timestamp": self.milliseconds,
            "extensions": "",
            "signature": base64(self.signed()),
        })
        .to_string()
    }

    /// Algorithm and signature, as TLS writes them.
    fn signed(&self) -> Vec<u8> {
        let mut out = ECDSA_SHA256.to_vec();
        out.extend_from_slice(&with_length(&self.signature));
        out
    }

    /// The extension of a certificate that carries this one timestamp.
    fn extension(&self) -> Extension {
        let mut sct = vec![0];
        sct.extend_from_slice(&self.log_id);
        sct.extend_from_slice(&self.milliseconds.to_be_bytes());
        sct.extend_from_slice(&0_u16.to_be_bytes());
        sct.extend_from_slice(&self.signed());
        let list = OctetString::new(with_length(&with_length(&sct))).must("wrap the SCT list");
        Extension {
            extn_id: CT_PRECERT_SCTS,
            critical: false,
            extn_value: OctetString::new(list.to_der().must("write the SCT list"))
                .must("wrap the SCT extension"),
        }
    }
}

/// Signs `tbs`, the certificate without the extension, and returns the extension for it.
pub(super) fn extension(
    log: &KeyPair,
    tbs: &[u8],
    issuer_spki: &[u8],
    time: SystemTime,
    defect: Option<SctDefect>,
) -> Extension {
    let stranger = KeyPair::generate(log.kind());
    let signer = match defect {
        Some(SctDefect::WrongKey | SctDefect::UnknownLog) => &stranger,
        Some(SctDefect::OtherCertificate) | None => log,
    };
    let mut seen = tbs.to_vec();
    if defect == Some(SctDefect::OtherCertificate) {
        seen.reverse();
    }
    let mut sct = SignedCertificateTimestamp::sign(signer, &seen, issuer_spki, time);
    if defect == Some(SctDefect::WrongKey) {
        sct.log_id = log.id();
    }
    sct.extension()
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).must("fit an SCT into 16 bits");
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyKind;

    #[test]
    fn the_answer_and_the_extension_carry_the_same_promise() {
        let log = KeyPair::generate(KeyKind::P256);
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1234);
        let sct = SignedCertificateTimestamp::sign(&log, b"tbs", b"spki", time);
        let answer: serde_json::Value = serde_json::from_str(&sct.json()).unwrap();
        assert_eq!(answer["timestamp"], 1234);
        assert_eq!(answer["id"], base64(log.id()));
        let inside = sct.extension().extn_value.into_bytes();
        let ends = super::super::codec::unbase64(answer["signature"].as_str().unwrap());
        assert!(inside.ends_with(&ends));
        assert_eq!(ends[..2], ECDSA_SHA256);
    }
}
