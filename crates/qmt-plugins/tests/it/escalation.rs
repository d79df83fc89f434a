//! Invariant 6: no plugin gets more rights, or becomes native, without the operator's word.

use qmt_plugins::{Error, Event, Target};

use crate::scene::{EMAIL, ISSUER, REPOSITORY, Scene, greet, native_image, wasm_image};

fn trusting(scene: &Scene, provider: &str) -> String {
    let oci =
        format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"\npull_policy = \"always\"");
    scene.config_with(&oci, provider)
}

#[tokio::test]
async fn a_wasm_plugin_that_becomes_native_must_be_allowed() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    assert_eq!(
        greet(&scene.host(&trusting(&scene, "")), "greeter").await,
        "Hello, world! (wasm)"
    );

    scene.sign(&scene.push(&native_image(&scene), "1"));
    let error = scene
        .host(&trusting(&scene, ""))
        .load("greeter")
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::NativeForbidden { .. }), "{error}");
    assert!(error.to_string().contains("has become native"), "{error}");

    let accepted = scene.host(&trusting(&scene, "kind = \"native\""));
    assert_eq!(greet(&accepted, "greeter").await, "Hello, world! (native)");
}

/// What `load` and `update` refuse is not reported as accepted, although its signature is.
#[tokio::test]
async fn the_versions_of_a_plugin_that_becomes_native_are_reported_as_refused() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let config = trusting(&scene, "").replace("pull_policy = \"always\"", "");
    let host = scene.host(&config);
    host.fetch("greeter").await.unwrap();
    scene.sign(&scene.push(&native_image(&scene), "1"));
    let target = Target::named(host.config(), "greeter").unwrap();
    let versions = host.verify_versions(&target).await.unwrap();
    assert!(versions.used.result.is_ok() && versions.used.refused.is_none());
    let current = versions.current.unwrap().unwrap();
    assert!(current.result.is_ok());
    let refused = current.refused.unwrap();
    assert!(
        matches!(refused, Error::NativeForbidden { .. }),
        "{refused}"
    );
    let updated = host.update("greeter").await.unwrap_err();
    assert_eq!(updated.to_string(), refused.to_string());

    // A tag that was edited in the config is of the same repository.
    scene.sign(&scene.push(&native_image(&scene), "2"));
    let edited = scene.host(&config.replace("greeter:1", "greeter:2"));
    let target = Target::named(edited.config(), "greeter").unwrap();
    let versions = edited.verify_versions(&target).await.unwrap();
    let refused = versions.used.refused.unwrap();
    assert!(
        matches!(refused, Error::NativeForbidden { .. }),
        "{refused}"
    );

    let accepted = scene.host(&config.replace("[[providers]]", "[[providers]]\nkind = \"native\""));
    let target = Target::named(accepted.config(), "greeter").unwrap();
    let versions = accepted.verify_versions(&target).await.unwrap();
    assert!(versions.current.unwrap().unwrap().refused.is_none());
}

/// The lockfile is compared by repository: another tag of it is the same plugin.
#[tokio::test]
async fn a_wasm_plugin_that_becomes_native_under_another_tag_must_be_allowed() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    scene.sign(&scene.push(&native_image(&scene), "2"));
    let config = trusting(&scene, "");
    let edited = config.replace("greeter:1", "greeter:2");
    assert_ne!(config, edited);
    assert_eq!(
        greet(&scene.host(&config), "greeter").await,
        "Hello, world! (wasm)"
    );
    let renamed = edited.replace("\"greeter\"", "\"renamed\"");
    for (config, name, recorded) in [
        (&edited, "greeter", "records it as a Wasm plugin"),
        (
            &renamed,
            "renamed",
            "records `greeter`, of the same repository, as a Wasm plugin",
        ),
    ] {
        let error = scene.host(config).load(name).await.err().unwrap();
        assert!(matches!(error, Error::NativeForbidden { .. }), "{error}");
        assert!(error.to_string().contains("has become native"), "{error}");
        assert!(error.to_string().contains(recorded), "{error}");
    }
    let accepted = trusting(&scene, "kind = \"native\"").replace("greeter:1", "greeter:2");
    assert_eq!(
        greet(&scene.host(&accepted), "greeter").await,
        "Hello, world! (native)"
    );
}

/// A refusal is reported with the plugin, its reference and the reason.
#[tokio::test]
async fn a_refusal_is_an_event() {
    let scene = Scene::new().await;
    scene.push(&wasm_image(), "1");
    let host = scene.host(&trusting(&scene, ""));
    let error = host.load("greeter").await.err().unwrap();
    assert!(matches!(error, Error::NotVerified { .. }), "{error}");
    let events = scene.events.lock().unwrap();
    let refusals: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Refused {
                plugin,
                reference,
                reason,
            } => Some((plugin.as_str(), reference.as_str(), reason.as_str())),
            _ => None,
        })
        .collect();
    let [(plugin, reference, reason)] = refusals[..] else {
        panic!("{refusals:?}");
    };
    assert_eq!(plugin, "greeter");
    assert!(reference.ends_with("acme/greeter:1"), "{reference}");
    assert!(
        reason.contains("not verified") && reason.contains("sign"),
        "{reason}"
    );
}

#[tokio::test]
async fn unverified_native_code_must_be_allowed() {
    let scene = Scene::new().await;
    scene.push(&native_image(&scene), "1");
    let config = scene.config_with("insecure_skip_signature = true", "");
    let error = scene.host(&config).load("greeter").await.err().unwrap();
    assert!(matches!(error, Error::NativeForbidden { .. }), "{error}");

    let config = scene.config_with(
        "insecure_skip_signature = true",
        "[providers.allow]\nnative = true",
    );
    assert_eq!(
        greet(&scene.host(&config), "greeter").await,
        "Hello, world! (native)"
    );
}

#[tokio::test]
async fn the_config_can_forbid_native_code() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&native_image(&scene), "1"));
    let host = scene.host(&trusting(&scene, "[providers.allow]\nnative = false"));
    let error = host.load("greeter").await.err().unwrap();
    assert!(matches!(error, Error::NativeForbidden { .. }), "{error}");
}

/// Outside of the config no lockfile pins the first signer, so each one would be accepted each
/// time.
#[tokio::test]
async fn native_code_outside_of_the_config_needs_a_configured_signer() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&native_image(&scene), "1"));
    let name = format!("{}/{REPOSITORY}:1", scene.registry.host());
    let anyone = scene.host(&scene.config_with("", ""));
    let target = Target::parse(anyone.config(), &name).unwrap();
    let error = anyone.load_target(&target).await.err().unwrap();
    assert!(matches!(error, Error::NativeForbidden { .. }), "{error}");
    let allowed = target.clone().with_native_allowed();
    assert!(anyone.load_target(&allowed).await.is_ok());
    let configured = scene.host(&scene.config());
    assert!(configured.load_target(&target).await.is_ok());
    // A Wasm plugin runs in its sandbox, without any rights.
    scene.sign(&scene.push(&wasm_image(), "2"));
    let name = format!("{}/{REPOSITORY}:2", scene.registry.host());
    let target = Target::parse(anyone.config(), &name).unwrap();
    assert!(anyone.load_target(&target).await.is_ok());
}
