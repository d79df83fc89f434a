//! What `PluginHost::check` finds before anything is used.

use qmt_plugins::config::{ConfigError, ConfigFile};
use qmt_plugins::{Error, ErrorKind, LockMode, PluginHost};
use qmt_testkit::plugins;

use crate::scene::{Scene, wasm_image};

const SKIP: &str = "[oci]\ninsecure_skip_signature = true\ncache_dir = \"cache\"\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("echo.wasm"), plugins::echo_wasm()).unwrap();
        let program = std::env::current_exe().unwrap();
        std::fs::copy(program, folder.path().join("program")).unwrap();
        let library = plugins::native_plugin(folder.path()).unwrap();
        std::fs::rename(library, folder.path().join("native.so")).unwrap();
        std::fs::create_dir_all(folder.path().join("layout")).unwrap();
        std::fs::write(folder.path().join("layout/oci-layout"), "{}").unwrap();
        Self(folder)
    }

    async fn check(&self, config: &str) -> Result<Vec<String>, Error> {
        let path = self.0.path().join("plugins.toml");
        std::fs::write(&path, config).unwrap();
        let host = PluginHost::builder(ConfigFile::read(path)?).build()?;
        host.check().await
    }

    async fn provider(&self, lines: &str) -> Result<Vec<String>, Error> {
        self.check(&format!("{SKIP}[[providers]]\nname = \"p\"\n{lines}\n"))
            .await
    }
}

