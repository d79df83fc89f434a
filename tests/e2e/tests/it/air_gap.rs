//! `cache export` and `cache import`: plugins carried to a machine without a network.

use qmt_oci_ref::manifest;
use qmt_testkit::{Image, ImageBuilder, IndexBuilder, Layer, plugins};

use crate::command::{Answer, Desk};
use crate::scene::Scene;

/// A machine that has the config, the trust root and an exported layout, and no registry.
fn other_machine(scene: &Scene, layout: &str) -> Desk {
    let desk = Desk::new();
    for file in ["plugins.toml", "trusted_root.json", layout] {
        desk.write(file, std::fs::read(scene.desk.path().join(file)).unwrap());
    }
    desk
}

/// A machine without a network that has `old.tar` and `new.tar`, exports of one tag that names an older
/// and a newer image; the digest of the newer one; and the tag.
fn two_versions() -> (Desk, String, String) {
    let scene = Scene::new();
    code(&scene.run(&["cache", "export", "new.tar", "greet"]), 0);
    scene.move_tag_to_signed_earlier();
    std::fs::remove_file(scene.desk.path().join("plugins.lock")).unwrap();
    let other_cache = ["--cache-dir", "other"];
    let export = ["cache", "export", "old.tar", "greet"];
    code(&scene.run(&[&export[..], &other_cache].concat()), 0);
    let desk = other_machine(&scene, "old.tar");
    let new = std::fs::read(scene.desk.path().join("new.tar")).unwrap();
    desk.write("new.tar", new);
    let image = format!("{}/acme/greet:1", scene.registry.host());
    (desk, scene.signed.clone(), image)
}

/// A config with one more plugin, and without verification.
fn unverified(scene: &Scene, name: &str, image: &str) -> String {
    let host = scene.registry.host();
    let config = scene.config(&format!(
        "[[providers]]\nname = \"{name}\"\npath = \"oci://{host}/{image}\"\n"
    ));
    crate::scene::without_verification(&config)
}

#[track_caller]
fn code(answer: &Answer, code: i32) {
    assert_eq!(answer.code, Some(code), "{}", answer.transcript());
}

#[test]
fn an_exported_plugin_runs_on_a_machine_without_a_network() {
    let scene = Scene::new();
    let exported = scene.run(&["cache", "export", "bundle.tar", "greet", "--format", "json"]);
    code(&exported, 0);
    let exported = exported.json();
    assert_eq!(exported["images"], serde_json::json!([scene.signed]));
    assert_eq!(exported["signatures"], 1);
    let desk = other_machine(&scene, "bundle.tar");
    drop(scene);
    let run = ["run", "greet", "greet", "--offline", "--input", "me"];
    code(&desk.run(&run), 4);
    let imported = desk.run(&["cache", "import", "bundle.tar", "--format", "json"]);
    code(&imported, 0);
    let imported = imported.json();
    for key in ["images", "signatures", "blobs", "bytes"] {
        assert_eq!(imported[key], exported[key], "{key}");
    }
    for key in ["kept_tags", "incomplete", "unreadable", "unnamed"] {
        assert_eq!(imported[key], serde_json::json!([]), "{key}");
    }
    let listed = desk.run(&["cache", "list"]).stdout;
    assert!(listed.contains("imported, and not used yet"), "{listed}");
    let answer = desk.run(&run);
    code(&answer, 0);
    assert_eq!(answer.stdout, "Hello, me! (wasm)");
}

/// What was unpacked while it arrived is fetched again, because the cache keeps only the plugin.
#[test]
fn layers_that_were_unpacked_are_exported_too() {
    let scene = Scene::new();
    let image = ImageBuilder::dockerfile(plugins::echo_wasm()).build();
    image.push(&scene.registry, "acme/packed", "1");
    let config = unverified(&scene, "packed", "acme/packed:1");
    scene.desk.write("plugins.toml", &config);
    code(&scene.run(&["pull", "packed"]), 0);
    code(&scene.run(&["cache", "export", "bundle.tar", "packed"]), 0);
    let desk = other_machine(&scene, "bundle.tar");
    drop(scene);
    code(&desk.run(&["cache", "import", "bundle.tar"]), 0);
    let answer = desk.run(&["run", "packed", "greet", "--offline", "--input", "me"]);
    code(&answer, 0);
    assert_eq!(answer.stdout, "Hello, me! (wasm)");
}

