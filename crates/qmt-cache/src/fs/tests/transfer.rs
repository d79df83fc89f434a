//! Export and import, and layouts made to mislead the import.

mod refusals;

use std::path::{Path, PathBuf};

use qmt_oci_ref::manifest as oci;
use qmt_storage::LayoutError;

use super::*;
use crate::fs::transfer::{MergedEvidence, TransferReport};

const NAME: &str = "ghcr.io/acme/echo:1";

/// A cache with one image (index, manifest, config, layer), signed, under a tag.
async fn filled() -> (Bed, Digest) {
    let bed = Bed::new();
    let put = async |media_type: &str, content: String| {
        let descriptor = blob(media_type, content.as_bytes());
        bed.cache
            .put_bytes(&descriptor, Bytes::from(content))
            .await
            .unwrap();
        descriptor
    };
    let json = |descriptor: &Descriptor| serde_json::to_string(descriptor).unwrap();
    let config = put("a/config", "{}".to_owned()).await;
    let layer = blob("a/layer", CONTENT);
    let image = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        oci::OCI_MANIFEST,
        json(&config),
        json(&layer)
    );
    let image = put(oci::OCI_MANIFEST, image).await;
    let absent = blob(oci::OCI_MANIFEST, b"another platform, not in the cache");
    let root = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{},{}]}}"#,
        oci::OCI_INDEX,
        json(&image),
        json(&absent)
    );
    let root = put(oci::OCI_INDEX, root).await;
    bed.cache
        .put_evidence(root.digest(), br#"[{"signed":true}]"#)
        .await
        .unwrap();
    let reference = NAME.parse().unwrap();
    bed.cache
        .set_ref(&reference, root.digest(), SystemTime::now())
        .await
        .unwrap();
    let staging = bed.fill(image.digest()).await;
    let mut partial = staging.partial(layer.digest()).unwrap();
    partial.write_all(CONTENT).unwrap();
    partial.finish(CONTENT.len() as u64).unwrap();
    let size = CONTENT.len() as u64;
    let (manifest, file) = (image.digest().clone(), layer.digest().clone());
    let record = Record::new(
        manifest,
        root.digest().clone(),
        PluginKind::Wasm,
        "plugin.wasm",
        file,
        size,
    );
    drop(staging.commit(record).unwrap());
    (bed, root.digest().clone())
}

pub(super) async fn import(bed: &Bed, source: &Path) -> Result<TransferReport, CacheError> {
    import_with(bed, source, |_, _, offered| {
        MergedEvidence::Changed(offered.to_vec())
    })
    .await
}

/// Returns how many images were left out of an import that added nothing.
fn left_out(imported: Result<TransferReport, CacheError>) -> usize {
    let mut report = imported.unwrap();
    let incomplete = std::mem::take(&mut report.incomplete);
    assert_eq!(report, TransferReport::default());
    incomplete.len()
}

/// LIM: an index that lists one manifest many times, itself listed many times.
#[tokio::test]
async fn an_index_of_many_equal_entries_is_exported_quickly() {
    let (bed, root) = filled().await;
    let out = tempfile::tempdir().unwrap();
    let mut listed = bed.cache.bytes(&root, 1 << 20).await.unwrap().unwrap();
    for _ in 0..2 {
        let entry = serde_json::to_string(&blob(oci::OCI_INDEX, &listed)).unwrap();
        let entries = vec![entry; 3_000].join(",");
        let index = oci::OCI_INDEX;
        let content =
            format!(r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[{entries}]}}"#);
        listed = Bytes::from(content);
        let descriptor = blob(oci::OCI_INDEX, &listed);
        let put = bed.cache.put_bytes(&descriptor, listed.clone()).await;
        put.unwrap();
    }
    let started = std::time::Instant::now();
    let root = Digest::sha256(&listed);
    let target = out.path().join("layout.tar");
    let report = bed.cache.export(vec![(root, None)], &target).await.unwrap();
    assert_eq!(report.blobs, 6);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
}

/// An index that lists `digests`, in the cache.
async fn put_index(bed: &Bed, listed: &[&Bytes]) -> Bytes {
    let index = oci::OCI_INDEX;
    let entries = listed.iter().map(|content| blob(index, content));
    let entries: Vec<_> = entries
        .map(|entry| serde_json::to_string(&entry).unwrap())
        .collect();
    let entries = entries.join(",");
    let content = format!(r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[{entries}]}}"#);
    let content = Bytes::from(content);
    let put = bed
        .cache
        .put_bytes(&blob(index, &content), content.clone())
        .await;
    put.unwrap();
    content
}

