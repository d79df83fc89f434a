//! The envelope of small files: JSON that names its schema, kind, subject and the digest of its
//! body, so that a damaged, copied or older file is recognised before it is parsed.

use qmt_oci_ref::Digest;

use crate::Record;

/// Wraps `body` (JSON) into an envelope.
pub(crate) fn seal(kind: &str, subject: &str, body: &[u8]) -> Vec<u8> {
    let mut sealed = head(kind, subject).into_bytes();
    sealed.extend_from_slice(Digest::sha256(body).hex().as_bytes());
    sealed.extend_from_slice(AFTER_DIGEST);
    sealed.extend_from_slice(body);
    sealed.push(b'}');
    sealed
}

/// The body of an envelope of exactly this kind and subject, if it is whole.
pub(crate) fn open<'a>(kind: &str, subject: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let remaining = sealed.strip_prefix(head(kind, subject).as_bytes())?;
    let (hex, remaining) = remaining.split_at_checked(64)?;
    let body = remaining.strip_prefix(AFTER_DIGEST)?.strip_suffix(b"}")?;
    (Digest::sha256(body).hex().as_bytes() == hex).then_some(body)
}

/// What follows the digest of the body.
const AFTER_DIGEST: &[u8] = b"\",\"body\":";

fn head(kind: &str, subject: &str) -> String {
    // Kinds are constants, subjects are digests and references: nothing needs escaping.
    format!(
        "{{\"schema\":{},\"kind\":\"{kind}\",\"subject\":\"{subject}\",\"sha256\":\"",
        Record::SCHEMA
    )
}

#[cfg(test)]
mod tests;