/// A layer that is not read for the plugin is not limited by the extraction.
#[test]
fn a_layer_above_the_limit_is_not_exported() {
    let scene = Scene::new();
    let push = |size: usize, tag| {
        let image = ImageBuilder::dockerfile(plugins::echo_wasm());
        let image = image.layer(Layer::raw("text/markdown", vec![0; size]));
        image.build().push(&scene.registry, "acme/large", tag);
    };
    push(1 << 20, "1");
    push((1 << 20) + 1, "2");
    for (tag, expected) in [("1", 0), ("2", 1)] {
        let config = unverified(&scene, "large", &format!("acme/large:{tag}"));
        let config = config.replacen("[oci]\n", "[oci]\nmax_artifact_size = \"1MiB\"\n", 1);
        scene.desk.write("plugins.toml", &config);
        code(&scene.run(&["pull", "large"]), 0);
        let exported = scene.run(&["cache", "export", &format!("{tag}.tar"), "large"]);
        code(&exported, expected);
        let is_told = exported.messages().contains("exceeds a limit");
        assert_eq!(is_told, expected == 1, "{}", exported.transcript());
    }
}

#[test]
fn what_is_not_verified_is_not_exported() {
    let scene = Scene::new();
    code(&scene.run(&["cache", "export", "bundle.tar"]), 3);
    assert!(!scene.desk.path().join("bundle.tar").exists());
}

/// An imported image is verified by the config of the machine that imports and loads it.
#[test]
fn an_imported_image_is_verified_by_the_importing_machine() {
    let scene = Scene::new();
    code(&scene.run(&["cache", "export", "bundle.tar", "greet"]), 0);
    let desk = other_machine(&scene, "bundle.tar");
    let stricter = scene.config("").replace("dev@", "another@");
    assert_ne!(stricter, scene.config(""));
    let import = ["cache", "import", "bundle.tar"];
    let run = ["run", "greet", "greet", "--offline"];
    desk.write("plugins.toml", &stricter);
    let imported = desk.run(&import);
    code(&imported, 3);
    for words in ["is not set to", "dev@"] {
        let said = imported.messages();
        assert!(said.contains(words), "{words}: {}", imported.transcript());
    }
    code(&desk.run(&run), 4);
    desk.write("plugins.toml", scene.config(""));
    code(&desk.run(&import), 0);
    code(&desk.run(&run), 0);
    desk.write("plugins.toml", stricter);
    code(&desk.run(&run), 3);
}

/// Without a trust root no image can be judged, which is said once, and not as a refusal of each tag.
#[test]
fn an_import_without_a_trust_root_fails() {
    let scene = Scene::new();
    code(&scene.run(&["pull", "greet"]), 0);
    code(&scene.run(&["cache", "export", "bundle.tar", "greet"]), 0);
    let desk = other_machine(&scene, "bundle.tar");
    drop(scene);
    let root = desk.path().join("trusted_root.json");
    let json = std::fs::read(&root).unwrap();
    std::fs::remove_file(&root).unwrap();
    let refused = desk.run(&["cache", "import", "bundle.tar"]);
    assert_ne!(refused.code, Some(0), "{}", refused.transcript());
    let said = refused.messages();
    assert!(
        said.contains("trusted_root.json"),
        "{}",
        refused.transcript()
    );
    assert!(!said.contains("is not set"), "{}", refused.transcript());
    // Once it is there, the import can be repeated.
    std::fs::write(&root, json).unwrap();
    code(&desk.run(&["cache", "import", "bundle.tar"]), 0);
    let answer = desk.run(&["run", "greet", "greet", "--offline", "--input", "me"]);
    code(&answer, 0);
}

/// The image of a plugin that was locked before has its name in the export, also from an empty cache.
/// What the lockfile of the other machine says wins, and is said.
#[test]
fn a_locked_plugin_is_exported_with_its_name() {
    let scene = Scene::new();
    code(&scene.run(&["pull", "greet"]), 0);
    code(
        &scene.run(&[
            "cache",
            "export",
            "bundle.tar",
            "greet",
            "--cache-dir",
            "fresh",
        ]),
        0,
    );
    let desk = other_machine(&scene, "bundle.tar");
    let lock = std::fs::read_to_string(scene.desk.path().join("plugins.lock")).unwrap();
    drop(scene);
    let imported = desk.run(&["cache", "import", "bundle.tar"]);
    code(&imported, 0);
    assert!(
        !imported.stderr.contains("warning"),
        "{}",
        imported.transcript()
    );
    let run = ["run", "greet", "greet", "--offline", "--input", "me"];
    code(&desk.run(&run), 0);
    // Locked at another version.
    let digest = lock
        .lines()
        .find(|line| line.starts_with("digest = "))
        .unwrap();
    let other = format!("digest = \"sha256:{}\"", "0".repeat(64));
    desk.write("plugins.lock", lock.replace(digest, &other));
    let imported = desk.run(&["cache", "import", "bundle.tar", "--format", "json"]);
    code(&imported, 0);
    assert_eq!(
        imported.json()["locked"][0]["plugin"],
        "greet",
        "{}",
        imported.transcript()
    );
    let refused = desk.run(&run);
    code(&refused, 4);
    assert!(
        refused.messages().contains(&"0".repeat(64)),
        "{}",
        refused.transcript()
    );
}

