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

/// Whatever leads to another file of the same manifest is part of the key of a cache.
#[test]
fn a_selection_says_what_config_and_host_require() {
    let store = Store::default();
    let narrowed_by = |image: &Descriptor, kind, host: &str| {
        let host = HostPlatform::new(&platform(host));
        let request = store.request(image).with_kind(kind).with_host(host);
        let selection = store.run(request).unwrap();
        selection.narrowed_by().map(str::to_owned)
    };
    let (wasm, native) = (Some(PluginKind::Wasm), Some(PluginKind::Native));
    let (here, other) = ("linux/amd64/v3", "linux/arm64");
    let for_host = store.image(GZIP_LAYER, None, Some("linux/amd64"));
    let without_platform = store.image(GZIP_LAYER, None, None);
    for (image, kind, host, expected) in [
        (&for_host, None, here, None),
        (&for_host, native, here, Some("native")),
        (&for_host, wasm, here, Some("wasm")),
        // Only Wasm is taken from an image for another platform.
        (&for_host, None, other, Some("wasm")),
        (&for_host, wasm, other, Some("wasm")),
        (&without_platform, None, here, Some("linux/amd64")),
        (&without_platform, None, other, Some("linux/arm64")),
        (&without_platform, native, here, Some("native linux/amd64")),
        (&without_platform, wasm, here, Some("wasm")),
    ] {
        let found = narrowed_by(image, kind, host);
        assert_eq!(found.as_deref(), expected, "{kind:?} {host}");
    }
    // What the image itself requires is the same for every config and host.
    for image in [
        store.image(WASM_LAYER, None, None),
        store.image(GZIP_LAYER, Some("wasm"), Some("linux/amd64")),
        store.image(GZIP_LAYER, None, Some("wasi/wasm")),
    ] {
        for (kind, host) in [(None, here), (wasm, here), (None, other)] {
            assert_eq!(narrowed_by(&image, kind, host), None, "{kind:?} {host}");
        }
    }
    let native_image = store.image(GZIP_LAYER, Some("native"), Some("linux/amd64"));
    assert_eq!(narrowed_by(&native_image, native, here), None);
}

