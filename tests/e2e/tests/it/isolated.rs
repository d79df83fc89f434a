//! Native plugins that the config isolates: the command is the host, and its own worker.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use qmt_e2e_tests::root;
use qmt_plugins::PluginHost;
use qmt_plugins::config::ConfigFile;
use qmt_plugins::loader::native::NativeLoader;
use qmt_testkit::plugins;

use crate::command::{Desk, binary};

/// Compiles one of the hostile plugins.
fn hostile(desk: &Desk, name: &str) -> PathBuf {
    let folder = root().join("fixtures/plugins/hostile-native");
    let source = std::fs::read_to_string(folder.join(format!("{name}.c"))).unwrap();
    let include = root().join("crates/qmt-plugin-sdk/include");
    let includes = [&folder, &include].map(|folder| format!("-I{}", folder.display()));
    let arguments = [includes[0].as_str(), includes[1].as_str()];
    plugins::compile(desk.path(), &format!("{name}.so"), &source, &arguments).unwrap()
}

fn config(desk: &Desk, oci: &str, providers: &[(&str, &PathBuf, &str)]) {
    let providers = providers.iter().map(|(name, path, keys)| {
        let path = path.display();
        format!("[[providers]]\nname = \"{name}\"\npath = \"{path}\"\n{keys}\n")
    });
    let text = format!("[oci]\ncache_dir = \"cache\"\n{oci}\n");
    let text = providers.fold(text, |text, provider| text + &provider);
    desk.write("plugins.toml", text);
}

/// An isolated plugin answers, and one that aborts or looks around costs the command nothing.
#[test]
fn the_config_isolates_native_plugins() {
    let desk = Desk::new();
    let good = plugins::native_plugin(desk.path()).unwrap();
    let (abort, environment) = (hostile(&desk, "abort"), hostile(&desk, "environment"));
    let isolated = "native = \"isolated\"";
    config(
        &desk,
        "",
        &[
            ("good", &good, isolated),
            ("abort", &abort, isolated),
            ("environment", &environment, isolated),
            ("here", &environment, "native = \"in-process\""),
            ("denied", &good, "native = \"deny\""),
        ],
    );
    let answer = desk.run(&["run", "good", "greet", "--input", "me"]);
    assert_eq!(
        answer.stdout,
        "Hello, me! (native)",
        "{}",
        answer.transcript()
    );
    let answer = desk.run(&["run", "abort", "act"]);
    assert_eq!(answer.code, Some(1), "{}", answer.transcript());
    let words = answer.messages();
    assert!(
        words.contains("ended during `act`: signal 6 ended it"),
        "{words}"
    );
    let answer = desk.run_with(&["run", "environment", "act"], &[("CANARY", "canary")]);
    assert_eq!(
        (answer.code, &*answer.stdout),
        (Some(0), ""),
        "{}",
        answer.transcript()
    );
    let answer = desk.run_with(&["run", "here", "act"], &[("CANARY", "canary")]);
    assert!(
        answer.stdout.contains("CANARY=canary"),
        "{}",
        answer.transcript()
    );
    let answer = desk.run(&["run", "denied", "greet"]);
    assert!(
        answer.messages().contains("`native = \"deny\"` forbids it"),
        "{}",
        answer.transcript()
    );
}