/// A machine without a network follows the exporting one to another version, and not to an older one.
#[test]
fn an_import_can_update_the_lockfile() {
    let (desk, newer, _) = two_versions();
    let locked = || std::fs::read_to_string(desk.path().join("plugins.lock")).unwrap();
    let run = ["run", "greet", "greet", "--offline", "--input", "me"];
    let import =
        |layout, options: &[&str]| desk.run(&[&["cache", "import", layout], options].concat());
    code(&import("old.tar", &[]), 0);
    code(&desk.run(&run), 0);
    let old = locked();
    assert!(!old.contains(&newer), "{old}");
    // The name of a file is for its author to choose.
    let name = "new $(id).tar";
    std::fs::copy(desk.path().join("new.tar"), desk.path().join(name)).unwrap();
    let warned = import(name, &[]);
    code(&warned, 0);
    assert!(
        warned
            .messages()
            .contains("import --update 'new $(id).tar'`"),
        "{}",
        warned.transcript()
    );
    code(&desk.run(&run), 0);
    assert_eq!(locked(), old);
    // The options that keep the lockfile forbid it.
    code(&import("new.tar", &["--update", "--locked"]), 2);
    let updated = import("new.tar", &["--update", "--format", "json"]);
    code(&updated, 0);
    let updated = updated.json();
    assert_eq!(updated["updated"][0]["name"], "greet", "{updated:#}");
    assert_eq!(updated["locked"], serde_json::json!([]), "{updated:#}");
    assert!(locked().contains(&newer), "{}", locked());
    code(&desk.run(&run), 0);
    // The tag stays, so there is nothing to update to.
    code(&import("old.tar", &["--update"]), 3);
    assert!(locked().contains(&newer), "{}", locked());
    // The lockfile decides as well, where the cache knows no tag yet.
    let pruned = ["--cache-dir", "empty", "--update"];
    code(&import("old.tar", &pruned), 3);
    assert!(locked().contains(&newer), "{}", locked());
    // A plugin without an entry gets one.
    desk.write("plugins.lock", "version = 1\n");
    code(&import("new.tar", &["--update"]), 0);
    assert!(locked().contains(&newer), "{}", locked());
    code(&desk.run(&[&run[..], &["--locked"]].concat()), 0);
}

/// What was imported and not used yet is named by `cache prune`, which removes it where it says so.
#[test]
fn new_imports_are_pruned_where_that_is_asked_for() {
    let scene = Scene::new();
    code(&scene.run(&["cache", "export", "bundle.tar", "greet"]), 0);
    let desk = other_machine(&scene, "bundle.tar");
    code(&desk.run(&["cache", "import", "bundle.tar"]), 0);
    let kept = desk.run(&["cache", "prune"]);
    code(&kept, 0);
    let words = format!("{}: it was imported, and not used yet", scene.signed);
    assert!(kept.stdout.contains(&words), "{}", kept.transcript());
    let removed = desk.run(&["cache", "prune", "--all", "--format", "json"]);
    code(&removed, 0);
    let removed = removed.json();
    assert_eq!(removed["imported"], serde_json::json!([scene.signed]));
    assert_eq!(removed["kept"], serde_json::json!([]), "{removed:#}");
    code(&desk.run(&["run", "greet", "greet", "--offline"]), 4);
}

