//! `publish` through the command: what it refuses, what it prints, what it writes.

use qmt_testkit::{FakeRegistry, plugins};

use crate::command::Desk;

/// A folder with a module to publish.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("plugin.wasm", plugins::echo_wasm());
    desk
}

#[test]
fn a_time_of_creation_that_no_calendar_holds() {
    let desk = desk();
    let publish = ["publish", "oci-layout://out:1", "--wasm", "plugin.wasm"];
    for seconds in ["18446744073709551615", "253402300800", "-1", "now"] {
        let answer = desk.run_with(&publish, &[("SOURCE_DATE_EPOCH", seconds)]);
        assert_eq!(answer.code, Some(2), "{}", answer.transcript());
        assert!(
            answer.messages().contains("SOURCE_DATE_EPOCH"),
            "{}",
            answer.transcript()
        );
    }
    let answer = desk.run_with(&publish, &[("SOURCE_DATE_EPOCH", "253402300799")]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
}

#[test]
fn a_variant_that_no_host_has_is_refused() {
    let desk = desk();
    for variant in ["v99", "v2/x"] {
        let native = format!("linux/amd64/{variant}=plugin.wasm");
        let answer = desk.run(&["publish", "oci-layout://out:1", "--native", &native]);
        assert_eq!(answer.code, Some(2), "{}", answer.transcript());
        for words in [variant, "v1, v2, v3 and v4"] {
            assert!(answer.messages().contains(words), "{}", answer.transcript());
        }
    }
    assert!(!desk.path().join("out").exists());
}

/// Made by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`, for these tests.
pub(crate) const KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3Pv43mDTzC0sUOpp\n\
ufP/ps+YktYUbRq4Xpo///XLEd2hRANCAAREH5Cu8+BlnPqAjPppL3VSUqVkgHeZ\n\
bFSG7oe+ytZpxsyGPINcWf9qXZGs2YovrhQ1Yq6J8UXwh0o3gS4gQ0MS\n\
-----END PRIVATE KEY-----\n";

/// For a layout there is no command of cosign, so none is shown.
#[test]
fn only_commands_that_work_are_shown() {
    let desk = desk();
    desk.write("key.pem", KEY);
    for signing in [&[][..], &["--sign-key", "key.pem"]] {
        let publish = ["publish", "oci-layout://out:1", "--wasm", "plugin.wasm"];
        let publish = [&publish[..], signing].concat();
        let answer = desk.run(&[&publish[..], &["--format", "json"]].concat());
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
        let shown = answer.json();
        assert!(
            shown["sign"].is_null() && shown["verify"].is_null(),
            "{shown:#}"
        );
        let keys: Vec<_> = shown.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["published", "sign", "verify"]);
        let answer = desk.run(&publish);
        assert!(!answer.stdout.contains("cosign"), "{}", answer.transcript());
    }
}

/// Where cosign takes a key, and this command takes a file only.
#[test]
fn a_key_that_is_no_file_is_not_looked_for() {
    let desk = desk();
    for key in ["awskms:///alias/release", "env://COSIGN_PRIVATE_KEY"] {
        let publish = ["publish", "oci-layout://out:1", "--wasm", "plugin.wasm"];
        let answer = desk.run(&[&publish[..], &["--sign-key", key]].concat());
        assert_eq!(answer.code, Some(2), "{}", answer.transcript());
        let said = answer.messages();
        assert!(said.contains(key) && said.contains("name a file"), "{said}");
    }
    assert!(!desk.path().join("out").exists());
}

/// The same in a registry. The case of a host does not matter, so the command for cosign allows
/// plain HTTP.
#[test]
fn the_commands_fit_the_registry_of_the_config() {
    let registry = FakeRegistry::builder().start().unwrap();
    let desk = desk();
    desk.write("key.pem", KEY);
    let port = registry.host().port().unwrap();
    desk.write(
        "plugins.toml",
        format!("[registries.\"LOCALHOST:{port}\"]\nplain_http = true\n"),
    );
    let place = format!("localhost:{port}/acme/greet:1");
    let signing = ["--sign-key", "key.pem", "--format", "json"];
    let publish = ["publish", &place, "--wasm", "plugin.wasm"];
    let answer = desk.run(&[&publish[..], &signing].concat());
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    let shown = answer.json();
    for command in ["sign", "verify"] {
        let command = shown[command].as_str().unwrap();
        assert!(command.contains(" --allow-http-registry "), "{command}");
        assert!(command.contains(&format!("localhost:{port}/acme/greet@sha256:")));
    }
}

/// The commands can be pasted, whatever the file of the key is called.
#[test]
fn the_commands_quote_the_name_of_the_key() {
    let registry = FakeRegistry::builder().start().unwrap();
    let (desk, host) = (desk(), registry.host());
    desk.write("my key.pem", KEY);
    let plain = format!("[registries.\"{host}\"]\nplain_http = true\n");
    desk.write("plugins.toml", plain);
    let place = format!("{host}/acme/greet:1");
    let signing = ["--sign-key", "my key.pem", "--format", "json"];
    let publish = ["publish", &place, "--wasm", "plugin.wasm"];
    let answer = desk.run(&[&publish[..], &signing].concat());
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    let shown = answer.json();
    let verify = shown["verify"].as_str().unwrap();
    assert!(verify.contains("--key 'my key.pub' "), "{verify}");
}

