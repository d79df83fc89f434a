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
            "registries.ghcr.io.mirrors[0]",
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

#[test]
fn nulls_elsewhere_are_absence() {
    let provider = |field: &str| {
        format!(r#"{{"providers":[{{"name":"a","path":"oci://x","{field}":null}}]}}"#)
    };
    let mut texts: Vec<String> = ["kind", "file", "sha256", "config", "limits", "allow"]
        .map(provider)
        .into();
    texts.extend(
        [
            "null",
            r#"{"oci":null}"#,
            r#"{"registries":null}"#,
            r#"{"providers":null}"#,
            r#"{"registries":{"ghcr.io":null}}"#,
            r#"{"registries":{"ghcr.io":{"ca_file":null,"mirrors":null,"plain_http":null}}}"#,
            r#"{"oci":{"cache_dir":null,"timeout":null,"parallel":null,"pull_policy":null}}"#,
            r#"{"oci":{"insecure_skip_signature":null,"max_artifact_size":null}}"#,
            r#"{"providers":[{"name":"a","path":"oci://x","allow":{"native":null,"hosts":null}}]}"#,
            r#"{"providers":[{"name":"a","path":"oci://x","limits":{"fuel":null}}]}"#,
        ]
        .map(str::to_owned),
    );
    for text in texts {
        for name in ["p.json", "p.yaml"] {
            if let Err(error) = read(name, &text, &[]) {
                panic!("{name}: {text}: {error}");
            }
        }
    }
    for text in [
        "",
        "\n",
        "# nothing yet\n",
        "---\n",
        "oci:\nproviders:\n",
        "providers:\n- name: a\n  path: oci://x\n  config:\n  limits:\n",
    ] {
        if let Err(error) = read("p.yaml", text, &[]) {
            panic!("{text:?}: {error}");
        }
    }
    assert!(read("p.json", "[]", &[]).is_err());
    assert!(read("p.yaml", "- a\n", &[]).is_err());
}

#[test]
fn byte_order_marks_and_line_ends_of_windows() {
    let json = r#"{"oci":{"parallel":2}}"#;
    for (name, text) in [
        ("p.toml", "[oci]\nparallel = 2\n"),
        ("p.json", json),
        ("p.yaml", "oci:\n  parallel: 2\n"),
        ("P.YML", "oci:\n  parallel: 2\n"),
    ] {
        for text in [
            format!("\u{feff}{text}"),
            text.replace('\n', "\r\n"),
            format!("\u{feff}{}", text.replace('\n', "\r\n")),
        ] {
            let config = read(name, &text, &[]).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(config.oci.parallel, Some(2), "{text:?}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.toml");
    std::fs::write(&path, b"\xff\xfe[\0o\0c\0i\0]\0").unwrap();
    let error = ConfigFile::read_with(&path, &[]).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("UTF-16"), "{cause}");
}

/// CFG-04: YAML that its parser takes long for is refused before it begins.
#[test]
fn deep_yaml_ends_at_once() {
    let begin = std::time::Instant::now();
    for text in [
        "[".repeat(400_000),
        "{".repeat(400_000),
        "[{".repeat(200_000),
        // Brackets that close nothing.
        "[ #]\n".repeat(80_000),
        "[\"]\", ".repeat(60_000),
        "[']', ".repeat(60_000),
        "[\"\n]\n\",\n".repeat(50_000),
        "- ".repeat(200_000),
        "? ".repeat(200_000),
        (0..1000).fold(String::new(), |text, depth| {
            text + &" ".repeat(depth) + "a:\n"
        }),
        "a: &a [x]\n".to_owned() + &"b: [*a, *a, *a]\n".repeat(9),
        // The most work that is allowed.
        "[".repeat(256) + &"a,".repeat(524_000),
    ] {
        assert!(read("p.yaml", &text, &[]).is_err());
    }
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    // At the limit, the key is what is wrong.
    let at = |brackets: usize| {
        let text = format!("{{a: [{}]}}\n", "[],".repeat(brackets - 2));
        let padding = YAML_WORK_MAX / brackets - text.len();
        text + "#" + &"-".repeat(padding - 1)
    };
    let error = read("p.yaml", &at(1024), &[]).unwrap_err();
    assert!(matches!(error, ConfigError::UnknownKey { .. }), "{error}");
    let error = read("p.yaml", &(at(1024) + "-"), &[]).unwrap_err();
    assert!(error.to_string().contains("in brackets"), "{error}");
}

/// Every path is expanded in the same way.
#[test]
fn tildes_and_variables_in_every_path() {
    let home = directories::BaseDirs::new().unwrap().home_dir().to_owned();
    let text = |path: &str| {
        format!(
            r#"
            [oci]
            cache_dir = "{path}"
            public_keys = "{path}"
            fulcio_certs = ["{path}"]
            tsa_certs = "{path}"
            [[oci.policy]]
            scope = "ghcr.io/**"
            any_of = [{{ key = "{path}" }}]
            [registries."ghcr.io"]
            ca_file = "{path}"
            client_cert = "{path}"
            client_key = "{path}"
            [[providers]]
            name = "a"
            path = "{path}"
            [providers.allow]
            paths = {{ "ro:{path}" = "/data" }}
            "#
        )
    };
    let config = read("p.toml", &text("~/x"), &[]).unwrap();
    let expected = home.join("x");
    assert_eq!(config.oci.cache_dir.as_ref(), Some(&expected));
    let oci = &config.oci;
    for files in [&oci.public_keys, &oci.fulcio_certs, &oci.tsa_certs] {
        assert_eq!(files.as_slice(), std::slice::from_ref(&expected));
    }
    let policy = config.oci.policy.first().unwrap();
    assert_eq!(policy.any_of.first().unwrap().key.as_ref(), Some(&expected));
    let registry = config.registries.get("ghcr.io").unwrap();
    for path in [
        &registry.ca_file,
        &registry.client_cert,
        &registry.client_key,
    ] {
        assert_eq!(path.as_ref(), Some(&expected));
    }
    let allow = &config.providers.first().unwrap().allow;
    let granted = format!("ro:{}", expected.display());
    assert_eq!(allow.paths.keys().next(), Some(&granted));
    let config = read("p.toml", &text("file:///etc/x"), &[]).unwrap();
    assert_eq!(config.oci.public_keys.as_slice(), [PathBuf::from("/etc/x")]);
    for path in ["$HOME/x", "${HOME}/x", "~alice/x", "%USERPROFILE%/x"] {
        for key in ["cache_dir", "public_keys", "trusted_root", "rekor_pub_keys"] {
            let text = format!("[oci]\n{key} = \"{path}\"");
            refused(&text, &[&format!("oci.{key}"), "absolute path"]);
        }
    }
    let root = read("p.toml", "[oci]\ntrusted_root = \"~/root.json\"", &[]).unwrap();
    let expected = home.join("root.json").display().to_string();
    assert_eq!(root.oci.trusted_root, Some(expected));
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

/// CFG-03: a variable may lower a limit, and not raise it.
#[test]
fn the_environment_cannot_raise_a_limit() {
    let file = "[oci]\nmax_artifact_size = \"10MiB\"\ncache_max_size = \"1GiB\"\nparallel = 2\n\
                timeout = \"10s\"\nrefresh_after = \"1h\"\n";
    for (name, value) in [
        ("QMT_OCI__MAX_ARTIFACT_SIZE", "10MiB"),
        ("QMT_OCI__MAX_ARTIFACT_SIZE", "4096"),
        ("QMT_OCI__CACHE_MAX_SIZE", "1MiB"),
        ("QMT_OCI__PARALLEL", "3"),
        ("QMT_OCI__TIMEOUT", "1s"),
        ("QMT_OCI__REFRESH_AFTER", "30m"),
        ("QMT_OCI__TIMEOUT", ""),
    ] {
        if let Err(error) = read("p.toml", file, &[(name, value)]) {
            panic!("{name}={value}: {error}");
        }
    }
    for (name, value, limit) in [
        ("QMT_OCI__MAX_ARTIFACT_SIZE", "10485761", "10.0 MiB"),
        ("QMT_OCI__MAX_ARTIFACT_SIZE", "1TiB", "10.0 MiB"),
        ("QMT_OCI__CACHE_MAX_SIZE", "2GiB", "1.0 GiB"),
        ("QMT_OCI__TIMEOUT", "11s", "timeout = 10s"),
        ("QMT_OCI__REFRESH_AFTER", "2h", "refresh_after = 1h"),
    ] {
        let error = read("p.toml", file, &[(name, value)]).expect_err(name);
        assert!(
            matches!(error, ConfigError::VariableRaises { .. }),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(limit), "{text}");
        let open = file.replace("[oci]", "[oci]\nallow_env_override = true");
        assert!(read("p.toml", &open, &[(name, value)]).is_ok());
    }
    // Without a limit in the file, the smallest of the defaults holds.
    assert!(read("p.toml", "", &[("QMT_OCI__MAX_ARTIFACT_SIZE", "64MiB")]).is_ok());
    assert!(read("p.toml", "", &[("QMT_OCI__MAX_ARTIFACT_SIZE", "65MiB")]).is_err());
    assert!(read("p.toml", "", &[("QMT_OCI__PARALLEL", "16")]).is_ok());
    for (written, value) in [
        ("never", "always"),
        ("never", "if-not-present"),
        ("always", "never"),
    ] {
        let file = format!("[oci]\npull_policy = \"{written}\"");
        let error = read("p.toml", &file, &[("QMT_OCI__PULL_POLICY", value)]).expect_err(value);
        assert!(
            matches!(error, ConfigError::VariableRaises { .. }),
            "{error}"
        );
    }
}

/// A misspelled variable is reported with the nearest name, and without the file.
#[test]
fn misspelled_variables_and_values() {
    for (name, nearest) in [
        ("QMT_OCI__PARALEL", Some("QMT_OCI__PARALLEL")),
        (
            "QMT_OCI__MAX_ARTEFACT_SIZE",
            Some("QMT_OCI__MAX_ARTIFACT_SIZE"),
        ),
        ("QMT_OCI__PULLPOLICY", Some("QMT_OCI__PULL_POLICY")),
        ("QMT_OCI_TIMEOUT", Some("QMT_OCI__TIMEOUT")),
        ("QMT_OCI__CERT_EMIAL", Some("QMT_OCI__CERT_EMAIL")),
        ("QMT_OCI__XYZZYXYZZY", None),
    ] {
        let error = read("p.toml", "", &[(name, "1")])
            .expect_err(name)
            .to_string();
        assert!(
            error.contains(name) && error.contains("no such setting"),
            "{error}"
        );
        assert!(
            !error.contains("p.toml") && !error.contains("trust"),
            "{error}"
        );
        if let Some(nearest) = nearest {
            assert!(
                error.contains(&format!("did you mean `{nearest}`?")),
                "{error}"
            );
        }
    }
    assert!(read("p.toml", "", &[("QMT_OCI_REGISTRY_OF_MINE", "1")]).is_ok());
    for (name, value) in [("QMT_OCI__TIMEOUT", "soon"), ("QMT_OCI__PARALLEL", "-1")] {
        let error = read("p.toml", "", &[(name, value)])
            .expect_err(value)
            .to_string();
        assert!(error.contains(name) && !error.contains("p.toml"), "{error}");
    }
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