/// Plugins can share an image, and an image can have two names.
#[test]
fn an_image_of_two_plugins_is_exported_once() {
    let scene = Scene::new();
    let host = scene.registry.host();
    let image = ImageBuilder::wasm(plugins::echo_wasm()).build();
    for tag in ["1", "2"] {
        image.push(&scene.registry, "acme/shared", tag);
    }
    let provider = |name, tag| {
        format!("[[providers]]\nname = \"{name}\"\npath = \"oci://{host}/acme/shared:{tag}\"\n")
    };
    let providers = [
        provider("one", "1"),
        provider("other", "1"),
        provider("two", "2"),
    ];
    let config = crate::scene::without_verification(&scene.config(&providers.concat()));
    let names = ["one", "other", "two"];
    for layout in ["bundle.tar", "bundle"] {
        let exported = scene.with(
            &config,
            &[&["cache", "export", layout, "--format", "json"], &names[..]].concat(),
        );
        code(&exported, 0);
        assert_eq!(exported.json()["images"].as_array().unwrap().len(), 1);
    }
    let desk = other_machine(&scene, "bundle.tar");
    drop(scene);
    desk.write("plugins.toml", config);
    code(&desk.run(&["cache", "import", "bundle.tar"]), 0);
    for name in names {
        let answer = desk.run(&["run", name, "greet", "--offline", "--input", "me"]);
        code(&answer, 0);
    }
}

/// As with `update`, what is not proven to be newer is accepted because the operator asked for it, with
/// a warning.
#[test]
fn an_imported_version_without_a_time_is_locked_with_a_warning() {
    let scene = Scene::new();
    let host = scene.registry.host().to_string();
    scene.desk.write("team.key", crate::publish::KEY);
    scene.desk.write("plugin.wasm", plugins::echo_wasm());
    let image = format!("{host}/acme/keyed:1");
    let options = ["--wasm", "plugin.wasm", "--sign-key", "team.key"];
    let plain = format!("[registries.\"{host}\"]\nplain_http = true\n");
    let publish = |version: &str, layout: &str| {
        let publish = ["publish", &image, "--image-version", version];
        let published = scene.with(&plain, &[&publish[..], &options].concat());
        code(&published, 0);
        let key = crate::keys::public_key(&published.stdout);
        scene.desk.write("team.pub", key);
        let export = ["cache", "export", layout, "keyed", "--cache-dir", version];
        code(&scene.with(&keyed(&host), &export), 0);
        std::fs::remove_file(scene.desk.path().join("plugins.lock")).unwrap();
    };
    publish("first", "first.tar");
    publish("second", "second.tar");
    let desk = other_machine(&scene, "first.tar");
    for file in ["second.tar", "team.pub"] {
        desk.write(file, std::fs::read(scene.desk.path().join(file)).unwrap());
    }
    drop(scene);
    desk.write("plugins.toml", keyed(&host));
    code(&desk.run(&["cache", "import", "first.tar", "--update"]), 0);
    // The command that locks to the other version can be pasted.
    let second = std::fs::read(desk.path().join("second.tar")).unwrap();
    desk.write("my second.tar", second);
    let stays = desk.run(&["cache", "import", "my second.tar"]);
    let shown = stays.messages();
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains("import --update 'my second.tar'"),
        "{}",
        stays.transcript()
    );
    let updated = desk.run(&["cache", "import", "second.tar", "--update"]);
    code(&updated, 0);
    let words = "has changed";
    assert!(
        updated.messages().contains(words),
        "{}",
        updated.transcript()
    );
}

/// A config with a plugin that is signed with a key.
fn keyed(host: &str) -> String {
    format!(
        "[oci]\npublic_keys = [\"team.pub\"]\ntransparency_log = \"optional\"\n\
         [registries.\"{host}\"]\nplain_http = true\n\
         [[providers]]\nname = \"keyed\"\npath = \"oci://{host}/acme/keyed:1\"\n"
    )
}

/// What the policy refuses is not locked, and the plugin stays as it is.
#[test]
fn an_import_locks_nothing_that_the_policy_refuses() {
    let scene = Scene::new();
    code(&scene.run(&["cache", "export", "good.tar", "greet"]), 0);
    let desk = other_machine(&scene, "good.tar");
    let import = ["cache", "import", "good.tar", "--update"];
    code(&desk.run(&import), 0);
    code(&desk.run(&["pull", "greet", "--offline"]), 0);
    let lock = desk.path().join("plugins.lock");
    let locked = std::fs::read_to_string(&lock).unwrap();
    let other = format!("sha256:{}", "0".repeat(64));
    let locked = locked.replace(&scene.signed, &other);
    desk.write("plugins.lock", &locked);
    desk.write("plugins.toml", scene.config("").replace("dev@", "another@"));
    let refused = desk.run(&import);
    code(&refused, 3);
    assert!(
        refused.messages().contains("dev@"),
        "{}",
        refused.transcript()
    );
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), locked);
}

