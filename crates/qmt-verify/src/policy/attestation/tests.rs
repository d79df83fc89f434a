//! What a requirement on an attestation means.

use super::*;

#[test]
fn a_source_is_a_repository_without_its_ref() {
    for (uri, expected) in [
        (
            "git+https://github.com/acme/x@refs/tags/v1",
            "https://github.com/acme/x",
        ),
        (
            "https://github.com/acme/x@refs/heads/a@b",
            "https://github.com/acme/x",
        ),
        ("https://github.com/acme/x", "https://github.com/acme/x"),
        (
            "https://github.com@evil.example/acme/x",
            "https://github.com@evil.example/acme/x",
        ),
        ("pkg:npm/%40acme/x@1", "pkg:npm/%40acme/x@1"),
        ("https://", "https://"),
        ("", ""),
    ] {
        assert_eq!(repository(uri), expected, "{uri}");
    }
}

#[test]
fn two_places_of_a_provenance_must_agree() {
    let demand = AttestationDemand::new(SLSA_V1)
        .unwrap()
        .with_source("https://a/b")
        .unwrap();
    let predicate = |workflow: &str, source: &str| {
        serde_json::json!({ "buildDefinition": { "externalParameters": {
            "workflow": { "repository": workflow }, "source": source,
        } } })
    };
    assert_eq!(
        demand.unmet(&predicate("https://a/b", "git+https://a/b@refs/x")),
        None
    );
    assert!(
        demand
            .unmet(&predicate("https://a/b", "https://evil/b"))
            .is_some()
    );
    assert!(
        demand
            .unmet(&predicate("https://evil/b", "https://a/b"))
            .is_some()
    );
    assert!(demand.unmet(&Value::Null).is_some());
}
