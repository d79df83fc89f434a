//! Loads an OCI image layout from disk.
//!
//! Spec: <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>

use std::fs;
use std::path::Path;

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, MediaType, Tag};
use serde::Deserialize;

use super::store::{ManifestHead, Store, StoredManifest};
use crate::error::TestkitError;

/// The annotation that names an entry of `index.json`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Deserialize)]
struct LayoutIndex {
    manifests: Vec<Descriptor>,
}

/// Puts every blob of the layout at `path` into `repository`. What `index.json` or an index in it
/// names becomes a manifest; so does what says of itself that it is one, because a layout need not
/// list referrers. Content is taken as it is: a blob that hashes to another digest than its file
/// name is served under that name, for a client to find out.
pub(super) fn load(store: &mut Store, repository: &str, path: &Path) -> Result<(), TestkitError> {
    let marker = path.join("oci-layout");
    if !marker.is_file() {
        let reason = "it holds no file `oci-layout`";
        return Err(TestkitError::Layout {
            path: path.to_owned(),
            reason,
        });
    }
    let index_path = path.join("index.json");
    let index: LayoutIndex =
        serde_json::from_slice(&read(&index_path)?).map_err(|source| TestkitError::Json {
            path: index_path.clone(),
            source: source.into(),
        })?;
    let held = store.repository_or_new(repository);
    for algorithm in ["sha256", "sha512"] {
        let folder = path.join("blobs").join(algorithm);
        if !folder.is_dir() {
            continue;
        }
        let failed = |source| TestkitError::File {
            path: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let Ok(digest) = format!("{algorithm}:{name}").parse::<Digest>() else {
                continue;
            };
            let bytes = read(&file)?;
            if let Some(media_type) = own_media_type(&bytes) {
                let manifest = StoredManifest::new(&media_type, bytes.clone());
                held.manifests.insert(digest.clone(), manifest);
            }
            held.blobs.insert(digest, bytes);
        }
    }
    for entry in &index.manifests {
        let Some(bytes) = held.blobs.get(entry.digest()).cloned() else {
            let reason = "`index.json` names a blob that is not there";
            return Err(TestkitError::Layout {
                path: index_path,
                reason,
            });
        };
        let manifest = StoredManifest::new(entry.media_type().as_str(), bytes);
        held.manifests.insert(entry.digest().clone(), manifest);
        if let Some(tag) = entry
            .annotations()
            .get(REF_NAME)
            .and_then(|name| tag_of(name))
        {
            held.tags.insert(tag.to_string(), entry.digest().clone());
        }
    }
    // Children of an index that do not name their own media type.
    let mut parents: Vec<Digest> = held.manifests.keys().cloned().collect();
    while let Some(parent) = parents.pop() {
        for (digest, media_type) in children(held.manifests.get(&parent)) {
            if !held.manifests.contains_key(&digest)
                && let Some(bytes) = held.blobs.get(&digest).cloned()
            {
                held.manifests
                    .insert(digest.clone(), StoredManifest::new(&media_type, bytes));
                parents.push(digest);
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Bytes, TestkitError> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes.into()),
        Err(source) => Err(TestkitError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The media type that a manifest or index gives itself. Other JSON has none.
fn own_media_type(bytes: &[u8]) -> Option<String> {
    if bytes.first() != Some(&b'{') {
        return None;
    }
    let media_type = ManifestHead::parse(bytes)?.media_type?;
    let parsed = MediaType::new(&media_type);
    (parsed.is_manifest() || parsed.is_index()).then_some(media_type)
}

fn children(parent: Option<&StoredManifest>) -> Vec<(Digest, String)> {
    parent
        .and_then(|parent| serde_json::from_slice::<LayoutIndex>(&parent.bytes).ok())
        .map(|index| index.manifests)
        .unwrap_or_default()
        .iter()
        .map(|child| {
            (
                child.digest().clone(),
                child.media_type().as_str().to_owned(),
            )
        })
        .collect()
}

/// The tag in a reference name: some tools write a tag alone, some a whole reference.
fn tag_of(name: &str) -> Option<Tag> {
    name.parse()
        .ok()
        .or_else(|| name.rsplit_once(':')?.1.parse().ok())
}