/// Wasm runs on every host, whatever the platform of the image is called.
#[test]
fn the_platform_is_noted_only_where_it_is_not_wasm() {
    let store = Store::default();
    let note = |config| store.select(&store.image(GZIP_LAYER, None, Some(config)));
    let foreign = note("linux/arm64").unwrap().note;
    assert!(foreign.is_some_and(|note| note.contains("linux/arm64")));
    for wasm in ["wasi/wasm", "wasip1/wasm", "wasip2/wasm"] {
        assert_eq!(note(wasm).unwrap().note, None, "{wasm}");
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

const TITLE: &str = "org.opencontainers.image.title";

/// An artifact of files with these media types and titles, none where the title is empty.
fn artifact(store: &Store, layers: &[(&str, &str)]) -> Descriptor {
    let layers = layers.iter().enumerate().map(|(nth, (media_type, title))| {
        let layer = Descriptor::of(MediaType::from(*media_type), nth.to_string().as_bytes());
        match *title {
            "" => layer,
            title => layer.with_annotation(TITLE, title),
        }
    });
    let layers: Vec<_> = layers.collect();
    let config = Descriptor::of(MediaType::EmptyJSON, b"{}");
    store.manifest_of(&json!({"schemaVersion": 2, "config": config, "layers": layers}))
}

fn titles(selection: &Selection) -> Vec<&str> {
    let layers = selection.layers().iter();
    let titles = layers.map(|layer| layer.annotation(TITLE).unwrap_or_default());
    titles.collect()
}

const OCTETS: &str = "application/octet-stream";

/// The title of a layer decides, whatever the media types of this layer and of others are.
#[test]
fn the_file_of_the_config_chooses_among_wasm_layers_and_others() {
    let store = Store::default();
    let with = |layers: &[(&str, &str)], file: &str, kind: Option<PluginKind>| {
        let request = store.request(&artifact(&store, layers));
        store.run(request.with_file(Some(file.to_owned())).with_kind(kind))
    };
    let named = |file: &str| FileRule::Named(file.to_owned());
    let (a, b) = ((WASM_LAYER, "a.wasm"), (OCTETS, "b.wasm"));
    let library = (OCTETS, "libx.so");
    let native = Some(PluginKind::Native);
    for (layers, file, kind, rule, title) in [
        (&[a, b][..], "b.wasm", None, named("b.wasm"), "b.wasm"),
        (&[b, a], "/b.wasm", None, named("b.wasm"), "b.wasm"),
        (&[a, b], "a.wasm", None, FileRule::Layer, "a.wasm"),
        (&[a], "a.wasm", None, FileRule::Layer, "a.wasm"),
        (&[(WASM_LAYER, "")], "a.wasm", None, FileRule::Layer, ""),
        (&[(WASM_LAYER, ""), b], "x", None, FileRule::Layer, ""),
        (&[library, a], "libx.so", None, named("libx.so"), "libx.so"),
        (
            &[library, a],
            "libx.so",
            native,
            named("libx.so"),
            "libx.so",
        ),
        (&[("text/x", "x"), a], "x", None, named("x"), "x"),
        (&[(GZIP_LAYER, ""), a], "c.wasm", None, named("c.wasm"), ""),
        (
            &[(GZIP_LAYER, ""), (WASM_LAYER, "")],
            "x",
            None,
            named("x"),
            "",
        ),
    ] {
        let selection = with(layers, file, kind).unwrap();
        let titles = titles(&selection);
        assert_eq!(selection.file(), rule, "{layers:?} {file}");
        let is_right = match rule {
            FileRule::Layer => titles == [title],
            _ => titles.contains(&title) && !titles.contains(&"a.wasm"),
        };
        assert!(is_right, "{layers:?} {file}: {titles:?}");
        assert_eq!(selection.leaves_out_wasm(), rule != FileRule::Layer);
        let is_wasm = selection.kind_hint() == Some(PluginKind::Wasm);
        assert_eq!(is_wasm, rule == FileRule::Layer, "{layers:?} {file}");
    }
    match with(&[a], "y.wasm", None).unwrap_err() {
        ArtifactError::NoFile {
            looked_for, titles, ..
        } => {
            assert_eq!(
                (&*looked_for, titles),
                ("`y.wasm`", vec!["a.wasm".to_owned()])
            );
        }
        error => panic!("{error:?}"),
    }
    let error = with(&[a], "a.wasm", native).unwrap_err();
    assert!(
        matches!(error, ArtifactError::KindNotAllowed { .. }),
        "{error:?}"
    );
    for twice in [[a, a], [a, (OCTETS, "./a.wasm")]] {
        let error = with(&twice, "a.wasm", None).unwrap_err();
        assert!(
            matches!(error, ArtifactError::SameTitle { .. }),
            "{error:?}"
        );
    }
}

/// Errors show layers without a title by their digests, and each is accepted as `file`.
#[test]
fn the_file_of_the_config_can_be_the_digest_of_a_layer() {
    let store = Store::default();
    let digest = |nth: &str| Digest::sha256(nth).to_string();
    let with = |image: &Descriptor, file: &str| {
        let request = store.request(image);
        store.run(request.with_file(Some(file.to_owned())))
    };
    let (wasm, other) = ((WASM_LAYER, ""), (OCTETS, ""));
    let titled = (WASM_LAYER, "a.wasm");
    for layers in [
        [wasm, wasm],
        [wasm, other],
        [other, other],
        [(GZIP_LAYER, ""), ("text/x", "")],
        // A title that looks like the digest of another layer is not one.
        [titled, (OCTETS, &*digest("0"))],
    ] {
        let image = artifact(&store, &layers);
        for (nth, (media_type, _)) in layers.iter().enumerate() {
            let file = digest(&nth.to_string());
            let selection = with(&image, &file).unwrap();
            assert_eq!(selection.file(), FileRule::Layer, "{layers:?}");
            let [layer] = selection.layers() else {
                panic!("{layers:?}: {:?}", selection.layers());
            };
            assert_eq!(layer.digest().to_string(), file);
            let kind = (*media_type == WASM_LAYER).then_some(PluginKind::Wasm);
            assert_eq!(selection.kind_hint(), kind, "{layers:?}");
        }
        let error = with(&image, &digest("another")).unwrap_err();
        assert!(matches!(error, ArtifactError::NoFile { .. }), "{error:?}");
    }
    let native = store.request(&artifact(&store, &[wasm, wasm]));
    let native = native.with_kind(Some(PluginKind::Native));
    let error = store.run(native.with_file(Some(digest("1")))).unwrap_err();
    assert!(
        matches!(error, ArtifactError::KindNotAllowed { .. }),
        "{error:?}"
    );
}

/// The same blob under two entries of the manifest is one file.
#[test]
fn a_wasm_layer_that_is_listed_twice_is_one() {
    let store = Store::default();
    let layer = |bytes: &[u8], title: &str| {
        let layer = Descriptor::of(MediaType::from(WASM_LAYER), bytes);
        match title {
            "" => layer,
            title => layer.with_annotation(TITLE, title),
        }
    };
    let config = Descriptor::of(MediaType::EmptyJSON, b"{}");
    let select = |layers: &[Descriptor], file: Option<&str>| {
        let image = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let request = store.request(&store.manifest_of(&image));
        store.run(request.with_file(file.map(str::to_owned)))
    };
    let (one, a, b) = (
        layer(b"one", ""),
        layer(b"one", "a.wasm"),
        layer(b"one", "b.wasm"),
    );
    let two = layer(b"two", "");
    for (layers, file) in [
        ([&one, &one], None),
        ([&one, &a], None),
        ([&a, &b], None),
        ([&one, &one], Some("x.wasm")),
        ([&a, &a], Some("a.wasm")),
    ] {
        let selection = select(&layers.map(Clone::clone), file).unwrap();
        let digests: Vec<_> = selection.layers().iter().map(Descriptor::digest).collect();
        assert_eq!(digests, [one.digest()], "{layers:?}");
    }
    match select(&[one.clone(), two.clone(), one.clone()], None).unwrap_err() {
        ArtifactError::SeveralFiles { names } => {
            assert_eq!(names, [one.digest().to_string(), two.digest().to_string()]);
        }
        error => panic!("{error:?}"),
    }
}

/// Native only leaves Wasm layers out, and nothing else makes an image with one native.
#[test]
fn a_library_next_to_a_wasm_layer_is_for_configs_that_allow_native_only() {
    let store = Store::default();
    let wasm = (WASM_LAYER, "x.wasm");
    for library in [(OCTETS, "libx.so"), (OCTETS, ""), (GZIP_LAYER, "")] {
        let image = artifact(&store, &[library, wasm]);
        let native = store.select_kind(&image, PluginKind::Native).unwrap();
        assert_eq!(
            (native.file(), titles(&native)),
            (FileRule::Native, vec![library.1])
        );
        assert!(native.leaves_out_wasm());
        for selection in [
            store.select(&image),
            store.select_kind(&image, PluginKind::Wasm),
        ] {
            let selection = selection.unwrap();
            assert_eq!(
                (selection.file(), titles(&selection)),
                (FileRule::Layer, vec!["x.wasm"])
            );
            assert!(!selection.leaves_out_wasm());
        }
        let on_wasm = store.index(&[on("wasi/wasm", image.clone())]);
        let error = store.select_kind(&on_wasm, PluginKind::Native).unwrap_err();
        assert!(matches!(error, ArtifactError::NoMatch { .. }), "{error:?}");
        let by_file = store
            .request(&on_wasm)
            .with_file(Some("libx.so".to_owned()));
        assert_eq!(
            store.run(by_file).unwrap().kind_hint(),
            Some(PluginKind::Wasm)
        );
    }
    let image = artifact(&store, &[("text/markdown", "README.md"), wasm]);
    let error = store.select_kind(&image, PluginKind::Native).unwrap_err();
    assert!(
        matches!(error, ArtifactError::KindNotAllowed { .. }),
        "{error:?}"
    );
}