/// A layout decides nothing: a tag stays where the policy refuses the new image.
#[test]
fn an_import_moves_no_tag_to_what_the_policy_refuses() {
    let scene = Scene::new();
    code(&scene.run(&["cache", "export", "good.tar", "greet"]), 0);
    let moved = scene.move_tag_to_unsigned();
    let skip = crate::scene::without_verification(&scene.config(""));
    let export = [
        "cache",
        "export",
        "bad.tar",
        "greet",
        "--cache-dir",
        "other",
    ];
    code(&scene.with(&skip, &export), 0);
    let desk = other_machine(&scene, "good.tar");
    let bad = std::fs::read(scene.desk.path().join("bad.tar")).unwrap();
    desk.write("bad.tar", bad);
    drop(scene);
    // The tag is not set before, and then to the good image.
    for (first, expected) in [("bad.tar", 3), ("good.tar", 0)] {
        code(&desk.run(&["cache", "import", first]), expected);
    }
    let import = desk.run(&["cache", "import", "bad.tar", "--format", "json"]);
    code(&import, 3);
    assert_eq!(import.json()["error"]["kind"], "not-verified");
    let kept = &import.json()["kept_tags"][0];
    assert_eq!(kept["digest"], moved, "{kept:#}");
    assert_eq!(kept["error"]["kind"], "not-verified", "{kept:#}");
    let warned = desk.run(&["cache", "import", "bad.tar"]);
    assert!(
        warned.messages().contains("is not set to"),
        "{}",
        warned.transcript()
    );
    let answer = desk.run(&["run", "greet", "greet", "--offline", "--input", "me"]);
    code(&answer, 0);
    assert_eq!(answer.stdout, "Hello, me! (wasm)");
}

/// Two images under one name: the tag is not set to either, and that is said.
#[test]
fn an_import_sets_no_tag_that_the_layout_gives_to_two_images() {
    let scene = Scene::new();
    code(&scene.run(&["cache", "export", "layout", "greet"]), 0);
    let layout = scene.desk.path().join("layout");
    // The same manifest with a line break at its end has another digest.
    let blobs = layout.join("blobs/sha256");
    let signed = scene.signed.strip_prefix("sha256:").unwrap();
    let mut other = std::fs::read(blobs.join(signed)).unwrap();
    other.push(b'\n');
    let digest = qmt_oci_ref::Digest::sha256(&other);
    std::fs::write(blobs.join(digest.hex()), &other).unwrap();
    let index = std::fs::read(layout.join("index.json")).unwrap();
    let mut index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let mut entry = index["manifests"][0].clone();
    entry["digest"] = digest.to_string().into();
    entry["size"] = other.len().into();
    index["manifests"].as_array_mut().unwrap().push(entry);
    scene.desk.write("layout/index.json", index.to_string());

    let import = ["cache", "import", "layout", "--cache-dir", "second"];
    let answer = scene.run(&import);
    code(&answer, 5);
    let said = answer.messages();
    let tag = format!("{}/acme/greet:1", scene.registry.host());
    for digest in [&scene.signed, &digest.to_string()] {
        let words = format!("the tag `{tag}` is not set to {digest}");
        assert!(said.contains(&words), "{said}");
    }
    let reason = "the layout lists more than one image under this name";
    assert!(
        said.contains(reason) && !said.contains("no names"),
        "{said}"
    );
    let answer = scene.run(&[&import[..], &["--format", "json"]].concat());
    let kept = &answer.json()["kept_tags"];
    assert_eq!(kept.as_array().unwrap().len(), 2, "{kept:#}");
}

/// A signed image that is newer takes the tag, and one that is older does not take it back.
#[test]
fn an_import_moves_a_tag_to_a_newer_image_only() {
    let (desk, newer, image) = two_versions();
    let used = || {
        let verified = desk.run(&["verify", &image, "--offline", "--format", "json"]);
        code(&verified, 0);
        verified.json()["digest"].clone()
    };
    code(&desk.run(&["cache", "import", "old.tar"]), 0);
    assert_ne!(used(), newer);
    code(&desk.run(&["cache", "import", "new.tar"]), 0);
    assert_eq!(used(), newer);
    let back = desk.run(&["cache", "import", "old.tar", "--format", "json"]);
    code(&back, 3);
    assert_eq!(back.json()["kept_tags"].as_array().unwrap().len(), 1);
    let reason = &back.json()["kept_tags"][0]["error"]["message"];
    assert!(
        reason
            .to_string()
            .contains("is not proven to be newer than"),
        "{reason}"
    );
    assert_eq!(used(), newer);
}

