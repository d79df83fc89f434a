//! Signatures with keys through the command: what it prints works, and no Sigstore is queried.

use qmt_testkit::{FakeRegistry, PrivateSigstore, plugins};
use serde_json::{Value, json};

use crate::command::{Answer, Desk};

/// A registry with a signed plugin, and a folder to use it from.
struct Scene {
    registry: FakeRegistry,
    desk: Desk,
    /// What `publish` printed.
    published: String,
    public_key: String,
}

impl Scene {
    fn new() -> Self {
        let registry = FakeRegistry::builder().start().unwrap();
        let desk = Desk::new();
        let scene = Self {
            published: String::new(),
            public_key: String::new(),
            registry,
            desk,
        };
        scene.desk.write("plugin.wasm", plugins::echo_wasm());
        scene.desk.write("team.key", crate::publish::KEY);
        scene.desk.write("publish.toml", scene.base());
        let reference = format!("{}/acme/greeter:1", scene.registry.host());
        let publish = [
            "publish",
            &reference,
            "--wasm",
            "plugin.wasm",
            "--sign-key",
            "team.key",
            "--config",
            "publish.toml",
        ];
        let answer = scene.desk.run(&publish);
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
        let key = public_key(&answer.stdout);
        Self {
            published: answer.stdout,
            public_key: key,
            ..scene
        }
    }

    fn base(&self) -> String {
        format!(
            "[registries.\"{}\"]\nplain_http = true\n",
            self.registry.host()
        )
    }

    /// A config with `oci`, a provider, and more tables at its end.
    fn config(&self, oci: &str, end: &str) -> String {
        format!(
            "[oci]\n{oci}\n{}[[providers]]\nname = \"greeter\"\n\
             path = \"oci://{}/acme/greeter:1\"\n{end}\n",
            self.base(),
            self.registry.host()
        )
    }

    fn run(&self, config: &str, arguments: &[&str]) -> Answer {
        self.desk.write("plugins.toml", config);
        let config = ["--config", "plugins.toml", "--cache-dir", "cache"];
        self.desk.run(&[arguments, &config].concat())
    }

    /// Checks that `config` is valid and accepts the plugin.
    #[track_caller]
    fn works(&self, config: &str) {
        let check = self.run(config, &["config", "check"]);
        assert_eq!(check.code, Some(0), "{config}\n{}", check.transcript());
        let answer = self.run(config, &["verify", "greeter"]);
        assert_eq!(answer.code, Some(0), "{config}\n{}", answer.transcript());
    }
}

/// Returns the public key that `publish` printed.
pub(crate) fn public_key(text: &str) -> String {
    between(
        text,
        "-----BEGIN PUBLIC KEY-----",
        "-----END PUBLIC KEY-----",
    )
}

/// The text from `start` to `end`, both included.
fn between(text: &str, start: &str, end: &str) -> String {
    let from = text
        .find(start)
        .unwrap_or_else(|| panic!("no {start} in {text}"));
    let length = text[from..].find(end).unwrap() + end.len();
    text[from..from + length].to_owned() + "\n"
}

/// The proposed policy in a text, without what a message draws around it.
fn block(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim_start_matches(['│', ' ']));
    let lines = lines.skip_while(|line| *line != "[[oci.policy]]").take(3);
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 3, "no block in {text}");
    lines.join("\n")
}

/// What `publish --sign-key` prints is all that a host needs.
#[test]
fn what_publish_prints_works_when_it_is_pasted() {
    let scene = Scene::new();
    scene.desk.write("team.pub", &scene.public_key);
    scene.works(&scene.config("", &block(&scene.published)));
}

/// The one way for keys without a log, with `use_sigstore_tuf_data` and without it. The network of
/// these tests ends at this machine, so that a request to a public Sigstore would fail.
#[test]
fn keys_alone_ask_nothing_of_a_sigstore() {
    let scene = Scene::new();
    scene.desk.write("team.pub", &scene.public_key);
    let host = scene.registry.host();
    for tuf in [
        "",
        "use_sigstore_tuf_data = false",
        "use_sigstore_tuf_data = true",
    ] {
        let keys = format!("{tuf}\npublic_keys = [\"team.pub\"]\ntransparency_log = \"optional\"");
        scene.works(&scene.config(&keys, ""));
        let shown = scene.run(&scene.config(&keys, ""), &["trust", "show"]);
        assert_eq!(shown.code, Some(0), "{}", shown.transcript());
        for words in ["keys alone", "team.pub", "**"] {
            assert!(shown.stdout.contains(words), "{}", shown.stdout);
        }
        // A scope of its own, next to images that need a Sigstore.
        let scope = format!(
            "[[oci.policy]]\nscope = \"{host}/acme/**\"\n\
             any_of = [{{ key = \"team.pub\", transparency_log = \"optional\" }}]"
        );
        scene.works(&scene.config(tuf, &scope));
    }
}

