//! Which entry of an index is taken.

use super::*;

#[test]
fn native_for_the_host_comes_first_and_wasm_else() {
    let store = Store::default();
    let (amd64, arm64) = (store.native("linux/amd64"), store.native("linux/arm64"));
    let wasm = store.wasm();
    let root = store.index(&[wasm.clone(), arm64.clone(), amd64.clone()]);
    let selection = store.select(&root).unwrap();
    assert_eq!(selection.manifest(), &amd64);
    assert_eq!(selection.kind_hint(), Some(PluginKind::Native));
    assert_eq!(selection.file(), FileRule::Either);
    let root = store.index(&[arm64, wasm.clone()]);
    let selection = store.select(&root).unwrap();
    assert_eq!(selection.manifest(), &wasm);
    assert_eq!(selection.kind_hint(), Some(PluginKind::Wasm));
    assert_eq!(selection.file(), FileRule::Layer);
    let trace = selection.trace().join("\n");
    for word in [
        "linux/arm64",
        "none fits linux/amd64",
        "wasi/wasm taken as Wasm",
    ] {
        assert!(trace.contains(word), "{word} is not in:\n{trace}");
    }
}

/// The operator's `kind` narrows the choice, though the other kind would fit.
#[test]
fn kind_narrows_the_choice() {
    let store = Store::default();
    let (native, wasm) = (store.native("linux/amd64"), store.wasm());
    let root = store.index(&[native.clone(), wasm.clone()]);
    assert_eq!(store.select(&root).unwrap().manifest(), &native);
    let selection = store.select_kind(&root, PluginKind::Wasm).unwrap();
    assert_eq!(
        (selection.manifest(), selection.kind_hint()),
        (&wasm, Some(PluginKind::Wasm))
    );
    let selection = store.select_kind(&root, PluginKind::Native).unwrap();
    assert_eq!(
        (selection.manifest(), selection.file()),
        (&native, FileRule::Native)
    );
    let error = store
        .select_kind(&store.index(&[wasm]), PluginKind::Native)
        .unwrap_err();
    assert!(matches!(error, ArtifactError::NoMatch { .. }), "{error:?}");
    let foreign = store.index(&[store.native("linux/arm64"), store.native("darwin/arm64")]);
    let text = store
        .select_kind(&foreign, PluginKind::Native)
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("linux/amd64") && text.contains("darwin/arm64"),
        "{text}"
    );
}

/// An entry that can't be read affects no other one, and is named where nothing fits.
#[test]
fn an_entry_that_cannot_be_read_is_skipped() {
    let store = Store::default();
    let odd = json!({"mediaType": OCI_MANIFEST, "digest": "sha256:00", "size": null});
    let root = |entries: &[serde_json::Value]| {
        let entries = [std::slice::from_ref(&odd), entries].concat();
        store.put(
            OCI_INDEX,
            &json!({"schemaVersion": 2, "manifests": entries}),
        )
    };
    let native = store.native("linux/amd64");
    let selection = store.select(&root(&[json!(native)])).unwrap();
    assert_eq!(selection.manifest(), &native);
    let skipped = "1 entry can't be read, skipped";
    assert!(selection.trace().iter().any(|step| step == skipped));
    let text = store.select(&root(&[])).unwrap_err().to_string();
    assert!(
        text.ends_with("lists no image; 1 entry can't be read"),
        "{text}"
    );
    let foreign = json!(store.native("linux/arm64"));
    let error = store.select_kind(&root(&[foreign]), PluginKind::Native);
    let text = error.unwrap_err().to_string();
    assert!(text.ends_with("; 1 entry can't be read"), "{text}");
}