#[test]
fn a_layout_of_which_nothing_can_be_imported_is_a_failure() {
    let desk = Desk::new();
    code(&desk.run(&["cache", "import", "absent.tar"]), 4);
    desk.write("plugin.wasm", plugins::echo_wasm());
    let module = desk.run(&["cache", "import", "plugin.wasm"]);
    code(&module, 5);
    let words = "it is neither a folder nor an uncompressed tar archive";
    assert!(module.messages().contains(words), "{}", module.transcript());
    let layout = desk.path().join("layout");
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    std::fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let absent = format!("sha256:{}", "0".repeat(64));
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": manifest, "digest": absent, "size": 2 }],
    });
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
    let import = desk.run(&["cache", "import", "layout", "--format", "json"]);
    code(&import, 1);
    assert_eq!(import.json()["incomplete"], serde_json::json!([absent]));
}

/// A damaged part of a layout has the code that it has where the layout is used directly.
#[test]
fn a_damaged_layout_names_itself_and_the_part() {
    let scene = Scene::new();
    code(&scene.run(&["cache", "export", "bundle", "greet"]), 0);
    let blobs = scene.desk.path().join("bundle/blobs/sha256");
    let files = std::fs::read_dir(&blobs).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let layer = files.max_by_key(|file| std::fs::metadata(file).unwrap().len());
    let layer = layer.unwrap();
    let mut content = std::fs::read(&layer).unwrap();
    content[0] ^= 1;
    std::fs::remove_file(&layer).unwrap();
    std::fs::write(&layer, content).unwrap();
    let import = scene.run(&["cache", "import", "bundle"]);
    code(&import, 5);
    let digest = layer.file_name().unwrap().to_str().unwrap();
    let said = import.messages();
    assert!(said.contains("`oci-layout://bundle`"), "{said}");
    assert!(
        said.contains(digest) && said.contains("copy it again"),
        "{said}"
    );
    std::fs::remove_file(&layer).unwrap();
    let import = scene.run(&["cache", "import", "bundle"]);
    code(&import, 1);
    let said = import.messages();
    let words = format!("the layout lacks sha256:{digest}");
    assert!(said.contains(&words), "{said}");
}

/// The signature is there, so its publisher need not sign again.
#[test]
fn a_damaged_signature_of_a_layout_is_named() {
    let scene = Scene::new();
    code(&scene.run(&["cache", "export", "bundle", "greet"]), 0);
    let signatures = scene.desk.path().join("bundle/signatures");
    let file = std::fs::read_dir(&signatures).unwrap().next().unwrap();
    let file = file.unwrap().path();
    let whole = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let import = ["cache", "import", "bundle", "--cache-dir", "other"];
    for content in [&b"{}"[..], &whole[..whole.len() / 2]] {
        std::fs::write(&file, content).unwrap();
        let import = scene.run(&import);
        code(&import, 3);
        let said = import.messages();
        let words = "its signatures in the layout `bundle` are damaged or too large";
        assert!(said.contains(words), "{said}");
        assert!(said.contains("copy the layout again"), "{said}");
        assert!(!said.contains("cosign sign"), "{said}");
    }
    // Without the file, the image is not signed.
    std::fs::remove_file(&file).unwrap();
    let said = scene.run(&import).messages();
    assert!(said.contains("the publisher signs it"), "{said}");
    std::fs::write(&file, whole).unwrap();
    code(&scene.run(&import), 0);
}

