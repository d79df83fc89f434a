//! What one manifest is taken for, and which of its layers are read.

use super::*;

#[test]
fn annotation_then_layers_then_config() {
    let store = Store::default();
    let (wasm, native) = (Some(PluginKind::Wasm), Some(PluginKind::Native));
    let old = "application/vnd.wasm.content.layer.v1+wasm";
    let older = "application/vnd.module.wasm.content.layer.v1+wasm";
    for (layer, annotation, config, rule, kind) in [
        (
            GZIP_LAYER,
            Some("extism"),
            Some("linux/amd64"),
            FileRule::Wasm,
            wasm,
        ),
        (GZIP_LAYER, Some("wasm"), None, FileRule::Wasm, wasm),
        (GZIP_LAYER, Some("native"), None, FileRule::Native, native),
        (WASM_LAYER, None, None, FileRule::Layer, wasm),
        (WASM_LAYER, Some("extism"), None, FileRule::Layer, wasm),
        ("application/wasm", None, None, FileRule::Layer, wasm),
        ("Application/WASM", None, None, FileRule::Layer, wasm),
        (old, None, None, FileRule::Layer, wasm),
        (older, None, None, FileRule::Layer, wasm),
        (GZIP_LAYER, None, Some("wasi/wasm"), FileRule::Wasm, wasm),
        (
            GZIP_LAYER,
            None,
            Some("linux/amd64"),
            FileRule::Either,
            None,
        ),
        (GZIP_LAYER, None, Some("linux/arm64"), FileRule::Wasm, wasm),
        (GZIP_LAYER, None, None, FileRule::Either, None),
    ] {
        let selection = store
            .select(&store.image(layer, annotation, config))
            .unwrap();
        let found = (selection.file(), selection.kind_hint());
        assert_eq!(found, (rule, kind), "{layer} {annotation:?} {config:?}");
    }
}

#[test]
fn docker_manifests_are_read() {
    let store = Store::default();
    let config = json!({"os": "linux", "architecture": "amd64"});
    let config = store.put("application/vnd.docker.container.image.v1+json", &config);
    let layer = MediaType::from("application/vnd.docker.image.rootfs.diff.tar.gzip");
    let layer = Descriptor::of(layer, b"layer");
    let image = json!({
        "schemaVersion": 2, "mediaType": manifest::DOCKER_MANIFEST,
        "config": config, "layers": [layer],
    });
    let image = store.put(manifest::DOCKER_MANIFEST, &image);
    let selection = store.select(&image).unwrap();
    assert_eq!(selection.file(), FileRule::Either);
    assert_eq!(selection.layers(), std::slice::from_ref(&layer));
    assert_eq!(store.requests(), 1, "the config is read");
    assert_eq!(selection.platform(), Some(&platform("linux/amd64")));
    let list = json!({"schemaVersion": 2, "manifests": [on("linux/amd64", image.clone())]});
    let list = store.put(manifest::DOCKER_INDEX, &list);
    assert_eq!(
        store.select(&list).unwrap().manifest().digest(),
        image.digest()
    );
}

/// DIG-12: an image that contradicts itself is refused.
#[test]
fn dig_12_contradictions_are_refused() {
    let store = Store::default();
    let native_wasm = store.image(WASM_LAYER, Some("native"), None);
    let on_wasm = on("wasi/wasm", store.image(GZIP_LAYER, Some("native"), None));
    let both = store.image(GZIP_LAYER, Some("native"), None);
    let both = both.with_annotation("mt.query.plugin.type", "wasm");
    for root in [native_wasm, store.index(&[on_wasm]), store.index(&[both])] {
        let error = store.select(&root).unwrap_err();
        assert!(
            matches!(error, ArtifactError::Contradiction { .. }),
            "{error:?}"
        );
    }
    let agreeing = store.image(WASM_LAYER, Some("extism"), None);
    let agreeing = agreeing.with_annotation("mt.query.plugin.type", "wasm");
    assert!(store.select(&store.index(&[agreeing])).is_ok());
}

/// DIG-15: an unknown type is an error that shows it, escaped.
#[test]
fn dig_15_unknown_types_are_refused() {
    let store = Store::default();
    let image = store.image(GZIP_LAYER, Some("python\u{1b}[2J"), None);
    for root in [image.clone(), store.index(&[image])] {
        match store.select(&root).unwrap_err() {
            ArtifactError::UnknownPluginType { value, .. } => {
                assert_eq!(value, r"python\u{1b}[2J");
            }
            error => panic!("{error:?}"),
        }
    }
    let entry = store.image(GZIP_LAYER, None, None);
    let entry = entry.with_annotation("mt.query.plugin.type", "v2");
    let error = store.select(&store.index(&[entry])).unwrap_err();
    assert!(
        matches!(error, ArtifactError::UnknownPluginType { .. }),
        "{error:?}"
    );
}