/// DIG-11: duplicates, variants, entries without platform: one order, the same every time.
#[test]
fn dig_11_the_order_is_fixed() {
    let store = Store::default();
    let (first, second) = (store.native("linux/amd64"), store.native("linux/amd64"));
    let (v3, v4) = (
        store.native("linux/amd64/v3"),
        store.native("linux/amd64/v4"),
    );
    let bare = store.image(GZIP_LAYER, Some("native"), None);
    assert_ne!(first.digest(), second.digest());
    let chosen = |entries: &[Descriptor]| {
        store
            .select(&store.index(entries))
            .unwrap()
            .manifest()
            .clone()
    };
    assert_eq!(
        chosen(&[bare.clone(), first.clone(), second.clone()]),
        first
    );
    assert_eq!(chosen(&[second.clone(), first.clone()]), second);
    assert_eq!(
        chosen(&[first.clone(), v4.clone(), v3.clone()]),
        first,
        "the host runs v1"
    );
    let root = store.index(&[first, v4, v3.clone()]);
    let on_v3 = store
        .request(&root)
        .with_host(HostPlatform::new(&platform("linux/amd64/v3")));
    assert_eq!(store.run(on_v3).unwrap().manifest(), &v3);
    let (wasm, later) = (store.wasm(), store.wasm());
    assert_eq!(chosen(&[bare.clone(), wasm.clone(), later]), wasm);
    assert_eq!(
        chosen(&[store.native("linux/arm64"), bare.clone()]),
        bare,
        "it says native"
    );
}

#[test]
fn wasip1_and_wasip2_are_wasm_too() {
    for wasm in ["wasip1/wasm", "wasip2/wasm"] {
        let store = Store::default();
        let entry = on(wasm, store.image(GZIP_LAYER, None, None));
        let root = store.index(&[store.native("linux/arm64"), entry.clone()]);
        let selection = store.select(&root).unwrap();
        assert_eq!(
            (selection.manifest(), selection.file()),
            (&entry, FileRule::Wasm)
        );
    }
}

/// What docker's builder pushes: one platform and its attestation.
#[test]
fn attestations_are_skipped() {
    let store = Store::default();
    let by_platform = store.image("application/vnd.in-toto+json", None, None);
    let by_platform = on("unknown/unknown", by_platform);
    let by_annotation = store
        .image(GZIP_LAYER, None, None)
        .with_annotation("vnd.docker.reference.type", "attestation-manifest");
    let root = store.index(&[by_platform.clone(), by_annotation.clone()]);
    let text = store.select(&root).unwrap_err().to_string();
    assert!(text.contains("attestations only"), "{text}");
    assert_eq!(store.requests(), 0);
    let text = store.select(&store.index(std::slice::from_ref(&by_platform)));
    let text = text.unwrap_err().to_string();
    assert!(text.contains("for `unknown/unknown` only"), "{text}");
    assert!(text.contains("build it for a platform"), "{text}");
    let text = store.select(&store.index(&[])).unwrap_err().to_string();
    assert!(text.ends_with("lists no image"), "{text}");
    let one = store.index(&[by_platform.clone(), store.native("linux/arm64")]);
    let trace = store.select(&one).unwrap().trace().join("\n");
    assert!(trace.contains("1 entry is an attestation"), "{trace}");
    let image = store.native("linux/arm64");
    let root = store.index(&[by_platform, image.clone(), by_annotation]);
    let selection = store.select(&root).unwrap();
    assert_eq!(selection.manifest(), &image);
    assert!(selection.trace().join("\n").contains("attestation"));
}

/// QueryMT publishes Wasm so: built by docker for linux/amd64, annotated as extism.
#[test]
fn an_annotation_makes_an_image_for_any_platform_wasm() {
    for platform in ["linux/amd64", "linux/arm64", "darwin/arm64"] {
        let store = Store::default();
        let image = on(
            platform,
            store.image(GZIP_LAYER, Some("extism"), Some(platform)),
        );
        let root = store.index(std::slice::from_ref(&image));
        let selection = store.select(&root).unwrap();
        assert_eq!(
            (selection.manifest(), selection.file()),
            (&image, FileRule::Wasm)
        );
        assert_eq!(selection.kind_hint(), Some(PluginKind::Wasm));
        match store.select_kind(&root, PluginKind::Native).unwrap_err() {
            ArtifactError::KindNotAllowed { .. } | ArtifactError::NoMatch { .. } => {}
            error => panic!("{error:?}"),
        }
    }
}