/// Signatures in the form of another tool are not imported, and are not images.
#[test]
fn signatures_in_the_form_of_another_tool_are_named() {
    let scene = Scene::new();
    code(&scene.run(&["cache", "export", "bundle", "greet"]), 0);
    let bundle = scene.desk.path().join("bundle");
    std::fs::remove_dir_all(bundle.join("signatures")).unwrap();
    let index = std::fs::read(bundle.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let (host, image) = (scene.registry.host(), &index["manifests"][0]);
    let tag = scene.signed.replace(':', "-");
    let named = |name: String| serde_json::json!({ "org.opencontainers.image.ref.name": name });
    let mut of_hauler = named(format!("acme/greet@{}", scene.signed));
    of_hauler["io.containerd.image.name"] = format!("{host}/acme/greet:1").into();
    let of_cosign = serde_json::json!({ "kind": "dev.cosignproject.cosign/sigs" });
    for (annotations, has_subject) in [
        (named(format!("{host}/acme/greet:{tag}.sig")), false),
        (named(format!("{host}/acme/greet:{tag}")), false),
        (of_cosign, false),
        (of_hauler, true),
        (serde_json::json!({}), true),
    ] {
        let blob = bundle.join("blobs/sha256").join(&scene.signed[7..]);
        let blob = std::fs::read(blob).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_slice(&blob).unwrap();
        manifest["annotations"] = serde_json::json!({ "of": "a signature" });
        if has_subject {
            manifest["subject"] = image.clone();
        }
        let manifest = manifest.to_string();
        let digest = qmt_oci_ref::Digest::sha256(&manifest);
        std::fs::write(bundle.join("blobs/sha256").join(digest.hex()), &manifest).unwrap();
        let mut signatures = image.clone();
        signatures["digest"] = digest.to_string().into();
        signatures["size"] = manifest.len().into();
        signatures["annotations"] = annotations.clone();
        let mut index = index.clone();
        index["manifests"].as_array_mut().unwrap().push(signatures);
        scene.desk.write("bundle/index.json", index.to_string());
        let import = ["cache", "import", "bundle", "--cache-dir", "other"];
        let answer = scene.run(&import);
        code(&answer, 3);
        let said = answer.messages();
        let rule = "the layout `bundle` is not an export of the cache";
        let next = "use the layout directly, with `oci-layout://bundle:1`";
        assert!(said.contains(rule) && said.contains(next), "{said}");
        assert!(!said.contains("cosign sign"), "{said}");
        let answer = scene.run(&[&import[..], &["--format", "json"]].concat());
        let answer = answer.json();
        let images = serde_json::json!([scene.signed]);
        assert_eq!(answer["images"], images, "{annotations}");
        assert_eq!(answer["kept_tags"].as_array().unwrap().len(), 1);
    }
}

/// A plugin that the config pins by digest is found by that.
#[test]
fn an_import_of_pinned_plugins_has_no_warning() {
    let scene = Scene::new();
    let (host, digest) = (scene.registry.host(), &scene.signed);
    let pinned = scene
        .config("")
        .replace("acme/greet:1", &format!("acme/greet@{digest}"));
    scene.desk.write("plugins.toml", &pinned);
    code(&scene.run(&["cache", "export", "bundle.tar", "greet"]), 0);
    let desk = other_machine(&scene, "bundle.tar");
    let import = desk.run(&["cache", "import", "bundle.tar"]);
    code(&import, 0);
    assert!(
        !import.messages().contains("warning"),
        "{}",
        import.transcript()
    );
    code(&desk.run(&["pull", "greet", "--offline"]), 0);
    // Without such a plugin, the digest must be given.
    let other = scene
        .config("")
        .replace(&format!("{host}/acme"), "a.example/acme");
    desk.write("plugins.toml", &other);
    let import = desk.run(&["cache", "import", "bundle.tar", "--cache-dir", "other"]);
    code(&import, 0);
    let words = "only references with their digest lead to them";
    assert!(import.messages().contains(words), "{}", import.transcript());
}

/// What is no image has no place in a layout, and an empty one is of no use.
#[test]
fn only_images_are_exported() {
    let desk = Desk::new();
    desk.write("plugin.wasm", plugins::echo_wasm());
    desk.write(
        "plugins.toml",
        "[[providers]]\nname = \"file\"\npath = \"plugin.wasm\"\n",
    );
    for arguments in [
        &["cache", "export", "x.tar", "file"][..],
        &["cache", "export", "x.tar"],
    ] {
        code(&desk.run(arguments), 2);
        assert!(!desk.path().join("x.tar").exists());
    }
}

/// One layout serves machines of several platforms.
#[test]
fn the_images_for_all_named_platforms_are_exported() {
    let scene = Scene::new();
    let linux = |architecture| manifest::platform("linux", architecture);
    let native = |architecture, machine| {
        ImageBuilder::native(linux(architecture), "plugin.so", library(machine)).build()
    };
    let (arm64, riscv64) = (native("arm64", 183), native("riscv64", 243));
    let wasm = ImageBuilder::wasm(plugins::echo_wasm()).build();
    let index = IndexBuilder::new().wasm(&wasm);
    let index = index.platform(&arm64, linux("arm64"));
    let index = index.platform(&riscv64, linux("riscv64")).build();
    let root = index.push(&scene.registry, "acme/many", "1");
    let config = unverified(&scene, "many", "acme/many:1");
    scene.desk.write("plugins.toml", &config);
    let own = qmt_artifact::HostPlatform::current();
    let own = own.platform();
    let own = format!("{}/{}", own.os(), own.architecture());
    let has = |layout: &str, image: &Image| {
        let blobs = scene.desk.path().join(layout).join("blobs/sha256");
        let digests = image.blobs().iter().map(|(blob, _)| blob.digest());
        digests
            .map(|digest| blobs.join(digest.hex()))
            .all(|path| path.exists())
    };
    let export = [
        "cache",
        "export",
        "one",
        "many",
        "--platform",
        "linux/arm64",
    ];
    let one = scene.run(&[&export[..], &["--format", "json"]].concat());
    code(&one, 0);
    assert_eq!(one.json()["images"], serde_json::json!([root.digest()]));
    assert!(has("one", &arm64) && !has("one", &wasm) && !has("one", &riscv64));
    let both = [
        "cache",
        "export",
        "two",
        "many",
        "--platform",
        "linux/riscv64",
    ];
    code(&scene.run(&[&both[..], &["--platform", &own]].concat()), 0);
    assert!(has("two", &wasm) && has("two", &riscv64));
    // As docker takes them.
    let list = format!("linux/riscv64,{own}");
    code(
        &scene.run(&["cache", "export", "list", "many", "--platform", &list]),
        0,
    );
    assert!(has("list", &wasm) && has("list", &riscv64));
    for wrong in ["linux", "linux/*", "linux/amd64,,linux/arm64"] {
        let none = scene.run(&["cache", "export", "three", "many", "--platform", wrong]);
        code(&none, 2);
    }
}

/// A layout for other machines says what this one would use of it.
#[test]
fn an_import_for_another_platform_names_what_to_export() {
    let scene = Scene::new();
    let riscv64 = || manifest::platform("linux", "riscv64");
    let native = ImageBuilder::native(riscv64(), "plugin.so", library(243)).build();
    let wasm = ImageBuilder::wasm(plugins::echo_wasm()).build();
    let index = IndexBuilder::new().platform(&native, riscv64()).wasm(&wasm);
    index.build().push(&scene.registry, "acme/many", "1");
    let config = unverified(&scene, "many", "acme/many:1");
    scene.desk.write("plugins.toml", &config);
    let platform = ["--platform", "linux/riscv64"];
    let export = ["cache", "export", "some.tar", "many"];
    code(&scene.run(&[&export[..], &platform].concat()), 0);
    let own = qmt_artifact::HostPlatform::current().to_string();
    let desk = other_machine(&scene, "some.tar");
    let imported = desk.run(&["cache", "import", "some.tar"]);
    code(&imported, 0);
    let command = format!("`cache export --platform {own}`");
    let said = imported.messages();
    let lacks = format!("lacks the manifest of `many` for {own}");
    for words in [&command, &lacks] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let json = desk.run(&["cache", "import", "some.tar", "--format", "json"]);
    let lacking = serde_json::json!([{ "plugin": "many", "platform": own }]);
    assert_eq!(json.json()["lacking"], lacking, "{}", json.transcript());
    let pulled = desk.run(&["pull", "many", "--offline"]);
    code(&pulled, 4);
    let said = pulled.messages();
    let lacks = format!("for {own} is not in the cache");
    for words in [&command, &lacks] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // What was exported for this machine completes it.
    let export = ["cache", "export", "own.tar", "many", "--platform", &own];
    code(&scene.run(&export), 0);
    let bytes = std::fs::read(scene.desk.path().join("own.tar")).unwrap();
    desk.write("own.tar", bytes);
    drop(scene);
    let imported = desk.run(&["cache", "import", "own.tar"]);
    code(&imported, 0);
    assert!(
        !imported.messages().contains("lacks"),
        "{}",
        imported.transcript()
    );
    let answer = desk.run(&["run", "many", "greet", "--offline", "--input", "me"]);
    assert_eq!(answer.stdout, "Hello, me! (wasm)");
}

/// The head of a shared library for a machine, by its number in ELF.
fn library(machine: u16) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
    bytes.extend(machine.to_le_bytes());
    bytes.extend([0; 5_000]);
    bytes
}

/// What is wrong with a layout has the same code wherever the layout is used.
#[test]
fn a_file_that_is_no_layout_has_one_exit_code() {
    let desk = Desk::new();
    desk.write("bundle.tar", "no archive");
    for (layout, expected) in [("bundle.tar", 5), ("absent.tar", 4)] {
        let place = format!("oci-layout://{layout}");
        for command in [&["cache", "import", layout][..], &["inspect", &place]] {
            let refused = desk.run(command);
            code(&refused, expected);
            let said = refused.messages();
            assert!(said.contains(&format!("image layout `{layout}`")), "{said}");
        }
    }
}