#[test]
fn the_config_may_forbid_the_kind() {
    let store = Store::default();
    for (image, kind) in [
        (
            store.image(GZIP_LAYER, Some("native"), None),
            PluginKind::Wasm,
        ),
        (store.image(WASM_LAYER, None, None), PluginKind::Native),
        (
            store.image(GZIP_LAYER, None, Some("wasi/wasm")),
            PluginKind::Native,
        ),
    ] {
        match store.select_kind(&image, kind).unwrap_err() {
            ArtifactError::KindNotAllowed { allowed, found, .. } => {
                assert_eq!(allowed, kind);
                assert_ne!(found, kind);
            }
            // Wasm is no platform of the host's.
            ArtifactError::NoMatch { kind: named, .. } => assert_eq!(named, Some(kind)),
            error => panic!("{error:?}"),
        }
    }
    let undecided = store.image(GZIP_LAYER, None, Some("linux/amd64"));
    let wasm = store.select_kind(&undecided, PluginKind::Wasm).unwrap();
    assert_eq!(wasm.file(), FileRule::Wasm);
    let native = store.select_kind(&undecided, PluginKind::Native).unwrap();
    assert_eq!(native.file(), FileRule::Native);
    let foreign = store.image(GZIP_LAYER, Some("native"), Some("linux/arm64"));
    // The entry of an index may say nothing of the platform; the config does.
    for root in [foreign.clone(), store.index(&[foreign])] {
        let error = store.select(&root).unwrap_err();
        assert!(matches!(error, ArtifactError::NoMatch { .. }), "{error:?}");
    }
}

#[test]
fn layers_that_hold_no_plugin_are_left_out() {
    let store = Store::default();
    let layer = |kind: &str, content: &[u8]| Descriptor::of(MediaType::from(kind), content);
    let config = layer(OCI_EMPTY, b"{}");
    let (readme, archive) = (layer("text/markdown", b"1"), layer(GZIP_LAYER, b"2"));
    let with = |layers: &[&Descriptor]| {
        store.manifest_of(&json!({"schemaVersion": 2, "config": config, "layers": layers}))
    };
    let selection = store.select(&with(&[&readme, &archive])).unwrap();
    assert_eq!(selection.layers(), std::slice::from_ref(&archive));
    match store.select(&with(&[&readme])).unwrap_err() {
        ArtifactError::NoLayer { media_types, .. } => assert_eq!(media_types, ["text/markdown"]),
        error => panic!("{error:?}"),
    }
    assert!(matches!(
        store.select(&with(&[])),
        Err(ArtifactError::NoLayer { .. })
    ));
    // Foreign layers are read where the registry has them, and never from their `urls`.
    let foreign = layer(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        b"3",
    );
    let selection = store.select(&with(&[&foreign])).unwrap();
    assert_eq!(selection.layers(), std::slice::from_ref(&foreign));
    let encrypted = layer(&format!("{GZIP_LAYER}+encrypted"), b"5");
    for layers in [&[&encrypted][..], &[&archive, &encrypted]] {
        let text = store.select(&with(layers)).unwrap_err().to_string();
        assert!(text.contains("encrypted layers"), "{text}");
    }
    // A Wasm layer next to an archive: the Wasm layer is what the image is about.
    let wasm = layer(WASM_LAYER, b"4");
    let selection = store.select(&with(&[&archive, &wasm])).unwrap();
    assert_eq!(selection.layers(), std::slice::from_ref(&wasm));
    // Two of them: the title decides, else it is an error.
    let other = layer(WASM_LAYER, b"5");
    let error = store.select(&with(&[&wasm, &other])).unwrap_err();
    assert!(
        matches!(error, ArtifactError::SeveralFiles { .. }),
        "{error:?}"
    );
    let titled = other.with_annotation("org.opencontainers.image.title", "plugin.wasm");
    let root = with(&[&wasm, &titled]);
    assert_eq!(
        store.select(&root).unwrap().layers(),
        std::slice::from_ref(&titled)
    );
    let request = store
        .request(&root)
        .with_file(Some("other.wasm".to_owned()));
    assert!(matches!(
        store.run(request),
        Err(ArtifactError::SeveralFiles { .. })
    ));
}