/// Existing configs may have such names.
#[tokio::test]
async fn a_name_that_is_read_as_an_option_is_warned_about() {
    let folder = Folder::new();
    for name in ["-p", "--all", "-"] {
        let provider = format!("{SKIP}[[providers]]\nname = {name:?}\npath = \"echo.wasm\"\n");
        let warnings = folder.check(&provider).await.unwrap();
        let command = format!("`qmt-plugins pull -- {name}`");
        let is_named = warnings.iter().any(|one| one.contains(&command));
        assert!(is_named, "{warnings:?}");
    }
    let warnings = folder.provider("path = \"echo.wasm\"").await.unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[tokio::test]
async fn what_would_fail_later_is_found() {
    let folder = Folder::new();
    for (lines, key, words) in [
        (
            "path = \"ghcr.io/a/b:1\"",
            "path",
            "did you mean the image `oci://ghcr.io/a/b:1`?",
        ),
        (
            "path = \"localhost:5000/a/b\"",
            "path",
            "`oci://localhost:5000/a/b`?",
        ),
        ("path = \"absent.wasm\"", "path", "absent.wasm"),
        ("path = \"~/absent/p.wasm\"", "path", "absent/p.wasm"),
        (
            "path = \"layout\"",
            "path",
            "did you mean `oci-layout://layout:TAG`?",
        ),
        ("path = \".\"", "path", "is a folder"),
        (
            "path = \"program\"\nallow = { native = true }",
            "providers[0]",
            "it is an executable",
        ),
        (
            "path = \"plugins.toml\"",
            "path",
            "is neither a Wasm module",
        ),
        ("path = \"oci-layout://absent:1\"", "path", "absent"),
        (
            "path = \"native.so\"",
            "allow.native",
            "`allow.native = true`",
        ),
        (
            "path = \"native.so\"\nkind = \"wasm\"",
            "kind",
            "requires a wasm plugin",
        ),
        (
            "path = \"native.so\"\nkind = \"native\"",
            "allow.native",
            "`allow.native = true`",
        ),
        (
            "path = \"echo.wasm\"\nkind = \"native\"\nallow = { native = true }",
            "kind",
            "native",
        ),
        (
            "path = \"oci://a.b/c\"\nkind = \"native\"\nallow = { native = false }",
            "allow.native",
            "`allow.native = false` forbids it",
        ),
        (
            "path = \"native.so\"\nnative = \"deny\"",
            "providers[0].native",
            "`native = \"deny\"` forbids it",
        ),
        (
            "path = \"oci://a.b/c\"\nkind = \"native\"",
            "allow.native",
            "insecure_skip_signature",
        ),
        (
            "path = \"oci://a.b/c\"\nallow = { hosts = [\"https://api.example.com\"] }",
            "allow",
            "without scheme",
        ),
        (
            "path = \"echo.wasm\"\nallow = { hosts = [\"api.example.com/v1\"] }",
            "allow",
            "path",
        ),
        (
            "path = \"echo.wasm\"\nallow = { hosts = [\"*.example.com\"] }",
            "allow",
            "wildcard",
        ),
        (
            "path = \"echo.wasm\"\nallow = { paths = { \"data\" = \"/d\" } }",
            "allow",
            "absolute",
        ),
        (
            "path = \"echo.wasm\"\nallow = { paths = { \"/absent/x\" = \"/d\" } }",
            "allow",
            "must exist",
        ),
        // In docker's form, it would be writable.
        (
            "path = \"echo.wasm\"\nallow = { paths = { \"/\" = \"/d:ro\" } }",
            "allow",
            "`\"ro:/srv/data\" = \"/data\"`",
        ),
        (
            "path = \"oci://a.b/c\"\nallow = { paths = { \"/\" = \"ro:/d\" } }",
            "allow",
            "`\"ro:/srv/data\" = \"/data\"`",
        ),
        (
            "path = \"echo.wasm\"\nallow = { paths = { \"/:ro\" = \"/d\" } }",
            "allow",
            "`\"ro:/srv/data\" = \"/data\"`",
        ),
        (
            "path = \"echo.wasm\"\nallow = { env = [\"A*\"] }",
            "allow",
            "exact names",
        ),
        (
            "path = \"echo.wasm\"\nallow = { env = [\"${KEY}\"] }",
            "allow",
            "exact names",
        ),
        (
            "path = \"echo.wasm\"\nallow = { hosts = [\"${API}\"] }",
            "allow",
            "without scheme",
        ),
        (
            "path = \"echo.wasm\"\n[registries.\"ghcr.io\"]\nallow_realms = [\"https://a.b/token\"]",
            "allow_realms",
            "without a path",
        ),
        (
            "path = \"echo.wasm\"\n[registries.\"ghcr.io\"]\nca_file = \"absent.pem\"",
            "registries",
            "absent.pem",
        ),
    ] {
        let error = folder.provider(lines).await.expect_err(lines);
        assert_eq!(error.kind(), ErrorKind::Config, "{lines}: {error}");
        let Error::Config(ConfigError::Unusable { problems, .. }) = &error else {
            panic!("{lines}: {error}");
        };
        let [(found, _)] = problems.as_slice() else {
            panic!("{lines}: {problems:?}");
        };
        assert!(found.ends_with(key) || found == key, "{lines}: {found}");
        assert!(error.to_string().contains(words), "{lines}: {error}");
    }
    for lines in [
        "path = \"echo.wasm\"",
        "path = \"native.so\"\nallow = { native = true }",
        "path = \"native.so\"\nkind = \"native\"\nallow = { native = true }",
        "path = \"oci://ghcr.io/a/b:1\"\nallow = { hosts = [\"api.example.com:8443\"] }",
        "path = \"oci://ghcr.io/a/b:1\"\n[registries.\"ghcr.io\"]\nmirrors = [\"m.example/x\"]\n\
         allow_realms = [\"auth.example\", \"https://auth.example:8443\"]",
    ] {
        if let Err(error) = folder.provider(lines).await {
            panic!("{lines}: {error}");
        }
    }
}

/// The key of `[oci]` is not one of the provider.
#[tokio::test]
async fn the_key_of_the_config_that_forbids_native_code_is_named() {
    let folder = Folder::new();
    for lines in [
        "path = \"native.so\"",
        "path = \"oci://a.b/c\"\nkind = \"native\"",
        "path = \"native.so\"\nkind = \"native\"",
    ] {
        let config = format!("{SKIP}native = \"deny\"\n[[providers]]\nname = \"p\"\n{lines}\n");
        let error = folder.check(&config).await.unwrap_err();
        let Error::Config(ConfigError::Unusable { problems, .. }) = &error else {
            panic!("{lines}: {error}");
        };
        let [(key, rule)] = problems.as_slice() else {
            panic!("{lines}: {problems:?}");
        };
        assert_eq!(key, "oci.native", "{lines}");
        assert!(
            rule.contains("`native = \"deny\"` of `[oci]` forbids it"),
            "{rule}"
        );
        assert!(!rule.contains("allow.native"), "{rule}");
    }
}

#[tokio::test]
async fn every_problem_is_reported_at_once() {
    let two = "path = \"absent.wasm\"\nallow = { hosts = [\"https://x\"] }\n\
               [[providers]]\nname = \"q\"\npath = \"ghcr.io/a/b\"";
    let error = Folder::new().provider(two).await.unwrap_err().to_string();
    for key in [
        "providers[0].path",
        "providers[0].allow",
        "providers[1].path",
    ] {
        assert!(error.contains(key), "{error}");
    }
}

#[tokio::test]
async fn what_is_pinned_at_the_first_load_is_named() {
    let scene = Scene::new().await;
    let image = scene.push(&wasm_image(), "1");
    scene.sign(&image);
    let host = scene.host(&scene.config_with("", ""));
    let warnings = host.check().await.unwrap().join("\n");
    assert!(
        warnings.contains("`greeter`") && warnings.contains("pinned"),
        "{warnings}"
    );
    host.fetch("greeter").await.unwrap();
    assert!(host.check().await.unwrap().is_empty());
    // The counterpart: a config that names the signer.
    let host = scene.host(&scene.config());
    assert!(host.check().await.unwrap().is_empty());
}

/// A signer that can't be pinned is found before the first load.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_lockfile_that_cannot_be_written_is_named() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let warnings = async |config: &str| {
        let host = scene.builder(config).lockfile("/proc/plugins.lock");
        let warnings = host.build().unwrap().check().await;
        warnings.unwrap().join("\n")
    };
    let unpinned = warnings(&scene.config_with("", "")).await;
    let words = "pinned in /proc/plugins.lock, which can't be written";
    assert!(unpinned.contains(words), "{unpinned}");
    assert_eq!(warnings(&scene.config()).await, "");
}

