//! `index.json`: what the layout holds, for other tools. This crate never decides by it.
//!
//! Spec: <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md#indexjson-file>

use qmt_oci_ref::{Descriptor, Digest, MediaType};
use serde::{Deserialize, Serialize};

use super::store::Store;
use super::{blobs, sys};
use crate::CacheError;

/// The annotation by which tools find an image in a layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The largest `index.json` that is read, in bytes: room for about 100,000 images.
pub(crate) const INDEX_MAX: u64 = 32 * 1024 * 1024;

/// The largest manifest whose media type is looked at, in bytes.
const MANIFEST_MAX: u64 = 4 * 1024 * 1024;

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// An index of images.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    schema_version: u32,
    #[serde(default = "index_type")]
    media_type: MediaType,
    #[serde(default)]
    pub(crate) manifests: Vec<Descriptor>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            schema_version: 2,
            media_type: index_type(),
            manifests: Vec::new(),
        }
    }
}

/// Writes an empty index.
pub(crate) fn create(store: &Store) -> Result<(), CacheError> {
    let _lock = store
        .waiter(&store.paths().index_lock())
        .acquire_blocking()?;
    if store.paths().index().exists() {
        return Ok(());
    }
    write(store, &Index::default())
}

/// Lists `root`, under `name` if there is one. `false` if its blob is not in the cache.
pub(crate) fn add(store: &Store, root: &Digest, name: Option<&str>) -> Result<bool, CacheError> {
    let Some(mut descriptor) = describe(store, root)? else {
        return Ok(false);
    };
    if let Some(name) = name {
        descriptor = descriptor.with_annotation(REF_NAME, name);
    }
    let _lock = store
        .waiter(&store.paths().index_lock())
        .acquire_blocking()?;
    let mut index = read(store)?;
    if index.list(descriptor) {
        write(store, &index)?;
    }
    Ok(true)
}

/// Keeps only the images for which `keep` says so.
pub(crate) fn retain(store: &Store, keep: impl Fn(&Descriptor) -> bool) -> Result<(), CacheError> {
    let _lock = store
        .waiter(&store.paths().index_lock())
        .acquire_blocking()?;
    let mut index = read(store)?;
    let before = index.manifests.len();
    index.manifests.retain(keep);
    if index.manifests.len() == before {
        return Ok(());
    }
    write(store, &index)
}

/// The index as it is; an empty one if the file is absent or damaged.
pub(crate) fn read(store: &Store) -> Result<Index, CacheError> {
    let bytes = sys::read_small(&store.paths().index(), INDEX_MAX)?.unwrap_or_default();
    Ok(Index::parse(&bytes).unwrap_or_default())
}

impl Index {
    /// Reads an index of the version and kind that this crate writes.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        // A list would be read as the fields in their order.
        let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
        let index: Self = is_object.then(|| serde_json::from_slice(bytes).ok())??;
        (index.schema_version == 2 && index.media_type.is_index()).then_some(index)
    }

    /// Adds an image; a name moves from the image that had it. `false` if nothing changed.
    pub(crate) fn list(&mut self, new: Descriptor) -> bool {
        let name = name_of(&new).map(str::to_owned);
        let is_known = self.manifests.iter().any(|old| {
            old.digest() == new.digest() && (name.is_none() || name_of(old) == name.as_deref())
        });
        if is_known {
            return false;
        }
        self.manifests.retain(|old| match name_of(old) {
            Some(old_name) => Some(old_name) != name.as_deref(),
            None => old.digest() != new.digest(),
        });
        self.manifests.push(new);
        true
    }
}

/// The name of an image in a layout.
pub(crate) fn name_of(descriptor: &Descriptor) -> Option<&str> {
    descriptor.annotations().get(REF_NAME).map(String::as_str)
}

/// The descriptor of a manifest or index that is in the cache.
pub(crate) fn describe(store: &Store, digest: &Digest) -> Result<Option<Descriptor>, CacheError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        media_type: Option<MediaType>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let Some(bytes) = blobs::get(store, digest, MANIFEST_MAX)? else {
        return Ok(None);
    };
    let Ok(shape) = serde_json::from_slice::<Shape>(&bytes) else {
        return Ok(None);
    };
    let implied = || {
        MediaType::from(if shape.manifests.is_some() {
            INDEX_TYPE
        } else {
            MANIFEST_TYPE
        })
    };
    let media_type = shape.media_type.unwrap_or_else(implied);
    Ok(Some(Descriptor::new(
        media_type,
        digest.clone(),
        bytes.len() as u64,
    )))
}

fn write(store: &Store, index: &Index) -> Result<(), CacheError> {
    store.write_small(&store.paths().index(), &blobs::to_json(index))
}

fn index_type() -> MediaType {
    MediaType::from(INDEX_TYPE)
}
