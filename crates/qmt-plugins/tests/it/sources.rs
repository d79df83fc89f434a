//! Plugins that do not come from a registry.

use qmt_oci_ref::{Descriptor, MediaType, PluginKind, manifest};
use qmt_plugins::{Error, ErrorKind};
use qmt_testkit::{Identity, Signing, SimpleSigning, plugins};

use crate::scene::{EMAIL, ISSUER, Scene, greet, messages, wasm_image};

fn config(scene: &Scene, path: &str, more: &str) -> String {
    scene
        .config_with(
            &format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\""),
            more,
        )
        .replace(
            &format!("oci://{}/acme/greeter:1", scene.registry.host()),
            path,
        )
}

#[tokio::test]
async fn a_layout_on_disk_is_verified_like_a_registry() {
    let scene = Scene::new().await;
    let image = wasm_image();
    let layout = scene.folder.path().join("layout");
    image.write_layout(&layout, "1").unwrap();
    let host = scene.host(&config(&scene, "oci-layout://layout:1", ""));
    let error = host.load("greeter").await.err().unwrap();
    assert!(
        matches!(error, Error::NotVerified { .. }),
        "{}",
        messages(&error)
    );

    let signing = Signing::keyless(Identity::email(EMAIL, ISSUER));
    let signature = scene.sigstore.sign_simple(image.root().digest(), &signing);
    let signed = SimpleSigning::image(image.root().digest(), &[signature]);
    let tag = signed.tag.clone().unwrap();
    let blobs: Vec<_> = signed
        .blobs
        .iter()
        .map(|(media_type, bytes)| {
            (
                Descriptor::of(MediaType::from(media_type.as_str()), bytes),
                bytes.clone(),
            )
        })
        .collect();
    qmt_testkit::Image::from_manifest(&signed.manifest_media_type, signed.manifest.clone(), blobs)
        .write_layout(&layout, &*tag)
        .unwrap();
    let host = scene.host(&config(&scene, "oci-layout://layout:1", ""));
    assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");

    // The recorded signature is verified against the policy at hand; others are in the layout.
    std::fs::remove_dir_all(&layout).unwrap();
    let host = scene.host(&config(&scene, "oci-layout://layout:1", ""));
    assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");
    let theirs = config(&scene, "oci-layout://layout:1", "").replace(EMAIL, "other@acme.example");
    let error = scene.host(&theirs).load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{}", messages(&error));
    assert!(matches!(error, Error::NotVerified { .. }), "{error}");
}

/// A layout on a disk that is not mounted: what is locked and in the cache requires it as little as a
/// registry.
#[tokio::test]
async fn a_locked_plugin_in_the_cache_is_loaded_without_its_layout() {
    for form in ["layout:1", "layout@DIGEST"] {
        let scene = Scene::new().await;
        let image = wasm_image();
        let layout = scene.folder.path().join("disk/layout");
        image.write_layout(&layout, "1").unwrap();
        let form = form.replace("DIGEST", &image.root().digest().to_string());
        let source = format!("oci-layout://disk/{form}");
        let skipping = scene.config_with("insecure_skip_signature = true", "");
        let remote = format!("oci://{}/acme/greeter:1", scene.registry.host());
        let config = skipping.replace(&remote, &source);
        let first = greet(&scene.host(&config), "greeter").await;
        assert_eq!(first, "Hello, world! (wasm)", "{source}");

        std::fs::remove_dir_all(scene.folder.path().join("disk")).unwrap();
        assert_eq!(greet(&scene.host(&config), "greeter").await, first);
        let offline = scene.builder(&config).offline(true).build().unwrap();
        assert_eq!(greet(&offline, "greeter").await, first, "{source}");

        // What is not in the cache has to be read.
        std::fs::remove_dir_all(scene.folder.path().join("cache")).unwrap();
        let error = scene.host(&config).load("greeter").await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{}", messages(&error));
        let text = messages(&error);
        assert!(text.contains("it can't be opened"), "{text}");
    }
}

