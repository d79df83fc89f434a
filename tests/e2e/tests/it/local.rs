//! Files and layouts on this disk: what is reported about them, and running without a config.

use qmt_testkit::{Fault, plugins};

use crate::command::Desk;
use crate::publish::KEY;
use crate::scene::Scene;

/// A folder with a module, and the same module in a layout.
pub(crate) fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("plugin.wasm", plugins::echo_wasm());
    let published = desk.run(&["publish", "oci-layout://layout:1", "--wasm", "plugin.wasm"]);
    assert_eq!(published.code, Some(0), "{}", published.transcript());
    desk
}

#[test]
fn a_file_is_reported_as_unsigned() {
    let desk = desk();
    desk.write(
        "plugins.toml",
        "[[providers]]\nname = \"file\"\npath = \"plugin.wasm\"\n",
    );
    for target in ["file", "plugin.wasm", "./plugin.wasm"] {
        let inspected = desk.run(&["inspect", target]);
        assert_eq!(inspected.code, Some(0), "{}", inspected.transcript());
        for words in ["none: it is a local file", "greet", "wasm", "plugin.wasm"] {
            assert!(
                inspected.stdout.contains(words),
                "{words}: {}",
                inspected.stdout
            );
        }
        for command in ["verify", "why"] {
            let answer = desk.run(&[command, target]);
            assert_eq!(answer.code, Some(3), "{}", answer.transcript());
            let words = "has no signature: it is a local file";
            assert!(answer.messages().contains(words), "{}", answer.transcript());
        }
    }
}