/// Configs whose images are all accepted without a trust root: none is fetched to show the policies.
#[test]
fn policies_that_need_no_trust_root_are_shown_without_one() {
    let scene = Scene::new();
    scene.desk.write("team.pub", &scene.public_key);
    let of_scope = format!(
        "[[oci.policy]]\nscope = \"{}/acme/**\"\n\
         any_of = [{{ key = \"team.pub\", transparency_log = \"optional\" }}]",
        scene.registry.host()
    );
    let keys = "public_keys = [\"team.pub\"]\ntransparency_log = \"optional\"";
    let skipped = "insecure_skip_signature = true";
    for (oci, words) in [
        (&*of_scope, "team.pub"),
        (keys, "team.pub"),
        (skipped, "**"),
    ] {
        for options in [&[][..], &["--offline"]] {
            let config = scene.config(oci, "");
            let show = |more: &[&str]| {
                let shown = scene.run(&config, &[&["trust", "show"], options, more].concat());
                assert_eq!(shown.code, Some(0), "{oci}\n{}", shown.transcript());
                shown
            };
            let shown = show(&[]).stdout;
            let reason = if oci == skipped {
                "not used"
            } else {
                "not required"
            };
            for words in [words, "trust root", reason] {
                assert!(shown.contains(words), "{oci}\n{shown}");
            }
            let json = show(&["--format", "json"]).json();
            assert_eq!((&json["source"], &json["logs"]), (&Value::Null, &json!(0)));
            assert!(json["policies"].to_string().contains(words), "{json:#}");
        }
    }
    // A plugin that requires one is not hidden by another one.
    let other = "[[providers]]\nname = \"other\"\npath = \"oci://ghcr.io/acme/other:1\"\n";
    let config = scene.config(&of_scope, other);
    let shown = scene.run(&config, &["trust", "show", "--offline"]);
    assert_eq!(shown.code, Some(4), "{}", shown.transcript());
}

/// Each hint about a key is a block that works, with the file that it names.
#[test]
fn what_hints_about_keys_propose_works_when_it_is_pasted() {
    let scene = Scene::new();
    scene.desk.write("team.pub", &scene.public_key);
    scene.desk.write("signer.pub", &scene.public_key);
    let other = PrivateSigstore::new().key_pem("p256");
    scene.desk.write("other.pub", &other);
    let rest = "trusted_root = \"embedded\"";
    for keys in [
        // Another key, no key, and a key with a log.
        "public_keys = [\"other.pub\"]\ntransparency_log = \"optional\"",
        "cert_email = \"dev@acme.example\"\ncert_issuer = \"https://accounts.acme.example\"",
        "public_keys = [\"team.pub\"]",
    ] {
        let oci = format!("{rest}\n{keys}");
        let refused = scene.run(&scene.config(&oci, ""), &["pull", "greeter"]);
        assert_eq!(refused.code, Some(3), "{keys}\n{}", refused.transcript());
        scene.works(&scene.config(&oci, &block(&refused.stderr)));
        let why = scene.run(&scene.config(&oci, ""), &["why", "greeter"]);
        scene.works(&scene.config(&oci, &block(&why.stdout)));
    }
    // What accepts a key says how to accept it.
    let keys = "public_keys = [\"team.pub\"]\ntransparency_log = \"optional\"";
    let why = scene.run(&scene.config(keys, ""), &["why", "greeter"]);
    assert_eq!(why.code, Some(0), "{}", why.transcript());
    scene.works(&scene.config("", &block(&why.stdout)));
}

