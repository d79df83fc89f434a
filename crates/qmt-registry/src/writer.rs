//! Writing to registries.

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{
    BlobStream, Descriptor, PinnedReference, RawManifest, Reference, Registry, RegistryError,
    Repository,
};
#[cfg(feature = "test-util")]
use qmt_oci_ref::{Digester, manifest::Referrers};

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

// Written out, because `automock` supports neither supertraits nor `Option<&_>` arguments.
#[cfg(feature = "test-util")]
mockall::mock! {
    /// A [`RegistryWriter`] (and so a [`Registry`]) whose answers a test sets.
    pub RegistryWriter {
        /// What [`RegistryWriter::push_blob`] does; `mount_from` comes as a value.
        pub fn push_blob(
            &self,
            to: &Repository,
            blob: &Descriptor,
            content: &dyn BlobContent,
            mount_from: Option<Repository>,
        ) -> Result<(), RegistryError>;
        /// What [`RegistryWriter::push_manifest`] does.
        pub fn push_manifest(
            &self,
            to: &Reference,
            manifest: &RawManifest,
        ) -> Result<PinnedReference, RegistryError>;
    }

    #[async_trait]
    impl Registry for RegistryWriter {
        async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError>;
        async fn manifest(
            &self,
            pin: &PinnedReference,
            limit: u64,
        ) -> Result<RawManifest, RegistryError>;
        async fn blob(
            &self,
            from: &Repository,
            blob: &Descriptor,
            resume_from: Digester,
        ) -> Result<BlobStream, RegistryError>;
        async fn referrers(
            &self,
            subject: &PinnedReference,
        ) -> Result<Referrers, RegistryError>;
    }
}

#[cfg(feature = "test-util")]
#[async_trait]
impl RegistryWriter for MockRegistryWriter {
    async fn push_blob(
        &self,
        to: &Repository,
        blob: &Descriptor,
        content: &dyn BlobContent,
        mount_from: Option<&Repository>,
    ) -> Result<(), RegistryError> {
        // The inherent method of the same name belongs to the mock.
        Self::push_blob(self, to, blob, content, mount_from.cloned())
    }

    async fn push_manifest(
        &self,
        to: &Reference,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, RegistryError> {
        Self::push_manifest(self, to, manifest)
    }
}