#[test]
fn a_plugin_runs_without_a_config() {
    let desk = desk();
    let run =
        |arguments: &[&str]| desk.run(&[&["run"], arguments, &["greet", "--input", "me"]].concat());
    let path = desk.path().join("plugin.wasm");
    for file in ["plugin.wasm", "./plugin.wasm", path.to_str().unwrap()] {
        let answer = run(&[file]);
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
        assert_eq!(
            (&*answer.stdout, &*answer.stderr),
            ("Hello, me! (wasm)", ""),
            "{}",
            answer.transcript()
        );
    }
    // An image must be signed, unless an option says that it need not be.
    let layout = "oci-layout://layout:1";
    let signer = ["--trusted-root", "embedded"];
    let refused = run(&[&[layout][..], &signer].concat());
    assert_eq!(refused.code, Some(3), "{}", refused.transcript());
    assert!(
        refused.messages().contains("`--insecure-skip-signature`"),
        "{}",
        refused.transcript()
    );
    let answer = run(&[layout, "--insecure-skip-signature"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert_eq!(answer.stdout, "Hello, me! (wasm)");
    assert!(
        answer.stderr.contains("warning: "),
        "{}",
        answer.transcript()
    );
}

/// Unsigned native code requires an option of its own.
#[cfg(unix)]
#[test]
fn native_code_without_a_signature_is_allowed_explicitly() {
    let desk = desk();
    let library = plugins::native_plugin(desk.path()).unwrap();
    let library = library.to_str().unwrap();
    let refused = desk.run(&["run", library, "greet"]);
    assert_ne!(refused.code, Some(0), "{}", refused.transcript());
    assert!(
        refused.messages().contains("`--allow-native`"),
        "{}",
        refused.transcript()
    );
    let answer = desk.run(&["run", library, "greet", "--input", "me", "--allow-native"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert_eq!(answer.stdout, "Hello, me! (native)");
}

/// The options replace no policy of the config.
#[test]
fn the_options_of_run_are_not_for_plugins_of_the_config() {
    let scene = Scene::new();
    for option in ["--insecure-skip-signature", "--allow-native"] {
        let answer = scene.run(&["run", "unsigned", "greet", option]);
        assert_eq!(answer.code, Some(2), "{}", answer.transcript());
    }
    let host = scene.registry.host();
    let reference = format!("{host}/acme/greet:1");
    let answer = scene.run(&["run", &reference, "greet", "--input", "me"]);
    assert_eq!(
        answer.stdout,
        "Hello, me! (wasm)",
        "{}",
        answer.transcript()
    );
    let reference = format!("{host}/acme/unsigned:1");
    let answer = scene.run(&["run", &reference, "greet"]);
    assert_eq!(answer.code, Some(3), "{}", answer.transcript());
}

/// Layouts are called by their path, and policies name them by it.
#[test]
fn a_layout_is_named_by_its_path() {
    let scene = Scene::new();
    scene.desk.write("plugin.wasm", plugins::echo_wasm());
    scene.run(&["publish", "oci-layout://layout:1", "--wasm", "plugin.wasm"]);
    let path = std::fs::canonicalize(scene.desk.path())
        .unwrap()
        .join("layout");
    let shown = format!("oci-layout://{}", path.display());
    let name = "oci-layout://layout:1";
    for arguments in [
        &["inspect", name][..],
        &["inspect", name, "--all"],
        &["inspect", name, "--format", "json"],
        &["verify", name],
        &["verify", name, "--format", "json"],
        &["why", name],
        &["pull", name],
        &["pull", "oci-layout://layout:2"],
        &["run", name, "greet", "--insecure-skip-signature"],
        &[
            "publish",
            "oci-layout://layout:3",
            "--wasm",
            "plugin.wasm",
            "--format",
            "json",
        ],
    ] {
        let answer = scene.run(arguments);
        let text = format!("{}{}", answer.stdout, answer.stderr);
        assert!(!text.contains(".invalid"), "{}", answer.transcript());
    }
    let refused = scene.run(&["why", name]);
    assert!(
        refused
            .stdout
            .contains(&format!("refused: {shown}@sha256:")),
        "{}",
        refused.stdout
    );
    // What is shown can be typed.
    let digest = refused.stdout.split("refused: ").nth(1).unwrap();
    let pinned = digest.split_whitespace().next().unwrap();
    let inspected = scene.run(&["inspect", pinned]);
    assert_eq!(inspected.code, Some(0), "{}", inspected.transcript());
}

/// The policy of a layout's own scope applies to it, and that of a folder to what is in it.
#[test]
fn a_policy_can_be_for_a_layout() {
    let scene = Scene::new();
    let (desk, layout) = (&scene.desk, "oci-layout://layouts/one:1");
    desk.write("plugin.wasm", plugins::echo_wasm());
    desk.write("key.pem", KEY);
    let signer = qmt_verify::KeySigner::from_pem(KEY.as_bytes(), None).unwrap();
    desk.write("key.pub", signer.public_key_pem());
    std::fs::create_dir(desk.path().join("layouts")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("layouts", desk.path().join("link")).unwrap();
    let publish = [
        "publish",
        layout,
        "--wasm",
        "plugin.wasm",
        "--sign-key",
        "key.pem",
    ];
    let published = scene.run(&publish);
    assert_eq!(published.code, Some(0), "{}", published.transcript());
    let absolute = std::fs::canonicalize(desk.path().join("layouts/one")).unwrap();
    let absolute = format!("oci-layout://{}", absolute.display());
    let policy = |scope: &str| {
        let any_of = "any_of = [{ key = \"key.pub\", transparency_log = \"optional\" }]";
        format!("[[oci.policy]]\nscope = \"{scope}\"\n{any_of}\n")
    };
    for (scope, code) in [
        (&*absolute, 0),
        ("oci-layout://layouts/one", 0),
        ("oci-layout://layouts/*", 0),
        ("oci-layout://link/**", 0),
        ("oci-layout://**", 0),
        ("oci-layout://layouts/other", 3),
        ("oci-layout://layouts", 3),
        ("oci-layout://layout/**", 3),
        ("oci-layout.invalid/**", 3),
    ] {
        let answer = scene.with(&scene.config(&policy(scope)), &["verify", layout]);
        assert_eq!(answer.code, Some(code), "{scope}: {}", answer.transcript());
        if code == 0 {
            assert!(
                answer.stdout.contains("in `oci-layout://"),
                "{scope}: {}",
                answer.stdout
            );
        }
    }
    // What `why` proposes is the layout's own scope.
    let accepted = scene.with(&scene.config(&policy("oci-layout://**")), &["why", layout]);
    let scope = format!("scope = \"{absolute}\"");
    assert!(accepted.stdout.contains(&scope), "{}", accepted.stdout);
    let tagged = scene.config(&policy("oci-layout://layouts/one:1"));
    let answer = scene.with(&tagged, &["config", "check"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    let meant = "without tag; did you mean `oci-layout://layouts/one`?";
    assert!(answer.messages().contains(meant), "{}", answer.transcript());
    let refused = scene.with(&tagged, &["verify", layout]);
    assert_eq!(refused.code, Some(3), "{}", refused.transcript());
    let pinned = format!("oci-layout://layouts/one@sha256:{}", "0".repeat(64));
    let answer = scene.with(&scene.config(&policy(&pinned)), &["config", "check"]);
    assert_eq!(answer.code, Some(6), "{}", answer.transcript());
    assert!(
        answer.messages().contains("without tag and digest"),
        "{}",
        answer.transcript()
    );
}

/// `inspect --all` shows every platform, also if none is that of this machine.
#[test]
fn every_platform_of_an_image_is_shown() {
    let scene = Scene::new();
    let platform = |os: &str, architecture: &str| qmt_oci_ref::manifest::platform(os, architecture);
    let one =
        qmt_testkit::ImageBuilder::native(platform("plan9", "mips"), "plugin.so", "a").build();
    let two = qmt_testkit::ImageBuilder::native(platform("aix", "ppc64"), "plugin.so", "b").build();
    let index = qmt_testkit::IndexBuilder::new()
        .platform(&one, platform("plan9", "mips"))
        .platform(&two, platform("aix", "ppc64"))
        .build();
    let pushed = index.push(&scene.registry, "acme/many", "1");
    let name = format!("{}/acme/many:1", scene.registry.host());
    let refused = scene.run(&["inspect", &name]);
    assert_eq!(refused.code, Some(1), "{}", refused.transcript());
    let answer = scene.run(&["inspect", &name, "--all"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    for words in [
        "plan9/mips",
        "aix/ppc64",
        &pushed.digest().to_string(),
        "none is for this machine",
    ] {
        assert!(answer.stdout.contains(words), "{words}: {}", answer.stdout);
    }
    let json = scene
        .run(&["inspect", &name, "--all", "--format", "json"])
        .json();
    assert_eq!(json["offers"].as_array().unwrap().len(), 2, "{json:#}");
    assert!(json["inspection"].is_null(), "{json:#}");
    let single = scene.run(&["inspect", "greet", "--all"]);
    assert!(
        single.stdout.contains("for this machine"),
        "{}",
        single.transcript()
    );
}

/// An index without images is an error with and without the option.
#[test]
fn an_index_that_lists_nothing_is_an_error() {
    let scene = Scene::new();
    let index = qmt_oci_ref::manifest::OCI_INDEX;
    let name = format!("{}/acme/empty:1", scene.registry.host());
    for manifests in ["null", "[]"] {
        let bytes =
            format!(r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":{manifests}}}"#);
        let registry = &scene.registry;
        registry.put_manifest("acme/empty", "1", index, bytes);
        for arguments in [&["inspect", &name][..], &["inspect", &name, "--all"]] {
            let answer = scene.run(arguments);
            assert_eq!(answer.code, Some(1), "{}", answer.transcript());
            let said = answer.messages();
            assert!(said.contains("lists no image"), "{}", answer.transcript());
        }
    }
}

/// What the registry says about the manifest for this machine is the result, next to the platforms.
#[test]
fn a_manifest_that_cannot_be_read_is_not_called_absent() {
    let scene = Scene::new();
    let host = scene.registry.host();
    let wasi = qmt_oci_ref::manifest::platform("wasi", "wasm");
    let plugin = qmt_testkit::ImageBuilder::wasm(plugins::echo_wasm()).build();
    let index = qmt_testkit::IndexBuilder::new().platform(&plugin, wasi);
    index.build().push(&scene.registry, "acme/many", "1");
    let name = format!("{host}/acme/many:1");
    let manifest = plugin.root().digest().to_string();
    let path = format!("/v2/acme/many/manifests/{manifest}");
    for (status, code, words) in [
        (404, 4, "does not exist in its registry"),
        (403, 5, "refuses access"),
        (400, 5, "status 400"),
    ] {
        scene.registry.clear_faults();
        scene
            .registry
            .fault(Fault::on("*", path.clone()).respond(status));
        let plain = scene.run(&["inspect", &name]);
        assert_eq!(plain.code, Some(code), "{}", plain.transcript());
        let all = scene.run(&["inspect", &name, "--all"]);
        assert_eq!(all.code, Some(code), "{}", all.transcript());
        assert!(all.messages().contains(words), "{}", all.transcript());
        let offer = format!("offers  wasi/wasm, {manifest}");
        assert!(all.stdout.contains(&offer), "{}", all.transcript());
        assert!(!all.stdout.contains("none is"), "{}", all.transcript());
        let json = scene.run(&["inspect", &name, "--all", "--format", "json"]);
        assert_eq!(json.code, Some(code), "{}", json.transcript());
        let json = json.json();
        assert!(json["inspection"].is_null(), "{json:#}");
        assert_eq!(json["offers"].as_array().unwrap().len(), 1, "{json:#}");
        let plain = scene.run(&["inspect", &name, "--format", "json"]).json();
        assert!(plain["error"]["message"].is_string(), "{plain:#}");
        assert_eq!(json["error"], plain["error"], "{json:#}");
    }
    scene.registry.clear_faults();
    // Something is for this machine, and the config forbids it.
    let config = scene.config(&format!(
        "[[providers]]\nname = \"many\"\npath = \"oci://{name}\"\nkind = \"native\"\n"
    ));
    let all = scene.with(&config, &["inspect", "many", "--all"]);
    assert_eq!(all.code, Some(1), "{}", all.transcript());
    assert!(all.stdout.contains("wasi/wasm"), "{}", all.transcript());
    let words = "as kind `native`";
    assert!(all.messages().contains(words), "{}", all.transcript());
}

/// `cache prune` says what it keeps, and why.
#[test]
fn pruning_says_what_stays_and_why() {
    let scene = Scene::new();
    scene.run(&["pull", "greet"]);
    scene.desk.write("plugin.wasm", plugins::echo_wasm());
    let layout = "oci-layout://layout:1";
    scene.run(&[
        "publish",
        layout,
        "--wasm",
        "plugin.wasm",
        "--title",
        "other",
    ]);
    let ran = scene.run(&["run", layout, "greet", "--insecure-skip-signature"]);
    assert_eq!(ran.code, Some(0), "{}", ran.transcript());
    let nothing = scene.run(&["cache", "prune"]);
    for words in ["0 plugins", "the lockfile names it", "no `cache_max_size`"] {
        assert!(
            nothing.stdout.contains(words),
            "{words}: {}",
            nothing.transcript()
        );
    }
    let young = scene.run(&["cache", "prune", "--older-than", "1d"]);
    assert!(
        young.stdout.contains("used within `--older-than`"),
        "{}",
        young.transcript()
    );
    let all = scene
        .run(&["cache", "prune", "--all", "--format", "json"])
        .json();
    assert_eq!(all["evicted"].as_array().unwrap().len(), 1, "{all:#}");
    assert_eq!(all["kept"].as_array().unwrap().len(), 1, "{all:#}");
    assert_eq!(all["kept"][0]["reason"], "the lockfile names it", "{all:#}");
}

/// `publish` reports what hosts would refuse.
#[test]
fn publishing_warns_of_what_hosts_refuse() {
    let desk = Desk::new();
    let module = "(module (import \"nowhere\" \"unknown\" (func)) (func (export \"greet\") (result i32) i32.const 0))";
    desk.write("odd.wasm", plugins::wasm(module));
    desk.write("good.wasm", plugins::echo_wasm());
    let good = desk.run(&["publish", "oci-layout://good:1", "--wasm", "good.wasm"]);
    assert_eq!(good.code, Some(0), "{}", good.transcript());
    assert!(!good.stderr.contains("warning"), "{}", good.transcript());
    let odd = desk.run(&[
        "publish",
        "oci-layout://odd:1",
        "--wasm",
        "odd.wasm",
        "--format",
        "json",
    ]);
    assert_eq!(odd.code, Some(0), "{}", odd.transcript());
    let warnings = odd.json()["published"]["warnings"].clone();
    assert_eq!(
        warnings.as_array().map(Vec::len),
        Some(1),
        "{}",
        odd.transcript()
    );
    assert!(
        odd.stderr.contains("warning: hosts will not load it"),
        "{}",
        odd.transcript()
    );
}

/// An image that was saved to disk is not a plugin's file, and not without a signature.
#[test]
fn a_path_of_a_layout_is_asked_about() {
    let desk = desk();
    desk.write("noext", plugins::echo_wasm());
    desk.write("file.tar", "");
    let commands = [&["inspect"][..], &["verify"], &["why"], &["pull"], &["run"]];
    for (path, words) in [
        ("./layout", "did you mean `oci-layout://./layout:1`?"),
        ("./layout:1", "`oci-layout://./layout:1`"),
        ("layout", "write `./layout` for it"),
        ("noext", "write `./noext` for it"),
        (
            "file.tar",
            "write `./file.tar` for it, or `docker.io/library/file.tar`",
        ),
        ("docker-archive:x.tar", "skopeo copy docker-archive:x.tar"),
        ("oci:layout:1", "`oci-layout://layout:1`"),
    ] {
        for command in commands {
            let call = if command[0] == "run" {
                &["greet"][..]
            } else {
                &[]
            };
            let answer = desk.run(&[command, &[path], call].concat());
            assert_ne!(answer.code, Some(0), "{}", answer.transcript());
            let said = answer.messages();
            assert!(said.contains(words), "{path}: {}", answer.transcript());
            assert!(
                !said.contains("has no signature"),
                "{}",
                answer.transcript()
            );
        }
    }
    let config = "[[providers]]\nname = \"p\"\npath = \"layout\"\n";
    desk.write("plugins.toml", config);
    let checked = desk.run(&["config", "check"]);
    let words = "did you mean `oci-layout://layout:1`?";
    assert!(
        checked.messages().contains(words),
        "{}",
        checked.transcript()
    );
}

/// What is not there has a next step, where there is one.
#[test]
fn a_missing_file_is_reported_with_the_nearest_name() {
    let desk = desk();
    let config = "[[providers]]\nname = \"greeter\"\npath = \"plugin.wasm\"\n";
    desk.write("plugins.toml", config);
    let package = ["publish", "oci-layout://new:1", "--wasm", "plugn.wasm"];
    for (arguments, code, words) in [
        (
            &["run", "plugn.wasm", "greet"][..],
            4,
            "did you mean `plugin.wasm`?",
        ),
        (
            &["inspect", "./plugn.wasm"],
            4,
            "did you mean `./plugin.wasm`?",
        ),
        (
            &["inspect", "oci-layout://layuot:1"],
            4,
            "did you mean `layout`?",
        ),
        (&package, 4, "did you mean `plugin.wasm`?"),
        (
            &["list", "--config", "plugin.toml"],
            6,
            "did you mean `plugins.toml`?",
        ),
        (
            &["list", "--config", "nope.toml"],
            6,
            "config schema` prints all keys",
        ),
        (
            &["inspect", "nope"],
            4,
            "a file by a path that begins with `./`",
        ),
    ] {
        let answer = desk.run(arguments);
        assert_eq!(answer.code, Some(code), "{}", answer.transcript());
        assert!(answer.messages().contains(words), "{}", answer.transcript());
    }
}

/// An option that names a signer is not ignored: a file has no signature.
#[test]
fn a_file_runs_without_options_for_a_signer_only() {
    let desk = desk();
    let run = ["run", "plugin.wasm", "greet", "--input", "me"];
    assert_eq!(desk.run(&run).code, Some(0));
    let refused = desk.run(&[&run[..], &["--key", "team.pub"]].concat());
    assert_eq!(refused.code, Some(2), "{}", refused.transcript());
    let words = "a local file has no signature";
    assert!(
        refused.messages().contains(words),
        "{}",
        refused.transcript()
    );
}

/// Native code that every user can replace has all rights of the host.
#[cfg(unix)]
#[test]
fn a_library_that_every_user_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let desk = desk();
    let library = plugins::native_plugin(desk.path()).unwrap();
    let path = library.to_str().unwrap();
    let run = ["run", path, "greet", "--allow-native", "--input", "me"];
    assert_eq!(desk.run(&run).code, Some(0));
    std::fs::set_permissions(&library, std::fs::Permissions::from_mode(0o666)).unwrap();
    let refused = desk.run(&run);
    assert_eq!(refused.code, Some(1), "{}", refused.transcript());
    let words = "is native code that every user can change";
    assert!(
        refused.messages().contains(words),
        "{}",
        refused.transcript()
    );
    // Every user may put another file in its place.
    std::fs::set_permissions(&library, std::fs::Permissions::from_mode(0o644)).unwrap();
    let folder = library.parent().unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let warned = desk.run(&run);
    assert_eq!(warned.code, Some(0), "{}", warned.transcript());
    let words = "is native code, and other users may change it: every user may write to its folder";
    assert!(warned.messages().contains(words), "{}", warned.transcript());
}

/// The input is read up to the limit of the plugin, and an endless file is refused.
#[test]
fn an_input_over_the_limit_of_the_plugin_is_refused() {
    let desk = desk();
    desk.write(
        "plugins.toml",
        "[[providers]]\nname = \"p\"\npath = \"plugin.wasm\"\nlimits = { memory_max = \"4MiB\" }\n",
    );
    let run = |file: &str, input: &[u8]| {
        let run = ["run", "p", "echo", "--input-file", file];
        desk.run_fed(&run, input)
    };
    let large = vec![b'x'; 5 << 20];
    desk.write("small", "me");
    desk.write("large", &large);
    let answer = run("small", b"");
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    let endless = if cfg!(unix) { "/dev/zero" } else { "large" };
    for (file, shown) in [("large", "`large`"), (endless, endless), ("-", "stdin")] {
        let refused = run(file, &large);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        let said = refused.messages();
        for words in [shown, "more than 4194304 bytes", "`memory_max`"] {
            assert!(said.contains(words), "{said}");
        }
    }
}

/// A command that waits for another process says so, although its output is only the answer.
#[test]
fn run_says_that_it_waits_for_another_process() {
    let scene = Scene::new();
    let run = ["run", "greet", "greet", "--input", "me"];
    let first = scene.run(&run);
    assert_eq!(first.code, Some(0), "{}", first.transcript());
    assert!(!first.stderr.contains("waiting"), "{}", first.stderr);
    // The locks stay, and the plugin has to be fetched again.
    std::fs::remove_file(scene.desk.path().join("plugins.lock")).unwrap();
    let pruned = scene.run(&["cache", "prune", "--all"]);
    assert_eq!(pruned.code, Some(0), "{}", pruned.transcript());
    let cache = std::fs::read_dir(scene.desk.path().join("cache")).unwrap();
    let folders = cache.map(|folder| folder.unwrap().path().join("locks"));
    let locks = folders.filter_map(|folder| std::fs::read_dir(folder).ok());
    let locks = locks.flatten();
    let locks = locks.map(|entry| std::fs::File::open(entry.unwrap().path()).unwrap());
    let locks: Vec<_> = locks.collect();
    assert!(!locks.is_empty());
    for lock in &locks {
        lock.lock().unwrap();
    }
    let holder = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(3));
        drop(locks);
    });
    let second = scene.run(&run);
    holder.join().unwrap();
    assert_eq!(second.code, Some(0), "{}", second.transcript());
    assert_eq!(second.stdout, first.stdout);
    let waited = "waiting: another process has locked";
    assert!(second.stderr.contains(waited), "{}", second.transcript());
}
