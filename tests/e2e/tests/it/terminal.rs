//! What a person sees on a terminal: lines of its width, bars, and what is left after Ctrl-C.
#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::process::Child;
use std::time::{Duration, Instant};

use qmt_testkit::{Auth, FakeRegistry, Fault, ImageBuilder, plugins};

use crate::command::Desk;
use crate::scene::{Scene, without_verification};

/// How the command ended, and what the terminal was sent.
struct Seen {
    code: Option<i32>,
    raw: String,
}

impl Seen {
    /// Waits for the end of `child`.
    fn of(mut child: Child) -> Self {
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        Self {
            code: output.status.code(),
            raw: String::from_utf8_lossy(&output.stdout).into_owned(),
        }
    }

    /// The lines without what moves the cursor.
    fn lines(&self) -> Vec<String> {
        let mut text = String::new();
        let mut letters = self.raw.chars();
        while let Some(letter) = letters.next() {
            if letter == '\u{1b}' {
                letters.by_ref().find(char::is_ascii_alphabetic);
            } else {
                text.push(letter);
            }
        }
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        text.lines().map(str::to_owned).collect()
    }
}

/// Messages are as wide as the terminal, and references, digests and commands stay whole.
#[test]
fn messages_fit_the_terminal_and_references_stay_whole() {
    let scene = Scene::new();
    let host = scene.registry.host();
    let reference = format!("{host}/acme/unsigned:1@{}", scene.unsigned);
    for columns in [40, 80, 200] {
        for command in ["verify", "why"] {
            let seen = Seen::of(scene.desk.on_terminal(columns, &[command, "unsigned"]));
            assert_eq!(seen.code, Some(3), "{}", seen.raw);
            assert!(seen.raw.contains(&reference), "{columns}: {}", seen.raw);
            let whole = |line: &str| line.contains("sha256:") || line.contains('`');
            for line in seen.lines() {
                let fits = line.chars().count() <= columns;
                assert!(fits || whole(&line), "{columns}: {line}");
            }
        }
    }
    let seen = Seen::of(scene.desk.on_terminal(40, &["verify", "unsigned"]));
    assert!(
        seen.raw.contains(&format!("`cosign sign {reference}`")),
        "{}",
        seen.raw
    );
}

/// A plugin in the cache is shown as cached; one that has to be fetched is not.
#[test]
fn a_cached_plugin_is_called_cached() {
    let scene = Scene::new();
    let first = Seen::of(scene.desk.on_terminal(100, &["pull", "greet"]));
    assert_eq!(first.code, Some(0), "{}", first.raw);
    assert!(first.raw.contains("fetched, "), "{}", first.raw);
    assert!(!first.raw.contains("cached"), "{}", first.raw);
    let second = Seen::of(scene.desk.on_terminal(100, &["pull", "greet"]));
    assert_eq!(second.code, Some(0), "{}", second.raw);
    assert!(second.raw.contains("cached"), "{}", second.raw);
    assert!(!second.raw.contains("0 B/0 B"), "{}", second.raw);
}

/// Names of different lengths leave what follows in one column, and warnings end their lines.
#[test]
fn names_are_aligned_and_warnings_are_lines() {
    let scene = Scene::new();
    let skip = without_verification(&scene.config(""));
    scene.desk.write("plugins.toml", skip);
    let seen = Seen::of(scene.desk.on_terminal(60, &["pull"]));
    assert_eq!(seen.code, Some(0), "{}", seen.raw);
    let lines = seen.lines();
    for done in ["greet     fetched, ", "unsigned  fetched, "] {
        assert!(
            lines.iter().any(|line| line.starts_with(done)),
            "{done}: {lines:#?}"
        );
    }
    let warnings = lines.iter().filter(|line| line.contains(": warning: "));
    let warnings: Vec<_> = warnings.map(|line| line.chars().count()).collect();
    assert!(
        warnings.len() == 2 && warnings.iter().all(|length| *length <= 60),
        "{lines:#?}"
    );
}

