//! Where output goes: output that can't be written, text that steers terminals, and the one form of
//! errors in JSON.

use std::fs::File;

use serde_json::Value;

use crate::command::Desk;
use crate::scene::{Scene, without_verification};

/// The keys of an error in JSON, wherever it stands.
const ERROR: [&str; 6] = [
    "causes",
    "hint",
    "kind",
    "message",
    "rejected",
    "trust_root",
];

#[cfg(target_os = "linux")]
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// A result that can't be written is a failure, in every command and in both formats.
#[cfg(target_os = "linux")]
#[test]
fn output_to_a_full_disk_is_a_failure() {
    let scene = Scene::new();
    scene.run(&["pull", "greet"]);
    scene
        .desk
        .write("plugin.wasm", qmt_testkit::plugins::echo_wasm());
    for arguments in [
        &["pull", "greet"][..],
        &["lock"],
        &["update", "greet"],
        &["verify", "greet"],
        &["why", "greet"],
        &["why", "unsigned"],
        &["run", "greet", "greet"],
        &["list"],
        &["inspect", "greet"],
        &["inspect", "greet", "--all"],
        &["inspect", "plugin.wasm"],
        &["publish", "oci-layout://out:1", "--wasm", "plugin.wasm"],
        &["logout", "registry.example"],
        &["trust", "show"],
        &["config", "check"],
        &["config", "schema"],
        &["config", "path"],
        &["cache", "list"],
        &["cache", "verify"],
        &["cache", "prune"],
        &["cache", "path"],
        &["completions", "bash"],
        &["--help"],
        &["run", "--help"],
        &["--version"],
    ] {
        for format in [&[][..], &["--format", "json"]] {
            let arguments = [arguments, format].concat();
            let answer = scene.desk.run_to(&arguments, full(), None);
            assert_eq!(
                answer.code,
                Some(1),
                "{arguments:?}: {}",
                answer.transcript()
            );
            let printed = answer.messages();
            assert!(
                printed.contains("the output can't be written"),
                "{arguments:?}: {printed}"
            );
        }
    }
    // The reason of a failure is not lost with the document that has it.
    let failing = ["verify", "unsigned", "--format", "json"];
    let answer = scene.desk.run_to(&failing, full(), None);
    assert_eq!(answer.code, Some(1), "{}", answer.transcript());
    assert!(
        answer.messages().contains("is not signed"),
        "{}",
        answer.transcript()
    );
}

/// Messages that can't be written change nothing about the result, and nothing panics.
#[cfg(target_os = "linux")]
#[test]
fn messages_to_a_full_disk_do_not_matter() {
    let scene = Scene::new();
    for (arguments, code) in [
        (&["pull", "greet", "-vvv"][..], 0),
        (&["run", "greet", "greet"], 0),
        (&["verify", "unsigned"], 3),
        (&["rnu"], 2),
    ] {
        let stdout = tempfile::tempfile().unwrap();
        let answer = scene.desk.run_to(arguments, stdout, Some(full()));
        assert_eq!(answer.code, Some(code), "{arguments:?}");
    }
}