#[test]
fn the_file_of_the_config_is_a_plain_path() {
    let store = Store::default();
    let image = store.image(GZIP_LAYER, None, None);
    let with = |file: &str| store.run(store.request(&image).with_file(Some(file.to_owned())));
    assert_eq!(
        with("lib/x.so").unwrap().file(),
        FileRule::Named("lib/x.so".to_owned())
    );
    assert_eq!(
        with("/lib/x.so").unwrap().file(),
        FileRule::Named("lib/x.so".to_owned())
    );
    for bad in ["", "/", "/../x", "../x", "./x", "a//b", "C:\\x", "x\0"] {
        let error = with(bad).unwrap_err();
        assert!(
            matches!(error, ArtifactError::FileName { .. }),
            "{bad:?}: {error:?}"
        );
    }
}

/// TAR-13: the unpacked digests belong to layers one by one.
#[test]
fn tar_13_diff_ids_and_layers_are_as_many() {
    let store = Store::default();
    let with = |diff_ids: &[&Digest]| {
        let config = store.put(
            IMAGE_CONFIG,
            &json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": diff_ids}}),
        );
        let readme = Descriptor::of(MediaType::from("text/markdown"), b"1");
        let layer = Descriptor::of(MediaType::from(GZIP_LAYER), b"2");
        let layers = [readme, layer];
        store.manifest_of(&json!({"schemaVersion": 2, "config": config, "layers": layers}))
    };
    let (one, other) = (Digest::sha256(b"x"), Digest::sha256(b"y"));
    let selection = store.select(&with(&[&other, &one])).unwrap();
    assert_eq!(selection.diff_ids, std::slice::from_ref(&one));
    assert!(store.select(&with(&[])).unwrap().diff_ids.is_empty());
    match store.select(&with(&[&one])).unwrap_err() {
        ArtifactError::DiffIdCount {
            diff_ids: 1,
            layers: 2,
            ..
        } => {}
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_wasm_layer_needs_no_config() {
    let store = Store::default();
    let image = store.image(WASM_LAYER, None, Some("linux/arm64"));
    assert!(store.select(&image).is_ok());
    assert_eq!(store.requests(), 0);
}

/// Of several layers of unknown types, one that says it is Wasm is read.
#[test]
fn a_layer_that_says_it_is_wasm_is_read() {
    let store = Store::default();
    let layer = |kind: &str| Descriptor::of(MediaType::from(kind), kind.as_bytes());
    let (wasm, other) = (
        layer("application/vnd.acme.plugin.v2+wasm"),
        layer("application/vnd.acme.plugin.manual"),
    );
    let config = Descriptor::of(MediaType::EmptyJSON, b"{}");
    let image = json!({"schemaVersion": 2, "config": config, "layers": [other, wasm]});
    let selection = store.select(&store.manifest_of(&image)).unwrap();
    assert_eq!(selection.layers(), [wasm]);
}

/// Layers that say nothing about themselves, or only by their title, are read; other kinds of
/// content are not.
#[test]
fn untyped_and_titled_layers_are_read() {
    let store = Store::default();
    let selected = |media_type: &str, title: Option<&str>| {
        let layer = Descriptor::of(MediaType::from(media_type), b"layer");
        let layer = match title {
            Some(title) => layer.with_annotation("org.opencontainers.image.title", title),
            None => layer,
        };
        let config = Descriptor::of(MediaType::EmptyJSON, b"{}");
        let image = json!({"schemaVersion": 2, "config": config, "layers": [layer]});
        store.select(&store.manifest_of(&image))
    };
    for (media_type, title) in [
        ("application/octet-stream", None),
        ("", None),
        ("application/gzip", None),
        ("application/vnd.acme.plugin", None),
        ("application/vnd.acme.plugin", Some("plugin.wasm")),
        ("application/vnd.acme.plugin", Some("./plugin.so")),
        ("application/vnd.acme.plugin", Some("target/echo.wasm")),
    ] {
        let selection = selected(media_type, title).unwrap();
        assert_eq!(selection.file(), FileRule::Either);
        assert_eq!(selection.layers().len(), 1, "{media_type}");
    }
    for (media_type, title) in [
        ("text/markdown", Some("README.md")),
        ("application/json", None),
        ("application/spdx+json", None),
    ] {
        let error = selected(media_type, title).unwrap_err();
        assert!(matches!(error, ArtifactError::NoLayer { .. }), "{error:?}");
    }
}