/// A bare relative name of an archive that is not there yet, then a second tag in it.
#[test]
fn an_archive_is_made_and_added_to() {
    let desk = desk();
    for tag in ["v1", "v2"] {
        let place = format!("oci-layout://new.tar:{tag}");
        let answer = desk.run(&["publish", &place, "--wasm", "plugin.wasm", "--title", tag]);
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    }
    assert!(desk.path().join("new.tar").is_file());
    for tag in ["v1", "v2"] {
        let place = format!("oci-layout://new.tar:{tag}");
        let shown = desk.run(&["inspect", &place, "--format", "json"]).json();
        let title = &shown["inspection"]["annotations"]["org.opencontainers.image.title"];
        assert_eq!(title, tag, "{shown:#}");
    }
    let answer = desk.run(&["inspect", "oci-layout://new.tar:v3"]);
    assert_eq!(answer.code, Some(4), "{}", answer.transcript());
}

/// A tilde is the home folder for every command, and a pipe can be published.
#[cfg(unix)]
#[test]
fn a_destination_in_the_home_folder() {
    let desk = Desk::new();
    let publish = ["publish", "oci-layout://~/out:1", "--wasm", "/dev/stdin"];
    let published = desk.run_fed(&publish, &plugins::echo_wasm());
    assert_eq!(published.code, Some(0), "{}", published.transcript());
    let messages = published.messages();
    assert!(!messages.contains("hosts will not load it"), "{messages}");
    assert!(!desk.path().join("~").exists());
    let inspected = desk.run(&["inspect", "oci-layout://~/out:1"]);
    assert_eq!(inspected.code, Some(0), "{}", inspected.transcript());
}

/// Nothing is waited for that may never come.
#[cfg(unix)]
#[test]
fn only_files_and_open_pipes_are_published() {
    let desk = desk();
    let made = std::process::Command::new("mkfifo")
        .arg(desk.path().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    for file in ["pipe", "/dev/zero", "/dev/null"] {
        let native = format!("linux/amd64={file}");
        for option in [["--wasm", file], ["--native", &native]] {
            let publish = ["publish", "oci-layout://new:1"];
            let refused = desk.run(&[&publish[..], &option].concat());
            assert_eq!(refused.code, Some(1), "{}", refused.transcript());
            let said = refused.messages();
            assert!(said.contains("it is not a regular file"), "{said}");
            assert!(said.contains(file), "{said}");
        }
    }
}

/// Whatever is wrong with a signing key, the exit code is the same: that of trust material.
#[test]
fn signing_keys_that_cannot_be_used_have_one_exit_code() {
    let desk = desk();
    let block = |label: &str| format!("-----BEGIN {label}-----\nAQID\n-----END {label}-----\n");
    for (name, content) in [
        ("empty", String::new()),
        ("junk", "x".to_owned()),
        ("public", block("PUBLIC KEY")),
        ("sec1", block("EC PRIVATE KEY")),
        ("encrypted", block("ENCRYPTED PRIVATE KEY")),
    ] {
        desk.write(name, content);
    }
    desk.write("der", b"\x30\x81\x87\x02\x01\x00\x30\xff");
    std::fs::create_dir(desk.path().join("folder")).unwrap();
    for (name, code, words) in [
        ("empty", 6, "not one private key"),
        ("junk", 6, "not one private key"),
        ("public", 6, "requires `PRIVATE KEY`"),
        ("sec1", 6, "openssl pkcs8"),
        ("encrypted", 6, "openssl pkcs8"),
        (
            "der",
            6,
            "convert a private key with `openssl pkey -inform DER -in",
        ),
        ("folder", 6, "directory"),
        ("absent", 4, "`cosign generate-key-pair` makes a key"),
    ] {
        let publish = ["publish", "oci-layout://new:1", "--wasm", "plugin.wasm"];
        let refused = desk.run(&[&publish[..], &["--sign-key", name]].concat());
        assert_eq!(refused.code, Some(code), "{}", refused.transcript());
        let said = refused.messages();
        let named = format!("the key `{name}` can't be used");
        assert!(said.contains(&named) && said.contains(words), "{said}");
        assert!(!said.contains("-pubin"), "{said}");
    }
}

#[test]
fn a_key_in_pkcs_12_is_named() {
    let desk = desk();
    // The beginning of what `openssl pkcs12 -export` writes.
    let start =
        b"\x30\x82\x04\x0d\x02\x01\x03\x30\x82\x03\xc3\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    desk.write("key.p12", [&start[..], &[0xff; 64]].concat());
    let publish = ["publish", "oci-layout://new:1", "--wasm", "plugin.wasm"];
    let refused = desk.run(&[&publish[..], &["--sign-key", "key.p12"]].concat());
    assert_eq!(refused.code, Some(6), "{}", refused.transcript());
    let said = refused.messages();
    for words in ["it is a PKCS #12 file", "openssl pkcs12"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("DER"), "{said}");
}
