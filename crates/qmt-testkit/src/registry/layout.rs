//! Loads an OCI image layout from disk.

use std::path::Path;

use bytes::Bytes;
use qmt_oci_ref::{Digest, MediaType, Tag, manifest};
use qmt_storage::{Layout, LayoutError, LayoutIndex};

use super::store::{ManifestHead, Store, StoredManifest};
use crate::error::TestkitError;

/// Puts every blob of the layout at `path` into `repository`. Blobs that `index.json` or an index in
/// it lists become manifests, and so do blobs that name the media type of a manifest, because a
/// layout need not list referrers. Content is not verified: a blob that hashes to another digest than
/// its file name is served under that name, for a client to detect.
pub(super) fn load(store: &mut Store, repository: &str, path: &Path) -> Result<(), TestkitError> {
    let layout = Layout::open(path)?;
    let index = layout.index()?;
    let held = store.repository_or_new(repository);
    for digest in layout.blobs()? {
        let Some(file) = layout.blob(&digest)? else {
            continue;
        };
        let bytes = Bytes::from(file.read_all(u64::MAX)?);
        if let Some(media_type) = own_media_type(&bytes) {
            let manifest = StoredManifest::new(&media_type, bytes.clone());
            held.manifests.insert(digest.clone(), manifest);
        }
        held.blobs.insert(digest, bytes);
    }
    for entry in index.images() {
        let Some(bytes) = held.blobs.get(entry.digest()).cloned() else {
            return Err(TestkitError::Layout(LayoutError::Invalid {
                path: path.to_owned(),
                rule: "its `index.json` lists a blob that is absent",
                source: None,
            }));
        };
        let manifest = StoredManifest::new(entry.media_type().as_ref(), bytes);
        held.manifests.insert(entry.digest().clone(), manifest);
        if let Some(tag) = LayoutIndex::name_of(entry).and_then(tag_of) {
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

/// The media type that a manifest or index names itself. Other JSON names none.
fn own_media_type(bytes: &[u8]) -> Option<String> {
    if bytes.first() != Some(&b'{') {
        return None;
    }
    let media_type = ManifestHead::parse(bytes)?.media_type?;
    let parsed = MediaType::from(media_type.as_str());
    (manifest::is_manifest(&parsed) || manifest::is_index(&parsed)).then_some(media_type)
}

fn children(parent: Option<&StoredManifest>) -> Vec<(Digest, String)> {
    let index = parent.and_then(|parent| LayoutIndex::read(&parent.bytes).ok());
    let index = index.unwrap_or_default();
    let children = index.images().iter();
    children
        .map(|child| (child.digest().clone(), child.media_type().to_string()))
        .collect()
}

/// The tag in a reference name: some tools write a tag alone, some a whole reference.
fn tag_of(name: &str) -> Option<Tag> {
    name.parse()
        .ok()
        .or_else(|| name.rsplit_once(':')?.1.parse().ok())
}