#[test]
fn an_entry_says_what_it_is_by_annotation_or_layer() {
    let store = Store::default();
    let by_layer = on("plan9/mips", store.image(WASM_LAYER, None, None));
    let root = store.index(&[store.native("linux/arm64"), by_layer.clone()]);
    assert_eq!(store.select(&root).unwrap().manifest(), &by_layer);
    let by_entry = store.image(GZIP_LAYER, None, None);
    let by_entry = by_entry.with_annotation("mt.query.plugin.type", "wasm");
    let root = store.index(&[store.native("linux/arm64"), by_entry.clone()]);
    let selection = store.select(&root).unwrap();
    assert_eq!(
        (selection.manifest(), selection.file()),
        (&by_entry, FileRule::Wasm)
    );
    // Native for another platform stays native for another platform, whatever it says.
    let foreign = store.image(GZIP_LAYER, Some("native"), Some("linux/arm64"));
    let error = store
        .select(&store.index(&[on("linux/arm64", foreign)]))
        .unwrap_err();
    assert!(matches!(error, ArtifactError::NoMatch { .. }), "{error:?}");
}

/// A Dockerfile's image for another platform may hold `/plugin.wasm`, and nothing else.
#[test]
fn the_last_resort_takes_wasm_only() {
    let store = Store::default();
    let image = store.native("linux/arm64");
    let root = store.index(std::slice::from_ref(&image));
    let selection = store.select(&root).unwrap();
    assert_eq!(
        (selection.manifest(), selection.file()),
        (&image, FileRule::Wasm)
    );
    assert!(selection.note.is_some());
    let error = store.select_kind(&root, PluginKind::Native).unwrap_err();
    assert!(matches!(error, ArtifactError::NoMatch { .. }), "{error:?}");
    let bare = store.image(GZIP_LAYER, None, None);
    let selection = store.select(&store.index(&[bare])).unwrap();
    assert_eq!(selection.file(), FileRule::Either);
}

/// DIG-10, LIM-01: an index in an index is read, one more is not.
#[test]
fn dig_10_nesting_at_the_limit_and_past_it() {
    let store = Store::default();
    let native = store.native("linux/amd64");
    let inner = store.index(std::slice::from_ref(&native));
    let middle = store.index(&[inner]);
    let root = store.index(std::slice::from_ref(&middle));
    assert_eq!(store.select(&middle).unwrap().manifest(), &native);
    match store.select(&root).unwrap_err() {
        ArtifactError::LimitExceeded {
            what: Limit::IndexDepth,
            limit: 2,
            found: 3,
        } => {}
        error => panic!("{error:?}"),
    }
    let lowered = SelectLimits::default().index_depth(1);
    match store
        .run(store.request(&middle).with_limits(lowered))
        .unwrap_err()
    {
        ArtifactError::LimitExceeded {
            what: Limit::IndexDepth,
            limit: 1,
            found: 2,
        } => {}
        error => panic!("{error:?}"),
    }
}

#[test]
fn native_of_an_inner_index_comes_before_wasm_of_the_outer() {
    let store = Store::default();
    let (native, wasm) = (store.native("linux/amd64"), store.wasm());
    let inner = store.index(std::slice::from_ref(&native));
    let root = store.index(&[wasm.clone(), inner.clone()]);
    assert_eq!(store.select(&root).unwrap().manifest(), &native);
    assert_eq!(
        store
            .select_kind(&root, PluginKind::Wasm)
            .unwrap()
            .manifest(),
        &wasm
    );
    let direct = store.native("linux/amd64");
    let root = store.index(&[inner, direct.clone()]);
    assert_eq!(
        store.select(&root).unwrap().manifest(),
        &direct,
        "the outer index comes first"
    );
}

/// DIG-10, LIM-01: eight documents are read, the root among them, and not one more.
#[test]
fn dig_10_requests_at_the_limit_and_past_it() {
    let store = Store::default();
    let with_inner = |count: usize| {
        let inner = (0..count).map(|_| store.index(&[store.native("linux/arm64")]));
        let mut entries: Vec<_> = inner.collect();
        entries.push(store.wasm());
        store.index(&entries)
    };
    // The root, six indexes, one image: eight.
    assert!(store.select(&with_inner(6)).is_ok());
    assert_eq!(store.requests(), 7);
    match store.select(&with_inner(7)).unwrap_err() {
        ArtifactError::LimitExceeded {
            what: Limit::ManifestRequests,
            limit: 8,
            found: 9,
        } => {}
        error => panic!("{error:?}"),
    }
    // Ten thousand images, all of them foreign: a few are asked what they are.
    let wide = store.index(&vec![store.native("linux/arm64"); 10_000]);
    assert_eq!(store.select(&wide).unwrap().file(), FileRule::Wasm);
    assert!(store.requests() <= 8, "{} requests", store.requests());
    let indexes = store.index(&vec![store.index(&[]); 10_000]);
    let error = store.select(&indexes).unwrap_err();
    assert!(matches!(
        error,
        ArtifactError::LimitExceeded {
            what: Limit::ManifestRequests,
            ..
        }
    ));
    assert_eq!(store.requests(), 7);
}