/// While a plugin arrives the bar shows how much of it, and how fast; names are aligned.
#[test]
fn a_download_shows_its_speed() {
    let scene = Scene::new();
    let image = ImageBuilder::wasm(large()).build();
    image.push(&scene.registry, "acme/large", "1");
    scene
        .registry
        .fault(Fault::on("GET", "*/blobs/*").slow(64 * 1024, Duration::from_millis(60)));
    let reference = format!("{}/acme/large:1", scene.registry.host());
    let run = ["run", &reference, "greet", "--insecure-skip-signature"];
    let seen = Seen::of(scene.desk.on_terminal(100, &run));
    assert_eq!(seen.code, Some(0), "{}", seen.raw);
    for words in ["fetch", "KiB/1.0", "/s"] {
        assert!(seen.raw.contains(words), "{words}: {:?}", seen.raw);
    }
}

/// Ctrl-C removes the bars and says that the download will be resumed; the next run resumes it.
#[test]
fn an_interrupted_download_is_resumed() {
    let scene = Scene::new();
    let image = ImageBuilder::wasm(large()).build();
    image.push(&scene.registry, "acme/large", "1");
    scene.registry.fault(
        Fault::on("GET", "*/blobs/*")
            .slow(16 * 1024, Duration::from_millis(50))
            .times(1),
    );
    let reference = format!("{}/acme/large:1", scene.registry.host());
    let run = ["run", &reference, "greet", "--insecure-skip-signature"];
    let mut child = scene.desk.on_terminal(100, &run);
    let mut stdout = child.stdout.take().unwrap();
    let start = Instant::now();
    let mut raw = Vec::new();
    let mut buffer = [0; 4096];
    // Some of it has arrived.
    while !String::from_utf8_lossy(&raw).contains("KiB/1.0") {
        let count = stdout.read(&mut buffer).unwrap();
        assert!(count > 0 && start.elapsed() < Duration::from_mins(1));
        raw.extend_from_slice(&buffer[..count]);
    }
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    stdout.read_to_end(&mut raw).unwrap();
    let code = child.wait().unwrap().code();
    let seen = Seen {
        code,
        raw: String::from_utf8_lossy(&raw).into_owned(),
    };
    assert_eq!(seen.code, Some(130), "{}", seen.raw);
    let last = seen.lines().join(" ");
    assert!(last.contains("will be resumed"), "{last}");
    let message = seen.raw.rfind("interrupted").unwrap();
    assert!(!seen.raw[message..].contains("KiB"), "{:?}", seen.raw);
    // No warning is made of it, and the bytes that are there are not requested again.
    let again = scene.run(&run);
    assert_eq!(again.code, Some(0), "{}", again.transcript());
    assert!(!again.stderr.contains("resum"), "{}", again.transcript());
    let log = scene.registry.request_log();
    assert!(log.contains(" 206"), "{log}");
}

/// The answer of a plugin can't steer the terminal; a pipe gets it as it is.
#[test]
fn an_answer_does_not_steer_the_terminal() {
    let scene = Scene::new();
    scene.desk.write("plugin.wasm", plugins::echo_wasm());
    scene.desk.write("input", "a\u{1b}[2Jb\tc\nd");
    let run = ["run", "plugin.wasm", "echo", "--input-file", "input"];
    let seen = Seen::of(scene.desk.on_terminal(80, &run));
    assert!(
        seen.raw.contains("a\\u{1b}[2Jb\tc\r\nd\r\n"),
        "{:?}",
        seen.raw
    );
    let piped = scene.run(&run);
    assert_eq!(piped.stdout, "a\u{1b}[2Jb\tc\nd", "{}", piped.transcript());
}

/// Ctrl-C ends a wait for stdin too.
#[test]
fn ctrl_c_ends_a_wait_for_input() {
    let scene = Scene::new();
    scene.desk.write("plugin.wasm", plugins::echo_wasm());
    let run = ["run", "plugin.wasm", "echo", "--input-file", "-"];
    let mut child = scene.desk.on_terminal(80, &run);
    std::thread::sleep(Duration::from_millis(700));
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let seen = Seen::of(child);
    assert_eq!(seen.code, Some(130), "{}", seen.raw);
}

