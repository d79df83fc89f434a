//! An evidence source over an OCI image layout on disk: tags are in `index.json`, referrers under
//! the tag schema. <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{Descriptor, PinnedReference, Reference, Repository, Tag};
use qmt_verify::{BoxError, EvidenceSource};

/// Reads an OCI layout.
pub struct Layout {
    folder: PathBuf,
    tags: BTreeMap<String, Descriptor>,
}

impl Layout {
    pub fn open(folder: &Path) -> Self {
        let index = std::fs::read(folder.join("index.json")).unwrap();
        let tags = manifests(&index)
            .into_iter()
            .filter_map(|one| {
                let tag = one
                    .annotations()
                    .get("org.opencontainers.image.ref.name")?
                    .clone();
                Some((tag, one))
            })
            .collect();
        Self {
            folder: folder.to_owned(),
            tags,
        }
    }

    fn read(&self, digest: &str) -> Option<Bytes> {
        let (algorithm, hex) = digest.split_once(':')?;
        std::fs::read(self.folder.join("blobs").join(algorithm).join(hex))
            .ok()
            .map(Bytes::from)
    }
}

#[derive(serde::Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

fn manifests(index: &[u8]) -> Vec<Descriptor> {
    serde_json::from_slice::<Index>(index).unwrap().manifests
}

#[async_trait]
impl EvidenceSource for Layout {
    async fn referrers(&self, subject: &PinnedReference) -> Result<Vec<Descriptor>, BoxError> {
        let tag = Tag::for_digest(subject.digest(), "")?;
        let Some(index) = self.tags.get(tag.as_str()) else {
            return Ok(Vec::new());
        };
        Ok(manifests(
            &self
                .read(&index.digest().to_string())
                .ok_or("no such index")?,
        ))
    }

    async fn manifest(&self, reference: &Reference, _: u64) -> Result<Option<Bytes>, BoxError> {
        let digest = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => match self.tags.get(tag.as_str()) {
                Some(found) => found.digest().to_string(),
                None => return Ok(None),
            },
            (None, None) => return Ok(None),
        };
        Ok(self.read(&digest))
    }

    async fn blob(&self, _: &Repository, blob: &Descriptor, _: u64) -> Result<Bytes, BoxError> {
        Ok(self
            .read(&blob.digest().to_string())
            .ok_or("no such blob")?)
    }
}
