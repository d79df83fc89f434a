//! The messages and exit codes of typical mistakes, as text and in JSON.

use qmt_testkit::PrivateSigstore;
use serde_json::Value;

use crate::command::Desk;
use crate::scene::{EMAIL, ISSUER, Scene};

/// A mistake, how it ends, and what its message must say.
struct Mistake {
    arguments: &'static [&'static str],
    code: i32,
    kind: &'static str,
    words: &'static [&'static str],
}

impl Mistake {
    const fn new(
        arguments: &'static [&'static str],
        (code, kind): (i32, &'static str),
        words: &'static [&'static str],
    ) -> Self {
        Self {
            arguments,
            code,
            kind,
            words,
        }
    }

    /// Makes it, for a person and for a program: code and words are the same for both.
    fn make(&self, scene: &Scene, config: &str) {
        let person = scene.with(config, self.arguments);
        assert_eq!(person.code, Some(self.code), "{}", person.transcript());
        self.assert_words(scene, &person.stderr);
        self.make_as_program(scene, config);
    }

    fn make_as_program(&self, scene: &Scene, config: &str) {
        let arguments = [self.arguments, &["--format", "json"]].concat();
        let program = scene.with(config, &arguments);
        assert_eq!(program.code, Some(self.code), "{}", program.transcript());
        // Warnings are shown in every case.
        let only_warnings = program
            .stderr
            .lines()
            .all(|line| line.contains("warning: "));
        assert!(only_warnings, "{}", program.transcript());
        let error = &program.json()["error"];
        assert_eq!(error["kind"], self.kind, "{error:#}");
        assert_eq!(
            keys(error),
            [
                "causes",
                "hint",
                "kind",
                "message",
                "rejected",
                "trust_root"
            ]
        );
        self.assert_words(scene, &texts(error));
    }

    /// Lines are broken wherever there is room, so white space does not count.
    fn assert_words(&self, scene: &Scene, text: &str) {
        let bare = |text: &str| -> String {
            let is_drawing = |letter: char| "│╰─▶├×".contains(letter);
            let letters = text.chars().filter(|c| !c.is_whitespace());
            letters.filter(|c| !is_drawing(*c)).collect()
        };
        let host = scene.registry.host().to_string();
        for words in self.words {
            let words = words
                .replace("HOST", &host)
                .replace("UNSIGNED", &scene.unsigned);
            assert!(
                bare(text).contains(&bare(&words)),
                "`{words}` is missing:\n{text}"
            );
        }
    }
}

const FAILURE: (i32, &str) = (1, "failure");
const NOT_VERIFIED: (i32, &str) = (3, "not-verified");
const NOT_FOUND: (i32, &str) = (4, "not-found");
const NETWORK: (i32, &str) = (5, "network");
const CONFIG: (i32, &str) = (6, "config");
pub(crate) const RUN: &[&str] = &["run", "greet", "greet", "--input", "World"];

pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value:#}"));
    object.keys().map(String::as_str).collect()
}

/// All texts in `value`, one a line.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone() + "\n",
        Value::Array(values) => values.iter().map(texts).collect(),
        Value::Object(object) => object.values().map(texts).collect(),
        _ => String::new(),
    }
}

#[test]
fn a_plugin_that_the_config_does_not_name() {
    let scene = Scene::new();
    let words = &["names no plugin `gret`", "did you mean `greet`?"];
    Mistake::new(&["run", "gret", "greet"], NOT_FOUND, words).make(&scene, &scene.config(""));
}

#[test]
fn an_image_that_is_not_signed() {
    let scene = Scene::new();
    let words = &[
        "`unsigned` is not verified, so it is not loaded",
        "HOST/acme/unsigned:1@UNSIGNED` is not signed: no bundle and no `.sig` was found",
    ];
    let mistake = Mistake::new(&["run", "unsigned", "greet"], NOT_VERIFIED, words);
    mistake.make(&scene, &scene.config(""));
}

#[test]
fn an_image_of_another_signer() {
    let scene = Scene::new();
    let words = &[
        "is signed by `dev@acme.example`; the policy requires `boss@acme.example`",
        "qmt-plugins --config other.toml why",
    ];
    let config = scene.config("").replace(EMAIL, "boss@acme.example");
    Mistake::new(RUN, NOT_VERIFIED, words).make(&scene, &config);
}

/// What `why` prints for a refused signer is a config that accepts this signer, and no other image.
#[test]
fn what_why_proposes_accepts_the_signer_when_it_is_pasted() {
    let scene = Scene::new();
    let config = scene.config("").replace(EMAIL, "boss@acme.example");
    let refused = scene.with(&config, &["why", "greet"]);
    assert_eq!(refused.code, Some(3), "{}", refused.transcript());
    assert!(refused.stdout.contains("trust root"), "{}", refused.stdout);
    let lines = refused.stdout.lines().map(str::trim);
    let block: Vec<&str> = lines
        .skip_while(|line| *line != "[[oci.policy]]")
        .take(3)
        .collect();
    assert_eq!(block.len(), 3, "{}", refused.stdout);
    let config = format!("{config}\n{}\n", block.join("\n"));
    for (target, code) in [("greet", 0), ("unsigned", 3)] {
        let answer = scene.with(&config, &["verify", target]);
        assert_eq!(answer.code, Some(code), "{}", answer.transcript());
    }
    let json = scene.with(&scene.config(""), &["why", "greet", "--format", "json"]);
    let line = json.json()["report"]["config_line"].clone();
    assert_eq!(line.as_str(), block.last().copied());
}

