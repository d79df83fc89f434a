//! The certificate transparency log: signs that it saw a precertificate.
//!
//! Spec: <https://www.rfc-editor.org/rfc/rfc6962#section-3.2>.

use std::time::SystemTime;

use const_oid::db::rfc6962::CT_PRECERT_SCTS;
use der::Encode as _;
use der::asn1::OctetString;
use x509_cert::ext::Extension;

use super::encoding::{Must, since_1970};
use super::key::{KeyPair, sha256};

/// `SignatureAndHashAlgorithm` of ECDSA with SHA-256 in TLS 1.2.
const ECDSA_SHA256: [u8; 2] = [4, 3];

/// What is wrong with the timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SctFlaw {
    /// Another key signed, under the log's own name.
    WrongKey,
    /// Another log signed, under its own name.
    UnknownLog,
    /// The log saw another certificate.
    OtherCertificate,
}

/// Signs `tbs`, the certificate without the extension, and returns the extension for it.
pub(super) fn extension(
    log: &KeyPair,
    tbs: &[u8],
    issuer_spki: &[u8],
    time: SystemTime,
    flaw: Option<SctFlaw>,
) -> Extension {
    let stranger = KeyPair::generate(log.kind());
    let (signer, log_id) = match flaw {
        Some(SctFlaw::WrongKey) => (&stranger, log.id()),
        Some(SctFlaw::UnknownLog) => (&stranger, stranger.id()),
        Some(SctFlaw::OtherCertificate) | None => (log, log.id()),
    };
    let mut seen = tbs.to_vec();
    if flaw == Some(SctFlaw::OtherCertificate) {
        seen.reverse();
    }
    let milliseconds = u64::try_from(since_1970(time).as_millis()).must("count milliseconds");

    let mut signed = vec![0, 0];
    signed.extend_from_slice(&milliseconds.to_be_bytes());
    signed.extend_from_slice(&1_u16.to_be_bytes()); // A precertificate entry.
    signed.extend_from_slice(&sha256(issuer_spki));
    let length = u32::try_from(seen.len()).must("fit a certificate into 24 bits");
    signed.extend_from_slice(&length.to_be_bytes()[1..]);
    signed.extend_from_slice(&seen);
    signed.extend_from_slice(&0_u16.to_be_bytes()); // No extensions.
    let signature = signer.sign(&signed);

    let mut sct = vec![0];
    sct.extend_from_slice(&log_id);
    sct.extend_from_slice(&milliseconds.to_be_bytes());
    sct.extend_from_slice(&0_u16.to_be_bytes());
    sct.extend_from_slice(&ECDSA_SHA256);
    sct.extend_from_slice(&with_length(&signature));

    let list = OctetString::new(with_length(&with_length(&sct))).must("wrap the SCT list");
    Extension {
        extn_id: CT_PRECERT_SCTS,
        critical: false,
        extn_value: OctetString::new(list.to_der().must("write the SCT list"))
            .must("wrap the SCT extension"),
    }
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).must("fit an SCT into 16 bits");
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}
