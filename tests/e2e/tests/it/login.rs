//! `login` and `logout` through the command, in a home of their own.

use qmt_testkit::{Auth, FakeRegistry, Fault};

use crate::command::{Answer, Desk};

const LOGIN: [&str; 3] = ["login", "--password-stdin", "-u"];

/// A registry over plain HTTP, and a config that says so.
fn scene() -> (FakeRegistry, Desk) {
    scene_of(FakeRegistry::builder().start().unwrap())
}

/// As [`scene`], with a registry that requires the password `secret` of the user `me`.
fn scene_with_password() -> (FakeRegistry, Desk) {
    let auth = Auth::basic("me", "secret");
    scene_of(FakeRegistry::builder().auth(auth).start().unwrap())
}

fn scene_of(registry: FakeRegistry) -> (FakeRegistry, Desk) {
    let desk = Desk::new();
    let host = registry.host();
    desk.write(
        "plugins.toml",
        format!("[registries.\"{host}\"]\nplain_http = true\n"),
    );
    (registry, desk)
}

fn login(registry: &FakeRegistry, desk: &Desk, user: &str, password: &[u8]) -> Answer {
    let host = registry.host().to_string();
    desk.run_fed(&[&LOGIN[..], &[user, &host]].concat(), password)
}

/// CFG-01: no message and no list shows the password in a config, whatever is wrong with it.
#[test]
fn secrets_in_a_config_are_not_shown() {
    let desk = Desk::new();
    let digest = format!("sha256 = \"sha256:{}\"", "0".repeat(64));
    let signed = format!(
        "[[providers]]\nname = \"p\"\n{digest}\npath = \"https://h.example/p.wasm?s=canary\"\n"
    );
    for config in [
        &*signed,
        "[registries.\"https://u:canary@h.example\"]\nplain_http = true\n",
        "[registries.\"h.example\"]\nallow_realms = [\"https://u:canary@m/x\"]\n",
        "[registries.\"h.example\"]\nallow_realms = [\"u:canary@m\"]\n",
        "[registries.\"h.example\"]\nca_file = \"https://u:canary@m/x\"\n",
        "[registries.\"h.example\"]\nproxy = http://u:canary@proxy:3128\n",
        "[registries.\"h.example\"]\nplain_http = \"http://u:canary@p\"\n",
        "[oci]\ntrusted_root = \"https://u:canary@m/x\"\n",
        "[oci]\npublic_keys = [\"https://u:canary@m/x\"]\n",
        "[[oci.policy]]\nscope = \"https://u:canary@ghcr.io/**\"\nany_of = []\n",
        "[[providers]]\nname = \"p\"\n[providers.config]\napi_key = canary\n",
    ] {
        desk.write("plugins.toml", config);
        for command in [
            &["config", "check"][..],
            &["list"],
            &["list", "--format", "json"],
        ] {
            let answer = desk.run(command);
            assert!(
                !answer.transcript().contains("canary"),
                "{}",
                answer.transcript()
            );
        }
    }
    let json = r#"{"registries": "http://u:canary@p"}"#;
    desk.write("plugins.json", json);
    let answer = desk.run(&["config", "check", "--config", "plugins.json"]);
    assert_ne!(answer.code, Some(0));
    assert!(
        !answer.transcript().contains("canary"),
        "{}",
        answer.transcript()
    );
}

/// CFG-01: people paste URLs with a password where a name is expected.
#[test]
fn a_password_in_a_name_is_not_shown() {
    let (_, desk) = scene();
    desk.write("p.wasm", "");
    let name = "u:s3cret@ghcr.io/a/b:1";
    let (oci, https) = (format!("oci://{name}"), format!("https://{name}"));
    let query = "ghcr.io/a/b:1?token=s3cret";
    let check = "[[providers]]\nname = \"p\"\npath = \"docker://u:s3cret@ghcr.io/a/b\"\n";
    desk.write("other.toml", check);
    for arguments in [
        &["pull", &oci][..],
        &["pull", query],
        &["inspect", &https],
        &["verify", name, "--format", "json"],
        &["publish", &oci, "--wasm", "p.wasm"],
        &["login", "u:s3cret@ghcr.io", "-u", "me", "--password-stdin"],
        &["logout", "u:s3cret@ghcr.io"],
        &["config", "check", "other.toml"],
    ] {
        let answer = desk.run_fed(arguments, b"x");
        let text = answer.transcript();
        assert_ne!(answer.code, Some(0), "{arguments:?}: {text}");
        assert!(!text.contains("s3cret"), "{arguments:?}: {text}");
        assert!(
            text.contains("***") || arguments.contains(&"other.toml"),
            "{text}"
        );
    }
}