/// Local native code that other users may change loads with the same warning.
#[cfg(unix)]
#[tokio::test]
async fn native_code_that_other_users_may_change_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let lines = "path = \"own/native.so\"\nallow = { native = true }";
    let own = folder.0.path().join("own");
    std::fs::create_dir(&own).unwrap();
    let library = folder.0.path().join("native.so");
    std::fs::rename(library, own.join("native.so")).unwrap();
    for (mode, is_named) in [(0o755, false), (0o777, true)] {
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(mode)).unwrap();
        let warnings = folder.provider(lines).await.unwrap().join("\n");
        let words = "is native code, and other users may change it";
        assert_eq!(warnings.contains(words), is_named, "{warnings}");
    }
}

/// `publish --sign-key` makes signatures without a log, which keys do not accept by default.
#[tokio::test]
async fn keys_that_require_a_log_are_named() {
    let folder = Folder::new();
    let key = Scene::new().await.sigstore.key_pem("p256");
    std::fs::write(folder.0.path().join("k.pub"), format!("\u{feff}{key}")).unwrap();
    for (oci, is_named) in [
        ("public_keys = \"k.pub\"", true),
        (
            "public_keys = \"k.pub\"\ntransparency_log = \"optional\"",
            false,
        ),
        (
            "[[oci.policy]]\nscope = \"**\"\nany_of = [{ key = \"k.pub\" }]",
            true,
        ),
        (
            "[[oci.policy]]\nscope = \"**\"\n\
             any_of = [{ key = \"k.pub\", transparency_log = \"optional\" }]",
            false,
        ),
    ] {
        let config = format!(
            "[[providers]]\nname = \"p\"\npath = \"oci://ghcr.io/a/b:1\"\n[oci]\n\
             cache_dir = \"cache\"\n{oci}\n"
        );
        let warnings = folder.check(&config).await.unwrap().join("\n");
        let names = warnings.contains("k.pub") && warnings.contains("--sign-key");
        assert_eq!(names, is_named, "{oci}: {warnings}");
    }
}