/// `verify` does not succeed if signatures were not verified.
#[test]
fn a_signature_that_was_not_checked_is_not_verified() {
    let scene = Scene::new();
    let config = scene.config("");
    let signers = format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"");
    let config = config.replace(&signers, "insecure_skip_signature = true");
    let answer = scene.with(&config, &["verify", "greet"]);
    assert_eq!(answer.code, Some(3), "{}", answer.transcript());
    let answer = scene.with(&config, &["verify", "greet", "--format", "json"]);
    assert_eq!(answer.code, Some(3), "{}", answer.transcript());
    assert_eq!(answer.json()["verified"], false);
}

/// A rule that is wider than it looks is warned about where configs are checked.
#[test]
fn rules_that_let_many_in_are_warned_about() {
    let scene = Scene::new();
    let good = scene.with(&scene.config(""), &["config", "check"]);
    assert_eq!(good.stderr, "", "{}", good.transcript());
    let wide = scene
        .config("")
        .replace(&format!("cert_issuer = \"{ISSUER}\"\n"), "");
    let answer = scene.with(&wide, &["config", "check"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    // The file can be an argument, too.
    let named = scene.run(&["config", "check", "other.toml"]);
    assert_eq!(named.stderr, answer.stderr, "{}", named.transcript());
    assert!(
        answer.stderr.contains("from any issuer"),
        "{}",
        answer.stderr
    );
    let answer = scene.with(&wide, &["pull", "greet"]);
    assert!(
        answer.messages().contains("from any issuer"),
        "{}",
        answer.transcript()
    );
}

#[test]
fn a_key_that_does_not_exist_or_has_another_type_or_contradicts() {
    let scene = Scene::new();
    for (more, words) in [
        (
            "fiel = \"x\"\n",
            &["unknown key `providers[1].fiel`", "did you mean `file`?"],
        ),
        (
            "config = 3\n",
            &[
                "`providers[1].config`",
                "it must be a table, not the number 3",
            ],
        ),
        (
            "[[providers]]\nname = \"greet\"\npath = \"x.wasm\"\n",
            &["`providers[2].name`", "`greet` is given to two providers"],
        ),
    ] {
        for arguments in [&["list"][..], &["config", "check"], RUN] {
            Mistake::new(arguments, CONFIG, words).make(&scene, &scene.config(more));
        }
    }
}

#[test]
fn a_registry_that_speaks_no_tls() {
    let scene = Scene::new();
    let words = &[
        "request to `https://HOST/v2/acme/greet/manifests/1` failed",
        "plain_http = true",
    ];
    let config = scene
        .config("")
        .replace("plain_http = true", "plain_http = false");
    Mistake::new(RUN, NETWORK, words).make(&scene, &config);
}

#[test]
fn a_registry_that_is_not_there() {
    let scene = Scene::new();
    let words = &[
        "resolving `oci://localhost:1/acme/greet:1` failed",
        "`localhost:1` can't be reached: the connection is refused",
        "is the registry running",
        "`proxy` or `mirrors` in `[registries.\"localhost:1\"]`",
    ];
    let host = scene.registry.host().to_string();
    let config = scene.config("").replace(&host, "localhost:1");
    Mistake::new(RUN, NETWORK, words).make(&scene, &config);
}

/// A trust root that can't be fetched is trouble with the network, not a mistake in the config.
#[test]
fn a_tuf_repository_that_is_not_there() {
    let scene = Scene::new();
    let repository = PrivateSigstore::new().tuf_repository();
    scene.desk.write("root.json", repository.initial_root());
    let config = scene.config("").replace(
        "trusted_root = \"trusted_root.json\"",
        "tuf_url = \"https://localhost:1/tuf\"\ntuf_root = \"root.json\"",
    );
    let words = &[
        "TUF repository https://localhost:1/tuf",
        "cannot be reached",
        "`greet`: `oci://HOST/acme/greet:1` can't be verified: the trust root can't be fetched",
    ];
    for arguments in [
        RUN,
        &["pull", "greet"],
        &["verify", "greet"],
        &["why", "greet"],
    ] {
        Mistake::new(arguments, NETWORK, words).make(&scene, &config);
    }
}

#[test]
fn files_that_are_not_there() {
    let scene = Scene::new();
    let good = scene.config("");
    let missing = |arguments, ending, words| Mistake::new(arguments, ending, words);
    let config = good.replace("trusted_root.json", "nowhere.json");
    let words = &["trust root from", "nowhere.json", "No such file"];
    missing(RUN, CONFIG, words).make(&scene, &config);
    let config = scene.config("[[providers]]\nname = \"file\"\npath = \"nowhere.wasm\"\n");
    let words = &["`file`: the file", "nowhere.wasm", "No such file"];
    missing(&["run", "file", "greet"], NOT_FOUND, words).make(&scene, &config);
    let words = &["the input file `nowhere` can't be read", "No such file"];
    let input = &["run", "greet", "greet", "--input-file", "nowhere"];
    missing(input, NOT_FOUND, words).make(&scene, &good);
    let words = &[
        "nothing was published as `oci://localhost:1/a:1`",
        "`nowhere.wasm` could not be read",
        "No such file",
    ];
    let publish = &["publish", "oci://localhost:1/a:1", "--wasm", "nowhere.wasm"];
    missing(publish, NOT_FOUND, words).make(&scene, &good);
    let words = &["opening `oci-layout://nowhere:1` failed", "`nowhere`"];
    missing(&["inspect", "oci-layout://nowhere:1"], NOT_FOUND, words).make(&scene, &good);
    let words = &["HOST/acme/greet:2` does not exist in its registry"];
    missing(RUN, NOT_FOUND, words).make(&scene, &good.replace("greet:1", "greet:2"));

    let answer = scene.run(&["list", "--config", "nowhere.toml"]);
    assert_eq!(answer.code, Some(CONFIG.0), "{}", answer.transcript());
    assert!(
        answer.messages().contains("nowhere.toml can't be read"),
        "{}",
        answer.messages()
    );
    let answer = Desk::new().run(&["list"]);
    assert_eq!(answer.code, Some(CONFIG.0), "{}", answer.transcript());
    for words in [
        "no config file found",
        "extism_plugins",
        "--config",
        "`plugins.toml`",
    ] {
        assert!(answer.messages().contains(words), "{}", answer.messages());
    }
}

#[test]
fn settings_of_a_registry_that_cannot_be_used() {
    let scene = Scene::new();
    scene.desk.write("no.pem", "not a certificate");
    let good = scene.config("");
    let https = |line| good.replace("plain_http = true", line);
    let words = &["`ca_file`", "nowhere.pem"];
    Mistake::new(RUN, CONFIG, words).make(&scene, &https("ca_file = \"nowhere.pem\""));
    let words = &["`ca_file`", "no.pem"];
    Mistake::new(RUN, CONFIG, words).make(&scene, &https("ca_file = \"no.pem\""));
    std::fs::create_dir(scene.desk.path().join("home/.docker")).unwrap();
    scene.desk.write("home/.docker/config.json", "{");
    let words = &["credentials file", "config.json"];
    Mistake::new(&["logout", "localhost:1"], CONFIG, words).make(&scene, &good);
}

#[test]
fn an_export_that_the_plugin_does_not_have() {
    let scene = Scene::new();
    let words = &[
        "calling `gret` failed",
        "has no export `gret`; it has:",
        "`greet`",
    ];
    Mistake::new(&["run", "greet", "gret"], FAILURE, words).make(&scene, &scene.config(""));
}

#[test]
fn what_a_lockfile_or_the_lack_of_a_network_forbids() {
    let scene = Scene::new();
    let words = &[
        "is not in the cache",
        "`--offline` forbids the network",
        "run `qmt-plugins --config other.toml pull`",
    ];
    let offline = &["run", "greet", "greet", "--offline"];
    Mistake::new(offline, NOT_FOUND, words).make(&scene, &scene.config(""));
    let words = &[
        "the entry for `greet` in the lockfile",
        "`--locked` forbids",
        "`qmt-plugins --config other.toml lock`",
    ];
    let locked = &["run", "greet", "greet", "--locked"];
    Mistake::new(locked, CONFIG, words).make(&scene, &scene.config(""));
}

#[test]
fn a_command_line_that_makes_no_sense() {
    let desk = Desk::new();
    for (arguments, words) in [
        (&["rnu"][..], "unrecognized subcommand"),
        (&["run"], "required arguments"),
        (
            &["verify", "x", "--certificate-identity", "me"],
            "--certificate-oidc-issuer",
        ),
        (&["cache", "export", "-"], "file that ends in `.tar`"),
        (&["cache", "import", "-"], "file that ends in `.tar`"),
        (&["update", "--locked"], "`--locked` forbids it"),
        (&["update", "--frozen"], "`--frozen` forbids it"),
        (
            &["publish", "ghcr.io/Acme/x:1", "--wasm", "x.wasm"],
            "`ghcr.io/Acme/x:1` is not a destination to publish to",
        ),
        (&["logout", "a b"], "`a b` is not a registry"),
    ] {
        let answer = desk.run(arguments);
        assert_eq!(answer.code, Some(2), "{}", answer.transcript());
        assert!(answer.messages().contains(words), "{}", answer.transcript());
    }
}