#[test]
fn a_credential_that_cannot_be_used_is_refused() {
    let (registry, desk) = scene();
    let host = registry.host().to_string();
    for (arguments, words) in [
        (&["-u", "", "--password-stdin"][..], "is empty"),
        (
            &["-u", "a:s3cret", "--password-stdin"],
            "can't contain a colon",
        ),
        (&["--password-stdin"], "--username NAME --password-stdin`"),
        (
            &["--config", "plugins.toml"],
            "`qmt-plugins --config plugins.toml login ",
        ),
        (&["-u", "me", "-p", "s3cret"], "`--password-stdin`"),
    ] {
        let answer = desk.run_fed(
            &[&["login", host.as_str()][..], arguments].concat(),
            b"s3cret",
        );
        assert_eq!(answer.code, Some(2), "{}", answer.transcript());
        assert!(answer.messages().contains(words), "{}", answer.transcript());
        assert!(!answer.stderr.contains("s3cret"), "{}", answer.stderr);
    }
    let answer = desk.run_fed(&[&LOGIN[..], &["me", "a b"]].concat(), b"secret");
    assert_eq!(answer.code, Some(2), "{}", answer.transcript());
    assert!(
        answer.messages().contains("`a b` is not a registry"),
        "{}",
        answer.transcript()
    );
    assert!(!desk.path().join("home/.docker").exists());
}

/// A password that would have to be cut is another password.
#[test]
fn a_password_that_is_too_long_is_not_stored() {
    let (registry, desk) = scene();
    let longest = vec![b'x'; 64 * 1024];
    let answer = login(&registry, &desk, "me", &[&longest[..], b"y"].concat());
    assert_eq!(answer.code, Some(2), "{}", answer.transcript());
    assert!(
        answer.messages().contains("longer than 65536 bytes"),
        "{}",
        answer.messages()
    );
    assert!(!answer.stderr.contains("xxx") && !answer.stdout.contains("xxx"));
    assert!(!desk.path().join("home/.docker").exists());
    // The longest that is accepted.
    let answer = login(&registry, &desk, "me", &longest);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert!(desk.path().join("home/.docker/config.json").exists());
}

/// Only docker's files are written; a credential that podman's files still have is reported.
#[test]
fn logging_out_names_the_credential_that_stays() {
    let (registry, desk) = scene();
    let host = registry.host().to_string();
    let logout = ["logout", host.as_str()];
    assert_eq!(login(&registry, &desk, "me", b"secret").code, Some(0));
    let answer = desk.run(&logout);
    assert_eq!(
        answer.stdout.trim(),
        format!("logged out of {host}"),
        "{}",
        answer.transcript()
    );
    let answer = desk.run(&logout);
    assert!(
        answer.stdout.contains("have no credential for") && !answer.stdout.contains("stays"),
        "{}",
        answer.transcript()
    );

    let folder = desk.path().join("home/.config/containers");
    std::fs::create_dir_all(&folder).unwrap();
    // `me:secret`
    let auths = format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"bWU6c2VjcmV0\"}}}}}}");
    desk.write("home/.config/containers/auth.json", &auths);
    let shown = desk
        .run(&[&logout[..], &["--format", "json"]].concat())
        .json();
    assert_eq!(shown["was_logged_in"], false);
    let file = folder.join("auth.json").display().to_string();
    assert_eq!(shown["remaining"], file, "{shown:#}");
    let answer = desk.run(&logout);
    assert!(
        answer.stdout.contains(&format!("{file} stays")),
        "{}",
        answer.transcript()
    );
    let named = desk.write("other.json", &auths).display().to_string();
    let answer = desk.run_with(&logout, &[("REGISTRY_AUTH_FILE", &named)]);
    assert!(answer.stdout.contains(&named), "{}", answer.transcript());
    let variable = format!("QMT_REGISTRY_{}_TOKEN", host.replace(['.', ':'], "_"));
    let answer = desk.run_with(&logout, &[(&variable, "secret")]);
    assert!(
        answer.stdout.contains(&format!("`{variable}`"))
            && answer.stdout.contains("unset")
            && !answer.stdout.contains("podman"),
        "{}",
        answer.transcript()
    );
}