/// CFG-04: keys and trust material follow the rule of the config.
#[cfg(unix)]
#[tokio::test]
async fn a_trust_file_that_every_user_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new().await;
    let image = scene.push(&wasm_image(), "1");
    scene.sign(&image);
    let path = scene.folder.path().join("trusted_root.json");
    let set = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&path, mode).unwrap();
    };
    set(0o646);
    let host = scene.host(&scene.config());
    for error in [
        host.check().await.map(drop).unwrap_err(),
        host.fetch("greeter").await.map(drop).unwrap_err(),
    ] {
        assert!(
            matches!(error, Error::Config(ConfigError::WritableByAll { .. })),
            "{error}"
        );
        assert!(error.to_string().contains("trusted_root.json"), "{error}");
    }
    set(0o644);
    scene.host(&scene.config()).fetch("greeter").await.unwrap();
    assert!(
        !scene.warnings().contains("other users"),
        "{}",
        scene.warnings()
    );
}

#[tokio::test]
async fn an_update_without_the_network_is_refused() {
    let scene = Scene::new().await;
    let image = scene.push(&wasm_image(), "1");
    scene.sign(&image);
    scene.host(&scene.config()).fetch("greeter").await.unwrap();
    let offline = scene
        .builder(&scene.config())
        .offline(true)
        .build()
        .unwrap();
    let frozen = scene.builder(&scene.config()).lock_mode(LockMode::Frozen);
    let frozen = frozen.build().unwrap();
    let never = scene.config_with(
        "pull_policy = \"never\"\ncert_email = \"dev@acme.example\"\n\
         cert_issuer = \"https://accounts.acme.example\"",
        "",
    );
    let never = scene.host(&never);
    for (host, rule) in [
        (offline, "`--offline`"),
        (frozen, "`--frozen`"),
        (never, "`pull_policy = \"never\"`"),
    ] {
        let error = host.update("greeter").await.map(drop).unwrap_err();
        assert!(matches!(error, Error::NetworkForbidden { .. }), "{error}");
        assert!(error.to_string().contains(rule), "{error}");
        // What is cached is still loaded.
        host.fetch("greeter").await.unwrap();
    }
    scene.host(&scene.config()).update("greeter").await.unwrap();
}

/// An error that `main` returns can be read: message, causes, hint.
#[tokio::test]
async fn an_error_is_shown_with_causes_and_hint() {
    let scene = Scene::new().await;
    scene.push(&wasm_image(), "1");
    let error = scene
        .host(&scene.config())
        .fetch("greeter")
        .await
        .map(drop)
        .unwrap_err();
    let hint = error.hint().unwrap();
    let (line, report) = (format!("{error:#}"), format!("{error:?}"));
    for text in [&line, &report] {
        assert!(
            text.contains(&error.to_string()) && text.contains(&hint),
            "{text}"
        );
    }
    assert!(!line.contains('\n'), "{line}");
    assert!(
        report.contains("\n  caused by: ") && report.contains("\n  hint: "),
        "{report}"
    );
    assert!(!error.to_string().contains(&hint), "{error}");
}

/// Two configs in one folder: tidying the lockfile for one keeps the pins of the other.
#[tokio::test]
async fn a_config_keeps_the_pins_of_its_neighbour() {
    let scene = Scene::new().await;
    let image = scene.push(&wasm_image(), "1");
    scene.sign(&image);
    let text = scene.config_with("", "");
    let host = |name: &str, plugin: &str| {
        let path = scene.write(name, &text.replace("\"greeter\"", &format!("\"{plugin}\"")));
        PluginHost::builder(ConfigFile::read(path).unwrap())
            .build()
            .unwrap()
    };
    host("one.toml", "greeter").fetch("greeter").await.unwrap();
    let two = host("two.toml", "other");
    two.fetch("other").await.unwrap();
    assert_eq!(two.tidy_lockfile().await.unwrap(), [] as [String; 0]);
    let one = host("one.toml", "greeter");
    assert!(one.lock_entry("greeter").unwrap().signer.is_some());
    assert!(one.lock_entry("other").is_none());
    assert_eq!(one.locked().len(), 2);
    // Its own entry goes when its plugin does.
    let one = host("one.toml", "renamed");
    assert_eq!(one.tidy_lockfile().await.unwrap(), ["greeter"]);
    assert!(one.locked().iter().all(|entry| entry.name == "other"));
}
