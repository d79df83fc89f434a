//! Which version `verify`, `why` and `outdated` report: the locked one, and what the tag names now.

use qmt_testkit::{Fault, Identity, ImageBuilder, IndexBuilder, Signing, plugins};
use serde_json::json;

use crate::command::Answer;
use crate::scene::{EMAIL, ISSUER, Scene, without_verification};

/// The output says where the digest comes from, and that the tag names another one.
#[test]
fn verify_says_which_digest_it_verified_and_that_the_tag_moved() {
    let scene = Scene::new();
    scene.run(&["pull", "greet"]);
    let before = scene.run(&["verify", "greet"]);
    assert_eq!(before.code, Some(0), "{}", before.transcript());
    assert!(
        before.stdout.contains("the digest in the lockfile"),
        "{}",
        before.stdout
    );
    assert!(
        !before.stdout.contains("another digest"),
        "{}",
        before.stdout
    );
    let moved = scene.move_tag_to_unsigned();
    let after = scene.run(&["verify", "greet"]);
    assert_eq!(after.code, Some(0), "{}", after.transcript());
    for words in [
        &*scene.signed,
        &*moved,
        "the digest in the lockfile",
        "the tag names another digest now",
        "refused",
    ] {
        assert!(after.stdout.contains(words), "{words}: {}", after.stdout);
    }
    let json = scene.run(&["verify", "greet", "--format", "json"]).json();
    assert_eq!(json["verified"], true, "{json:#}");
    assert_eq!(json["digest"], *scene.signed);
    assert_eq!(json["origin"], "lockfile");
    assert_eq!(json["current"]["digest"], *moved);
    assert_eq!(json["current"]["verified"], false);
    assert_eq!(json["current"]["error"]["kind"], "not-verified");
}

