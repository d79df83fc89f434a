//! `doctor`: a machine that has everything, and machines that lack something.

use qmt_testkit::{Auth, FakeRegistry};
use serde_json::Value;

use crate::command::{Answer, Desk};
use crate::scene::Scene;

fn check(answer: &Answer, name: &str) -> Value {
    let json = answer.json();
    let checks = json["checks"].as_array().unwrap().iter();
    let found = checks.filter(|check| check["name"] == name);
    let found: Vec<_> = found.collect();
    assert_eq!(found.len(), 1, "{json:#}");
    found[0].clone()
}

#[test]
fn a_machine_that_has_everything() {
    let scene = Scene::new();
    scene.run(&["pull", "greet"]);
    let answer = scene.run(&["doctor", "--format", "json"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    for (name, words) in [
        ("config", "plugins.toml, 2 plugins"),
        ("lockfile", "it has 1 plugin of this config"),
        ("cache", ", 1 plugin"),
        ("trust root", "trusted_root.json"),
        (scene.registry.host().as_str(), "answers without a login"),
    ] {
        let check = check(&answer, name);
        assert_eq!(check["ok"], true, "{check}");
        let detail = check["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{check}");
    }
    let offline = scene.run(&["doctor", "--offline"]);
    assert_eq!(offline.code, Some(0), "{}", offline.transcript());
    assert!(offline.stdout.contains("not checked"), "{}", offline.stdout);
}

/// The same folder fails at `pull`.
#[test]
fn a_cache_that_cannot_be_made_is_a_failed_check() {
    let scene = Scene::new();
    scene.desk.write("file", "");
    let doctor = ["doctor", "--offline", "--format", "json", "--cache-dir"];
    for (folder, code) in [("file/cache", 1), ("file", 6)] {
        let answer = scene.run(&[&doctor[..], &[folder]].concat());
        assert_eq!(answer.code, Some(code), "{}", answer.transcript());
        let found = check(&answer, "cache");
        assert_eq!(found["ok"], false, "{found}");
        let message = found["error"].to_string();
        assert!(message.contains(folder), "{message}");
        assert_eq!(
            check(&answer, "config")["ok"],
            true,
            "{}",
            answer.transcript()
        );
    }
}

/// In a container without any writable folder, what needs no cache works, and nothing is fetched.
#[test]
fn commands_that_need_no_cache_need_no_folder() {
    let scene = Scene::new();
    scene.desk.write("file", "");
    let nowhere = [("TMPDIR", "file/tmp"), ("QMT_CACHE_DIR", "file/cache")];
    for command in [
        &["config", "check"][..],
        &["list"],
        &["doctor", "--offline"],
    ] {
        let answer = scene.desk.run_with(command, &nowhere);
        let is_doctor = command[0] == "doctor";
        let expected = i32::from(is_doctor);
        assert_eq!(answer.code, Some(expected), "{}", answer.transcript());
        assert_eq!(answer.stdout.contains("trust root"), is_doctor);
        let said = answer.messages();
        assert!(said.contains("file/cache"), "{}", answer.transcript());
    }
    let answer = scene.desk.run_with(&["pull", "greet"], &nowhere);
    assert_eq!(answer.code, Some(1), "{}", answer.transcript());
}

#[test]
fn one_failed_check_does_not_end_the_others() {
    let scene = Scene::new();
    let host = scene.registry.host().to_string();
    std::fs::remove_file(scene.desk.path().join("trusted_root.json")).unwrap();
    drop(scene.registry);
    let answer = scene.desk.run(&["doctor", "--format", "json"]);
    // The code of the first failure.
    assert_eq!(answer.code, Some(6), "{}", answer.transcript());
    assert_eq!(check(&answer, "cache")["ok"], true);
    for (name, kind) in [
        ("config", "config"),
        ("trust root", "config"),
        (&*host, "network"),
    ] {
        let check = check(&answer, name);
        assert_eq!(check["ok"], false, "{check}");
        assert_eq!(check["error"]["kind"], kind, "{check}");
    }
}

/// A config or a lockfile that can't be read is a failed check, and the others are made.
#[test]
fn a_damaged_config_or_lockfile_is_a_failed_check() {
    let scene = Scene::new();
    for (file, name) in [("plugins.lock", "lockfile"), ("plugins.toml", "config")] {
        scene.desk.write(file, "damaged");
        let doctor = ["doctor", "--offline", "--format", "json"];
        let answer = scene.run(&doctor);
        assert_eq!(answer.code, Some(6), "{}", answer.transcript());
        let failed = check(&answer, name);
        assert_eq!(failed["ok"], false, "{failed}");
        let message = failed["error"].to_string();
        assert!(message.contains(file), "{message}");
        let is_checked = answer.stdout.contains("trust root");
        assert_eq!(is_checked, name != "config", "{}", answer.transcript());
        assert!(!answer.stdout.contains("pinned"), "{}", answer.transcript());
    }
}

/// A cache folder that is not a folder.
#[test]
fn commands_that_need_no_cache_accept_a_file_as_its_path() {
    let scene = Scene::new();
    scene.desk.write("file", "");
    let file = [("QMT_CACHE_DIR", "file")];
    for command in [
        &["config", "check"][..],
        &["list"],
        &["doctor", "--offline"],
    ] {
        let answer = scene.desk.run_with(command, &file);
        let expected = if command[0] == "doctor" { 6 } else { 0 };
        assert_eq!(answer.code, Some(expected), "{}", answer.transcript());
        assert!(
            answer.messages().contains("file"),
            "{}",
            answer.transcript()
        );
    }
}

#[test]
fn a_registry_that_requires_a_login_is_no_failure() {
    let auth = Auth::basic("me", "secret");
    let registry = FakeRegistry::builder().auth(auth).start().unwrap();
    let (desk, host) = (Desk::new(), registry.host().to_string());
    let config = format!(
        "[oci]\ninsecure_skip_signature = true\ncache_dir = \"cache\"\n\
         [registries.\"{host}\"]\nplain_http = true\n\
         [[providers]]\nname = \"p\"\npath = \"oci://{host}/a/b:1\"\n"
    );
    desk.write("plugins.toml", config);
    let doctor = || desk.run(&["doctor", "--format", "json"]);
    let required = doctor();
    assert_eq!(required.code, Some(0), "{}", required.transcript());
    let detail = check(&required, &host)["detail"].to_string();
    assert!(
        detail.contains(&format!("qmt-plugins login {host}")),
        "{detail}"
    );
    // The command keeps the config that names the registry.
    desk.write(
        "my config.toml",
        std::fs::read(desk.path().join("plugins.toml")).unwrap(),
    );
    let with_config = desk.run(&["doctor", "--config", "my config.toml"]);
    let command = format!("qmt-plugins --config 'my config.toml' login {host}");
    let shown = with_config
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(shown.contains(&command), "{}", with_config.transcript());
    let login = ["login", "--password-stdin", "-u", "me", &host];
    let login = desk.run_fed(&login, b"secret");
    assert_eq!(login.code, Some(0), "{}", login.transcript());
    let accepted = check(&doctor(), &host)["detail"].to_string();
    assert!(accepted.contains("accepts the credential in"), "{accepted}");
    // One that is refused is named by its source.
    let name = format!("QMT_REGISTRY_{}_TOKEN", host.replace(['.', ':'], "_"));
    let doctor = ["doctor", "--format", "json"];
    let refused = desk.run_with(&doctor, &[(&name, "wrong")]);
    assert_eq!(refused.code, Some(5), "{}", refused.transcript());
    let hint = check(&refused, &host)["error"]["hint"].to_string();
    assert!(hint.contains(&name), "{hint}");
}

#[test]
fn a_trust_root_that_no_plugin_requires_is_not_requested() {
    let answer = Desk::new().run(&["doctor", "--offline"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert!(answer.stdout.contains("not required"), "{}", answer.stdout);
}

/// Keys that need no log need no trust root, whatever other images would need.
#[test]
fn a_trust_root_is_checked_where_a_plugin_requires_one() {
    let desk = Desk::new();
    desk.write(
        "team.pub",
        qmt_testkit::PrivateSigstore::new().key_pem("p256"),
    );
    let config = "[oci]\ncache_dir = \"cache\"\n[[oci.policy]]\nscope = \"h.example/**\"\n\
                  any_of = [{ key = \"team.pub\", transparency_log = \"optional\" }]\n\
                  [[providers]]\nname = \"p\"\npath = \"oci://h.example/a:1\"\n";
    for (path, is_required) in [
        ("oci://h.example/a:1", false),
        ("oci://ghcr.io/a/b:1", true),
    ] {
        desk.write("plugins.toml", config.replace("oci://h.example/a:1", path));
        let answer = desk.run(&["doctor", "--offline", "--format", "json"]);
        let trust = check(&answer, "trust root");
        assert_eq!(trust["ok"], !is_required, "{trust}");
    }
}