/// A program that generates credentials, such as gcloud's, has nothing to erase.
#[cfg(unix)]
#[test]
fn a_helper_that_keeps_its_credential_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let (registry, desk) = scene();
    let host = registry.host().to_string();
    let answer = r#"printf '{"Username":"u","Secret":"canary"}'"#;
    let script = format!("#!/bin/sh\ncase $1 in get) {answer};; *) cat >/dev/null;; esac\n");
    for folder in ["bin", "home/.docker"] {
        std::fs::create_dir_all(desk.path().join(folder)).unwrap();
    }
    let program = desk.write("bin/docker-credential-x", script);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let named = format!(r#"{{"credHelpers":{{"{host}":"x"}}}}"#);
    for (config, key) in [
        (named, format!("credHelpers[\"{host}\"]")),
        (r#"{"credsStore":"x"}"#.to_owned(), "credsStore".to_owned()),
    ] {
        desk.write("home/.docker/config.json", config);
        let answer = desk.run_with(&["logout", &host], &[("PATH", &path)]);
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
        let said = &answer.stdout;
        let words = format!("remove `{key}` from ");
        assert!(
            said.contains("the credential helper `docker-credential-x` still"),
            "{said}"
        );
        assert!(said.contains(&words) && !said.contains("podman"), "{said}");
    }
}

/// What the registry did not ask for was not checked; a web site is no registry.
#[test]
fn a_credential_that_is_not_checked_is_reported() {
    let (registry, desk) = scene();
    let answer = login(&registry, &desk, "me", b"secret");
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert!(
        answer.stdout.contains("was not checked") && !answer.stdout.contains("logged in"),
        "{}",
        answer.transcript()
    );
    let (registry, desk) = scene();
    let page = Fault::on("GET", "/v2/")
        .respond(200)
        .body("<!doctype html>");
    registry.fault(page.header("content-type", "text/html"));
    let answer = login(&registry, &desk, "me", b"secret");
    assert_eq!(answer.code, Some(5), "{}", answer.transcript());
    assert!(!desk.path().join("home/.docker").exists());
}

/// A byte order mark, as PowerShell writes it, is not a part of the password.
#[test]
fn a_password_that_the_registry_accepts_is_stored() {
    let (registry, desk) = scene_with_password();
    let answer = login(&registry, &desk, "me", b"\xef\xbb\xbfsecret\r\n");
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert!(
        answer.stdout.starts_with("logged in to") && !answer.stdout.contains("unset"),
        "{}",
        answer.transcript()
    );
    let answer = login(&registry, &desk, "me", b"wrong");
    assert_eq!(answer.code, Some(5), "{}", answer.transcript());
    let messages = answer.messages();
    assert!(
        messages.contains("the user name or password is wrong"),
        "{messages}"
    );
}

/// A variable with a credential takes precedence over the stored one, and `login` says so.
#[test]
fn a_variable_that_wins_over_the_stored_credential_is_reported() {
    let (registry, desk) = scene_with_password();
    let host = registry.host().to_string();
    let variable = format!("QMT_REGISTRY_{}_TOKEN", host.replace(['.', ':'], "_"));
    let arguments = [&LOGIN[..], &["me", &host]].concat();
    let answer = desk.run_fed_with(&arguments, b"secret", &[(&variable, "other")]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert!(
        answer.stdout.starts_with("logged in to")
            && answer.stdout.contains(&format!("`{variable}` is unset")),
        "{}",
        answer.transcript()
    );
    let (user, password) = (
        variable.replace("TOKEN", "USERNAME"),
        variable.replace("TOKEN", "PASSWORD"),
    );
    let set = [(user.as_str(), "me"), (password.as_str(), "other")];
    let answer = desk.run_fed_with(&arguments, b"secret", &set);
    let words = format!("`{user}` and `{password}` are unset");
    assert!(answer.stdout.contains(&words), "{}", answer.transcript());
    let answer = desk.run_with(&["logout", &host], &set);
    let words = "stays in use: unset them in the environment";
    assert!(answer.stdout.contains(words), "{}", answer.transcript());
}

/// `login` does not read the lockfile, so one with the marks of a merge does not matter.
#[test]
fn login_ignores_a_damaged_lockfile() {
    let (registry, desk) = scene_with_password();
    desk.write("plugins.lock", "<<<<<<< HEAD\n");
    let answer = login(&registry, &desk, "me", b"secret");
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
}

/// `--frozen` forbids requests, also of commands that use no lockfile.
#[test]
fn a_frozen_login_sends_nothing() {
    let (registry, desk) = scene_with_password();
    let host = registry.host().to_string();
    let login = [&LOGIN[..], &["me", &host, "--frozen"]].concat();
    let answer = desk.run_fed(&login, b"secret");
    assert_ne!(answer.code, Some(0), "{}", answer.transcript());
    assert!(
        answer.messages().contains("--frozen"),
        "{}",
        answer.transcript()
    );
    assert_eq!(registry.requests().len(), 0);
}
