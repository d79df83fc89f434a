//! Tests of trust roots made of no source, or of two.

use serde_json::Value;

use super::*;
use crate::SigstoreVerifier;
use crate::policy::{Policy, PolicySet, Scope};

/// Empty trust material never means "anyone": only keys without a log can do without it.
#[test]
fn no_root_trusts_nothing() {
    let anyone = vec![(Scope::everything(), Policy::pin_on_first_use())];
    let policies = PolicySet::new(anyone).unwrap();
    let refused = SigstoreVerifier::new(TrustRoot::none().unwrap(), policies.clone());
    assert!(matches!(refused, Err(VerifyError::TrustRoot { .. })));
    let joined = TrustRoot::none()
        .unwrap()
        .joined_with(TrustRoot::embedded().unwrap());
    assert_eq!(
        joined.describe().logs,
        TrustRoot::embedded().unwrap().describe().logs
    );
    assert!(SigstoreVerifier::new(joined, policies.clone()).is_ok());

    // What both know counts once.
    let embedded = || TrustRoot::embedded().unwrap();
    let joined = embedded().joined_with(embedded());
    assert_eq!(joined.describe().logs, embedded().describe().logs);
    assert!(SigstoreVerifier::new(joined, policies).is_ok());
}

/// The JSON of protocol buffers with the names of their definition, which sigstore-go reads, too.
fn by_definition(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(by_definition).collect(),
        Value::Object(fields) => {
            let renamed = |name: String| -> String {
                let parts = name.chars().map(|c| match c {
                    'A'..='Z' => format!("_{}", c.to_ascii_lowercase()),
                    c => c.to_string(),
                });
                parts.collect()
            };
            let fields = fields.into_iter();
            let fields = fields.map(|(name, value)| (renamed(name), by_definition(value)));
            Value::Object(fields.collect())
        }
        value => value,
    }
}

#[test]
fn a_trusted_root_with_the_names_of_the_definition_is_read() {
    for json in [
        SIGSTORE_PRODUCTION_TRUSTED_ROOT,
        SIGSTORE_STAGING_TRUSTED_ROOT,
    ] {
        let renamed = by_definition(serde_json::from_str(json).unwrap()).to_string();
        assert!(renamed.contains("certificate_authorities") && !renamed.contains("rawBytes"));
        let read = |json: &str| TrustRoot::from_json("root.json", None, None, json.as_bytes());
        let (expected, root) = (read(json).unwrap(), read(&renamed).unwrap());
        assert_eq!(root.describe(), expected.describe());
        assert!(root.names_ct_logs);
    }
}

/// `cosign trusted-root create` writes no URL if it is given none.
#[test]
fn a_trusted_root_without_urls_is_read() {
    for absent in [None, Some(Value::Null)] {
        let mut root: Value = serde_json::from_str(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        for (list, field) in [
            ("tlogs", "baseUrl"),
            ("ctlogs", "baseUrl"),
            ("certificateAuthorities", "uri"),
            ("timestampAuthorities", "uri"),
        ] {
            for entry in root[list].as_array_mut().unwrap() {
                let entry = entry.as_object_mut().unwrap();
                entry.remove(field).unwrap();
                if let Some(absent) = &absent {
                    entry.insert(field.to_owned(), absent.clone());
                }
            }
        }
        let read = |json: &str| TrustRoot::from_json("root.json", None, None, json.as_bytes());
        let expected = read(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
        let root = read(&root.to_string()).unwrap();
        assert_eq!(root.describe(), expected.describe());
    }
}

#[test]
fn a_field_of_a_trusted_root_under_both_names_is_refused() {
    let both = SIGSTORE_PRODUCTION_TRUSTED_ROOT.replacen('{', r#"{"media_type":"x","#, 1);
    let error = TrustRoot::from_json("root.json", None, None, both.as_bytes()).unwrap_err();
    assert!(
        error.to_string().contains("duplicate field `mediaType`"),
        "{error}"
    );
}
