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
            "git+https://github.com/acme/x.git@refs/tags/v1",
            "https://github.com/acme/x",
        ),
        (
            "https://github.com/acme/x.git#refs/heads/main:sub",
            "https://github.com/acme/x",
        ),
        ("https://github.com/acme/x/", "https://github.com/acme/x"),
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

/// As `BuildKit` and Google Cloud Build write it, and as configs do.
#[test]
fn a_source_is_found_in_the_provenance_of_each_builder() {
    let unmet = |expected: &str, parameters: Value| {
        let demand = AttestationDemand::new(SLSA_V1).unwrap();
        let demand = demand.with_source(expected).unwrap();
        demand.unmet(&serde_json::json!({
            "buildDefinition": { "externalParameters": parameters },
        }))
    };
    for (expected, is_met) in [
        ("https://github.com/o/r", true),
        ("https://github.com/o/r.git", true),
        ("git+https://github.com/o/r", true),
        ("https://github.com/o/other", false),
        // Another ref is required.
        ("https://github.com/o/r@refs/tags/v2", false),
        ("https://github.com/o/r.git#refs/tags/v2", false),
    ] {
        let uri = "https://github.com/o/r.git#refs/tags/v1";
        let build_kit = serde_json::json!({ "configSource": { "uri": uri } });
        assert_eq!(unmet(expected, build_kit).is_none(), is_met, "{expected}");
        let repository = "git+https://github.com/o/r";
        let cloud_build = serde_json::json!({ "sourceToBuild": { "repository": repository } });
        assert_eq!(unmet(expected, cloud_build).is_none(), is_met, "{expected}");
    }
}
