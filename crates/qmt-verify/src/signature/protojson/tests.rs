//! Tests of the JSON of bundles.

use serde_json::json;

use super::*;

fn read(bundle: &Value) -> Result<Value, Duplicate> {
    let bundle = bundle.to_string();
    let text = normalized_bundle(bundle.as_bytes())?.unwrap_or(bundle);
    Ok(serde_json::from_str(&text).unwrap())
}

#[test]
fn null_is_absence() {
    let with_nulls = json!({
        "messageSignature": null,
        "verificationMaterial": {
            "certificate": null,
            "publicKey": {"hint": null},
            "tlogEntries": null,
            "timestampVerificationData": {"rfc3161Timestamps": null},
        },
        "dsseEnvelope": {"signatures": [{"sig": "AQ==", "keyid": null}]},
    });
    let without = json!({
        "verificationMaterial": {"publicKey": {}, "timestampVerificationData": {}},
        "dsseEnvelope": {"signatures": [{"sig": "AQ=="}]},
    });
    assert_eq!(read(&with_nulls).unwrap(), without);
    assert_eq!(normalized_bundle(without.to_string().as_bytes()), Ok(None));
}

#[test]
fn both_names_of_a_field_are_read() {
    let by_definition = json!({
        "media_type": "x",
        "verification_material": {
            "x509_certificate_chain": {"certificates": [{"raw_bytes": "AQ=="}]},
            "tlog_entries": [{"log_id": {"key_id": "AQ=="}, "inclusion_proof": {"tree_size": "1"}}],
            "timestamp_verification_data": {"rfc3161_timestamps": [{"signed_timestamp": "AQ=="}]},
        },
    });
    let by_json = json!({
        "mediaType": "x",
        "verificationMaterial": {
            "x509CertificateChain": {"certificates": [{"rawBytes": "AQ=="}]},
            "tlogEntries": [{"logId": {"keyId": "AQ=="}, "inclusionProof": {"treeSize": "1"}}],
            "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": "AQ=="}]},
        },
    });
    assert_eq!(read(&by_definition).unwrap(), by_json);
    assert_eq!(normalized_bundle(by_json.to_string().as_bytes()), Ok(None));
}

/// As by sigstore-go, a field occurs once, also if one of them is `null`.
#[test]
fn a_field_under_both_names_is_refused() {
    for bundle in [
        json!({"mediaType": "x", "media_type": "x"}),
        json!({"mediaType": "x", "media_type": null}),
        json!({"mediaType": null, "media_type": "x"}),
        json!({"verificationMaterial": {"tlogEntries": [{"logIndex": "1", "log_index": "2"}]}}),
    ] {
        let error = read(&bundle).unwrap_err();
        assert!(
            error.to_string().starts_with("duplicate field `"),
            "{error}"
        );
    }
}

/// sigstore-go refuses these; they are left to the library.
#[test]
fn nothing_else_is_changed() {
    for bundle in [
        json!({"unknown": null, "unknown_field": 1}),
        json!({"keyid": null}),
        json!({"dsseEnvelope": {"payload_type": "x", "signatures": [null]}}),
        json!({"verificationMaterial": {"tlogEntries": [{"inclusionProof": {"hashes": [null]}}]}}),
        json!({"dsseEnvelope": {"payload": "{\"media_type\":null}"}}),
        json!([1, "media_type", null]),
    ] {
        assert_eq!(
            normalized_bundle(bundle.to_string().as_bytes()),
            Ok(None),
            "{bundle}"
        );
    }
    // Two parsers could read these differently.
    assert_eq!(
        normalized_bundle(br#"{"media_type":1,"media_type":2}"#),
        Ok(None)
    );
}
