//! Export and import, and layouts made to mislead the import.

use std::path::{Path, PathBuf};

use qmt_oci_ref::manifest as oci;
use qmt_storage::LayoutError;

use super::*;
use crate::fs::transfer::TransferReport;

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

async fn import(bed: &Bed, source: &Path) -> Result<TransferReport, CacheError> {
    bed.cache.import(source, SystemTime::now()).await
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
        let sent = bed.cache.export(vec![root.clone()], &target).await.unwrap();
        assert_eq!((sent.images.len(), sent.blobs, sent.signatures), (1, 4, 1));

        let other = Bed::new();
        let received = import(&other, &target).await.unwrap();
        assert_eq!(received, sent);
        let reference = NAME.parse().unwrap();
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
        bed.cache.export(vec![root.clone()], target).await.unwrap();
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
            let refused = bed.cache.export(vec![root.clone()], &target).await;
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
        let exported = bed.cache.export(vec![root.clone()], &target).await;
        assert_eq!(target.exists(), is_readable, "{exported:?}");
        match exported {
            Ok(report) => assert_eq!(report.blobs, 2),
            Err(CacheError::Incomplete { missing, .. }) => assert_eq!(missing, *root),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test]
async fn an_export_replaces_no_folder() {
    let (bed, root) = filled().await;
    let out = scratch();
    let refused = bed.cache.export(vec![root], out.path()).await;
    assert!(rule_of(refused).contains("exists"));
}

/// An exported folder to be spoiled.
async fn layout() -> (TempDir, PathBuf, Digest) {
    let (bed, root) = filled().await;
    let out = scratch();
    let target = out.path().join("layout");
    bed.cache.export(vec![root.clone()], &target).await.unwrap();
    (out, target, root)
}

#[tokio::test]
async fn import_proves_each_blob() {
    let (_out, layout, _) = layout().await;
    let path = layout
        .join("blobs/sha256")
        .join(Digest::sha256(CONTENT).hex());
    std::fs::write(path, "other bytes").unwrap();
    let bed = Bed::new();
    let refused = import(&bed, &layout).await;
    assert!(
        matches!(refused, Err(CacheError::Mismatch { .. })),
        "{refused:?}"
    );
    assert!(bed.names("tmp").is_empty());
    assert!(
        bed.cache
            .bytes(&Digest::sha256(CONTENT), 99)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn import_refuses_what_is_no_layout() {
    let bed = Bed::new();
    for spoil in [
        |layout: &Path| std::fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"9"}"#),
        |layout: &Path| std::fs::write(layout.join("oci-layout"), "x"),
        |layout: &Path| {
            std::fs::write(
                layout.join("index.json"),
                r#"[2,"application/vnd.oci.image.index.v1+json",[]]"#,
            )
        },
    ] {
        let (_out, layout, _) = layout().await;
        spoil(&layout).unwrap();
        rule_of(import(&bed, &layout).await);
    }
    assert_eq!(index_names(&bed).len(), 0);
    let file = scratch();
    let path = file.path().join("x.tar");
    std::fs::write(&path, [7; 2048]).unwrap();
    assert!(rule_of(import(&bed, &path).await).contains("tar"));
}

#[tokio::test]
async fn import_follows_no_links() {
    let bed = Bed::new();
    let (out, layout, _) = layout().await;
    let blob = layout
        .join("blobs/sha256")
        .join(Digest::sha256(CONTENT).hex());
    std::fs::rename(&blob, out.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(out.path().join("elsewhere"), &blob).unwrap();
    assert!(rule_of(import(&bed, &layout).await).contains("symbolic link"));
    std::fs::rename(layout.join("blobs/sha256"), out.path().join("sha256")).unwrap();
    std::os::unix::fs::symlink(out.path().join("sha256"), layout.join("blobs/sha256")).unwrap();
    assert!(rule_of(import(&bed, &layout).await).contains("symbolic link"));
}

#[tokio::test]
async fn import_refuses_names_that_lead_out() {
    let bed = Bed::new();
    let folder = scratch();
    let path = folder.path().join("x.tar");
    for (name, is_good) in [("blobs/x", true), ("../x", false), ("/etc/x", false)] {
        let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
        let mut add = |name: &str, content: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content).unwrap();
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        add("index.json", br#"{"schemaVersion":2,"manifests":[]}"#);
        add(name, b"x");
        tar.finish().unwrap();
        let imported = import(&bed, &path).await;
        if is_good {
            assert_eq!(imported.unwrap(), TransferReport::default());
        } else {
            assert!(rule_of(imported).contains("lead out"));
        }
    }
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
    assert_eq!(import(&bed, &layout).await.unwrap().signatures, 0);
    assert!(bed.cache.evidence(&root).await.unwrap().is_none());
}