/// DIG-02: a source that gives another document for a digest is not believed.
#[test]
fn dig_02_a_lying_source_is_caught() {
    let store = Store::default();
    let (native, wasm) = (store.native("linux/amd64"), store.wasm());
    let root = store.index(std::slice::from_ref(&native));
    assert!(store.select(&root).is_ok());
    store.0.put(native.digest().clone(), store.content(&wasm));
    let error = store.select(&root).unwrap_err();
    assert!(
        matches!(error, ArtifactError::DigestMismatch { .. }),
        "{error:?}"
    );
}

#[test]
fn a_source_that_fails_is_named() {
    let store = Store::default();
    let media_type = || MediaType::ImageManifest;
    let missing = on("linux/amd64", Descriptor::of(media_type(), b"gone"));
    match store
        .select(&store.index(std::slice::from_ref(&missing)))
        .unwrap_err()
    {
        ArtifactError::Registry {
            what: "manifest",
            digest,
            ..
        } => {
            assert_eq!(&digest, missing.digest());
        }
        error => panic!("{error:?}"),
    }
    // A descriptor that says it is too large is not even asked for.
    let large = Descriptor::new(media_type(), missing.digest().clone(), 4_194_305);
    let error = store
        .select(&store.index(&[on("linux/amd64", large)]))
        .unwrap_err();
    assert!(matches!(
        error,
        ArtifactError::LimitExceeded {
            what: Limit::ManifestBytes,
            ..
        }
    ));
    assert_eq!(store.requests(), 0);
}

/// A cache that is used offline has only the platforms that were used.
#[test]
fn an_absent_entry_does_not_hide_another() {
    let mut store = Store::default();
    store.0.is_offline = true;
    let request = |store: &Store, root: &Descriptor| {
        let darwin = HostPlatform::new(&platform("darwin/arm64"));
        store.request(root).with_host(darwin)
    };
    let present = store.native("linux/amd64");
    let absent = on(
        "linux/arm64",
        Descriptor::of(MediaType::ImageManifest, b"gone"),
    );
    for entries in [[&present, &absent], [&absent, &present]] {
        let root = store.index(&entries.map(Clone::clone));
        let selection = store.run(request(&store, &root)).unwrap();
        assert_eq!(selection.manifest(), &present);
        let trace = selection.trace().join("\n");
        assert!(trace.contains("linux/arm64 is absent, skipped"), "{trace}");
    }
    // Without another one, its absence is the reason.
    let error = store.run(request(&store, &store.index(std::slice::from_ref(&absent))));
    let error = error.unwrap_err();
    assert!(
        matches!(&error, ArtifactError::Registry { digest, .. } if digest == absent.digest()),
        "{error:?}"
    );
    // An entry that says by itself that it is the plugin is not replaced by a last resort.
    let declared = absent
        .clone()
        .with_annotation("mt.query.plugin.type", "wasm");
    let error = store.run(request(&store, &store.index(&[present.clone(), declared])));
    let error = error.unwrap_err();
    assert!(matches!(error, ArtifactError::Registry { .. }), "{error:?}");
    // A registry does not choose among the entries by what it withholds.
    store.0.is_offline = false;
    let error = store.run(request(&store, &store.index(&[absent, present])));
    assert!(error.is_err(), "{error:?}");
}

/// An entry without a platform may be for every host, wherever it stands; one with another platform
/// is not for this one.
#[test]
fn the_last_resort_is_an_entry_without_a_platform() {
    let store = Store::default();
    let foreign = store.native("darwin/arm64");
    let other = store.native("linux/s390x");
    let free = Descriptor::of(MediaType::ImageManifest, &store.content(&other));
    for entries in [[&foreign, &free], [&free, &foreign]] {
        let root = store.index(&entries.map(Clone::clone));
        let selection = store.run(store.request(&root)).unwrap();
        assert_eq!(selection.manifest(), &free);
    }
    // Of equals, the first is taken.
    let root = store.index(&[foreign.clone(), other]);
    assert_eq!(
        store.run(store.request(&root)).unwrap().manifest(),
        &foreign
    );
}

