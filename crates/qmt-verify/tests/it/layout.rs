//! An OCI image layout on disk as a registry: tags are in `index.json`, referrers under the tag
//! schema. <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::manifest::{Index, ManifestLimits, Referrers};
use qmt_oci_ref::{
    BlobStream, Descriptor, Digest, Digester, PinnedReference, RawManifest, Reference, Registry,
    RegistryError, Repository, Tag,
};

use crate::support::{missing, served, stream};

pub struct Layout {
    folder: PathBuf,
    index: Vec<Descriptor>,
}

impl Layout {
    pub fn open(folder: &Path) -> Self {
        let index = std::fs::read(folder.join("index.json")).unwrap();
        let index = Index::read(&index, &ManifestLimits::for_layouts()).unwrap();
        Self {
            folder: folder.to_owned(),
            index: index.into_manifests(),
        }
    }

    fn read(&self, digest: &Digest) -> Option<Bytes> {
        let folder = self.folder.join("blobs").join(digest.algorithm().as_str());
        std::fs::read(folder.join(digest.hex()))
            .ok()
            .map(Into::into)
    }

    fn tagged(&self, tag: &Tag) -> Option<Bytes> {
        let name = "org.opencontainers.image.ref.name";
        let mut entries = self.index.iter();
        let entry = entries.find(|entry| entry.annotation(name) == Some(tag.as_str()))?;
        self.read(entry.digest())
    }
}

#[async_trait]
impl Registry for Layout {
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        served(reference.tag().and_then(|tag| self.tagged(tag)).as_ref())
    }

    async fn manifest(&self, pin: &PinnedReference, _: u64) -> Result<RawManifest, RegistryError> {
        served(self.read(pin.digest()).as_ref())
    }

    async fn blob(
        &self,
        _: &Repository,
        blob: &Descriptor,
        _: Digester,
    ) -> Result<BlobStream, RegistryError> {
        Ok(stream(self.read(blob.digest()).ok_or_else(missing)?))
    }

    async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError> {
        let tag = Tag::for_referrers(subject.digest());
        let Some(index) = self.tagged(&tag) else {
            return Ok(Vec::new().into());
        };
        let index = Index::read(&index, &ManifestLimits::default()).unwrap();
        Ok(index.into_manifests().into())
    }
}