/// An index that is too deep within others in one place can be used in another, in either order.
#[tokio::test]
async fn an_image_that_is_too_deep_in_one_index_is_transferred_by_another() {
    for is_deep_first in [true, false] {
        let (bed, root) = filled().await;
        let image = bed.cache.bytes(&root, 1 << 20).await.unwrap().unwrap();
        let deepest = put_index(&bed, &[&image]).await;
        let deep = put_index(&bed, &[&deepest]).await;
        let top = if is_deep_first {
            put_index(&bed, &[&deep, &image]).await
        } else {
            put_index(&bed, &[&image, &deep]).await
        };
        let (top, too_deep) = (Digest::sha256(&top), put_index(&bed, &[&deep]).await);
        let out = tempfile::tempdir().unwrap();
        let target = out.path().join("layout.tar");
        let exported = bed.cache.export(vec![(top, None)], &target).await;
        assert_eq!(exported.unwrap().blobs, 5, "{is_deep_first}");
        let imported = import(&Bed::new(), &target).await.unwrap();
        assert_eq!((imported.blobs, imported.incomplete.len()), (5, 0));
        let too_deep = vec![(Digest::sha256(&too_deep), None)];
        let target = out.path().join("deep.tar");
        let refused = bed.cache.export(too_deep, &target).await;
        assert!(matches!(refused, Err(CacheError::Incomplete { .. })));
    }
}

/// What an interrupted import left is as large as its layout, so the next import removes it.
#[tokio::test]
async fn an_import_removes_what_an_interrupted_one_left() {
    let (_out, layout, _) = layout().await;
    let bed = Bed::new();
    let tmp = bed.cache.store.paths.tmp();
    for name in ["import-dead", "import-other-version"] {
        std::fs::create_dir(tmp.join(name)).unwrap();
    }
    std::fs::write(tmp.join("import-dead/lock"), "").unwrap();
    std::fs::write(tmp.join("import-dead/0"), CONTENT).unwrap();
    import(&bed, &layout).await.unwrap();
    let left = std::fs::read_dir(&tmp).unwrap();
    let left: Vec<_> = left.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["import-other-version"]);
}