/// Systems end a service with SIGTERM.
#[test]
fn a_terminated_command_has_an_exit_code_of_its_own() {
    let scene = Scene::new();
    scene.registry.fault(Fault::on("GET", "/v2/*").stall());
    let mut child = scene.desk.spawn(&["pull", "greet"]);
    while scene.registry.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut kill = std::process::Command::new("kill");
    assert!(kill.arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

/// `login` asks for what no option gives, and does not show the password.
#[test]
fn login_asks_for_what_is_missing() {
    let auth = Auth::basic("me", "typed-secret");
    let registry = FakeRegistry::builder().auth(auth).start().unwrap();
    let desk = Desk::new();
    let host = registry.host().to_string();
    desk.write(
        "plugins.toml",
        format!("[registries.\"{host}\"]\nplain_http = true\n"),
    );
    for arguments in [
        &["login", &host][..],
        &["login", "--username", "me", &host][..],
    ] {
        let mut child = desk.on_terminal(80, arguments);
        let mut seen = String::new();
        if arguments.len() == 2 {
            read_until(&mut child, &mut seen, "Username: ");
            type_in(&mut child, "me\n");
        }
        read_until(&mut child, &mut seen, "Password: ");
        type_in(&mut child, "typed-secret\n");
        let rest = Seen::of(child);
        assert_eq!(rest.code, Some(0), "{seen}{}", rest.raw);
        assert!(rest.raw.contains("logged in to"), "{seen}{}", rest.raw);
        assert!(!rest.raw.contains("secret"), "{seen}{}", rest.raw);
        let stored = desk.path().join("home/.docker/config.json");
        std::fs::remove_file(stored).unwrap();
    }
    // Ctrl-C ends it at once, although a thread still reads.
    for question in ["Username: ", "Password: "] {
        let mut child = desk.on_terminal(80, &["login", &host]);
        let mut seen = String::new();
        read_until(&mut child, &mut seen, "Username: ");
        if question != "Username: " {
            type_in(&mut child, "me\n");
            read_until(&mut child, &mut seen, question);
        }
        type_in(&mut child, "\x03");
        let seen = Seen::of(child);
        assert_eq!(seen.code, Some(130), "{question}: {}", seen.raw);
    }
    // Without the network, the command refuses before it asks.
    let seen = Seen::of(desk.on_terminal(80, &["login", "--offline", &host]));
    assert_eq!(seen.code, Some(2), "{}", seen.raw);
    assert!(!seen.raw.contains("Username"), "{}", seen.raw);
    let mut child = desk.on_terminal(80, &["login", "--username", "me", &host]);
    read_until(&mut child, &mut String::new(), "Password: ");
    type_in(&mut child, "\n");
    let seen = Seen::of(child);
    assert_eq!(seen.code, Some(2), "{}", seen.raw);
    assert!(seen.raw.contains("the password is empty"), "{}", seen.raw);
}

/// After Ctrl-C at the question for a password, the terminal echoes again.
#[test]
fn ctrl_c_ends_a_wait_for_a_password() {
    let scene = Scene::new();
    let host = scene.registry.host().to_string();
    let login = ["login", "--username", "me", &host];
    let mut child = scene.desk.on_terminal_and_then(80, &login, "stty -a");
    read_until(&mut child, &mut String::new(), "Password: ");
    type_in(&mut child, "\x03");
    let seen = Seen::of(child);
    assert!(seen.raw.contains(" echo "), "{}", seen.raw);
}

/// Reads what the terminal is sent, up to `text`.
fn read_until(child: &mut Child, seen: &mut String, text: &str) {
    let stdout = child.stdout.as_mut().unwrap();
    let mut byte = [0];
    while !seen.contains(text) {
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "{seen}");
        seen.push(char::from(byte[0]));
    }
}

fn type_in(child: &mut Child, keys: &str) {
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(keys.as_bytes()).unwrap();
}

/// The plugin `echo` with a megabyte of a section that nothing reads.
fn large() -> Vec<u8> {
    let mut module = plugins::echo_wasm();
    let content = vec![7; 1 << 20];
    // A custom section: its id, its length in LEB128, and an empty name.
    module.push(0);
    let mut length = content.len() + 1;
    while length >= 0x80 {
        module.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    module.push(u8::try_from(length).unwrap());
    module.push(0);
    module.extend(content);
    module
}
