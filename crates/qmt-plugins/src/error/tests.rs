//! Tests of hints and kinds.

use qmt_oci_ref::{PinnedReference, Reference, Registry as _, RegistryErrorKind, RegistryHost};
use qmt_registry::credentials::CredentialOrigin;
use qmt_registry::error::TlsError;
use qmt_registry::limits::Limits;
use qmt_registry::{ClientError, HostOptions, HttpRegistry};
use qmt_storage::Layout;

use super::hint::not_verified_hint;
use super::*;
use crate::config::scope_of;

fn subject() -> PinnedReference {
    let reference: Reference = "ghcr.io/acme/echo:1".parse().unwrap();
    reference.with_digest(Digest::sha256("x"))
}

/// The command that signs fits the policy: with a key where only keys are accepted, and into the
/// repository where signatures are looked for.
#[test]
fn an_unsigned_image_is_signed_as_the_policy_requires() {
    for (searched, keys_only, command) in [
        (None, false, "cosign sign REF"),
        (None, true, "cosign sign --key KEY REF"),
        (
            Some("ghcr.io/acme/sigs"),
            true,
            "COSIGN_REPOSITORY=ghcr.io/acme/sigs cosign sign --key KEY REF",
        ),
    ] {
        let source = VerifyError::NoSignature {
            subject: Box::new(subject()),
            searched: searched.map(|name| Box::new(name.parse().unwrap())),
            keys_only,
            rejected: Vec::new(),
            unread: 0,
        };
        let hint = not_verified_hint(&source, "REF").unwrap();
        assert_eq!(hint, format!("the publisher signs it with `{command}`"));
    }
}

/// Some shells read brackets as a pattern.
#[test]
fn references_in_commands_are_quoted() {
    let source = VerifyError::NoSignature {
        subject: Box::new(subject()),
        searched: Some(Box::new("[::1]:5000/sigs".parse().unwrap())),
        keys_only: false,
        rejected: Vec::new(),
        unread: 0,
    };
    let hint = not_verified_hint(&source, "[::1]:5000/a/b:1").unwrap();
    let command = "`COSIGN_REPOSITORY='[::1]:5000/sigs' cosign sign '[::1]:5000/a/b:1'`";
    assert!(hint.ends_with(command), "{hint}");
}

/// Where only a manifest of an index is signed and a place could not be read, both are next steps.
#[test]
fn an_index_with_a_signed_manifest_is_signed_itself() {
    let sign = format!("sign the index itself: `cosign sign {}`", subject());
    let child = serde_json::json!({
        "found": subject().digest(),
        "signer": null,
        "code": "only-child",
        "reason": "it is signed, but not the index that lists it",
        "hint": sign,
        "config_line": null,
    });
    let host: RegistryHost = "ghcr.io".parse().unwrap();
    let denied = ClientError::Unauthorized {
        host: host.clone(),
        what: "the referrers".to_owned(),
        status: 403,
        anonymous: true,
        is_unsent: false,
        origin: CredentialOrigin::Unknown,
        message: String::new(),
    };
    let failed = RegistryError::new(RegistryErrorKind::Protocol, "status 418");
    for (source, words) in [
        (denied.into(), "`qmt-plugins login ghcr.io`"),
        (failed, "`qmt-plugins why REF`"),
    ] {
        let error = Error::NotVerified {
            plugin: "p".to_owned(),
            reference: "REF".to_owned(),
            source: VerifyError::Source {
                place: "the referrers".to_owned(),
                source,
                refusal: Some(Box::new(VerifyError::NoSignature {
                    subject: Box::new(subject()),
                    searched: None,
                    keys_only: false,
                    rejected: vec![serde_json::from_value(child.clone()).unwrap()],
                    unread: 0,
                })),
            },
        };
        let hint = error.hint().unwrap();
        assert!(hint.contains(&sign) && hint.contains(words), "{hint}");
    }
}

