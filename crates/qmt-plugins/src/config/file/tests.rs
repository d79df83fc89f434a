//! What a config may say, and what each mistake is answered with.

use super::*;
use crate::config::{ByteSize, IdentityRule, PullPolicy};

fn read(name: &str, text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    ConfigFile::read_with(&path, &variables).map(|file| file.config)
}

#[track_caller]
fn refused(text: &str, words: &[&str]) {
    let error = read("plugins.toml", text, &[]).expect_err(text).to_string();
    for word in words {
        assert!(error.contains(word), "{error:?} does not say {word:?}");
    }
}

const MANUAL: &str = r#"
    [oci]
    insecure_skip_signature = false
    use_sigstore_tuf_data = false
    rekor_pub_keys = "rekor.pub"
    fulcio_certs = "fulcio.crt"
    cert_email = "signer@example.com"
    cert_issuer = "https://accounts.google.com"

    [[providers]]
    name = "my_oci_plugin"
    path = "oci://ghcr.io/my-org/my-plugin:latest"
    [providers.config]
    api_key = "x"
    retries = 3
"#;

#[test]
fn the_manuals_config_is_understood() {
    let config = read("plugins.toml", MANUAL, &[]).unwrap();
    assert_eq!(
        config.oci.rekor_pub_keys.as_slice(),
        [PathBuf::from("rekor.pub")]
    );
    assert_eq!(config.oci.identity, IdentityRule::PinOnFirstUse);
    assert_eq!(
        config.provider("my_oci_plugin").unwrap().config["retries"],
        3
    );
}

#[test]
fn json_and_yaml_say_the_same() {
    let json =
        r#"{"providers":[{"name":"a","path":"oci://x"}],"oci":{"max_artifact_size":"1KiB"}}"#;
    let yaml = "providers: [{name: a, path: 'oci://x'}]\noci: {max_artifact_size: 1KiB}\n";
    for (name, text) in [("p.json", json), ("p.yaml", yaml), ("p.yml", yaml)] {
        let config = read(name, text, &[]).unwrap();
        assert_eq!(
            config.oci.max_artifact_size,
            Some(ByteSize::new(1024)),
            "{name}"
        );
    }
    assert!(matches!(
        read("p.ini", "", &[]),
        Err(ConfigError::UnknownFormat { .. })
    ));
}

/// CFG-04: unknown keys are errors that name the nearest right one.
#[test]
fn unknown_keys_name_the_nearest() {
    refused(
        "[oci]\ncert_emial = \"a@b\"",
        &["oci.cert_emial", "did you mean `cert_email`?"],
    );
    refused(
        "[[provider]]\nname = \"a\"",
        &["provider", "did you mean `providers`?"],
    );
    refused(
        "[[providers]]\nname = \"a\"\npath = \"x\"\nconfigs = {}",
        &["configs", "`config`"],
    );
    refused(
        "[registries.\"localhost:5000\"]\nplain_htp = true",
        &["plain_htp", "`plain_http`"],
    );
}

/// CFG-04: wrong types and broken syntax name the key or the line.
#[test]
fn wrong_types_and_syntax() {
    refused(
        "[oci]\ninsecure_skip_signature = \"no\"",
        &["oci.insecure_skip_signature", "bool"],
    );
    refused(
        "[oci]\nmax_artifact_size = \"big\"",
        &["oci.max_artifact_size", "512MiB"],
    );
    refused(
        "[oci]\npull_policy = \"sometimes\"",
        &["oci.pull_policy", "if-not-present"],
    );
    refused("[oci\n", &["line 1"]);
    refused("[oci]\nparallel = 1\nparallel = 2", &["duplicate"]);
}

/// SIG-02: what is written and names no signer is never read as "anyone".
#[test]
fn nulls_and_empty_lists_are_refused() {
    for (text, key) in [
        (r#"{"oci":{"cert_email":null}}"#, "oci.cert_email"),
        (
            r#"{"oci":{"cert_email":"a@b","cert_issuer":null}}"#,
            "oci.cert_issuer",
        ),
        (r#"{"oci":{"public_keys":[]}}"#, "oci.public_keys"),
        (r#"{"oci":{"policy":[]}}"#, "oci.policy"),
        (r#"{"oci":{"fulcio_certs":[],"rekor_pub_keys":[]}}"#, "oci."),
        (
            r#"{"oci":{"policy":[{"scope":"**","any_of":[{"key":"k","issuer":null}]}]}}"#,
            "oci.policy[0].any_of[0].issuer",
        ),
        (r#"{"oci":{"public_keys":[null]}}"#, "oci.public_keys"),
        (r#"{"oci":null}"#, "oci"),
        (
            r#"{"providers":[{"name":"a","path":"oci://x","kind":null}]}"#,
            "providers[0].kind",
        ),
    ] {
        for (name, text) in [("p.json", text.to_owned()), ("p.yaml", text.to_owned())] {
            let error = read(name, &text, &[]).expect_err(&text).to_string();
            assert!(error.contains(key), "{error} does not say {key}");
        }
    }
    // Valid: the plugin's own config may hold anything.
    let text = r#"{"oci":{"cert_email":"a@b","cert_issuer":"i"},
        "providers":[{"name":"a","path":"oci://x","config":{"a":null,"b":[]},"allow":{"hosts":[]}}]}"#;
    read("p.json", text, &[]).unwrap();
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
        &["oci.cert_url"],
    );
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
    let twice = "[[providers]]\nname=\"a\"\npath=\"x\"\n[[providers]]\nname=\"a\"\npath=\"y\"";
    refused(twice, &["two providers"]);
}

/// CFG-03: the environment tunes speed, never trust.
#[test]
fn the_environment_cannot_weaken_the_policy() {
    let config = read("p.toml", MANUAL, &[("QMT_OCI__PULL_POLICY", "never")]).unwrap();
    assert_eq!(config.oci.pull_policy, PullPolicy::Never);
    for (name, value) in [
        ("QMT_OCI__INSECURE_SKIP_SIGNATURE", "true"),
        ("QMT_OCI__CERT_EMAIL", "evil@example.com"),
        ("QMT_OCI__TRUSTED_ROOT", "/evil.json"),
        ("QMT_OCI__ALLOW_ENV_OVERRIDE", "true"),
        ("QMT_OCI__POLICY", "[]"),
    ] {
        let error = read("p.toml", MANUAL, &[(name, value)]).expect_err(name);
        assert!(
            matches!(error, ConfigError::Environment { .. }),
            "{name}: {error}"
        );
    }
    let open = MANUAL.replace("[oci]", "[oci]\nallow_env_override = true");
    let config = read(
        "p.toml",
        &open,
        &[("QMT_OCI__INSECURE_SKIP_SIGNATURE", "true")],
    )
    .unwrap();
    assert!(config.oci.insecure_skip_signature);
}

/// CFG-04: a file at the size limit is read, one byte more is not.
#[test]
fn the_size_limit() {
    let limit = usize::try_from(CONFIG_MAX_BYTES).unwrap();
    assert!(read("p.toml", &"#".repeat(limit), &[]).is_ok());
    let error = read("p.toml", &"#".repeat(limit + 1), &[]).unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { .. }), "{error}");
}

/// CFG-04: a file that everyone may write can't decide over trust.
#[cfg(unix)]
#[test]
fn a_world_writable_config_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.toml");
    std::fs::write(&path, MANUAL).unwrap();
    assert!(ConfigFile::read_with(&path, &[]).is_ok());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = ConfigFile::read_with(&path, &[]).unwrap_err();
    assert!(
        matches!(error, ConfigError::WritableByAll { .. }),
        "{error}"
    );
}
