//! Signers, policies and trust material that contradict each other or are empty.

use super::*;

/// SIG-02: what is written and names no signer is never read as "anyone".
#[test]
fn nulls_and_empty_lists_in_constraints_are_refused() {
    for (text, key) in [
        (r#"{"oci":{"cert_email":null}}"#, "oci.cert_email"),
        (
            r#"{"oci":{"cert_email":"a@b","cert_issuer":null}}"#,
            "oci.cert_issuer",
        ),
        (r#"{"oci":{"public_keys":[]}}"#, "oci.public_keys"),
        (r#"{"oci":{"policy":[]}}"#, "oci.policy"),
        (r#"{"oci":{"policy":null}}"#, "oci.policy"),
        (r#"{"oci":{"identity":null}}"#, "oci.identity"),
        (r#"{"oci":{"trusted_root":null}}"#, "oci.trusted_root"),
        (r#"{"oci":{"fulcio_certs":[],"rekor_pub_keys":[]}}"#, "oci."),
        (
            r#"{"oci":{"policy":[{"scope":"**","any_of":[{"key":"k","issuer":null}]}]}}"#,
            "oci.policy[0].any_of[0].issuer",
        ),
        (r#"{"oci":{"public_keys":[null]}}"#, "oci.public_keys"),
        (
            r#"{"registries":{"ghcr.io":{"mirrors":[null]}}}"#,
            "registries.\"ghcr.io\".mirrors[0]",
        ),
        (r#"{"providers":[null]}"#, "providers[0]"),
    ] {
        for (name, text) in [("p.json", text.to_owned()), ("p.yaml", text.to_owned())] {
            let error = read(name, &text, &[]).expect_err(&text).to_string();
            assert!(error.contains(key), "{error} does not say {key}");
        }
    }
    // Valid: the plugin's own config may hold anything.
    let text = r#"{"oci":{"cert_email":"a@b","cert_issuer":"i"},
        "providers":[{"name":"a","path":"oci://x","config":{"a":null,"b":[]},"allow":{"hosts":[]}}]}"#;
    let config = read("p.json", text, &[]).unwrap();
    let settings = &config.providers.first().unwrap().config;
    assert_eq!(settings.get("a"), Some(&serde_json::Value::Null));
}

/// SIG-02, CFG-04: contradictions and empty constraints.
#[test]
fn contradictions() {
    let good = "[oci]\ncert_email = \"a@b\"\ncert_issuer = \"https://i\"\n";
    assert!(read("p.toml", good, &[]).is_ok());
    refused(
        "[oci]\ncert_email = \"\"\ncert_issuer = \"https://i\"",
        &["oci.cert_email", "empty"],
    );
    refused(
        "[oci]\ncert_issuer = \"https://i\"",
        &["oci.cert_issuer", "alone"],
    );
    refused(
        "[oci]\ncert_email = \"a@b\"\nidentity = \"required\"",
        &["oci.cert_issuer"],
    );
    refused(
        "[oci]\ncert_email = \"a@b\"\ncert_url = \"https://x\"",
        &["oci.cert_url", "[[oci.policy]]", "either"],
    );
    refused(
        "[oci]\nuse_sigstore_tuf_data = false\npublic_keys = \"k.pub\"",
        &["oci.public_keys", "transparency_log = \"optional\""],
    );
    refused(
        "[oci]\nuse_sigstore_tuf_data = false\n\
         [[oci.policy]]\nscope = \"**\"\nany_of = [{key = \"k\"}]",
        &["oci.policy[0].any_of[0]", "transparency_log = \"optional\""],
    );
    let twice = |one: &str, other: &str| {
        format!(
            "[[oci.policy]]\nscope = \"**\"\nrequire = 2\n\
             any_of = [{{ key = \"{one}\" }}, {{ key = \"{other}\" }}]"
        )
    };
    assert!(read("p.toml", &twice("a.pub", "b.pub"), &[]).is_ok());
    refused(&twice("a.pub", "./a.pub"), &["any_of[1]", "counts once"]);
    assert!(read("p.toml", "[oci]\ntimeout = \"15m\"", &[]).is_ok());
    refused("[oci]\ntimeout = \"16m\"", &["oci.timeout", "15 minutes"]);
    refused("[oci]\nuse_sigstore_tuf_data = false", &["trust material"]);
    refused("[oci]\ntuf_url = \"https://t\"", &["tuf_root"]);
    refused(
        "[oci]\ntrusted_root = \"t.json\"\nfulcio_certs = \"f.pem\"",
        &["oci.trusted_root", "PEM"],
    );
    refused(
        "[oci]\ntuf_url = \"https://t\"\ntuf_root = \"r\"\nrekor_pub_keys = \"r.pem\"",
        &["oci.tuf_url", "not both"],
    );
    refused(
        "[oci]\ninsecure_skip_signature = true\nidentity = \"required\"",
        &["oci.identity", "insecure_skip_signature"],
    );
    refused(
        "[[oci.policy]]\nscope = \"**\"",
        &["oci.policy[0]", "empty"],
    );
    refused(
        "[[oci.policy]]\nscope = \"**\"\nany_of = [{}]",
        &["names no signer"],
    );
    refused(
        "[[oci.policy]]\nscope = \"**\"\nany_of = [{identity = \"a\"}]",
        &["issuer"],
    );
    refused(
        "[[oci.policy]]\nscope = \"**\"\nany_of = [{key = \"k\"}]\nrequire = 2",
        &["require"],
    );
    refused(
        "[[providers]]\nname = \"a\"\npath = \"oci://Bad/X\"",
        &["providers[0].path", "upper case"],
    );
    refused("[[providers]]\npath = \"oci://x\"", &["providers[0].name"]);
    for name in [
        "https://ghcr.io",
        "http://ghcr.io/",
        "ghcr.io/acme",
        "oci://ghcr.io",
    ] {
        let text = format!("[registries.\"{name}\"]\nplain_http = true");
        refused(&text, &["without scheme", "did you mean `ghcr.io`?"]);
    }
    let file = |file: &str| format!("[[providers]]\nname = \"a\"\npath = \"x\"\nfile = \"{file}\"");
    for bad in ["", "/", "a//b", "../a", "./a"] {
        refused(&file(bad), &["providers[0].file", "path of a file"]);
    }
    for good in ["plugin.wasm", "/app/plugin.wasm"] {
        read("p.toml", &file(good), &[]).unwrap();
    }
    let twice = "[[providers]]\nname=\"a\"\npath=\"x\"\n[[providers]]\nname=\"a\"\npath=\"y\"";
    refused(twice, &["two providers"]);
}

/// SIG-05: the claims of a workflow are those of GitHub, so that its issuer need not be written.
#[test]
fn a_workflow_names_its_issuer() {
    for text in [
        "[oci]\ngithub_workflow_repository = \"a/b\"",
        "[oci]\ngithub_workflow_repository = \"a/b\"\nidentity = \"required\"",
        "[oci]\ngithub_workflow_repository = \"a/b\"\ncert_issuer = \"https://i\"",
        "[[oci.policy]]\nscope = \"**\"\nany_of = [{github_repository = \"a/b\"}]",
        "[[oci.policy]]\nscope = \"**\"\nany_of = [{identity = \"a\", github_ref = \"r\"}]",
    ] {
        read("p.toml", text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    refused(
        "[[oci.policy]]\nscope = \"**\"\nany_of = [{github_ref = \"r\"}]",
        &["oci.policy[0].any_of[0]", "identity"],
    );
}

/// What a message proposes instead is a config.
#[test]
fn proposed_lines_are_a_config() {
    for text in [
        "cert_email = \"a@b\"\ncert_url = \"https://github.com/a/b/.github/workflows/r.yml@x\"",
        "cert_email = \"a@b\"\ncert_url = \"https://gitlab.com/a\"\ncert_issuer = \"https://i\"",
        "cert_email = \"a\\\"@b\"\ncert_url = \"https://github.com/a\"\n\
         cert_issuer = \"https://token.actions.githubusercontent.com/acme\"\n\
         github_workflow_repository = \"a/b\"\npublic_keys = [\"one.pub\", \"two.pub\"]",
    ] {
        let error = read("p.toml", &format!("[oci]\n{text}"), &[])
            .unwrap_err()
            .to_string();
        let lines = error.split_once("`public_keys`:\n").unwrap().1;
        let config = read("p.toml", lines, &[]).unwrap_or_else(|error| panic!("{lines}: {error}"));
        let entries = &config.oci.policy[0].any_of;
        let identities = entries.iter().filter(|one| one.identity.is_some());
        assert!(
            identities.count() == 2
                && entries
                    .iter()
                    .all(|one| one.issuer.is_some() || one.key.is_some())
        );
    }
}

/// Mistakes in the texts of a policy name their key.
#[cfg(feature = "sigstore")]
#[test]
fn texts_of_policies_are_refused_by_their_keys() {
    const SIGNER: &str = "issuer = \"https://i\"";
    let policy = |more: &str, signer: &str| {
        format!("[[oci.policy]]\n{more}\n[[oci.policy.any_of]]\n{SIGNER}\n{signer}\n")
    };
    let one = "identity = \"a@b\"";
    let second = format!("{one}\n[[oci.policy.any_of]]\n{SIGNER}\nidentity_regex = \"a(b\"");
    for (text, words) in [
        (
            policy("scope = \"**\"", &second),
            [
                "oci.policy[0].any_of[1].identity_regex",
                "`a(b`: unclosed group",
            ],
        ),
        (
            policy("scope = \"ghcr.io/Acme/**\"", one),
            ["oci.policy[0].scope", "upper case"],
        ),
        (
            policy("scope = \"oci-layout:///x*\"", one),
            ["oci.policy[0].scope", "whole segment"],
        ),
        (
            policy("scope = \"**\"\nsigned_after = \"2026-13-01\"", one),
            ["oci.policy[0].signed_after", "not a time"],
        ),
        (
            policy(
                "scope = \"**\"\nattestations = [{ predicate_type = \"x\", fields = { a = \"b\" } }]",
                one,
            ),
            ["oci.policy[0].attestations[0]", "JSON pointer"],
        ),
        (
            "[oci]\nsignature_repository = \"ghcr.io/Acme\"".to_owned(),
            ["oci.signature_repository", "upper case"],
        ),
        (
            "[oci]\nsignature_repository = \"quay.io/\"".to_owned(),
            [
                "oci.signature_repository",
                "did you mean `quay.io/NAMESPACE/NAME`?",
            ],
        ),
        (
            "[oci]\nsignature_repository = \"localhost:5000\"".to_owned(),
            [
                "oci.signature_repository",
                "`localhost:5000/NAMESPACE/NAME`?",
            ],
        ),
    ] {
        refused(&text, &words);
    }
}
