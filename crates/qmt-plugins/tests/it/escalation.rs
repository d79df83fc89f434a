//! Invariant 6: no plugin gets more rights, or becomes native, without the operator's word.

use qmt_plugins::Error;

use crate::scene::{EMAIL, ISSUER, Scene, greet, native_image, wasm_image};

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
