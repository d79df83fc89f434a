//! Plugins that are built from source: what `qmt-plugins new` writes in each language, and all that
//! the SDK exports, as a native library and as a Wasm module from one source.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use qmt_e2e_tests::projects::{self, Built, NAME, PROJECTS};
use qmt_plugins::config::ConfigFile;
use qmt_plugins::loader::{Limits, LoadError};
use qmt_plugins::oci_ref::PluginKind;
use qmt_plugins::{Plugin, PluginHost, Target};

use crate::command::{Desk, binary, root};

/// What cargo compiles for plugins outlives a test run.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects")
}

/// A host with the plugin [`NAME`], which is `file`. `folder` is for its config.
fn host(folder: &Path, file: &Path, lines: &str) -> PluginHost {
    let (path, cache) = (folder.join("plugins.toml"), kept().join("cache"));
    let config = format!(
        "[oci]\ncache_dir = \"{}\"\n[[providers]]\nname = \"{NAME}\"\npath = \"{}\"\n\
         allow.native = true\n{lines}",
        cache.display(),
        file.display()
    );
    std::fs::write(&path, config).unwrap();
    let mut limits = Limits::default();
    // A compiler without optimisations takes long for Go's module of 2 MB; the cache keeps the result.
    limits.compile_timeout = Duration::from_mins(10);
    let host = PluginHost::builder(ConfigFile::read(&path).unwrap()).limits(limits);
    host.build().unwrap()
}

/// Returns code and message of a failure that the plugin reported.
async fn failure(plugin: &dyn Plugin, export: &str, input: &'static str) -> (i32, String) {
    match plugin.call(export, input.into()).await.unwrap_err() {
        LoadError::PluginFailed { code, message, .. } => (code, message),
        other => panic!("{other:?}"),
    }
}

/// Every project builds, passes its own tests, and is reloaded while 8 tasks call it 10,000 times.
#[tokio::test(flavor = "multi_thread")]
async fn every_new_project_builds_and_is_reloaded_while_many_tasks_call_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut built = 0;
    for project in PROJECTS {
        let (language, kind) = (project.language, project.kind);
        let file = match project.build(binary(), folder.path(), &kept()).unwrap() {
            Built::File(file) => file,
            Built::Missing(program) => {
                println!("{language}, {kind}: skipped, {program} is not installed");
                continue;
            }
        };
        let host = host(folder.path(), &file, "");
        let plugin = host.reloadable(NAME).await.unwrap();
        assert_eq!(plugin.kind(), kind);
        let refused = failure(&*plugin, "greet", "").await;
        let message = "a greeting requires a name".to_owned();
        assert_eq!(refused, (1, message), "{language}, {kind}");
        let is_reloaded = Arc::new(AtomicBool::new(false));
        let tasks = (0..8).map(|task| {
            let (plugin, is_reloaded) = (Arc::clone(&plugin), Arc::clone(&is_reloaded));
            tokio::spawn(async move {
                let mut calls = 0;
                while calls < 1250 || !is_reloaded.load(Ordering::Relaxed) {
                    let name = format!("{task}-{calls}");
                    let answer = plugin.call("greet", name.clone().into()).await.unwrap();
                    assert_eq!(answer, format!("Hello, {name}!"));
                    calls += 1;
                }
            })
        });
        let tasks = tasks.collect::<Vec<_>>();
        for _ in 0..5 {
            host.reload(NAME).await.unwrap();
        }
        is_reloaded.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.unwrap();
        }
        built += 1;
    }
    // Rust and C, which the other tests require as well.
    assert!(built >= 2);
}

/// NAT-04, NAT-05: one source, the same answers and errors, and a panic that ends neither host.
#[tokio::test]
async fn one_source_is_a_native_library_and_a_wasm_module() {
    let folder = tempfile::tempdir().unwrap();
    let source = root().join("fixtures/plugins/echo-rust");
    std::fs::create_dir(folder.path().join("src")).unwrap();
    for file in ["Cargo.toml", "src/lib.rs"] {
        std::fs::copy(source.join(file), folder.path().join(file)).unwrap();
    }
    projects::prepare(folder.path(), &kept()).unwrap();
    let build = ["build", "--release"];
    let cargo = || Command::new("cargo");
    projects::run(cargo().args(build), folder.path()).unwrap();
    let native = folder.path().join("target/release/libecho_rust.so");
    check(PluginKind::Native, &native).await;

    let Some(environment) = projects::wasm_toolchain().unwrap() else {
        println!("the Wasm module: skipped, no target wasm32-unknown-unknown");
        return;
    };
    let mut cargo = Command::new("sh");
    cargo.args([
        "-c",
        "cargo build --release --target wasm32-unknown-unknown",
    ]);
    cargo.envs(environment.iter().copied());
    projects::run(&mut cargo, folder.path()).unwrap();
    let module = "target/wasm32-unknown-unknown/release/echo_rust.wasm";
    check(PluginKind::Wasm, &folder.path().join(module)).await;
}

