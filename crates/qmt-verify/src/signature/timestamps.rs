//! RFC 3161 timestamps, and the timestamp authorities that the trust root has.

use std::time::SystemTime;

use sigstore_trust_root::{TrustedRoot, TsaAuthority};
use sigstore_verify::tsa::{Error as TimestampError, verify_timestamp_for_authority};
use sigstore_verify::types::{Rfc3161Timestamp, SignatureBytes, TimestampToken};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectKeyIdentifier;

/// The timestamp authorities that are trusted.
pub(super) struct TimestampAuthorities {
    known: Vec<TsaAuthority>,
    /// By which of its bytes a token names one of them.
    names: Vec<Vec<u8>>,
}

impl TimestampAuthorities {
    pub(super) fn new(root: &TrustedRoot) -> Self {
        let chains = root.timestamp_authorities.iter().map(|one| &one.cert_chain);
        let leaves = chains.filter_map(|chain| chain.certificates.first());
        let leaves =
            leaves.filter_map(|leaf| Certificate::from_der(leaf.raw_bytes.as_bytes()).ok());
        Self {
            known: root.tsa_authorities(),
            names: leaves.flat_map(|leaf| names(&leaf)).collect(),
        }
    }

    pub(super) fn are_known(&self) -> bool {
        !self.names.is_empty()
    }

    /// The times of those of `tokens` that are valid timestamps of `signature`.
    pub(super) fn times(
        &self,
        tokens: &[Rfc3161Timestamp],
        signature: &SignatureBytes,
    ) -> Vec<SystemTime> {
        let pairs = tokens
            .iter()
            .flat_map(|one| self.known.iter().map(move |by| (one, by)));
        let times = pairs.filter_map(|(one, authority)| {
            verify_timestamp_for_authority(&one.signed_timestamp, signature, authority).ok()
        });
        times.map(SystemTime::from).collect()
    }

    /// Whether `token` is a timestamp of `signature` that no known authority made. One that has
    /// the name or the key of a known authority is that authority's or forged.
    pub(super) fn is_unknown(&self, token: &TimestampToken, signature: &SignatureBytes) -> bool {
        let bytes = token.as_bytes();
        let is_in = |name: &Vec<u8>| {
            bytes
                .windows(name.len())
                .any(|part| part == name.as_slice())
        };
        !self.names.iter().any(is_in)
            && self.known.iter().all(|authority| {
                let verified = verify_timestamp_for_authority(token, signature, authority);
                // Any other error is about the token itself.
                matches!(verified, Err(TimestampError::SignatureVerificationError(_)))
            })
    }
}

/// The bytes by which a token can name the certificate of its signer: those of its issuer, or of
/// its key identifier. <https://www.rfc-editor.org/rfc/rfc5652#section-5.3>
fn names(leaf: &Certificate) -> impl Iterator<Item = Vec<u8>> + use<> {
    let tbs = &leaf.tbs_certificate;
    let key = tbs.get::<SubjectKeyIdentifier>().ok().flatten();
    let key = key.map(|(_, key)| key.0.as_bytes().to_vec());
    let names = [tbs.issuer.to_der().ok(), key].into_iter().flatten();
    names.filter(|name| !name.is_empty())
}
