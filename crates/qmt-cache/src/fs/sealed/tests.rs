//! Tests of the envelope.

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
