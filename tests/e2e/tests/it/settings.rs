//! Which setting wins, and which may not: file, environment and options of the command.

use std::path::Path;

use qmt_testkit::{FakeRegistry, ImageBuilder, plugins};

use crate::command::{Answer, Desk};
use crate::scene::Scene;

/// A folder with a plugin `greet` that is a file of the operator's own.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("echo.wasm", plugins::echo_wasm());
    desk.write("plugins.toml", config("cache_dir = \"of-the-file\""));
    desk
}

fn config(oci: &str) -> String {
    format!("[oci]\n{oci}\n[[providers]]\nname = \"greet\"\npath = \"echo.wasm\"\n")
}

fn cache_of(answer: &Answer) -> String {
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    // The version of its layout is the last part.
    let path = Path::new(answer.stdout.trim()).parent().unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// CFG-05: pairwise, for a setting that all of them can make: option, variable, file, default.
#[test]
fn options_win_over_variables_and_variables_over_the_file() {
    let desk = desk();
    let path = ["cache", "path"];
    let variable = [("QMT_CACHE_DIR", "of-the-variable")];
    let option = ["cache", "path", "--cache-dir", "of-the-option"];
    assert_eq!(cache_of(&desk.run(&path)), "of-the-file");
    assert_eq!(
        cache_of(&desk.run_with(&path, &variable)),
        "of-the-variable"
    );
    assert_eq!(cache_of(&desk.run(&option)), "of-the-option");
    assert_eq!(
        cache_of(&desk.run_with(&option, &variable)),
        "of-the-option"
    );
    desk.write("plugins.toml", config(""));
    let default = desk.run(&path);
    assert!(
        default.stdout.contains("querymt"),
        "{}",
        default.transcript()
    );
    assert_eq!(
        cache_of(&desk.run_with(&path, &variable)),
        "of-the-variable"
    );
}

/// A proxy for a host in `NO_PROXY` would not be used, so none is proposed.
#[test]
fn a_host_without_a_proxy_is_named_as_such() {
    let desk = Desk::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    drop(listener);
    desk.write(
        "plugins.toml",
        format!(
            "[registries.\"{host}\"]\nplain_http = true\nproxy = \"http://127.0.0.1:9\"\n\
             [[providers]]\nname = \"greet\"\npath = \"oci://{host}/a/b:1\"\n"
        ),
    );
    let inspect = ["inspect", "greet"];
    let exempt = desk.run_with(&inspect, &[("NO_PROXY", "127.0.0.1")]);
    let said = exempt.messages();
    assert_eq!(exempt.code, Some(5), "{}", exempt.transcript());
    assert!(said.contains("`NO_PROXY` names this host"), "{said}");
    assert!(
        said.contains("Set `mirrors` in") && !said.contains("Set `proxy`"),
        "{said}"
    );
    let through = desk.run(&inspect).messages();
    assert!(
        through.contains("the proxy `http://127.0.0.1:9"),
        "{through}"
    );
}

/// The file is not at fault for what a variable sets.
#[test]
fn an_error_about_a_value_of_a_variable_names_the_variable() {
    let scene = Scene::new();
    let set = "cache_dir = \"cache\"\nmax_artifact_size = \"1MiB\"\n";
    let config = scene.config("").replace("cache_dir = \"cache\"\n", set);
    scene.desk.write("plugins.toml", &config);
    for (name, value, code) in [
        ("QMT_CACHE_DIR", "$HOME/c", 6),
        ("QMT_OCI__MAX_ARTIFACT_SIZE", "100", 1),
        ("QMT_OCI__MAX_ARTIFACT_SIZE", "100 B", 1),
        ("QMT_OCI__MAX_ARTIFACT_SIZE", "0", 6),
        ("QMT_OCI__TIMEOUT", "20m", 6),
        ("QMT_OCI__PULL_POLICY", "never", 4),
    ] {
        let refused = scene.desk.run_with(&["pull", "greet"], &[(name, value)]);
        assert_eq!(
            refused.code,
            Some(code),
            "{name}={value}: {}",
            refused.transcript()
        );
        let said = refused.messages();
        assert!(said.contains(name), "{name}={value}: {said}");
        for blamed in ["plugins.toml:", "in `[oci]` sets", "`pull_policy = "] {
            assert!(!said.contains(blamed), "{name}={value}: {said}");
        }
    }
    // Below a file, no folder can be made.
    let folder = [("QMT_CACHE_DIR", "plugins.toml/cache")];
    for format in ["human", "json"] {
        let command = ["pull", "greet", "--format", format];
        let refused = scene.desk.run_with(&command, &folder);
        let said = refused.transcript();
        assert!(said.contains("the variable `QMT_CACHE_DIR` sets"), "{said}");
        let option = [&command[..], &["--cache-dir", "plugins.toml/other"]].concat();
        let refused = scene.desk.run_with(&option, &folder);
        let said = refused.transcript();
        assert!(said.contains("the option `--cache-dir` sets"), "{said}");
    }
    // The counterparts: the file and the option.
    scene
        .desk
        .write("plugins.toml", config.replace("1MiB", "100B"));
    let refused = scene.desk.run(&["pull", "greet"]);
    let setting = "`max_artifact_size` in `[oci]` sets this limit";
    assert!(
        refused.messages().contains(setting),
        "{}",
        refused.transcript()
    );
    let option = ["pull", "greet", "--cache-dir", "$HOME/c"];
    let refused = scene.desk.run_with(&option, &[("QMT_CACHE_DIR", "cache")]);
    assert_eq!(refused.code, Some(6), "{}", refused.transcript());
    let said = refused.messages();
    assert!(
        said.contains("the folder of the cache, `$HOME/c`"),
        "{said}"
    );
}

/// CFG-04: each command that shows what a config says warns of users who may change it.
#[cfg(unix)]
#[test]
fn a_config_that_others_may_change_is_used_with_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    let folder = scene.desk.path().join("open");
    std::fs::create_dir(&folder).unwrap();
    let root = scene
        .config("")
        .replace("\"trusted_root.json", "\"../trusted_root.json");
    scene.desk.write("open/plugins.toml", root);
    let warning = "decides about trust, and other users may change it";
    for (mode, warns) in [(0o777, true), (0o755, false)] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&folder, mode).unwrap();
        for arguments in [
            &["list"][..],
            &["trust", "show"],
            &["config", "check"],
            &["verify", "greet"],
        ] {
            for format in ["human", "json"] {
                let options = ["--config", "open/plugins.toml", "--format", format];
                let answer = scene.desk.run(&[arguments, &options].concat());
                assert_eq!(answer.code, Some(0), "{}", answer.transcript());
                let said = answer.transcript();
                assert_eq!(said.matches(warning).count(), usize::from(warns), "{said}");
            }
        }
    }
}

