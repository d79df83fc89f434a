//! Environment variables can lower limits, and weaken no policy.

use super::*;
use crate::config::PullPolicy;

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

/// A value that breaks a rule is blamed on the variable that set it, and else on the file.
#[test]
fn what_set_a_wrong_value_is_named() {
    let name = "QMT_OCI__TIMEOUT";
    let refused = |text: &str, value: &str| {
        let error = read("p.toml", text, &[(name, value)]).expect_err(text);
        error.to_string()
    };
    assert!(refused("", "0s").contains(name));
    assert!(refused("[oci]\ntimeout = \"1s\"", "0s").contains(name));
    assert!(refused("[oci]\ntimeout = \"0s\"", "").contains("p.toml"));
    assert!(refused("[oci]\nparallel = 0", "1s").contains("p.toml"));
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

/// Credentials and settings under wrong names would silently not be used.
#[test]
fn variables_that_set_nothing_are_named_with_the_nearest_name() {
    let unknown = |name: &str| env::unknown([name].into_iter()).pop();
    for (name, meant) in [
        ("QMT_REGISTRY_USERNAME", "`QMT_REGISTRY_<HOST>_USERNAME`"),
        ("QMT_REGISTRY_TOKEN", "`QMT_REGISTRY_<HOST>_TOKEN`"),
        (
            "QMT_REGISTRY_GHCR_IO_USER",
            "`QMT_REGISTRY_<HOST>_USERNAME`",
        ),
        (
            "QMT_REGISTRIES_GHCR_IO_TOKEN",
            "did you mean `QMT_REGISTRY_GHCR_IO_TOKEN`?",
        ),
        (
            "QMT_REGISTRY_MY-REG.EXAMPLE:5000_PASSWORD",
            "did you mean `QMT_REGISTRY_MY__REG_EXAMPLE_5000_PASSWORD`?",
        ),
        (
            "QMT_REGISTRY_ghcr_io_TOKEN",
            "did you mean `QMT_REGISTRY_GHCR_IO_TOKEN`?",
        ),
        ("QMT_CONFIG", "did you mean `QMT_CONFIG_DIR`?"),
        ("QMT_CACHE_DIRECTORY", "`QMT_CACHE_DIR`?"),
        ("QMT_TIMEOUT", "did you mean `QMT_OCI__TIMEOUT`?"),
        ("QMT_PULL_POLICY", "did you mean `QMT_OCI__PULL_POLICY`?"),
        ("QMT_OFFLINE", "there is no such setting"),
    ] {
        let warning = unknown(name).unwrap_or_else(|| panic!("{name} is not named"));
        let text = format!("`{name}` sets nothing: there is no such setting");
        assert!(
            warning.contains(&text) && warning.contains(meant),
            "{warning}"
        );
    }
    for name in [
        "QMT_HOME",
        "QMT_LOG",
        "QMT_OCI__TIMEOUT",
        "QMT_REGISTRY_GHCR_IO_TOKEN",
        "QMT_REGISTRY____1__5000_PASSWORD",
        "QMTX",
        "PATH",
    ] {
        assert_eq!(unknown(name), None);
    }
}
