//! OCI image layouts: written by the builders, read by the registry.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use qmt_oci_ref::{Digest, manifest};
use qmt_testkit::{FakeRegistry, ImageBuilder, IndexBuilder, TestkitError};
use serde_json::Value;

use crate::http::get;

/// Where recorded material may be found that is not part of the repository.
const REAL_FIXTURES: &str = "QMT_REAL_FIXTURES";

#[test]
fn what_was_written_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let image = ImageBuilder::wasm(b"\0asm".as_slice()).build();
    let index = IndexBuilder::new()
        .platform(&image, manifest::platform("linux", "amd64"))
        .build();
    index.write_layout(folder.path(), "v1").unwrap();
    let referrer = ImageBuilder::new().subject(index.root().clone()).build();
    referrer.write_layout(folder.path(), None).unwrap();
    let registry = FakeRegistry::builder()
        .layout("acme/echo", folder.path())
        .start()
        .unwrap();
    assert_eq!(registry.tags("acme/echo"), ["v1"]);
    let reply = get(registry.address(), "/v2/acme/echo/manifests/v1");
    assert_eq!(reply.body, index.root_bytes().as_ref());
    assert_eq!(reply.header("content-type"), manifest::OCI_INDEX);
    for (descriptor, bytes) in index.manifests() {
        let path = format!("/v2/acme/echo/manifests/{}", descriptor.digest());
        assert_eq!(get(registry.address(), &path).body, bytes.as_ref());
    }
    for (descriptor, bytes) in image.blobs() {
        let path = format!("/v2/acme/echo/blobs/{}", descriptor.digest());
        assert_eq!(get(registry.address(), &path).body, bytes.as_ref());
    }
    let path = format!("/v2/acme/echo/referrers/{}", index.root().digest());
    let listed = get(registry.address(), &path).json();
    assert_eq!(
        listed["manifests"][0]["digest"],
        referrer.root().digest().to_string()
    );
}

#[test]
fn a_tag_is_replaced_and_an_untagged_referrer_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let one = ImageBuilder::new().annotation("n", "1").build();
    let two = ImageBuilder::new().annotation("n", "2").build();
    one.write_layout(folder.path(), "v").unwrap();
    two.write_layout(folder.path(), "v").unwrap();
    let index: Value =
        serde_json::from_slice(&fs::read(folder.path().join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    // A referrer that only lies among the blobs.
    let referrer = ImageBuilder::new().subject(two.root().clone()).build();
    let name = folder
        .path()
        .join("blobs/sha256")
        .join(referrer.root().digest().hex());
    fs::write(name, referrer.root_bytes()).unwrap();
    let registry = FakeRegistry::from_layout(folder.path()).unwrap();
    assert_eq!(
        registry.manifest("layout", "v").unwrap().0.digest(),
        two.root().digest()
    );
    let path = format!("/v2/layout/referrers/{}", two.root().digest());
    assert_eq!(
        get(registry.address(), &path).json()["manifests"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_manifest_that_does_not_name_its_type_has_that_of_its_parent() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = br#"{"schemaVersion":2,"layers":[]}"#;
    let child = qmt_testkit::Image::from_manifest(manifest::OCI_MANIFEST, manifest.as_slice(), []);
    IndexBuilder::new()
        .nested(&child)
        .build()
        .write_layout(folder.path(), "v1")
        .unwrap();
    let registry = FakeRegistry::from_layout(folder.path()).unwrap();
    let digest = child.root().digest().to_string();
    let (found, bytes) = registry.manifest("layout", &digest).unwrap();
    assert_eq!(
        (found.media_type().as_ref(), bytes.as_ref()),
        (manifest::OCI_MANIFEST, &manifest[..])
    );
}

#[test]
fn a_layout_archive_holds_the_same_files() {
    let image = ImageBuilder::dockerfile(b"\0asm".as_slice()).build();
    // The same blobs twice are one file each.
    let index = IndexBuilder::new().wasm(&image).nested(&image).build();
    let folder = tempfile::tempdir().unwrap();
    index.write_layout(folder.path(), "v1").unwrap();
    let tar = index.layout_archive("v1").tar();
    let mut archive = tar::Archive::new(tar.as_ref());
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert_eq!(
            content,
            fs::read(folder.path().join(&name)).unwrap(),
            "{}",
            name.display()
        );
        names.push(name);
    }
    assert_eq!(names.len(), 6); // Marker, index.json, config, layer, manifest, index.
}

#[test]
fn names_of_other_tools_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    ImageBuilder::new()
        .build()
        .write_layout(folder.path(), "docker.io/library/x:v7")
        .unwrap();
    let registry = FakeRegistry::from_layout(folder.path()).unwrap();
    assert_eq!(registry.tags("layout"), ["v7"]);
}

#[test]
fn what_is_no_layout_is_refused() {
    let load = |path: &Path| FakeRegistry::from_layout(path).unwrap_err();
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(load(folder.path()), TestkitError::Layout { .. }));
    fs::write(folder.path().join("oci-layout"), "{}").unwrap();
    assert!(matches!(load(folder.path()), TestkitError::Layout { .. }));
    let marker = r#"{"imageLayoutVersion":"1.0.0"}"#;
    fs::write(folder.path().join("oci-layout"), marker).unwrap();
    assert!(matches!(load(folder.path()), TestkitError::Layout { .. }));
    fs::write(folder.path().join("index.json"), "[").unwrap();
    assert!(matches!(load(folder.path()), TestkitError::Layout { .. }));
    let missing = Digest::sha256(b"missing");
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"a/b","digest":"{missing}","size":1}}]}}"#
    );
    fs::write(folder.path().join("index.json"), index).unwrap();
    let error = load(folder.path());
    assert!(
        error.to_string().contains("lists a blob that is absent"),
        "{error}"
    );
}