/// What a config has already does not make the lines useless.
#[test]
fn what_hints_propose_fits_into_a_config_that_has_policies() {
    let scene = Scene::new();
    scene.desk.write("team.pub", &scene.public_key);
    let host = scene.registry.host().to_string();
    let end = format!(
        "[registries.\"{host}\"]\nplain_http = true\n\
         [[providers]]\nname = \"greeter\"\npath = \"oci://{host}/acme/greeter:1\"\n"
    );
    let yaml_end = format!(
        "registries:\n  {host:?}:\n    plain_http: true\n\
         providers:\n- name: greeter\n  path: oci://{host}/acme/greeter:1\n"
    );
    // Each config, with its place for the lines and what they replace, and the first line.
    for (file, config, first) in [
        (
            "same.toml",
            format!(
                "[oci]\ntrusted_root = \"embedded\"\n[[oci.policy]]\n\
                 scope = \"{host}/acme/greeter\"\nsigned_name = \"any\"\n\
                 any_of = [«{{ key = \"team.pub\" }}»]\n{end}"
            ),
            "{ key = \"team.pub\", transparency_log = \"optional\" }",
        ),
        (
            "inline.toml",
            format!(
                "[oci]\ntrusted_root = \"embedded\"\npolicy = [\n«»\n\
                 {{ scope = \"{host}/acme/*\", any_of = [{{ key = \"team.pub\" }}] }}]\n{end}"
            ),
            "# at the start of the list `policy` in `[oci]`",
        ),
        (
            "keys.yaml",
            format!("oci:\n«»\n  trusted_root: embedded\n  public_keys: team.pub\n{yaml_end}"),
            "# below `oci:`",
        ),
        (
            "policies.yaml",
            format!(
                "oci:\n  trusted_root: embedded\n  policy:\n«»\n    - scope: {host}/acme/*\n      \
                 any_of: [key: team.pub]\n{yaml_end}"
            ),
            "# below `policy:` of `oci:`",
        ),
        (
            "same.yaml",
            format!(
                "oci:\n  trusted_root: embedded\n  policy:\n  - scope: {host}/acme/greeter\n    \
                 any_of:\n    «- key: team.pub»\n{yaml_end}"
            ),
            "- key: team.pub",
        ),
    ] {
        let (before, rest) = config.split_once('«').unwrap();
        let (replaced, after) = rest.split_once('»').unwrap();
        let verify = |config: &str| {
            scene.desk.write(file, config);
            let options = ["--config", file, "--cache-dir", "cache"];
            scene
                .desk
                .run(&[&["verify", "greeter"][..], &options].concat())
        };
        let refused = verify(&format!("{before}{replaced}{after}"));
        assert_eq!(refused.code, Some(3), "{file}\n{}", refused.transcript());
        let indent = before.rsplit('\n').next().unwrap_or_default();
        let indent = if indent.trim().is_empty() { indent } else { "" };
        let lines = block_from(&refused.stderr, first);
        let lines = lines.replace('\n', &format!("\n{indent}"));
        let pasted = format!("{before}{lines}{after}");
        let answer = verify(&pasted);
        assert_eq!(answer.code, Some(0), "{pasted}\n{}", answer.transcript());
    }
}

