//! Tests of this crate share a registry in memory, which records what was requested.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use qmt_oci_ref::manifest::Referrers;
use qmt_oci_ref::{
    BlobStream, Descriptor, Digest, Digester, MediaType, PinnedReference, RawManifest, Reference,
    Registry, RegistryError, RegistryErrorKind, Repository,
};

#[derive(Default)]
pub(crate) struct TestRegistry {
    pub(crate) content: Mutex<HashMap<Digest, Bytes>>,
    pub(crate) requests: Mutex<Vec<Digest>>,
    /// Whether it is a store without its registry.
    pub(crate) is_offline: bool,
    /// Bytes of a chunk; 0 is one chunk.
    pub(crate) chunk: usize,
    /// Blobs send so many chunks and then nothing more, without an end.
    pub(crate) stall_after: Option<usize>,
}

pub(crate) fn repository() -> Repository {
    "registry.example/plugin".parse().unwrap()
}

impl TestRegistry {
    pub(crate) fn put(&self, digest: Digest, content: impl Into<Bytes>) {
        self.content.lock().unwrap().insert(digest, content.into());
    }

    pub(crate) fn forget(&self, digest: &Digest) {
        assert!(self.content.lock().unwrap().remove(digest).is_some());
    }

    pub(crate) fn get(&self, digest: &Digest) -> Result<Bytes, RegistryError> {
        let content = self.content.lock().unwrap().get(digest).cloned();
        let kind = if self.is_offline {
            RegistryErrorKind::Offline
        } else {
            RegistryErrorKind::NotFound
        };
        content.ok_or_else(|| RegistryError::new(kind, "no such content"))
    }

    fn request(&self, digest: &Digest) -> Result<Bytes, RegistryError> {
        self.requests.lock().unwrap().push(digest.clone());
        self.get(digest)
    }
}

#[async_trait]
impl Registry for TestRegistry {
    async fn resolve(&self, _: &Reference) -> Result<RawManifest, RegistryError> {
        panic!("nothing is resolved")
    }

    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        assert!(limit > 0 && *pin.repository() == repository());
        let bytes = self.request(pin.digest())?;
        Ok(RawManifest::new(MediaType::ImageManifest, bytes))
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        resume_from: Digester,
    ) -> Result<BlobStream, RegistryError> {
        assert!(resume_from.count() == 0 && *from == repository());
        let content = self.request(blob.digest())?;
        let chunk = if self.chunk == 0 {
            content.len().max(1)
        } else {
            self.chunk
        };
        let chunks: Vec<_> = content
            .chunks(chunk)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        match self.stall_after {
            Some(after) => Ok(Box::pin(
                stream::iter(chunks).take(after).chain(stream::pending()),
            )),
            None => Ok(Box::pin(stream::iter(chunks))),
        }
    }

    async fn referrers(&self, _: &PinnedReference) -> Result<Referrers, RegistryError> {
        panic!("nothing is listed")
    }
}