/// Recorded cosign signatures, where they are at hand: all tags, manifests, blobs and referrers.
#[test]
fn a_recorded_layout_loads() {
    let Some(root) = std::env::var_os(REAL_FIXTURES).map(PathBuf::from) else {
        return;
    };
    let layout = root.join("cosign/layout");
    let registry = FakeRegistry::from_layout(&layout).unwrap();
    let index: Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let mut tags = 0;
    for entry in index["manifests"].as_array().unwrap() {
        let digest = entry["digest"].as_str().unwrap();
        let reply = get(
            registry.address(),
            &format!("/v2/layout/manifests/{digest}"),
        );
        assert_eq!(
            reply.header("content-type"),
            entry["mediaType"].as_str().unwrap()
        );
        assert_eq!(Digest::sha256(&reply.body).to_string(), digest);
        if let Some(tag) = entry["annotations"]["org.opencontainers.image.ref.name"].as_str() {
            tags += 1;
            let reply = get(registry.address(), &format!("/v2/layout/manifests/{tag}"));
            assert_eq!(reply.header("docker-content-digest"), digest, "{tag}");
        }
    }
    assert_eq!(registry.tags("layout").len(), tags);
    let mut subjects = 0;
    for entry in fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let digest = format!("sha256:{}", path.file_name().unwrap().to_str().unwrap());
        let bytes = fs::read(&path).unwrap();
        let reply = get(registry.address(), &format!("/v2/layout/blobs/{digest}"));
        assert_eq!(reply.body, bytes);
        let Ok(json) = serde_json::from_slice::<Value>(&bytes) else {
            continue;
        };
        let is_manifest = json["schemaVersion"] == 2;
        if let Some(subject) = json["subject"]["digest"].as_str().filter(|_| is_manifest) {
            subjects += 1;
            let listed = get(
                registry.address(),
                &format!("/v2/layout/referrers/{subject}"),
            )
            .json();
            let listed = listed["manifests"].as_array().unwrap().clone();
            assert!(
                listed
                    .iter()
                    .any(|entry| entry["digest"] == digest.as_str()),
                "{digest}"
            );
        }
    }
    assert!(subjects > 0);
}