/// The key of `[oci]` is for providers without one, and for plugins outside of the config.
#[test]
fn the_default_is_for_all_plugins() {
    let desk = Desk::new();
    let environment = hostile(&desk, "environment");
    let path = environment.to_str().unwrap();
    let canary = &[("CANARY", "canary")];
    let old = "[providers.allow]\nnative = true";
    config(
        &desk,
        "native = \"isolated\"",
        &[("old", &environment, old)],
    );
    for arguments in [
        &["run", "old", "act"][..],
        &["run", path, "act", "--allow-native"],
    ] {
        let answer = desk.run_with(arguments, canary);
        assert_eq!(
            (answer.code, &*answer.stdout),
            (Some(0), ""),
            "{}",
            answer.transcript()
        );
    }
    // It is no consent to code without a signature.
    let answer = desk.run(&["run", path, "act"]);
    assert_ne!(answer.code, Some(0), "{}", answer.transcript());
    config(
        &desk,
        "native = \"deny\"",
        &[("new", &environment, "native = \"isolated\"")],
    );
    let answer = desk.run(&["run", "new", "act"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    let answer = desk.run(&["run", path, "act", "--allow-native"]);
    assert!(
        answer
            .messages()
            .contains("`native = \"deny\"` of `[oci]` forbids it"),
        "{}",
        answer.transcript()
    );
    config(&desk, "native = \"deny\"", &[("old", &environment, old)]);
    let answer = desk.run(&["config", "check"]);
    assert_eq!(answer.code, Some(6), "{}", answer.transcript());
    assert!(
        answer.messages().contains("`allow.native = true` allows"),
        "{}",
        answer.transcript()
    );
}

/// `config check` finds rights that an isolated plugin cannot have.
#[test]
fn rights_of_isolated_plugins_are_checked() {
    let desk = Desk::new();
    let good = plugins::native_plugin(desk.path()).unwrap();
    for (keys, words) in [
        ("hosts = [\"example.com\"]", "no network"),
        ("paths = { \"/usr\" = \"/data\" }", "the same path"),
        ("paths = { \"ro:/usr\" = \"/usr\" }", ""),
    ] {
        let keys = format!("kind = \"native\"\nnative = \"isolated\"\n[providers.allow]\n{keys}");
        config(&desk, "", &[("p", &good, &keys)]);
        let answer = desk.run(&["config", "check"]);
        let code = if words.is_empty() { 0 } else { 6 };
        assert_eq!(answer.code, Some(code), "{}", answer.transcript());
        assert!(answer.messages().contains(words), "{}", answer.transcript());
    }
}

/// Without Landlock, an isolated plugin loads with a warning, or not at all if the config requires the
/// whole confinement.
#[test]
fn a_kernel_without_landlock_confines_less() {
    let desk = Desk::new();
    let good = plugins::native_plugin(desk.path()).unwrap();
    let provider = ("good", &good, "native = \"isolated\"");
    let greet = ["run", "good", "greet", "--input", "me"];
    config(&desk, "", &[provider]);
    let answer = desk.run_without_landlock(&greet);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    let words = answer.messages();
    assert!(words.contains("it is not fully isolated"), "{words}");
    config(&desk, "require_confinement = true", &[provider]);
    let answer = desk.run_without_landlock(&greet);
    assert_eq!(answer.code, Some(1), "{}", answer.transcript());
    let words = answer.messages();
    assert!(words.contains("the kernel lacks required parts"), "{words}");
    let answer = desk.run(&greet);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert_eq!(answer.stderr, "", "{}", answer.transcript());
}

/// The config also binds a host that brings its own loader.
#[test]
fn the_loader_of_a_host_is_held_to_the_confinement() {
    const NAME: &str = "isolated::the_loader_of_a_host_is_held_to_the_confinement";
    const CONFIG: &str = "QMT_E2E_CONFIG";
    const WORKER: &str = "QMT_E2E_WORKER";
    if let (Some(config), Some(worker)) = (std::env::var_os(CONFIG), std::env::var_os(WORKER)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let loaded = load_with_own_loader(config.as_ref(), worker.as_ref());
        println!("{}", runtime.block_on(loaded));
        return;
    }
    let desk = Desk::new();
    let good = plugins::native_plugin(desk.path()).unwrap();
    let provider = ("good", &good, "native = \"isolated\"");
    for (oci, words) in [
        ("", "it loads"),
        ("require_confinement = true", "lacks required parts"),
    ] {
        config(&desk, oci, &[provider]);
        let output = Command::new(env!("CARGO_BIN_EXE_without_landlock"))
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CONFIG, desk.path().join("plugins.toml"))
            .env(WORKER, binary())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(words), "{said}");
    }
}

/// Loads the plugin with a loader that requires nothing, and says how that ended.
async fn load_with_own_loader(config: &Path, worker: &Path) -> String {
    let private = config.with_file_name("private");
    let loader = NativeLoader::new(private).worker(worker);
    let file = ConfigFile::read(config).unwrap();
    let host = PluginHost::builder(file).native_loader(Arc::new(loader));
    match host.build().unwrap().load("good").await {
        Ok(_) => "it loads".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

/// `config check` runs the loader's checks of local libraries, also where only their content says that
/// they are native.
#[test]
fn local_libraries_are_checked() {
    let desk = Desk::new();
    let good = plugins::native_plugin(desk.path()).unwrap();
    let source = "int answer(void) { return 42; }";
    let symbols = plugins::compile(desk.path(), "symbols.so", source, &[]).unwrap();
    for (file, native, words) in [
        (&good, "isolated", ""),
        (&symbols, "in-process", ""),
        (&symbols, "isolated", "must implement `qmt_plugin.h`"),
    ] {
        config(&desk, "", &[("p", file, &format!("native = \"{native}\""))]);
        let answer = desk.run(&["config", "check"]);
        let code = if words.is_empty() { 0 } else { 6 };
        assert_eq!(answer.code, Some(code), "{}", answer.transcript());
        assert!(answer.messages().contains(words), "{}", answer.transcript());
    }
}

/// Nobody but a host starts a worker; the argument alone does nothing.
#[test]
fn the_argument_of_workers_runs_nothing() {
    let desk = Desk::new();
    let answer = desk.run(&["--qmt-plugin-worker"]);
    assert_eq!(
        (answer.code, &*answer.stdout),
        (Some(1), ""),
        "{}",
        answer.transcript()
    );
}
