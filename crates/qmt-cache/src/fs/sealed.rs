//! The envelope of small files: JSON that names its schema, kind, subject and the digest of its
//! body, so that a damaged, copied or older file is told from a good one before it is parsed.

use qmt_oci_ref::Digest;

use crate::Record;

/// Wraps `body` (JSON) into an envelope.
pub(crate) fn seal(kind: &str, subject: &str, body: &[u8]) -> Vec<u8> {
    let mut sealed = head(kind, subject).into_bytes();
    sealed.extend_from_slice(Digest::sha256(body).hex().as_bytes());
    sealed.extend_from_slice(NECK);
    sealed.extend_from_slice(body);
    sealed.push(b'}');
    sealed
}

/// The body of an envelope of exactly this kind and subject, if it is whole.
pub(crate) fn open<'a>(kind: &str, subject: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let rest = sealed.strip_prefix(head(kind, subject).as_bytes())?;
    let (hex, rest) = rest.split_at_checked(64)?;
    let body = rest.strip_prefix(NECK)?.strip_suffix(b"}")?;
    (Digest::sha256(body).hex().as_bytes() == hex).then_some(body)
}

const NECK: &[u8] = b"\",\"body\":";

fn head(kind: &str, subject: &str) -> String {
    // Kinds are our own words, subjects are digests and references: nothing needs escaping.
    format!(
        "{{\"schema\":{},\"kind\":\"{kind}\",\"subject\":\"{subject}\",\"sha256\":\"",
        Record::SCHEMA
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_json_and_opens() {
        let sealed = seal("record", "sha256:ab", br#"{"a":1}"#);
        let value: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["body"]["a"], 1);
        assert_eq!(
            open("record", "sha256:ab", &sealed),
            Some(&br#"{"a":1}"#[..])
        );
    }

    #[test]
    fn cache_06_foreign_truncated_and_older_envelopes_are_ignored() {
        let sealed = seal("record", "one", b"{}");
        assert!(open("record", "one", &sealed).is_some());
        assert_eq!(open("record", "other", &sealed), None);
        assert_eq!(open("evidence", "one", &sealed), None);
        for length in 0..sealed.len() {
            assert_eq!(open("record", "one", &sealed[..length]), None, "{length}");
        }
        let older = String::from_utf8(sealed)
            .unwrap()
            .replace("\"schema\":1", "\"schema\":0");
        assert_eq!(open("record", "one", older.as_bytes()), None);
    }
}