/// The next step for a file that does not exist is the name that may have been meant.
#[test]
fn a_missing_file_has_the_nearest_name_as_its_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["greeter.wasm", "plugins.toml", "cosign.pub", "saved"] {
        std::fs::write(path(name), "").unwrap();
    }
    // A folder is no file, however near its name is.
    std::fs::create_dir(path("greetr.wasm")).unwrap();
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let file = |name: &str, source| Error::File {
        plugin: "p".to_owned(),
        path: path(name),
        source,
    };
    let config = |name: &str| {
        let (path, source) = (path(name), missing());
        Error::Config(ConfigError::Read { path, source })
    };
    let packed = Error::Pack {
        destination: "x".to_owned(),
        source: ArtifactError::ReadFile {
            path: path("geeter.wasm"),
            source: missing(),
        },
    };
    let key = Error::Trust(VerifyError::File {
        path: path("cosing.pub"),
        problem: String::new(),
        source: Some(missing().into()),
    });
    let layout = Layout::open(&path("savd")).unwrap_err();
    let layout = Error::from(CacheError::from(layout));
    for (error, name) in [
        (file("greter.wasm", missing()), "greeter.wasm"),
        (config("plugin.toml"), "plugins.toml"),
        (packed, "greeter.wasm"),
        (key, "cosign.pub"),
        (layout, "saved"),
    ] {
        let hint = format!("did you mean `{}`?", path(name).display());
        assert_eq!(error.hint().unwrap(), hint, "{error:?}");
    }
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    assert_eq!(file("greter.wasm", denied).hint(), None);
    assert_eq!(file("another.wasm", missing()).hint(), None);
    let hint = config("another.toml").hint().unwrap();
    assert!(hint.contains("`qmt-plugins config schema`"), "{hint}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", path("linked.wasm")).unwrap();
        assert_eq!(file("linked.wasm", missing()).hint(), None);
        // Nor is such a link what was meant.
        assert_eq!(file("lined.wasm", missing()).hint(), None);
    }
}

/// The error for an image of which one signature was refused.
fn refused(rejection: serde_json::Value) -> VerifyError {
    VerifyError::Refused {
        subject: Box::new(subject()),
        scope: "**".to_owned(),
        conditions: Vec::new(),
        rejected: vec![serde_json::from_value(rejection).unwrap()],
        unread: 0,
        trust_root: None,
    }
}

#[test]
fn a_name_in_a_command_is_no_option() {
    let gone = Error::LockedVersionGone {
        plugin: "-p".to_owned(),
        reference: "ghcr.io/acme/echo:1".to_owned(),
        digest: Digest::sha256("x"),
        source: RegistryError::new(RegistryErrorKind::NotFound, "gone"),
    };
    let hint = gone.hint().unwrap();
    assert!(hint.contains("`qmt-plugins update -- -p`"), "{hint}");
}

/// The author of a config, or of a layout, can choose its name: a shell reads it as one word.
#[test]
fn a_name_in_a_command_runs_nothing() {
    const NAME: &str = "a; $(id) `id`";
    let shown = format!("'{NAME}'");
    let rollback = |is_proven| Error::Rollback {
        plugin: NAME.to_owned(),
        reference: "ghcr.io/acme/echo:1".to_owned(),
        digest: Digest::sha256("x"),
        signed: String::new(),
        locked: Digest::sha256("y"),
        locked_signed: String::new(),
        is_proven,
    };
    let gone = Error::LockedVersionGone {
        plugin: NAME.to_owned(),
        reference: "ghcr.io/acme/echo:1".to_owned(),
        digest: Digest::sha256("x"),
        source: RegistryError::new(RegistryErrorKind::NotFound, "gone"),
    };
    for error in [rollback(true), rollback(false), gone] {
        let hint = error.hint().unwrap();
        assert!(hint.contains(&format!("update {shown}`")), "{hint}");
    }
    let layout = "oci-layout:///a; $(id):1";
    let rejection = serde_json::json!({
        "found": "a tag", "code": "signature", "reason": "it is not valid", "hint": "sign it again",
    });
    let source = refused(rejection);
    let hint = not_verified_hint(&source, layout).unwrap();
    assert!(hint.contains(&format!("why '{layout}'`")), "{hint}");
}

/// A quotation mark in the name of a layout ends no text in the proposed config lines: the rest of the
/// name would be a comment, and the policy one for other layouts too.
#[test]
fn a_name_in_config_lines_is_one_text() {
    let layout = r#"oci-layout:///srv/a" # \x:1"#;
    let rejection = serde_json::json!({
        "found": "a tag", "code": "no-key", "reason": "it has no key", "hint": "accept the key",
        "config_line": "any_of = [{ key = \"signer.pub\" }]",
    });
    let source = refused(rejection);
    let hint = not_verified_hint(&source, layout).unwrap();
    let (_, lines) = hint.split_once('\n').unwrap();
    let lines: toml::Table = lines.parse().unwrap();
    let scope = &lines["oci"]["policy"][0]["scope"];
    assert_eq!(scope.as_str(), Some(&*scope_of(layout)), "{hint}");
}

