//! `add`: a plugin that is not in the config yet.

use crate::command::Answer;
use crate::scene::Scene;

fn config(scene: &Scene) -> String {
    std::fs::read_to_string(scene.desk.path().join("plugins.toml")).unwrap()
}

#[track_caller]
fn refused(answer: &Answer, code: i32, words: &str) {
    assert_eq!(answer.code, Some(code), "{}", answer.transcript());
    let messages = answer.messages();
    assert!(messages.contains(words), "{words}: {}", answer.transcript());
}

#[test]
fn an_added_plugin_is_in_config_and_lockfile_and_runs() {
    let scene = Scene::new();
    let before = config(&scene);
    let image = format!("{}/acme/greet:1", scene.registry.host());
    let added = scene.run(&["add", &image, "--name", "hello"]);
    assert_eq!(added.code, Some(0), "{}", added.transcript());
    let expected = format!("{before}\n[[providers]]\nname = \"hello\"\npath = \"oci://{image}\"\n");
    assert_eq!(config(&scene), expected);
    let lockfile = scene.desk.path().join("plugins.lock");
    let lockfile = std::fs::read_to_string(lockfile).unwrap();
    assert!(lockfile.contains(&scene.signed), "{lockfile}");
    let answer = scene.run(&["run", "hello", "greet", "--offline", "--input", "me"]);
    assert_eq!(answer.stdout, "Hello, me! (wasm)");
}

#[test]
fn a_plugin_is_called_as_its_repository() {
    let scene = Scene::new();
    let config = scene.config("");
    let (head, _) = config.split_once("[[providers]]").unwrap();
    let image = format!("oci://{}/acme/greet:1", scene.registry.host());
    let added = scene.with(head, &["add", &image, "--format", "json"]);
    assert_eq!(added.code, Some(0), "{}", added.transcript());
    assert_eq!(added.json()["name"], "greet");
    let text = std::fs::read_to_string(scene.desk.path().join("other.toml")).unwrap();
    assert!(text.contains("name = \"greet\"\npath = "), "{text}");
}

#[test]
fn what_is_refused_is_not_added() {
    let scene = Scene::new();
    let before = config(&scene);
    let host = scene.registry.host();
    let image = |path: &str| format!("{host}/{path}");
    let add = |arguments: &[&str]| scene.run(&[&["add"], arguments].concat());
    // What the option names is blamed on the option.
    let named = add(&["ghcr.io/a/b:1", "--name", "a/b"]);
    assert_eq!(named.code, Some(2), "{}", named.transcript());
    assert!(
        named.messages().contains("`--name`"),
        "{}",
        named.transcript()
    );
    let (good, unsigned) = (image("acme/greet:1"), image("acme/unsigned:1"));
    refused(&add(&[&good]), 2, "has a plugin `greet` already");
    refused(&add(&[&unsigned, "--name", "new"]), 3, "is not signed");
    refused(
        &add(&[&image("acme/none:1"), "--name", "new"]),
        4,
        "acme/none",
    );
    refused(&add(&["./plugin.wasm"]), 2, "not an image in a registry");
    refused(&add(&[&good, "--name", "new", "--locked"]), 2, "--locked");
    assert_eq!(config(&scene), before);
    let json = format!("{{\"registries\": {{\"{host}\": {{\"plain_http\": true}}}}}}");
    scene.desk.write("plugins.json", json);
    let answer = add(&[&good, "--config", "plugins.json"]);
    refused(&answer, 6, "can only be added to a TOML file");
}
