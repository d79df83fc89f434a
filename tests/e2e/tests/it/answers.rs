//! The answers of commands that succeed, as text and in JSON.

use crate::messages::{RUN, keys};
use crate::scene::{EMAIL, ISSUER, Scene};

const NOT_VERIFIED: i32 = 3;

/// A command that succeeds ends with code 0 and only its answer on stdout; the stages of `pull` are
/// shown on stderr.
#[test]
fn the_answer_alone_is_on_stdout() {
    let scene = Scene::new();
    let answer = scene.run(RUN);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert_eq!(answer.stdout, "Hello, World! (wasm)");
    // Where `run` is part of a program, only warnings are shown.
    assert_eq!(answer.stderr, "", "{}", answer.transcript());
    let pulled = scene.run(&["pull", "greet"]);
    for stage in ["resolve", "verify", "cache"] {
        assert!(
            pulled.messages().contains(&format!("greet: {stage}: ")),
            "{}",
            pulled.messages()
        );
    }
    let quiet = scene.run(&[RUN, &["--quiet"]].concat());
    assert_eq!(
        (quiet.code, quiet.stderr.as_str()),
        (Some(0), ""),
        "{}",
        quiet.transcript()
    );
    assert_eq!(quiet.stdout, answer.stdout);
}

/// `--format json`: one document on stdout, nothing on stderr, with keys that programs rely on.
#[test]
fn json_has_a_shape_that_stays() {
    let scene = Scene::new();
    let json = |code: i32, arguments: &[&str]| {
        let answer = scene.run(&[arguments, &["--format", "json"]].concat());
        assert_eq!(answer.code, Some(code), "{}", answer.transcript());
        assert_eq!(answer.stderr, "", "{}", answer.transcript());
        answer.json()
    };
    let run = json(0, RUN);
    assert_eq!(run["output"], "Hello, World! (wasm)");
    assert_eq!(keys(&run), ["export", "output", "output_hex", "plugin"]);

    let pulled = json(0, &["pull", "greet"]);
    let plugin = &pulled["plugins"][0];
    for key in [
        "name",
        "kind",
        "reference",
        "manifest",
        "file_digest",
        "size",
        "path",
        "signer",
    ] {
        assert!(!plugin[key].is_null(), "{key}: {plugin:#}");
    }
    assert_eq!(
        (&plugin["name"], &plugin["kind"]),
        (&"greet".into(), &"wasm".into())
    );
    assert_eq!(plugin["from_cache"], true);
    // A plugin that fails is listed among the others.
    let pulled = json(NOT_VERIFIED, &["pull"]);
    assert_eq!(pulled["plugins"][0]["name"], "greet");
    assert_eq!(pulled["plugins"][1]["name"], "unsigned");
    assert_eq!(pulled["plugins"][1]["error"]["kind"], "not-verified");

    let verified = json(0, &["verify", "greet"]);
    assert_eq!(verified["verified"], true);
    let report = &verified["report"];
    let signer = serde_json::json!({ "identity": EMAIL, "issuer": ISSUER });
    assert_eq!(report["signer"], signer);
    assert!(report["subject"].as_str().unwrap().ends_with(&scene.signed));
    assert!(
        report["checks"].as_array().unwrap().len() >= 5,
        "{report:#}"
    );
    assert_eq!(report["log_entries"].as_array().unwrap().len(), 1);
    assert_eq!(
        json(0, &["why", "greet"])["report"]["config_line"],
        report["config_line"]
    );
    assert_eq!(
        json(NOT_VERIFIED, &["why", "unsigned"])["error"]["kind"],
        "not-verified"
    );

    let listed = json(0, &["list"]);
    assert_eq!(
        listed["plugins"][0]["locked"]["digest"],
        scene.signed.as_str()
    );
    assert!(listed["plugins"][1]["locked"].is_null());

    let inspected = json(0, &["inspect", "greet"]);
    let inspection = &inspected["inspection"];
    assert_eq!(inspection["manifest"], scene.signed.as_str());
    let exports = inspection["content"]["preflight"]["exports"]
        .as_array()
        .unwrap();
    assert!(exports.contains(&"greet".into()), "{inspection:#}");

    let entries = json(0, &["cache", "list"]);
    assert_eq!(entries["entries"][0]["manifest"], scene.signed.as_str());
    assert_eq!(json(0, &["config", "check"])["plugins"], 2);
    assert!(
        json(0, &["config", "path"])["path"]
            .as_str()
            .unwrap()
            .ends_with("plugins.toml")
    );
    assert!(json(0, &["cache", "path"])["path"].is_string());
    assert_eq!(json(0, &["trust", "show"])["certificate_authorities"], 4);
}