/// A reader that closes the pipe early is not a failure.
#[cfg(unix)]
#[test]
fn a_closed_pipe_is_not_a_failure() {
    let scene = Scene::new();
    for arguments in [&["config", "schema"][..], &["--help"], &["list"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let answer = scene.desk.run_to(arguments, writer, None);
        assert_eq!(
            answer.code,
            Some(0),
            "{arguments:?}: {}",
            answer.transcript()
        );
    }
}

/// Whatever ends with another code than 0 says why in the same form, at the same place.
#[test]
fn every_failure_has_one_form_in_json() {
    let scene = Scene::new();
    let skip = without_verification(&scene.config(""));
    scene.desk.write("skip.toml", skip);
    scene.desk.write("bad.toml", "= =");
    scene.desk.write("plugin.wasm", "not a module");
    for (code, kind, arguments) in [
        (2, "usage", &["rnu"][..]),
        (2, "usage", &[]),
        (2, "usage", &["cache"]),
        (2, "usage", &["run", "greet"]),
        (2, "usage", &["pull", "--ofline"]),
        (2, "usage", &["publish", "a.b/c:1", "--native", "x.so"]),
        (2, "usage", &["publish", "a.b/c:1"]),
        (2, "usage", &["logout", "a b"]),
        (2, "usage", &["update", "--frozen"]),
        (3, "not-verified", &["pull"]),
        (3, "not-verified", &["verify", "unsigned"]),
        (3, "not-verified", &["why", "unsigned"]),
        (
            3,
            "not-verified",
            &["verify", "greet", "--config", "skip.toml"],
        ),
        (
            3,
            "not-verified",
            &["why", "greet", "--config", "skip.toml"],
        ),
        (3, "not-verified", &["verify", "plugin.wasm"]),
        (4, "not-found", &["run", "gret", "greet"]),
        (4, "not-found", &["inspect", "./nowhere.wasm"]),
        (4, "not-found", &["verify", "./nowhere.wasm"]),
        (5, "network", &["inspect", "localhost:1/a/b:1"]),
        (5, "network", &["why", "localhost:1/a/b:1"]),
        (6, "config", &["list", "--config", "bad.toml"]),
        (1, "failure", &["inspect", "./plugin.wasm"]),
    ] {
        let arguments = [arguments, &["--format", "json"]].concat();
        let answer = scene.run(&arguments);
        let shown = format!("{arguments:?}: {}", answer.transcript());
        assert_eq!(answer.code, Some(code), "{shown}");
        let data = answer.json();
        let error = &data["error"];
        let keys: Vec<_> = error.as_object().expect(&shown).keys().collect();
        assert_eq!(keys, ERROR, "{shown}");
        assert_eq!(error["kind"], kind, "{shown}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{shown}"
        );
        assert!(
            error["causes"].is_array() && error["rejected"].is_array(),
            "{shown}"
        );
    }
}

/// What `cache verify` finds is a failure, in the form of all others, next to the list.
#[test]
fn a_damaged_cache_is_a_failure_in_json() {
    let scene = Scene::new();
    let pulled = scene.run(&["pull", "greet", "--format", "json"]).json();
    let path = pulled["plugins"][0]["path"].as_str().unwrap();
    let path = scene.desk.path().join(path);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    std::fs::write(&path, "damaged").unwrap();
    let answer = scene.run(&["cache", "verify", "--format", "json"]);
    assert_eq!(answer.code, Some(1), "{}", answer.transcript());
    let data = answer.json();
    assert!(!data["damaged"].as_array().unwrap().is_empty(), "{data:#}");
    assert_eq!(data["error"]["kind"], "failure", "{data:#}");
}

/// A signer has one form, in every command.
#[test]
fn every_signer_has_one_form_in_json() {
    let scene = Scene::new();
    let json = |arguments: &[&str]| {
        scene
            .run(&[arguments, &["--format", "json"]].concat())
            .json()
    };
    let pulled = json(&["pull", "greet"])["plugins"][0]["signer"].clone();
    assert!(
        pulled["identity"].is_string() && pulled["issuer"].is_string(),
        "{pulled}"
    );
    for signer in [
        &json(&["verify", "greet"])["report"]["signer"],
        &json(&["why", "greet"])["report"]["signer"],
        &json(&["list"])["plugins"][0]["locked"]["signer"],
        &json(&["update", "greet"])["plugins"][0]["signer"],
    ] {
        assert_eq!(*signer, pulled);
    }
    let config = scene
        .config("")
        .replace(crate::scene::EMAIL, "boss@acme.example");
    let refused = scene
        .with(&config, &["why", "greet", "--format", "json"])
        .json();
    assert_eq!(
        refused["error"]["rejected"][0]["signer"], pulled,
        "{refused:#}"
    );
}

/// What an argument, a file or a plugin holds is escaped.
#[test]
fn no_message_steers_the_terminal() {
    let desk = Desk::new();
    let evil = "x\u{1b}[2J\u{9b}1m\u{202e}y";
    desk.write("evil.toml", format!("\"{evil}\" = 1\n[{evil}"));
    let file = format!("./{evil}.wasm");
    for arguments in [
        &[evil][..],
        &["run", evil, evil],
        &["inspect", &file],
        &["verify", evil],
        &["pull", &format!("--{evil}")],
        &["publish", evil, "--wasm", evil],
        &["login", evil, "-u", evil],
        &["list", "--config", "evil.toml"],
        &["list", "--config", evil],
        &["cache", "list", "--cache-dir", evil],
    ] {
        for format in [&[][..], &["--format", "json"]] {
            let answer = desk.run(&[arguments, format].concat());
            let text = format!("{}{}", answer.stdout, answer.stderr);
            let steers =
                |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
            assert_eq!(text.find(steers), None, "{arguments:?}: {text:?}");
        }
    }
}

/// `-v` in a pipe is plain text.
#[test]
fn a_log_in_a_pipe_has_no_colours() {
    let scene = Scene::new();
    let answer = scene
        .desk
        .run_with(&["pull", "greet", "-vv"], &[("NO_COLOR", "")]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert!(answer.stderr.contains("qmt_plugins"), "{}", answer.stderr);
    assert!(!answer.stderr.contains('\u{1b}'), "{}", answer.stderr);
}

/// Messages in a pipe are not broken, whatever their length.
#[test]
fn a_message_in_a_pipe_is_one_line() {
    let scene = Scene::new();
    let name = format!(
        "localhost:1/{}:1",
        "a-rather-long-name/".repeat(8).trim_end_matches('/')
    );
    let answer = scene.run(&["inspect", &name, "--config", "plugins.toml"]);
    assert_eq!(answer.code, Some(5), "{}", answer.transcript());
    let has_start = |line: &str| {
        ["×", "├─▶", "╰─▶", "help:"]
            .iter()
            .any(|start| line.trim_start().starts_with(start))
    };
    let stages = |line: &&str| !line.starts_with("registry: warning: ");
    let broken = answer
        .stderr
        .lines()
        .filter(stages)
        .find(|line| !has_start(line));
    assert_eq!(broken, None, "{}", answer.stderr);
}

/// `-q` leaves the result and errors; without a terminal `run` leaves warnings too.
#[test]
fn quiet_leaves_the_result_alone() {
    let scene = Scene::new();
    let skip = without_verification(&scene.config(""));
    let run = ["run", "greet", "greet", "--input", "World"];
    let answer = scene.with(&skip, &run);
    assert_eq!(
        answer.stdout,
        "Hello, World! (wasm)",
        "{}",
        answer.transcript()
    );
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert!(!lines.is_empty(), "{}", answer.transcript());
    assert!(
        lines.iter().all(|line| line.contains("warning: ")),
        "{}",
        answer.transcript()
    );
    for command in [&run[..], &["pull", "greet"], &["cache", "list"]] {
        let answer = scene.with(&skip, &[command, &["-q"]].concat());
        assert_eq!(
            (answer.code, &*answer.stderr),
            (Some(0), ""),
            "{}",
            answer.transcript()
        );
        assert!(!answer.stdout.is_empty(), "{}", answer.transcript());
    }
    let answer = scene.with(&skip, &["run", "gret", "greet", "-q"]);
    assert!(
        answer.messages().contains("no plugin `gret`"),
        "{}",
        answer.transcript()
    );
}

/// The message names the argument, the hint the one that was probably meant.
#[test]
fn usage_errors_name_the_argument() {
    let desk = Desk::new();
    let answer = desk.run(&["pull", "--format=json", "--ofline"]);
    let error: Value = answer.json()["error"].clone();
    assert_eq!(error["message"], "unexpected argument '--ofline' found");
    assert!(
        error["hint"].as_str().unwrap().contains("--offline"),
        "{error:#}"
    );
}

/// A command that does nothing says why.
#[test]
fn a_config_without_plugins_is_called_that() {
    let desk = Desk::new();
    desk.write("plugins.toml", "");
    for command in ["list", "pull", "lock", "update", "outdated"] {
        let answer = desk.run(&[command, "--config", "plugins.toml"]);
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
        assert_eq!(answer.stdout, "the config names no plugins\n", "{command}");
    }
}