#[tokio::test]
async fn a_file_of_the_operator_is_not_verified() {
    let scene = Scene::new().await;
    std::fs::write(scene.folder.path().join("echo.wasm"), plugins::echo_wasm()).unwrap();
    let host = scene.host(&config(&scene, "echo.wasm", ""));
    assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");

    let library = plugins::native_plugin(scene.folder.path()).unwrap();
    let path = library.display().to_string();
    let error = scene
        .host(&config(&scene, &path, ""))
        .load("greeter")
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::NativeForbidden { .. }), "{error}");
    let host = scene.host(&config(&scene, &path, "[providers.allow]\nnative = true"));
    assert_eq!(greet(&host, "greeter").await, "Hello, world! (native)");
}

/// A provider that is isolated is loaded isolated, or not at all: `main` of this program does not
/// start workers, and a loader of the host may not support isolation.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_isolated_plugin_never_runs_in_this_process() {
    use std::sync::Arc;

    use qmt_plugins::loader::{LoadError, MockLoader, MockPlugin};

    let scene = Scene::new().await;
    let marker = scene.folder.path().join("marker");
    let library = plugins::native_plugin_with_marker(scene.folder.path(), &marker).unwrap();
    let path = library.display().to_string();
    let isolated = config(&scene, &path, "native = \"isolated\"");
    let mut own = MockLoader::new();
    own.expect_load().returning(|_, _| {
        let mut plugin = MockPlugin::new();
        plugin.expect_exports().returning(Vec::new);
        Ok(Arc::new(plugin))
    });
    let own = scene
        .builder(&isolated)
        .native_loader(Arc::new(own))
        .build();
    for host in [scene.host(&isolated), own.unwrap()] {
        let error = host.load("greeter").await.err().unwrap();
        let refused = matches!(
            error,
            Error::Load {
                source: LoadError::Isolation { .. },
                ..
            }
        );
        assert!(refused, "{error:?}");
    }
    assert!(!marker.exists());
}

#[tokio::test]
async fn a_file_that_is_not_a_plugin_is_refused() {
    let scene = Scene::new().await;
    scene.write("echo.wat", "(module)");
    let error = scene
        .host(&config(&scene, "echo.wat", ""))
        .load("greeter")
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::NotAPlugin { .. }), "{error}");
}

/// `oras push REF echo.wasm README.md`: two files, called archives, each with its title.
#[tokio::test]
async fn an_artifact_of_titled_files_loads_by_its_title() {
    const TITLE: &str = "org.opencontainers.image.title";
    let scene = Scene::new().await;
    let tar = "application/vnd.oci.image.layer.v1.tar";
    let blob = |media_type: &str, bytes: &[u8]| {
        let descriptor = Descriptor::of(MediaType::from(media_type), bytes);
        (descriptor, bytes.to_vec().into())
    };
    let empty = blob(manifest::OCI_EMPTY, b"{}");
    let (module, text) = (blob(tar, &plugins::echo_wasm()), blob(tar, b"# Echo\n"));
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": manifest::OCI_MANIFEST,
        "artifactType": "application/vnd.unknown.artifact.v1",
        "config": empty.0,
        "layers": [
            module.0.clone().with_annotation(TITLE, "echo.wasm"),
            text.0.clone().with_annotation(TITLE, "README.md"),
        ],
    });
    let image = qmt_testkit::Image::from_manifest(
        manifest::OCI_MANIFEST,
        serde_json::to_vec(&manifest).unwrap(),
        vec![empty, module, text],
    );
    scene.push(&image, "1");
    let skip = "insecure_skip_signature = true";
    let host = scene.host(&scene.config_with(skip, "file = \"echo.wasm\""));
    assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");
    let host = scene.host(&scene.config_with(skip, "file = \"other.wasm\""));
    let error = host.load("greeter").await.err().unwrap();
    let messages = messages(&error);
    assert!(messages.contains("README.md, echo.wasm"), "{messages}");
}