/// What other tools add to an index, such as a bill of materials, says that it is no plugin by its type
/// or its layers, and does not keep an image from being selected.
#[test]
fn an_artifact_in_an_index_does_not_replace_an_image() {
    let store = Store::default();
    let artifact = |artifact_type: &str, layer: &str, title: &str| {
        let layer = Descriptor::of(MediaType::from(layer), title.as_bytes());
        let layer = layer.with_annotation("org.opencontainers.image.title", title);
        store.manifest_of(&json!({
            "schemaVersion": 2, "artifactType": artifact_type,
            "config": Descriptor::of(MediaType::EmptyJSON, b"{}"), "layers": [layer],
        }))
    };
    let spdx = artifact(
        "application/spdx+json",
        "application/spdx+json",
        "sbom.json",
    );
    let xml = artifact(
        "application/vnd.cyclonedx+xml",
        "application/vnd.cyclonedx+xml",
        "sbom.xml",
    );
    let untyped = artifact("application/spdx+json", TAR_LAYER, "sbom.json");
    let plugin = artifact(
        "application/vnd.unknown.artifact.v1",
        TAR_LAYER,
        "plugin.wasm",
    );
    let plain = store.image(GZIP_LAYER, None, None);
    let foreign = store.native("linux/arm64");
    for other in [&spdx, &xml, &untyped] {
        for image in [&plugin, &plain, &foreign] {
            for entries in [[other, image], [image, other]] {
                let root = store.index(&entries.map(Clone::clone));
                assert_eq!(store.select(&root).unwrap().manifest(), image, "{other:?}");
            }
        }
    }
    // One that has the platform of the host, too.
    let image = store.native("linux/amd64");
    let other = on("linux/amd64", spdx.clone());
    let other = other.with_artifact_type(MediaType::from("application/spdx+json"));
    let root = store.index(&[other, image.clone()]);
    assert_eq!(store.select(&root).unwrap().manifest(), &image);

    let markdown = artifact("text/markdown", "text/markdown", "README.md");
    let root = store.index(&[spdx.clone(), markdown.clone()]);
    let error = store.select(&root).unwrap_err().to_string();
    let expected = format!(
        "nothing in the index `{}` has a layer that can hold a plugin: {} (`application/spdx+json`), \
         {} (`text/markdown`)",
        root.digest(),
        spdx.digest(),
        markdown.digest()
    );
    assert_eq!(error, expected);
    // Where the network may not be used, what the cache lacks is more likely the plugin.
    let absent = Descriptor::of(MediaType::ImageManifest, b"absent");
    let root = store.index(&[spdx, absent, markdown]);
    let request = store.request(&root);
    let mut offline = store;
    offline.0.is_offline = true;
    let error = offline.run(request).unwrap_err();
    assert!(matches!(error, ArtifactError::Registry { .. }), "{error:?}");
}

/// The error names the platform for which the manifest is exported on a machine that has it: that of the
/// entry if it fits the host, else that of the host. Another entry is not taken in its place: the lockfile
/// would change with the network.
#[test]
fn an_absent_manifest_is_named_with_a_platform() {
    let mut store = Store::default();
    store.0.is_offline = true;
    let absent = |platform| {
        on(
            platform,
            Descriptor::of(MediaType::ImageManifest, platform.as_bytes()),
        )
    };
    let plain = store.native("linux/amd64");
    let (v3, wasm) = (absent("linux/amd64/v3"), absent("wasi/wasm"));
    let nested = Descriptor::of(MediaType::ImageIndex, b"nested");
    let host = "linux/amd64/v4";
    for (entries, expected) in [
        (vec![v3.clone(), plain.clone()], "linux/amd64/v3"),
        (vec![plain, v3], "linux/amd64/v3"),
        (vec![wasm, store.native("linux/arm64")], host),
        (vec![nested], host),
        (vec![absent("linux/arm64")], host),
    ] {
        let request = store.request(&store.index(&entries));
        let request = request.with_host(HostPlatform::new(&platform(host)));
        match store.run(request).unwrap_err() {
            ArtifactError::Registry { platform, .. } => {
                assert_eq!(platform.as_deref(), Some(expected), "{entries:?}");
            }
            error => panic!("{error:?}"),
        }
    }
}