async fn check(kind: PluginKind, file: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), file, "config.greeting = \"Hi\"\n");
    let plugin = host.load(NAME).await.unwrap();
    assert_eq!(plugin.kind(), kind);
    let exports = [
        "echo", "export", "greet", "input", "panics", "parse", "silent",
    ];
    assert_eq!(plugin.exports(), exports, "{kind}");
    let target = Target::named(host.config(), NAME).unwrap();
    let content = host.inspect(&target).await.unwrap().content.unwrap();
    assert_eq!(content.preflight.unwrap().exports, exports, "{kind}");
    for (export, input, output) in [
        ("greet", r#"{"name": "Ada"}"#, r#"{"text":"Hi, Ada!"}"#),
        ("echo", "\u{0}\u{1F40C}", "\u{0}\u{1F40C}"),
        ("echo", "", ""),
        ("input", "a", "A"),
        ("parse", "17", "17"),
        ("export", "unread", "42"),
        ("silent", "", ""),
    ] {
        let answer = plugin.call(export, input.into()).await.unwrap();
        assert_eq!(answer, output, "{kind}: {export}");
    }
    let not_utf8 = bytes::Bytes::from_static(b"\xff");
    assert_eq!(
        plugin.call("echo", not_utf8.clone()).await.unwrap(),
        not_utf8
    );
    for (export, input, code, message) in [
        ("greet", r#"{"name": ""}"#, 7, "a greeting requires a name"),
        (
            "greet",
            "{",
            1,
            "the input is not the expected JSON: EOF while parsing an object at line 1 column 1",
        ),
        ("parse", "x", 1, "invalid digit found in string"),
    ] {
        let failed = failure(&*plugin, export, input).await;
        assert_eq!(failed, (code, message.to_owned()), "{kind}: {export}");
    }
    let unknown = plugin.call("unknown", "".into()).await.unwrap_err();
    assert!(
        matches!(unknown, LoadError::UnknownExport { .. }),
        "{unknown:?}"
    );
    for _ in 0..2 {
        let panic = plugin.call("panics", "".into()).await.unwrap_err();
        let shown = qmt_plugins::oci_ref::text::messages(&panic).join(": ");
        assert!(
            shown.contains("the plugin panicked: at the disco"),
            "{shown}"
        );
        let answer = plugin.call("input", "still here".into()).await.unwrap();
        assert_eq!(answer, "STILL HERE");
    }
}

#[test]
fn a_folder_that_is_not_empty_is_not_written_to() {
    let desk = Desk::new();
    let new = |lang: &str| desk.run(&["new", "greeter", "--lang", lang]);
    std::fs::create_dir(desk.path().join("greeter")).unwrap();
    let answer = new("c");
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert!(
        answer.stdout.contains("greeter/README.md"),
        "{}",
        answer.transcript()
    );
    let plugin = std::fs::read(desk.path().join("greeter/plugin.c")).unwrap();
    let answer = new("go");
    assert_eq!(answer.code, Some(2), "{}", answer.transcript());
    assert!(
        answer
            .messages()
            .contains("`greeter` exists and is not empty")
    );
    assert_eq!(
        std::fs::read(desk.path().join("greeter/plugin.c")).unwrap(),
        plugin
    );
    assert!(!desk.path().join("greeter/go.mod").exists());

    desk.write("file", "");
    assert_ne!(desk.run(&["new", "file", "--lang", "c"]).code, Some(0));
    let answer = desk.run(&["new", "../up", "--lang", "c"]);
    assert_eq!(answer.code, Some(2), "{}", answer.transcript());
    assert!(answer.messages().contains("lowercase letters"));
}

/// The last command of each README publishes; here into a layout, and unsigned.
#[test]
fn the_publish_line_of_a_new_project_works() {
    let desk = Desk::new();
    for language in ["rust", "c", "go", "assemblyscript"] {
        desk.run(&["new", language, "--lang", language]);
        let folder = desk.path().join(language);
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        let publish = readme
            .lines()
            .find(|line| line.starts_with("qmt-plugins publish"));
        let publish: Vec<&str> = publish.unwrap().split(' ').skip(1).collect();
        let reference = format!("ghcr.io/my-org/{language}:0.1.0");
        assert_eq!(publish[1], reference);
        assert_eq!(publish[2..4], ["--sign-key", "cosign.key"]);
        for pair in publish[4..].chunks(2) {
            let (file, content) = match pair {
                ["--wasm", file] => (*file, qmt_testkit::plugins::echo_wasm()),
                ["--native", platform] => {
                    let library = qmt_testkit::plugins::native_plugin(desk.path()).unwrap();
                    (
                        platform.split_once('=').unwrap().1,
                        std::fs::read(library).unwrap(),
                    )
                }
                other => panic!("{other:?}"),
            };
            let file = folder.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }
        let arguments = [&["publish", "oci-layout://layout:1"], &publish[4..]].concat();
        let answer = desk.run_in(&folder, &arguments);
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    }
}