/// The lines from `first` to the end of a message, without the indentation of all of them.
fn block_from(text: &str, first: &str) -> String {
    let mut lines = text
        .lines()
        .skip_while(|line| line.trim() != first)
        .peekable();
    let width = match lines.peek() {
        Some(line) => line.len() - line.trim_start().len(),
        None => panic!("no {first} in {text}"),
    };
    let lines = lines.map_while(|line| {
        let (margin, line) = line.split_at_checked(width)?;
        margin.trim().is_empty().then_some(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Makes a config of the lines that were proposed.
type Config<'a> = &'a dyn Fn(&str) -> String;

/// The lines have the format of the config that refuses the signature.
#[test]
fn what_hints_propose_has_the_format_of_the_config() {
    let scene = Scene::new();
    scene.desk.write("team.pub", &scene.public_key);
    scene.desk.write("signer.pub", &scene.public_key);
    let other = PrivateSigstore::new().key_pem("p256");
    scene.desk.write("other.pub", &other);
    let host = scene.registry.host();
    let registries = json!({ (host.to_string()): { "plain_http": true } });
    let providers = json!([{ "name": "greeter", "path": format!("oci://{host}/acme/greeter:1") }]);
    let oci = json!({
        "trusted_root": "embedded",
        "public_keys": ["other.pub"],
        "transparency_log": "optional",
    });
    // JSON is YAML as well.
    let refusing = json!({ "oci": oci, "registries": registries, "providers": providers });
    let yaml = |block: &str| {
        format!(
            "{block}\n  trusted_root: embedded\nregistries: {registries}\nproviders: {providers}"
        )
    };
    let json = |block: &str| {
        let mut config: Value = serde_json::from_str(block).unwrap();
        config["oci"]["trusted_root"] = "embedded".into();
        config["registries"] = registries.clone();
        config["providers"] = providers.clone();
        config.to_string()
    };
    let formats: [(&str, &str, Config<'_>); 2] = [
        ("plugins.json", "{", &json),
        ("plugins.yaml", "oci:", &yaml),
    ];
    for (file, start, accepting) in formats {
        let with = |config: &str, command: &str| {
            scene.desk.write(file, config);
            let options = ["--config", file, "--cache-dir", "cache"];
            scene
                .desk
                .run(&[&[command, "greeter"][..], &options].concat())
        };
        for command in ["pull", "why"] {
            let refused = with(&refusing.to_string(), command);
            assert_eq!(refused.code, Some(3), "{}", refused.transcript());
            let said = refused.stdout.clone() + &refused.stderr;
            let accepting = accepting(&indented(&said, start));
            let answer = with(&accepting, "verify");
            assert_eq!(answer.code, Some(0), "{accepting}\n{}", answer.transcript());
        }
    }
}

/// The lines from `start` on that are a block, without the indentation of all of them.
fn indented(text: &str, start: &str) -> String {
    let lines = text.lines().map(|line| line.trim_start_matches('│'));
    let mut lines = lines.skip_while(|line| line.trim() != start);
    let first = lines
        .next()
        .unwrap_or_else(|| panic!("no {start} in {text}"));
    let width = first.len() - first.trim_start().len();
    let rest = lines.map_while(|line| {
        let (margin, line) = line.split_at_checked(width)?;
        let belongs = margin.trim().is_empty() && line.starts_with([' ', '}']);
        belongs.then(|| line.to_owned())
    });
    let lines: Vec<String> = std::iter::once(start.to_owned()).chain(rest).collect();
    lines.join("\n")
}

/// `config check` says that a log is missing, and the line that does without one.
#[test]
fn a_key_that_no_log_can_vouch_for_is_found_when_the_config_is_checked() {
    let scene = Scene::new();
    scene.desk.write("team.pub", &scene.public_key);
    let keys = "use_sigstore_tuf_data = false\npublic_keys = [\"team.pub\"]";
    let answer = scene.run(&scene.config(keys, ""), &["config", "check"]);
    assert_eq!(answer.code, Some(6), "{}", answer.transcript());
    let line = "transparency_log = \"optional\"";
    assert!(answer.stderr.contains(line), "{}", answer.stderr);
    scene.works(&scene.config(&format!("{keys}\n{line}"), ""));
}

/// `--key` replaces the policies of the config, so lines for the config do not help.
#[test]
fn a_key_of_the_command_line_names_its_own_option() {
    let scene = Scene::new();
    scene.desk.write("team.pub", &scene.public_key);
    let reference = format!("{}/acme/greeter:1", scene.registry.host());
    // What has nothing to do with the log has another hint.
    for (key, code) in [("typo.pub", None), ("awskms:///alias/team", Some(2))] {
        let refused = scene.run(&scene.base(), &["verify", &reference, "--key", key]);
        assert_ne!(refused.code, Some(0), "{}", refused.transcript());
        assert!(
            code.is_none_or(|code| refused.code == Some(code)),
            "{}",
            refused.transcript()
        );
        let said = refused.transcript();
        assert!(!said.contains("--insecure-ignore-tlog"), "{said}");
    }
    let key = ["--key", "team.pub", "--trusted-root", "embedded"];
    let accepted = ["--insecure-ignore-tlog"];
    for command in [
        &["verify", &*reference][..],
        &["why", &reference],
        &["run", &reference, "greet"],
    ] {
        let refused = scene.run(&scene.base(), &[command, &key].concat());
        assert_eq!(refused.code, Some(3), "{}", refused.transcript());
        let said = refused.transcript();
        assert!(said.contains("`--insecure-ignore-tlog` accepts"), "{said}");
        // `why` explains the config as well.
        let has_lines = said.contains("[[oci.policy]]");
        assert_eq!(has_lines, command[0] == "why", "{said}");
        let answer = scene.run(&scene.base(), &[command, &key, &accepted].concat());
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    }
    // What the config requires of its own signers does not count, nor is the config wrong.
    let optional = format!("[oci]\ntransparency_log = \"optional\"\n{}", scene.base());
    let refused = scene.run(&optional, &[&["verify", &reference][..], &key].concat());
    assert_eq!(refused.code, Some(3), "{}", refused.transcript());
    let keys_alone = "[oci]\nuse_sigstore_tuf_data = false\n\
                      public_keys = [\"team.pub\"]\ntransparency_log = \"optional\"\n";
    let keys_alone = format!("{keys_alone}{}", scene.base());
    let verify = ["verify", &*reference, "--key", "team.pub"];
    let refused = scene.run(&keys_alone, &verify);
    assert_eq!(refused.code, Some(2), "{}", refused.transcript());
    let said = refused.stderr;
    assert!(said.contains("the config names none"), "{said}");
    assert!(said.contains("--insecure-ignore-tlog"), "{said}");
    // A shell leaves `~` in such a word as it is.
    let desk = scene.desk.path();
    std::fs::copy(desk.join("team.pub"), desk.join("home/team.pub")).unwrap();
    let at_home = ["verify", &*reference, "--key=~/team.pub"];
    let answer = scene.run(&keys_alone, &[&at_home[..], &accepted].concat());
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    let answer = scene.run(&keys_alone, &[&verify[..], &accepted].concat());
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    let other = PrivateSigstore::new().key_pem("other");
    scene.desk.write("other.pub", other);
    let key = ["--key", "other.pub", "--insecure-ignore-tlog"];
    let verify = ["verify", &*reference];
    let refused = scene.run(&scene.base(), &[&verify[..], &key].concat());
    assert_eq!(refused.code, Some(3), "{}", refused.transcript());
    let said = refused.messages();
    assert!(said.contains("the key that `--key` names"), "{said}");
    assert!(!said.contains("[[oci.policy]]"), "{said}");
}

/// So does `--certificate-identity`, for an image that is signed with a key.
#[test]
fn an_identity_of_the_command_line_names_its_own_option() {
    let scene = Scene::new();
    let reference = format!("{}/acme/greeter:1", scene.registry.host());
    let identity = [
        "verify",
        &*reference,
        "--certificate-identity",
        "dev@acme.example",
        "--certificate-oidc-issuer",
        "https://accounts.acme.example",
        "--trusted-root",
        "embedded",
    ];
    let refused = scene.run(&scene.base(), &identity);
    assert_eq!(refused.code, Some(3), "{}", refused.transcript());
    let said = refused.messages();
    assert!(
        said.contains("the signer that `--certificate-identity`"),
        "{said}"
    );
    assert!(!said.contains("[[oci.policy]]"), "{said}");
    // Without a transparency log, the option that does without one is named, and no policy that the config
    // does not have.
    let sigstore = PrivateSigstore::new();
    scene.desk.write("ca.pem", sigstore.fulcio_pem());
    scene.desk.write("tsa.pem", sigstore.tsa_pem());
    let config = format!(
        "[oci]\nuse_sigstore_tuf_data = false\nfulcio_certs = \"ca.pem\"\ntsa_certs = \"tsa.pem\"\n\
         cert_email = \"dev@acme.example\"\ncert_issuer = \"https://accounts.acme.example\"\n\
         transparency_log = \"optional\"\n{}",
        scene.base()
    );
    let refused = scene.run(&config, &identity[..identity.len() - 2]);
    assert_eq!(refused.code, Some(6), "{}", refused.transcript());
    let said = refused.messages();
    assert!(said.contains("`--insecure-ignore-tlog` accepts"), "{said}");
    assert!(
        said.contains("which the accepted signers require"),
        "{said}"
    );
    let once = format!("`oci://{reference}` can't be verified");
    assert!(said.starts_with(&once), "{said}");
}