/// A library next to a Wasm layer is for configs that name it or allow native only, also if the
/// other of the two is in the cache.
#[tokio::test]
async fn kind_and_file_choose_between_a_wasm_layer_and_a_library() {
    const TITLE: &str = "org.opencontainers.image.title";
    let scene = Scene::new().await;
    let library = plugins::native_plugin(scene.folder.path()).unwrap();
    let blob = |media_type: &str, bytes: Vec<u8>| {
        let descriptor = Descriptor::of(MediaType::from(media_type), &bytes);
        (descriptor, bytes.into())
    };
    let empty = blob(manifest::OCI_EMPTY, b"{}".to_vec());
    let module = blob("application/wasm", plugins::echo_wasm());
    let library = blob("application/octet-stream", std::fs::read(library).unwrap());
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": manifest::OCI_MANIFEST,
        "config": empty.0,
        "layers": [
            library.0.clone().with_annotation(TITLE, "libecho.so"),
            module.0.clone().with_annotation(TITLE, "echo.wasm"),
        ],
    });
    let image = qmt_testkit::Image::from_manifest(
        manifest::OCI_MANIFEST,
        serde_json::to_vec(&manifest).unwrap(),
        vec![empty, module, library],
    );
    scene.sign(&scene.push(&image, "1"));
    let oci = format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"");
    for (lines, kind) in [
        ("", PluginKind::Wasm),
        ("kind = \"native\"", PluginKind::Native),
        ("", PluginKind::Wasm),
        ("kind = \"wasm\"", PluginKind::Wasm),
        (
            "kind = \"native\"\nfile = \"libecho.so\"",
            PluginKind::Native,
        ),
        ("file = \"echo.wasm\"", PluginKind::Wasm),
    ] {
        let host = scene.host(&scene.config_with(&oci, lines));
        let fetched = host.fetch("greeter").await.unwrap();
        assert_eq!(fetched.kind(), kind, "{lines}");
    }
    // The lockfile says Wasm, so that `file` alone changes the kind only where nothing is locked.
    let lines = scene.config_with(&oci, "file = \"libecho.so\"");
    let error = scene.host(&lines).fetch("greeter").await.err().unwrap();
    assert!(
        messages(&error).contains("accepts the change"),
        "{}",
        messages(&error)
    );
    std::fs::remove_file(scene.folder.path().join("plugins.lock")).unwrap();
    let fetched = scene.host(&lines).fetch("greeter").await.unwrap();
    assert_eq!(fetched.kind(), PluginKind::Native);
}

/// A native plugin that needs a library beyond the runtimes, of a size above the operator's limit.
#[tokio::test]
async fn the_config_allows_libraries_and_limits_their_size() {
    let scene = Scene::new().await;
    let folder = scene.folder.path();
    let flags = ["-Wl,-soname,libgpu.so.1"];
    let gpu = plugins::compile(folder, "libgpu.so.1", "int gpu;", &flags).unwrap();
    let flags = ["-Wl,--no-as-needed", gpu.to_str().unwrap()];
    plugins::compile(folder, "needy.so", plugins::ECHO_C, &flags).unwrap();
    let size = std::fs::metadata(folder.join("needy.so")).unwrap().len();
    for (libraries, library_max, refused) in [
        ("", size, Some("`libgpu.so.1`")),
        ("libgpu.so", size, Some("`libgpu.so.1`")),
        ("libgpu.so.1", size - 1, Some("bytes, more than")),
        ("libgpu.so.1", size, None),
    ] {
        let libraries = libraries
            .split_terminator(' ')
            .map(|name| format!("\"{name}\""));
        let libraries = libraries.collect::<Vec<_>>().join(", ");
        let lines = format!(
            "[providers.allow]\nnative = true\nlibraries = [{libraries}]\n\
             [providers.limits]\nlibrary_max = {library_max}"
        );
        let host = scene.host(&config(&scene, "needy.so", &lines));
        let target = qmt_plugins::Target::named(host.config(), "greeter").unwrap();
        let inspection = host.inspect(&target).await.unwrap();
        match (refused, inspection.content.unwrap().preflight) {
            (Some(words), Err(problem)) => assert!(problem.contains(words), "{problem}"),
            (None, Ok(preflight)) => {
                assert!(preflight.imports.contains(&"libgpu.so.1".to_owned()));
            }
            (_, preflight) => panic!("{libraries} {library_max}: {preflight:?}"),
        }
        // The dynamic loader would not find this library; what was refused is not opened.
        let error = messages(&host.load("greeter").await.err().unwrap());
        match refused {
            Some(words) => assert!(error.contains(words), "{error}"),
            None => assert!(error.contains("cannot open shared object"), "{error}"),
        }
    }
    let wild = config(&scene, "needy.so", "allow = { libraries = [\"libcuda*\"] }");
    let path = scene.write("wild.toml", &wild);
    let error = qmt_plugins::config::ConfigFile::read(path)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("allow.libraries") && error.contains("exact name"),
        "{error}"
    );
}
