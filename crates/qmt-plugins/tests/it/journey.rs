//! The main job: a signed plugin travels from a registry into a call, and again without network.

use qmt_plugins::ErrorKind;

use crate::scene::{Scene, both_kinds, greet, messages, wasm_image};

#[tokio::test]
async fn a_signed_wasm_plugin_is_called() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let host = scene.host(&scene.config());
    assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");
}

#[tokio::test]
async fn a_bundle_as_cosign_3_writes_it_will_do() {
    let scene = Scene::new().await;
    scene.sign_bundle(&scene.push(&wasm_image(), "1"));
    let host = scene.host(&scene.config());
    assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");
}

#[tokio::test]
async fn an_index_gives_a_host_its_native_plugin_and_its_wasm_one_on_demand() {
    let scene = Scene::new().await;
    let image = scene.push(&both_kinds(&scene), "1");
    scene.sign(&image);
    let native = scene.host(&scene.config());
    assert_eq!(greet(&native, "greeter").await, "Hello, world! (native)");

    let oci = format!(
        "cert_email = \"{}\"\ncert_issuer = \"{}\"",
        crate::scene::EMAIL,
        crate::scene::ISSUER
    );
    let wasm = scene.host(&scene.config_with(&oci, "kind = \"wasm\""));
    assert_eq!(greet(&wasm, "greeter").await, "Hello, world! (wasm)");
}

/// Invariant 4 and 7: the second start needs no network, and judges the signature all the same.
#[tokio::test]
async fn the_second_start_needs_no_network() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let config = scene.config();
    assert_eq!(
        greet(&scene.host(&config), "greeter").await,
        "Hello, world! (wasm)"
    );

    scene.registry.clear_requests();
    let again = scene.host(&config);
    assert_eq!(greet(&again, "greeter").await, "Hello, world! (wasm)");
    assert_eq!(
        scene.registry.requests().len(),
        0,
        "{}",
        scene.registry.request_log()
    );
    let fetched = again.fetch("greeter").await.unwrap();
    assert!(fetched.is_from_cache());
    assert!(!fetched.verification().unwrap().is_skipped());
}

/// Invariant 1: a tag is resolved once, and the layer is fetched by the digest that was verified.
#[tokio::test]
async fn a_tag_is_requested_once() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    scene.host(&scene.config()).fetch("greeter").await.unwrap();
    assert_eq!(
        scene.registry.count("GET", "/v2/acme/greeter/manifests/1"),
        1
    );
    assert_eq!(
        scene.registry.count("HEAD", "/v2/acme/greeter/manifests/1"),
        0
    );
}

#[tokio::test]
async fn fetch_tells_a_host_all_it_needs_to_load_by_itself() {
    let scene = Scene::new().await;
    let image = scene.push(&wasm_image(), "1");
    scene.sign(&image);
    let host = scene.host(&scene.config());
    let fetched = host.fetch("greeter").await.unwrap();
    assert_eq!(fetched.kind().to_string(), "wasm");
    assert_eq!(fetched.reference().unwrap().digest(), image.digest());
    assert_eq!(
        std::fs::read(fetched.path()).unwrap(),
        fetched.bytes().unwrap()
    );
    let signer = fetched
        .verification()
        .unwrap()
        .signer()
        .unwrap()
        .to_string();
    assert!(signer.contains(crate::scene::EMAIL), "{signer}");
    // The bytes are read when they are wanted; what became of the file since is noticed.
    std::fs::set_permissions(
        fetched.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    std::fs::write(fetched.path(), b"another module").unwrap();
    assert_eq!(fetched.bytes().unwrap_err().kind(), ErrorKind::Failure);
}

#[tokio::test]
async fn unknown_names_and_missing_tags_are_told_apart_from_network_trouble() {
    let scene = Scene::new().await;
    let host = scene.host(&scene.config());
    let error = host.load("greter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("did you mean `greeter`?"),
        "{error}"
    );

    let error = host.load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", messages(&error));

    let config = scene.config();
    let unreachable = scene.host(&config);
    drop(scene.registry);
    let error = unreachable.load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Network, "{}", messages(&error));
    assert!(error.is_retryable());
}