/// A tag that the cache has stays, and the caller decides about signature material.
#[tokio::test]
async fn an_import_replaces_nothing_by_itself() {
    let (_out, layout, root) = layout().await;
    let bed = Bed::new();
    let reference: qmt_oci_ref::Reference = NAME.parse().unwrap();
    let other = blob(oci::OCI_MANIFEST, b"{}").digest().clone();
    bed.cache
        .set_ref(&reference, &other, SystemTime::now())
        .await
        .unwrap();
    bed.cache
        .put_evidence(&root, b"[\"stored\"]")
        .await
        .unwrap();
    let report = import_with(&bed, &layout, |_, _, _| MergedEvidence::Unchanged)
        .await
        .unwrap();
    assert_eq!(report.tags, [(reference.clone(), root.clone())]);
    assert_eq!(bed.cache.ref_(&reference).await.unwrap().unwrap().0, other);
    let evidence = async || bed.cache.evidence(&root).await.unwrap().unwrap();
    assert_eq!(evidence().await, "[\"stored\"]");
    let both = |_: &Digest, stored: Option<&[u8]>, offered: &[u8]| {
        MergedEvidence::Changed([b"[", stored.unwrap(), b",", offered, b"]"].concat())
    };
    import_with(&bed, &layout, both).await.unwrap();
    assert_eq!(evidence().await, r#"[["stored"],[{"signed":true}]]"#);
}

async fn import_with(
    bed: &Bed,
    source: &Path,
    merge: impl Fn(&Digest, Option<&[u8]>, &[u8]) -> MergedEvidence + Send + Sync + 'static,
) -> Result<TransferReport, CacheError> {
    bed.cache.import(source, Arc::new(merge)).await
}

fn rule_of(result: Result<TransferReport, CacheError>) -> &'static str {
    match result {
        Err(CacheError::Layout(LayoutError::Invalid { rule, .. })) => rule,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn an_export_fills_another_cache() {
    let (bed, root) = filled().await;
    let out = scratch();
    for name in ["layout", "layout.tar"] {
        let target = out.path().join(name);
        let sent = bed
            .cache
            .export(vec![(root.clone(), None)], &target)
            .await
            .unwrap();
        assert_eq!((sent.images.len(), sent.blobs, sent.signatures), (1, 4, 1));

        let other = Bed::new();
        let mut received = import(&other, &target).await.unwrap();
        let reference: qmt_oci_ref::Reference = NAME.parse().unwrap();
        let tags = std::mem::take(&mut received.tags);
        assert_eq!(tags, [(reference.clone(), root.clone())]);
        assert_eq!(received, sent);
        assert_eq!(other.cache.ref_(&reference).await.unwrap(), None);
        let now = SystemTime::now();
        other.cache.set_ref(&reference, &root, now).await.unwrap();
        let again = import(&other, &target).await.unwrap();
        assert_eq!(again.tags, []);
        assert_eq!(other.cache.ref_(&reference).await.unwrap().unwrap().0, root);
        let evidence = other.cache.evidence(&root).await.unwrap().unwrap();
        assert_eq!(evidence, r#"[{"signed":true}]"#);
        assert_eq!(index_names(&other), [Some(NAME.to_owned())]);
        assert_eq!(other.cache.verify_all().await.unwrap().good, 4);
        // The layer needs no network any more.
        let staging = other.fill(&manifest("any")).await;
        assert!(
            staging
                .partial(&Digest::sha256(CONTENT))
                .unwrap()
                .is_complete()
        );
    }
}

#[tokio::test]
async fn an_archive_is_reproducible() {
    let (bed, root) = filled().await;
    let out = scratch();
    let (one, two) = (out.path().join("1.tar"), out.path().join("2.tar"));
    for target in [&one, &two] {
        bed.cache
            .export(vec![(root.clone(), None)], target)
            .await
            .unwrap();
    }
    assert_eq!(std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
}

#[tokio::test]
async fn an_incomplete_or_damaged_image_is_not_exported() {
    for is_damaged in [false, true] {
        let (bed, root) = filled().await;
        let layer = bed.cache.store.paths.blob(&Digest::sha256(CONTENT));
        if is_damaged {
            damage::overwrite(&layer, &[0; CONTENT.len()]);
        } else {
            std::fs::remove_file(layer).unwrap();
        }
        let out = scratch();
        for name in ["layout", "layout.tar"] {
            let target = out.path().join(name);
            let refused = bed.cache.export(vec![(root.clone(), None)], &target).await;
            let Err(CacheError::Incomplete { missing, .. }) = refused else {
                panic!("exported")
            };
            assert_eq!(missing, Digest::sha256(CONTENT));
        }
        assert_eq!(
            super::super::sys::names(out.path()).unwrap(),
            [] as [String; 0]
        );
    }
}

/// A manifest above the limits names blobs that the export would lack.
#[tokio::test]
async fn an_image_with_an_unreadable_manifest_is_not_exported() {
    for (layers, is_readable) in [(128, true), (129, false)] {
        let bed = Bed::new();
        let layer = blob("a/layer", CONTENT);
        let image = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": oci::OCI_MANIFEST,
            "config": layer,
            "layers": vec![&layer; layers],
        })
        .to_string();
        let root = blob(oci::OCI_MANIFEST, image.as_bytes());
        for (descriptor, content) in [(&layer, CONTENT), (&root, image.as_bytes())] {
            let content = Bytes::copy_from_slice(content);
            bed.cache.put_bytes(descriptor, content).await.unwrap();
        }
        let out = scratch();
        let target = out.path().join("layout");
        let root = root.digest();
        let exported = bed.cache.export(vec![(root.clone(), None)], &target).await;
        assert_eq!(target.exists(), is_readable, "{exported:?}");
        match exported {
            Ok(report) => assert_eq!(report.blobs, 2),
            Err(CacheError::Incomplete { missing, .. }) => assert_eq!(missing, *root),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// The manifest of another platform can be in the cache without its layers, such as after a pull for
/// another kind of plugin.
#[tokio::test]
async fn a_platform_of_which_a_part_is_missing_is_not_exported() {
    let bed = Bed::new();
    let image = |layer: &Descriptor| {
        serde_json::json!({
            "schemaVersion": 2,
            "mediaType": oci::OCI_MANIFEST,
            "config": layer,
            "layers": [layer],
        })
        .to_string()
    };
    let (layer, absent) = (blob("a/layer", CONTENT), blob("a/layer", b"not pulled"));
    let images = [image(&layer), image(&absent)];
    let children = images
        .each_ref()
        .map(|image| blob(oci::OCI_MANIFEST, image.as_bytes()));
    let put = async |descriptor: &Descriptor, content: &[u8]| {
        let content = Bytes::copy_from_slice(content);
        bed.cache.put_bytes(descriptor, content).await.unwrap();
    };
    put(&layer, CONTENT).await;
    for (child, image) in children.iter().zip(&images) {
        put(child, image.as_bytes()).await;
    }
    let out = scratch();
    for (listed, is_exported) in [(&children[..], true), (&children[1..], false)] {
        let index = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": oci::OCI_INDEX,
            "manifests": listed,
        })
        .to_string();
        let root = blob(oci::OCI_INDEX, index.as_bytes());
        put(&root, index.as_bytes()).await;
        let target = out.path().join(is_exported.to_string());
        match bed
            .cache
            .export(vec![(root.digest().clone(), None)], &target)
            .await
        {
            Ok(report) => assert_eq!((report.blobs, is_exported), (3, true)),
            Err(CacheError::Incomplete { missing, .. }) => {
                assert_eq!((&missing, is_exported), (absent.digest(), false));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn an_export_replaces_no_folder() {
    let (bed, root) = filled().await;
    let out = scratch();
    let refused = bed.cache.export(vec![(root, None)], out.path()).await;
    assert!(rule_of(refused).contains("exists"));
}

/// An exported folder to be spoiled.
pub(super) async fn layout() -> (TempDir, PathBuf, Digest) {
    let (bed, root) = filled().await;
    let out = scratch();
    let target = out.path().join("layout");
    bed.cache
        .export(vec![(root.clone(), None)], &target)
        .await
        .unwrap();
    (out, target, root)
}

#[tokio::test]
async fn import_proves_each_blob_before_anything_is_visible() {
    let name = format!("blobs/sha256/{}", Digest::sha256(CONTENT).hex());
    for content in [vec![0; CONTENT.len()], b"other".to_vec()] {
        let (_out, layout, root) = layout().await;
        std::fs::write(layout.join(&name), content).unwrap();
        let bed = Bed::new();
        let refused = import(&bed, &layout).await;
        let expected = matches!(
            refused,
            Err(CacheError::Mismatch { .. } | CacheError::SizeMismatch { .. })
        );
        assert!(expected, "{refused:?}");
        for folder in ["tmp", "blobs/sha256", "signatures", "refs"] {
            assert!(bed.names(folder).is_empty(), "{folder}");
        }
        assert!(bed.cache.bytes(&root, 9_999).await.unwrap().is_none());
        assert_eq!(index_names(&bed).len(), 0);
    }
}

/// Changes the `index.json` of a layout.
fn relist(layout: &Path, change: impl FnOnce(&mut Vec<serde_json::Value>)) {
    let path = layout.join("index.json");
    let mut index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(index["manifests"].as_array_mut().unwrap());
    std::fs::write(&path, index.to_string()).unwrap();
}

/// Docker and containerd write the tag as the name, and the whole reference under a name of their
/// own.
#[tokio::test]
async fn the_name_that_containerd_gives_is_a_name() {
    let (_out, layout, root) = layout().await;
    for tag in ["1", "latest"] {
        relist(&layout, |images| {
            images[0]["annotations"] = serde_json::json!({
                "org.opencontainers.image.ref.name": tag,
                "io.containerd.image.name": NAME,
            });
        });
        let other = Bed::new();
        let received = import(&other, &layout).await.unwrap();
        assert_eq!(received.tags, [(NAME.parse().unwrap(), root.clone())]);
        assert_eq!(received.unnamed, []);
    }
    // Another whole reference comes first.
    relist(&layout, |images| {
        images[0]["annotations"] = serde_json::json!({
            "org.opencontainers.image.ref.name": NAME,
            "io.containerd.image.name": "ghcr.io/acme/other:1",
        });
    });
    let received = import(&Bed::new(), &layout).await.unwrap();
    assert_eq!(received.tags, [(NAME.parse().unwrap(), root)]);
}

/// What a layout says about images that it does not have moves no tag and replaces no signature,
/// although the cache has these images.
#[tokio::test]
async fn what_a_layout_says_about_other_images_is_ignored() {
    let (bed, known) = filled().await;
    let reference: qmt_oci_ref::Reference = NAME.parse().unwrap();
    let (_out, layout, root) = layout().await;
    assert_eq!(known, root, "the images of this test are the same");
    let other = blob(oci::OCI_MANIFEST, b"{}");
    let old = other.digest().clone();
    bed.cache
        .set_ref(&reference, &old, SystemTime::now())
        .await
        .unwrap();
    bed.cache.put_evidence(&root, b"[\"kept\"]").await.unwrap();
    let child = layout.join("blobs/sha256").join(root.hex());
    std::fs::remove_file(child).unwrap();
    assert_eq!(left_out(import(&bed, &layout).await), 1);
    assert_eq!(bed.cache.ref_(&reference).await.unwrap().unwrap().0, old);
    let evidence = bed.cache.evidence(&root).await.unwrap().unwrap();
    assert_eq!(evidence, "[\"kept\"]");
}

/// An image of which the layout lacks a blob can't be used, so nothing of it is taken.
#[tokio::test]
async fn an_incomplete_image_is_not_imported() {
    let (_out, layout, root) = layout().await;
    let layer = layout
        .join("blobs/sha256")
        .join(Digest::sha256(CONTENT).hex());
    std::fs::remove_file(layer).unwrap();
    let bed = Bed::new();
    let imported = import(&bed, &layout).await;
    let left_out_image = &imported.as_ref().unwrap().incomplete[0];
    assert_eq!(left_out_image.image, root);
    assert_eq!(left_out_image.lacking, Digest::sha256(CONTENT));
    assert_eq!(left_out(imported), 1);
    for folder in ["tmp", "blobs/sha256", "signatures", "refs"] {
        assert!(bed.names(folder).is_empty(), "{folder}");
    }
}

/// What one image does without is not what the next one lacks.
#[tokio::test]
async fn each_incomplete_image_has_its_own_missing_part() {
    let (_out, layout, _) = layout().await;
    let absent = blob(oci::OCI_MANIFEST, b"absent");
    relist(&layout, |images| {
        images.push(serde_json::to_value(&absent).unwrap());
    });
    let report = import(&Bed::new(), &layout).await.unwrap();
    let [incomplete] = &report.incomplete[..] else {
        panic!("{report:?}");
    };
    assert_eq!(&incomplete.image, absent.digest());
    assert_eq!(&incomplete.lacking, absent.digest());
}

/// Blobs that no image needs are left out, and so are signatures of absent images and names that two
/// images have.
#[tokio::test]
async fn only_what_images_need_is_imported() {
    let (_out, layout, root) = layout().await;
    std::fs::write(
        layout.join("blobs/sha256").join(Digest::sha256("x").hex()),
        "x",
    )
    .unwrap();
    let foreign = manifest("not in the layout");
    let material = crate::fs::sealed::seal("evidence", &foreign.to_string(), b"[]");
    let name = super::super::paths::file_name(&foreign);
    std::fs::write(layout.join(format!("signatures/{name}.json")), material).unwrap();
    let bed = Bed::new();
    let report = import(&bed, &layout).await.unwrap();
    assert_eq!(
        (report.blobs, report.signatures, report.images.len()),
        (4, 1, 1)
    );
    assert!(
        bed.cache
            .bytes(&Digest::sha256("x"), 9)
            .await
            .unwrap()
            .is_none()
    );
    assert!(bed.cache.evidence(&foreign).await.unwrap().is_none());

    // The manifest within is listed under the same name.
    let index = std::fs::read(layout.join("blobs/sha256").join(root.hex())).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let mut second = index["manifests"][0].clone();
    relist(&layout, |images| {
        second["annotations"] = images[0]["annotations"].clone();
        images.push(second);
    });
    let bed = Bed::new();
    let report = import(&bed, &layout).await.unwrap();
    assert_eq!((report.images.len(), report.tags.len()), (2, 0));
    assert_eq!(report.unnamed, report.images);
    let tags = report.ambiguous.iter().map(|(tag, _)| tag.to_string());
    assert_eq!(tags.collect::<Vec<_>>(), [NAME, NAME]);
    let images = report.ambiguous.iter().map(|(_, image)| image.clone());
    assert_eq!(images.collect::<Vec<_>>(), report.images);
    assert!(
        bed.cache
            .ref_(&NAME.parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn cache_06_signature_material_of_another_subject_is_not_imported() {
    let (_out, layout, root) = layout().await;
    let own = layout.join(format!(
        "signatures/{}.json",
        super::super::paths::file_name(&root)
    ));
    let foreign = crate::fs::sealed::seal("evidence", &manifest("x").to_string(), b"[]");
    std::fs::write(own, foreign).unwrap();
    let bed = Bed::new();
    let report = import(&bed, &layout).await.unwrap();
    assert_eq!(
        (report.signatures, report.unreadable),
        (0, vec![root.clone()])
    );
    assert!(bed.cache.evidence(&root).await.unwrap().is_none());
}