#[test]
fn why_explains_both_versions() {
    let scene = Scene::new();
    scene.run(&["pull", "greet"]);
    let moved = scene.move_tag_to_unsigned();
    let answer = scene.run(&["why", "greet"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    let host = scene.registry.host();
    for words in [
        format!("accepted: {host}/acme/greet:1@{}", scene.signed),
        "the tag names another digest now:".to_owned(),
        format!("refused: {host}/acme/greet:1@{moved}"),
        "is not signed".to_owned(),
    ] {
        assert!(answer.stdout.contains(&words), "{words}: {}", answer.stdout);
    }
}

/// The other way round: what is used is refused, and what the tag names is signed.
#[test]
fn a_refused_version_does_not_hide_a_good_one() {
    let scene = Scene::new();
    scene.run(&["pull", "greet"]);
    let config = scene.config("").replace("acme/unsigned:1", "acme/greet:2");
    // The tag of the unsigned one is locked while verification is off.
    let skip = without_verification(&config);
    let image = ImageBuilder::dockerfile(plugins::echo_wasm()).build();
    let unsigned = image.push(&scene.registry, "acme/greet", "2");
    let pulled = scene.with(&skip, &["pull", "unsigned"]);
    assert_eq!(pulled.code, Some(0), "{}", pulled.transcript());
    let signed = scene.signed.parse().unwrap();
    scene.registry.retag("acme/greet", "2", &signed);
    let answer = scene.with(&config, &["why", "unsigned"]);
    assert_eq!(answer.code, Some(3), "{}", answer.transcript());
    assert!(
        answer.stdout.contains(&format!("2@{}", unsigned.digest())),
        "{}",
        answer.stdout
    );
    assert!(answer.stdout.contains("accepted: "), "{}", answer.stdout);
    let answer = scene.with(&config, &["verify", "unsigned"]);
    assert_eq!(answer.code, Some(3), "{}", answer.transcript());
    assert!(
        answer
            .messages()
            .contains("which is accepted; `qmt-plugins --config other.toml update` moves to it"),
        "{}",
        answer.transcript()
    );
}

/// Without a lockfile entry, or with a digest in the reference, there is only one version.
#[test]
fn there_may_be_one_version_only() {
    let scene = Scene::new();
    let host = scene.registry.host();
    let tagged = scene.run(&["verify", &format!("{host}/acme/greet:1")]);
    assert!(
        tagged.stdout.contains("what the tag names now"),
        "{}",
        tagged.transcript()
    );
    let pinned = format!("{host}/acme/greet@{}", scene.signed);
    let pinned = scene.run(&["why", &pinned]);
    assert_eq!(pinned.code, Some(0), "{}", pinned.transcript());
    assert!(
        pinned.stdout.contains("the digest of the reference"),
        "{}",
        pinned.stdout
    );
    assert!(
        !pinned.stdout.contains("another digest"),
        "{}",
        pinned.stdout
    );
}

/// Offline the tag can't be resolved; the output says so, and it is not an error.
#[test]
fn what_the_tag_names_may_be_unknown() {
    let scene = Scene::new();
    scene.run(&["pull", "greet"]);
    let answer = scene.run(&["verify", "greet", "--offline"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    assert!(
        answer
            .stdout
            .contains("what the tag names now is not known: `--offline` forbids the network"),
        "{}",
        answer.stdout
    );
    // The cache has recorded a digest of the tag, so it does not lack "the" digest.
    let answer = scene.run(&["verify", "greet", "--offline", "--format", "json"]);
    let message = answer.json()["current"]["error"]["message"].to_string();
    assert!(message.contains("the current digest of"), "{message}");
}

/// `run` loads what the cache has, so `verify` does not say that it is not loaded.
#[test]
fn a_registry_that_is_down_says_nothing_about_loading() {
    let Scene { registry, desk, .. } = Scene::new();
    desk.run(&["pull", "greet"]);
    drop(registry);
    for command in ["verify", "why"] {
        let answer = desk.run(&[command, "greet"]);
        assert_eq!(answer.code, Some(5), "{}", answer.transcript());
        let said = answer.messages();
        assert!(!said.contains("not loaded"), "{}", answer.transcript());
    }
    let loaded = desk.run(&["run", "greet", "greet"]);
    assert_eq!(loaded.code, Some(0), "{}", loaded.transcript());
}

/// The signature of the index is accepted, and loading is refused: the manifest does not exist.
#[test]
fn outdated_reports_a_manifest_that_is_gone() {
    let scene = Scene::new();
    let host = scene.registry.host();
    let child = ImageBuilder::wasm(plugins::echo_wasm()).build();
    let index = IndexBuilder::new()
        .platform(&child, qmt_oci_ref::manifest::platform("wasi", "wasm"))
        .build();
    let pushed = index.push(&scene.registry, "acme/greet", "2");
    scene.sign(
        &pushed.digest().to_string(),
        [Signing::keyless(Identity::email(EMAIL, ISSUER))],
    );
    let more = format!("[[providers]]\nname = \"lost\"\npath = \"oci://{host}/acme/greet:2\"\n");
    let config = scene.config(&more);
    let json = ["outdated", "lost", "--format", "json"];
    let entry = |answer: Answer| {
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
        answer.json()["plugins"][0].clone()
    };
    assert!(entry(scene.with(&config, &json))["error"].is_null());
    let gone = scene
        .registry
        .delete_manifest("acme/greet", child.root().digest());
    assert!(gone.is_some());
    let error = entry(scene.with(&config, &json))["error"].clone();
    assert_eq!(error["kind"], "not-found", "{error:#}");
    let shown = scene.with(&config, &["outdated", "lost"]).stdout;
    assert!(shown.contains("which is refused"), "{shown}");
    let pulled = scene.with(&config, &["pull", "lost"]);
    assert_eq!(pulled.code, Some(4), "{}", pulled.transcript());
}

#[test]
fn verify_and_why_agree_if_verification_is_off() {
    let scene = Scene::new();
    let skip = without_verification(&scene.config(""));
    for command in ["verify", "why"] {
        for target in ["greet", "unsigned"] {
            let answer = scene.with(&skip, &[command, target]);
            assert_eq!(answer.code, Some(3), "{}", answer.transcript());
            assert!(
                answer.stdout.contains("not verified"),
                "{}",
                answer.transcript()
            );
            assert!(
                !answer.stdout.contains("accepted"),
                "{}",
                answer.transcript()
            );
        }
    }
}

#[test]
fn outdated_compares_the_lockfile_with_the_tags() {
    let scene = Scene::new();
    let host = scene.registry.host();
    let more = format!(
        "[[providers]]\nname = \"pinned\"\npath = \"oci://{host}/acme/greet@{}\"\n\
         [[providers]]\nname = \"file\"\npath = \"plugin.wasm\"\n",
        scene.signed
    );
    scene.desk.write("plugins.toml", scene.config(&more));
    scene.run(&["pull", "greet"]);
    let lockfile = || std::fs::read(scene.desk.path().join("plugins.lock")).unwrap();
    let locked = lockfile();
    let names = ["outdated", "greet", "pinned", "file"];
    let plugins = |answer: Answer| {
        assert_eq!(answer.code, Some(0), "{}", answer.transcript());
        answer.json()["plugins"].clone()
    };
    let json = [&names[..], &["--format", "json"]].concat();
    let before = plugins(scene.run(&json));
    assert_eq!(
        before[0],
        json!({ "name": "greet", "outdated": false, "locked": scene.signed, "current": scene.signed, "verified": true })
    );
    assert_eq!(before[1], json!({ "name": "pinned", "outdated": false }));
    assert_eq!(before[2], json!({ "name": "file", "outdated": false }));
    let moved = scene.move_tag_to_unsigned();
    let after = plugins(scene.run(&json));
    let expected = json!({
        "name": "greet", "outdated": true, "locked": scene.signed, "current": moved, "verified": false,
    });
    assert_eq!(after[0], expected);
    let shown = scene.run(&names).stdout;
    let row = format!("{} → {moved}, which is refused", scene.signed);
    assert!(shown.contains(&row), "{shown}");
    assert_eq!(lockfile(), locked);

    let unlocked = plugins(scene.run(&["outdated", "unsigned", "--format", "json"]));
    assert_eq!(
        unlocked[0],
        json!({ "name": "unsigned", "outdated": true, "locked": null, "current": scene.unsigned, "verified": false })
    );
    let offline = scene.run(&["outdated", "greet", "--offline"]);
    assert_eq!(offline.code, Some(2), "{}", offline.transcript());
    let (code, moved) = (
        Some(5),
        scene.config("").replace(&host.to_string(), "localhost:1"),
    );
    scene.desk.write("plugins.toml", moved);
    let down = scene.run(&["outdated", "greet"]);
    assert_eq!(down.code, code, "{}", down.transcript());
    assert!(down.stdout.contains("greet  not known"), "{}", down.stdout);
    assert!(
        down.messages().contains("localhost:1"),
        "{}",
        down.transcript()
    );
}

/// What can't be compared, or not verified for another reason than its signatures, has an error, whatever
/// its kind.
/// The signature alone does not decide: `update` and `pull` refuse a Wasm plugin that became native.
#[test]
fn outdated_and_list_promise_nothing_that_is_refused() {
    let scene = Scene::new();
    assert_eq!(scene.run(&["lock"]).code, Some(3), "one is unsigned");
    let native = scene.push_native("2");
    let config = scene.config("").replace("acme/greet:1", "acme/greet:2");
    assert_eq!(scene.push_native("1"), native);
    let words = ["which is refused", "has become native"];
    let refused = "has become native";
    for (answer, expected) in [
        (scene.run(&["outdated", "greet"]), 0),
        (scene.run(&["why", "greet"]), 0),
        (scene.run(&["update", "greet"]), 1),
    ] {
        let said = answer.stdout.clone() + &answer.messages();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(answer.code, Some(expected), "{}", answer.transcript());
        assert!(said.contains(refused), "{}", answer.transcript());
        assert!(!said.contains("accepted too"), "{}", answer.transcript());
    }
    let outdated = scene.run(&["outdated", "greet", "--format", "json"]).json();
    let plugin = &outdated["plugins"][0];
    assert_eq!(
        (&plugin["current"], &plugin["verified"]),
        (&json!(native), &json!(true))
    );
    let message = plugin["error"]["message"].as_str().unwrap();
    assert!(message.contains(refused), "{message}");
    let outdated = scene.run(&["outdated", "greet"]).stdout;
    assert!(
        words.iter().all(|words| outdated.contains(words)),
        "{outdated}"
    );
    // The config names another tag of the repository.
    scene.desk.write("plugins.toml", &config);
    let list = scene.run(&["list"]).stdout;
    assert!(list.contains("if what `path` names is accepted"), "{list}");
    let outdated = scene.run(&["outdated", "greet"]).stdout;
    assert!(
        words.iter().all(|words| outdated.contains(words)),
        "{outdated}"
    );
    let pull = scene.run(&["pull", "greet"]);
    assert_eq!(pull.code, Some(1), "{}", pull.transcript());
}

#[test]
fn outdated_reports_errors_of_every_kind() {
    let scene = Scene::new();
    scene.run(&["pull", "greet"]);
    let outdated = |fault: Fault| {
        scene.registry.clear_faults();
        scene.registry.fault(fault);
        let answer = scene.run(&["outdated", "greet", "--format", "json"]);
        let plugin = answer.json()["plugins"][0].clone();
        (answer.code, plugin)
    };
    let (tag, referrers) = ("/v2/acme/greet/manifests/1", "/v2/acme/greet/referrers/*");
    for (status, code, kind) in [
        (404, 4, "not-found"),
        (403, 5, "network"),
        (500, 5, "network"),
    ] {
        let (found, plugin) = outdated(Fault::on("GET", tag).respond(status));
        assert_eq!(found, Some(code), "{plugin:#}");
        assert_eq!(plugin["error"]["kind"], kind, "{plugin:#}");
        assert_eq!(plugin["outdated"], json!(null), "{plugin:#}");
    }
    let page = Fault::on("GET", tag).respond(200).body("<html></html>");
    let (_, plugin) = outdated(page);
    assert!(
        plugin["error"]["causes"].to_string().contains("HTML"),
        "{plugin:#}"
    );
    // The tag can be compared, and its image not be verified.
    scene.registry.clear_faults();
    let moved = scene.move_tag_to_unsigned();
    for status in [401, 403, 500] {
        let (found, plugin) = outdated(Fault::on("GET", referrers).respond(status));
        assert_eq!(found, Some(0), "{plugin:#}");
        assert_eq!(
            (&plugin["outdated"], &plugin["current"]),
            (&json!(true), &json!(moved))
        );
        assert_eq!(plugin["verified"], false, "{plugin:#}");
        assert_eq!(plugin["error"]["kind"], "network", "{plugin:#}");
        let row = scene.run(&["outdated", "greet"]).stdout;
        let (_, cause) = row.split_once("could not be looked up: ").unwrap();
        assert!(cause.contains(&status.to_string()), "{row}");
    }
}

/// Where the tag is resolved at each start, the lockfile still says what it was before.
#[test]
fn outdated_reads_the_lockfile_whatever_the_pull_policy() {
    let scene = Scene::new();
    let config = scene.config("");
    let config = config.replacen("[oci]\n", "[oci]\npull_policy = \"always\"\n", 1);
    scene.desk.write("plugins.toml", config);
    scene.run(&["pull", "greet"]);
    let outdated = || scene.run(&["outdated", "greet", "--format", "json"]).json();
    let before = outdated();
    assert_eq!(before["plugins"][0]["outdated"], false, "{before:#}");
    let moved = scene.move_tag_to_signed_earlier();
    let after = &outdated()["plugins"][0];
    let expected = json!({
        "name": "greet", "outdated": true, "locked": scene.signed, "current": moved, "verified": false,
    });
    assert_eq!(*after, expected);
}

/// A registry that is down says nothing about signatures.
#[test]
fn a_registry_that_is_down_is_not_a_missing_signature() {
    let scene = Scene::new();
    scene.run(&["pull", "greet"]);
    let host = scene.registry.host().to_string();
    let config = scene.config("").replace(&host, "localhost:1");
    let lockfile = scene.desk.path().join("plugins.lock");
    let locked = std::fs::read_to_string(&lockfile).unwrap();
    std::fs::write(&lockfile, locked.replace(&host, "localhost:1")).unwrap();
    for command in ["verify", "why"] {
        // The lockfile is that of this config.
        scene.desk.write("plugins.toml", &config);
        let answer = scene.run(&[command, "greet"]);
        assert_eq!(answer.code, Some(5), "{}", answer.transcript());
        let shown = answer.messages();
        assert!(!shown.contains("is not verified"), "{shown}");
        assert!(shown.contains("looking up the signatures"), "{shown}");
        assert!(shown.contains("localhost:1"), "{shown}");
    }
}