/// CFG-05: which config is read: option, variable, working folder, folders of the user.
#[test]
fn the_config_is_found_in_one_order() {
    let desk = desk();
    for name in ["variable.toml", "option.toml"] {
        desk.write(name, config(""));
    }
    std::fs::create_dir_all(desk.path().join("home/.qmt")).unwrap();
    desk.write("home/.qmt/plugins.toml", config(""));
    std::fs::create_dir(desk.path().join("folder")).unwrap();
    desk.write("folder/plugins.toml", config(""));
    let found = |arguments: &[&str], variables: &[(&str, &str)]| {
        let answer = desk.run_with(&[&["config", "path"], arguments].concat(), variables);
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
        let shown = answer.stdout.trim().to_owned();
        let home = desk.path().join("home").display().to_string();
        shown
            .replace(&home, "~")
            .trim_start_matches("./")
            .to_owned()
    };
    let variable = ("QMT_PROVIDER_CONFIG", "variable.toml");
    let folder = ("QMT_CONFIG_DIR", "folder");
    let option = ["--config", "option.toml"];
    assert_eq!(found(&option, &[variable, folder]), "option.toml");
    assert_eq!(found(&[], &[variable, folder]), "variable.toml");
    let absent = ("QMT_PROVIDER_CONFIG", "absent.toml");
    let answer = desk.run_with(&["config", "path"], &[absent]);
    assert_eq!(answer.code, Some(6), "{}", answer.transcript());
    for words in ["QMT_PROVIDER_CONFIG", "there is no file absent.toml"] {
        let said = answer.messages();
        assert!(said.contains(words), "{words}: {}", answer.transcript());
    }
    let check = ["config", "check", "plugins.toml"];
    let answer = desk.run_with(&check, &[variable]);
    let transcript = answer.transcript();
    assert!(answer.stdout.starts_with("plugins.toml is"), "{transcript}");
    let answer = desk.run(&[&check, &option[..]].concat());
    assert_eq!(answer.code, Some(2), "{}", answer.transcript());
    assert!(answer.messages().contains("named twice"));
    let answer = desk.run(&["config", "check", "plugin.toml"]);
    assert_eq!(answer.code, Some(6), "{}", answer.transcript());
    assert!(answer.messages().contains("plugin.toml can't be read"));
    assert_eq!(found(&[], &[folder]), "plugins.toml");
    std::fs::remove_file(desk.path().join("plugins.toml")).unwrap();
    assert_eq!(found(&[], &[folder]), "folder/plugins.toml");
    assert_eq!(found(&[], &[]), "~/.qmt/plugins.toml");
}

