//! Tests of base64 with white space.

use super::*;

#[test]
fn white_space_counts_as_absent() {
    for text in ["AQID", "AQ\nID", " AQID\r\n", "A Q\tI D\n\n"] {
        assert_eq!(decode(text).unwrap(), [1, 2, 3], "{text:?}");
    }
    for text in ["AQI", "AQ-_", "AQID=", "A\u{a0}QID", "AQ\\nID"] {
        decode(text).unwrap_err();
    }
}

#[test]
fn only_base64_is_joined() {
    let broken = br#"{"a":{"sig":"A\nQ","envelope":"x\n\ny","hashes":["A\r\nQ"]},"hint":"a b"}"#;
    let joined = joined_json(broken).unwrap();
    let expected: Value =
        json::from_slice(br#"{"a":{"sig":"AQ","envelope":"x\n\ny","hashes":["AQ"]},"hint":"a b"}"#)
            .unwrap();
    assert_eq!(json::from_slice::<Value>(&joined).unwrap(), expected);
    assert_eq!(joined_json(&joined), None);
    // Documents that two parsers could read differently are refused.
    assert_eq!(joined_json(br#"{"sig":"A\nQ","sig":"AQ"}"#), None);
}