/// The config is read from the registry too, and its failure is named.
#[tokio::test]
async fn a_config_that_cannot_be_read_is_named() {
    let store = Store::default();
    let native = store.native("linux/amd64");
    let request = store.request(&store.index(std::slice::from_ref(&native)));
    let content = store.content(&native);
    let expected = native.digest().clone();
    let mut mock = qmt_oci_ref::MockRegistry::new();
    mock.expect_manifest()
        .times(1)
        .withf(move |pin, limit| *pin.digest() == expected && *limit == 4_194_304)
        .returning(move |_, _| Ok(RawManifest::new(MediaType::ImageManifest, content.clone())));
    mock.expect_blob().times(1).returning(|_, _, _| {
        let kind = qmt_oci_ref::RegistryErrorKind::NotFound;
        Err(RegistryError::new(kind, "down"))
    });
    let error = select(request, &mock, &repository()).await.unwrap_err();
    assert!(
        matches!(
            error,
            ArtifactError::Registry {
                what: "image config",
                ..
            }
        ),
        "{error:?}"
    );
}

/// An entry without a media type is what its content says.
#[test]
fn an_entry_without_a_media_type_is_read_by_its_content() {
    let store = Store::default();
    let wasm = store.wasm();
    let untyped = Descriptor::new(MediaType::from(""), wasm.digest().clone(), wasm.size());
    let selection = store.select(&store.index(&[on("wasi/wasm", untyped.clone())]));
    assert_eq!(selection.unwrap().manifest().digest(), wasm.digest());
    let index = store.index(&[wasm]);
    let untyped = Descriptor::new(MediaType::from(""), index.digest().clone(), index.size());
    let error = store
        .select(&store.index(&[on("wasi/wasm", untyped)]))
        .unwrap_err();
    assert!(matches!(error, ArtifactError::Manifest { .. }), "{error:?}");
}

/// Copies between registries leave docker's names of manifests in one place and OCI's in another.
#[test]
fn an_entry_may_have_the_other_name_of_its_form() {
    use manifest::{DOCKER_INDEX, DOCKER_MANIFEST};
    let store = Store::default();
    let layer = Descriptor::of(MediaType::from(WASM_LAYER), b"layer");
    let put = |named: &str, listed: &str, field: &str, value: serde_json::Value| {
        let mut document = json!({"schemaVersion": 2, "mediaType": named});
        document[field] = value;
        if field == "layers" {
            document["config"] = json!(Descriptor::of(MediaType::EmptyJSON, b"{}"));
        }
        store.put(listed, &document)
    };
    let image = |named, listed| {
        let image = put(named, listed, "layers", json!([layer]));
        on("wasi/wasm", image)
    };
    let index = |named, listed, entry| put(named, listed, "manifests", json!([entry]));
    for (oci_manifest, oci_index, docker_manifest, docker_index) in [
        (OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX),
        (DOCKER_MANIFEST, DOCKER_INDEX, OCI_MANIFEST, OCI_INDEX),
    ] {
        let entry = image(oci_manifest, docker_manifest);
        let inner = index(oci_index, docker_index, entry.clone());
        let selection = store.select(&store.index(&[inner])).unwrap();
        assert_eq!(selection.manifest().digest(), entry.digest());
    }
    // Manifests and indexes stay different forms.
    let as_index = image(OCI_MANIFEST, DOCKER_INDEX);
    let as_manifest = index(
        OCI_INDEX,
        DOCKER_MANIFEST,
        image(OCI_MANIFEST, OCI_MANIFEST),
    );
    for entry in [as_index, on("linux/amd64", as_manifest)] {
        let error = store.select(&store.index(&[entry])).unwrap_err();
        let source = match &error {
            ArtifactError::Manifest { source, .. } => source,
            other => panic!("{other:?}"),
        };
        let is_refused = matches!(source, ManifestError::MediaTypeMismatch { .. });
        assert!(is_refused, "{error:?}");
    }
}