/// What stands in the config is relative to its folder; what is typed, to where one stands.
#[test]
fn a_layout_that_is_typed_is_looked_for_where_one_stands() {
    let desk = desk();
    let config = desk.path().join("home/.qmt");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::remove_file(desk.path().join("plugins.toml")).unwrap();
    let plugins = config.join("plugins.toml");
    let text = "[oci]\ninsecure_skip_signature = true\n[[providers]]\nname = \"greet\"\n\
                path = \"oci-layout://out:1\"\n";
    std::fs::write(&plugins, text).unwrap();
    let answer = desk.run(&["publish", "oci-layout://out:1", "--wasm", "echo.wasm"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    // It is found by `verify` too, which then has looked at no signature.
    for (command, code) in [("inspect", 0), ("pull", 0), ("verify", 3)] {
        let answer = desk.run(&[command, "oci-layout://out:1"]);
        assert_eq!(answer.code, Some(code), "{}", answer.transcript());
        assert!(!answer.stdout.is_empty(), "{}", answer.transcript());
    }
    // The opposite case: the same path in the config is another folder.
    let answer = desk.run(&["inspect", "greet"]);
    assert_ne!(answer.code, Some(0), "{}", answer.transcript());
    std::fs::rename(desk.path().join("out"), config.join("out")).unwrap();
    let answer = desk.run(&["inspect", "greet"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
}

/// CFG-05: variables win over the file where they may.
#[test]
fn a_harmless_variable_wins_over_the_file() {
    let desk = desk();
    desk.write("plugins.toml", config("parallel = 2"));
    let parallel = |value| desk.run_with(&["config", "check"], &[("QMT_OCI__PARALLEL", value)]);
    assert_eq!(parallel("3").code, Some(0));
    // It is read, and not only allowed: nonsense in it is an error.
    let answer = parallel("0");
    assert_eq!(answer.code, Some(6), "{}", answer.transcript());
    assert!(
        answer.messages().contains("QMT_OCI__PARALLEL"),
        "{}",
        answer.messages()
    );
}

/// CFG-03: no variable weakens what the file says, unless the file allows it.
#[test]
fn no_variable_weakens_the_policy() {
    let desk = desk();
    for (variable, value) in [
        ("QMT_OCI__INSECURE_SKIP_SIGNATURE", "true"),
        ("QMT_OCI__TRUSTED_ROOT", "mine.json"),
        ("QMT_OCI__CERT_EMAIL", "mallory@evil.example"),
        ("QMT_OCI__PUBLIC_KEYS", "[\"mine.pub\"]"),
        ("QMT_OCI__IDENTITY", "pin-on-first-use"),
        ("QMT_OCI__TUF_URL", "https://evil.example"),
        ("QMT_OCI__ALLOW_ENV_OVERRIDE", "true"),
        ("QMT_OCI__CACHE_DIR", "elsewhere"),
    ] {
        let answer = desk.run_with(&["config", "check"], &[(variable, value)]);
        assert_eq!(answer.code, Some(6), "{variable}: {}", answer.transcript());
        assert!(
            answer.messages().contains(variable),
            "{}",
            answer.messages()
        );
    }
    let cache = [("QMT_OCI__CACHE_DIR", "elsewhere")];
    let answer = desk.run_with(&["config", "check"], &cache);
    let said = answer.messages();
    let has_name = said.contains("`QMT_CACHE_DIR` sets the folder");
    assert!(has_name && !said.contains("allow_env_override"), "{said}");
    desk.write("plugins.toml", config("allow_env_override = true"));
    let skip = [("QMT_OCI__INSECURE_SKIP_SIGNATURE", "true")];
    let answer = desk.run_with(&["config", "check"], &skip);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
}

/// CFG-05: verification that is switched off says so at every run, and in the data for machines.
#[test]
fn what_is_insecure_is_told_each_time() {
    let registry = FakeRegistry::builder().start().unwrap();
    let image = ImageBuilder::wasm(plugins::echo_wasm()).build();
    image.push(&registry, "acme/greet", "1");
    let host = registry.host();
    let desk = Desk::new();
    desk.write(
        "plugins.toml",
        format!(
            "[oci]\ninsecure_skip_signature = true\ncache_dir = \"cache\"\n\
             [registries.\"{host}\"]\nplain_http = true\n\
             [[providers]]\nname = \"greet\"\npath = \"oci://{host}/acme/greet:1\"\n"
        ),
    );
    for _ in 0..2 {
        let answer = desk.run(&["run", "greet", "greet", "--input", "World"]);
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
        assert!(
            answer.messages().contains("not verified"),
            "{}",
            answer.transcript()
        );
    }
    let pulled = desk.run(&["pull", "greet", "--format", "json"]).json();
    let signer = &pulled["plugins"][0]["signer"];
    assert!(signer.is_null(), "{pulled:#}");
    let verified = desk.run(&["verify", "greet", "--format", "json"]).json();
    assert_eq!(verified["verified"], false, "{verified:#}");
    assert_eq!(verified["report"]["skipped"], true, "{verified:#}");
}

/// CFG-07: a home that is missing, relative folders and names that are not UTF-8.
#[test]
#[cfg(target_os = "linux")] // Other systems know no names that are not UTF-8.
fn odd_surroundings_are_lived_with() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let desk = desk();
    desk.write("plugins.toml", config(""));
    // The base directory specification says to ignore relative paths.
    let answer = desk.run_with(&["cache", "path"], &[("XDG_CACHE_HOME", "relative")]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert!(
        Path::new(answer.stdout.trim()).is_absolute(),
        "{}",
        answer.transcript()
    );
    assert!(!desk.path().join("relative").exists());

    let answer = desk.run_with(&["run", "greet", "greet"], &[("HOME", "")]);
    assert!(
        matches!(answer.code, Some(0 | 1 | 6)),
        "{}",
        answer.transcript()
    );
    assert!(
        !answer.stderr.contains("panicked"),
        "{}",
        answer.transcript()
    );

    let folder = desk.path().join(OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(desk.path().join("echo.wasm"), folder.join("echo.wasm")).unwrap();
    std::fs::write(folder.join("plugins.toml"), config("cache_dir = \"cache\"")).unwrap();
    let cache = desk.path().join("cache").display().to_string();
    let greet = ["run", "greet", "greet", "--input", "World"];
    let answer = desk.run_in(&folder, &[&greet[..], &["--cache-dir", &cache]].concat());
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    // Compiled modules are kept there as well.
    let answer = desk.run_in(&folder, &greet);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
}

/// What is set and can't be read never means that there is no proxy.
#[test]
fn an_unreadable_proxy_is_an_error_and_no_request_is_sent() {
    let scene = Scene::new();
    let host = scene.registry.host();
    let placeholder = "it has a variable or placeholder instead of a host";
    let check = ["config", "check"];
    let inspect = ["inspect", "greet"];
    for (proxy, reason) in [
        ("http://${PROXY_HOST}:3128", placeholder),
        ("{{ proxy }}", placeholder),
        ("$PROXY", placeholder),
        ("~/proxy", placeholder),
        (" ", "it has only spaces"),
    ] {
        let config = scene.config("");
        let table = "plain_http = true\n";
        assert!(config.contains(table), "{config}");
        let config = config.replace(table, &format!("{table}proxy = \"{proxy}\"\n"));
        scene.desk.write("plugins.toml", &config);
        for command in [&check, &inspect] {
            let answer = scene.desk.run(command);
            let said = answer.messages();
            assert_eq!(answer.code, Some(6), "{}", answer.transcript());
            assert!(
                said.contains(&format!("option `proxy` of registry `{host}`")),
                "{said}"
            );
            assert!(said.contains(reason), "{said}");
        }
        // The variables are not used for the local machine.
        let config = config.replace(&host.to_string(), "r.example");
        let config = config.replace(&format!("proxy = \"{proxy}\"\n"), "");
        scene.desk.write("plugins.toml", &config);
        for command in [&check, &inspect] {
            let answer = scene.desk.run_with(command, &[("http_proxy", proxy)]);
            let said = answer.messages();
            assert_eq!(answer.code, Some(6), "{}", answer.transcript());
            assert!(
                said.contains("the proxy in the variable `http_proxy`"),
                "{said}"
            );
            assert!(said.contains(reason), "{said}");
        }
    }
    assert!(scene.registry.requests().is_empty());
}