/// The scope of a layout in a folder `**` would cover other layouts too.
#[test]
fn no_scope_is_proposed_for_a_folder_with_the_name_of_a_wildcard() {
    let rejection = serde_json::json!({
        "found": "a tag", "code": "no-key", "reason": "it has no key", "hint": "accept the key",
        "config_line": "any_of = [{ key = \"signer.pub\" }]",
    });
    let hint = not_verified_hint(&refused(rejection), "oci-layout:///srv/**:1").unwrap();
    assert!(hint.starts_with("accept the key: no policy"), "{hint}");
    assert!(!hint.contains("scope ="), "{hint}");
}

/// A full disk is no mistake in the file that was to be written.
#[test]
fn a_full_disk_is_a_failure() {
    let write = |kind: std::io::ErrorKind| {
        Error::Lockfile(LockfileError::Write {
            path: "plugins.lock".into(),
            source: kind.into(),
        })
    };
    for (kind, expected) in [
        (std::io::ErrorKind::StorageFull, ErrorKind::Failure),
        (std::io::ErrorKind::QuotaExceeded, ErrorKind::Failure),
        (std::io::ErrorKind::PermissionDenied, ErrorKind::Config),
    ] {
        assert_eq!(write(kind).kind(), expected, "{kind:?}");
    }
}

/// A proxy that can't be used is explained as for registries.
#[tokio::test]
async fn a_dead_proxy_of_the_trust_root_has_its_own_hint() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let unreachable = async |options: HostOptions| {
        let limits = Limits::default().tries(1);
        let client = HttpRegistry::builder()
            .host("no-such-name.invalid".parse().unwrap(), options)
            .limits(limits)
            .build()
            .unwrap();
        let reference = "no-such-name.invalid/a/b:1".parse().unwrap();
        let source = client.resolve(&reference).await.unwrap_err();
        let error = Error::Trust(VerifyError::TrustRoot {
            origin: "TUF".to_owned(),
            problem: "it cannot be reached".to_owned(),
            source: Some(source.into()),
        });
        error.hint().unwrap()
    };
    let hint = unreachable(HostOptions::new().proxy(proxy)).await;
    assert!(hint.starts_with("a proxy is set by"), "{hint}");
    assert!(hint.contains("`trusted_root`"), "{hint}");
    let hint = unreachable(HostOptions::new()).await;
    assert!(hint.starts_with("is there a network"), "{hint}");
}

/// A firewall that closes connections is a network without the trust root.
#[test]
fn a_closed_handshake_with_the_trust_root_is_about_the_network() {
    let closed = ClientError::from(TlsError::Closed {
        address: "tuf.example:443".to_owned(),
        host: None,
        retryable: false,
    });
    let error = Error::Trust(VerifyError::TrustRoot {
        origin: "TUF".to_owned(),
        problem: "it cannot be reached".to_owned(),
        source: Some(RegistryError::from(closed).into()),
    });
    let hint = error.hint().unwrap();
    assert!(hint.contains("`trusted_root`"), "{hint}");
}

/// An image or a layout that the config does not name is its own plugin.
#[test]
fn the_name_of_a_plugin_that_is_its_reference_is_shown_once() {
    let reference = "ghcr.io/acme/echo:1";
    let error = |plugin: &str| {
        let source = RegistryError::new(RegistryErrorKind::NotFound, "not found");
        Error::registry(plugin, reference, "importing", source).to_string()
    };
    assert_eq!(error(reference), "importing `ghcr.io/acme/echo:1` failed");
    let named = "`echo`: importing `ghcr.io/acme/echo:1` failed";
    assert_eq!(error("echo"), named);
    let error = |plugin: &str| Error::NotImported {
        plugin: plugin.to_owned(),
        reference: reference.to_owned(),
    };
    let text = "the cache has no image of `ghcr.io/acme/echo:1`";
    assert_eq!(error(reference).to_string(), text);
    assert_eq!(error("echo").to_string(), format!("`echo`: {text}"));
}
