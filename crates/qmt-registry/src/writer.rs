//! Writing to registries.

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{
    BlobStream, Descriptor, PinnedReference, RawManifest, Reference, Registry, RegistryError,
    Repository,
};

/// Publishes to a registry.
#[async_trait]
pub trait RegistryWriter: Registry {
    /// Uploads `blob` unless the repository has it. `mount_from` names a repository of the same
    /// registry from which it may be mounted.
    ///
    /// # Errors
    ///
    /// [`Unauthorized`](crate::ClientError::Unauthorized),
    /// [`UploadRefused`](crate::ClientError::UploadRefused),
    /// [`DigestMismatch`](crate::ClientError::DigestMismatch) where `content` differs from `blob`,
    /// and the network's errors.
    async fn push_blob(
        &self,
        to: &Repository,
        blob: &Descriptor,
        content: &dyn BlobContent,
        mount_from: Option<&Repository>,
    ) -> Result<(), RegistryError>;

    /// Uploads `manifest` under the tag of `to` (by digest where it has none), and adds it to the
    /// list of the tag schema where it has a `subject` and the registry lacks the referrers API.
    ///
    /// # Errors
    ///
    /// As [`RegistryWriter::push_blob`].
    async fn push_manifest(
        &self,
        to: &Reference,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, RegistryError>;
}

/// The content of an upload; opened again where a transfer broke off.
#[async_trait]
pub trait BlobContent: Send + Sync {
    /// Streams the content from `offset` (bytes) on.
    ///
    /// # Errors
    ///
    /// [`RegistryErrorKind::Storage`](qmt_oci_ref::RegistryErrorKind::Storage) where it can't be read.
    async fn open(&self, offset: u64) -> Result<BlobStream, RegistryError>;
}

#[async_trait]
impl BlobContent for Bytes {
    async fn open(&self, offset: u64) -> Result<BlobStream, RegistryError> {
        let offset = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.len());
        let rest = self.slice(offset..);
        Ok(Box::pin(futures_util::stream::iter(
            (!rest.is_empty()).then_some(Ok(rest)),
        )))
    }
}
