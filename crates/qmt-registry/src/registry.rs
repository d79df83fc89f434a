//! The seam: what the rest of the product knows of a registry. Start here.
//!
//! [`Registry`] reads, [`RegistryWriter`] publishes. Both are object safe and used as
//! `Arc<dyn Registry>`; [`HttpRegistry`](crate::HttpRegistry) and
//! [`OciLayout`](crate::OciLayout) implement them.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use qmt_oci_ref::{
    Descriptor, Digest, DigestAlgorithm, Digester, MediaType, PinnedReference, Reference,
    Repository,
};

use crate::error::RegistryError;

/// The bytes of a blob as they arrive. A stream that ends without an error was proven whole.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, RegistryError>> + Send>>;

/// Reads one or many OCI registries. Dropping a returned future or stream abandons the request
/// and nothing else.
///
/// Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>
#[cfg_attr(feature = "test-util", mockall::automock)] // Must stand above `#[async_trait]`.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Pins `reference` to the digest that it names at this moment: one `GET` by tag (by digest
    /// where the reference has one), and the digest is computed over the body.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`], [`RegistryError::Unauthorized`],
    /// [`RegistryError::DigestMismatch`], [`RegistryError::MediaTypeMismatch`],
    /// [`RegistryError::TooLarge`] and the network's errors.
    async fn resolve(&self, reference: &Reference) -> Result<Resolved, RegistryError>;

    /// Fetches the manifest or index that `pin` names, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`Registry::resolve`].
    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError>;

    /// Streams `blob` after the bytes that `eaten` has already consumed (a fresh digester of the
    /// blob's algorithm means: from the start).
    ///
    /// The last item is an error if size (bytes) or digest over the whole, eaten and streamed,
    /// differ from `blob`; not one byte more than its size is handed out.
    ///
    /// # Errors
    ///
    /// As [`Registry::resolve`], and [`RegistryError::SizeMismatch`]; on opening and in the stream.
    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        eaten: Digester,
    ) -> Result<BlobStream, RegistryError>;

    /// Lists what refers to `subject`: the referrers API, and the tag schema where the API is
    /// missing or empty. At most [`REFERRERS_MAX`](crate::limits::REFERRERS_MAX) entries.
    ///
    /// The list is the registry's word: whoever fetches an entry compares its `subject`.
    ///
    /// # Errors
    ///
    /// As [`Registry::resolve`], and [`RegistryError::TooMany`].
    async fn referrers(&self, subject: &PinnedReference) -> Result<Vec<Descriptor>, RegistryError>;
}

/// Publishes to a registry.
#[async_trait]
pub trait RegistryWriter: Registry {
    /// Uploads `blob` unless the repository has it. `mount_from` names a repository of the same
    /// registry from which it may be linked.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unauthorized`], [`RegistryError::UploadRefused`],
    /// [`RegistryError::DigestMismatch`] where `content` is not what `blob` says, and the network's.
    async fn push_blob(
        &self,
        to: &Repository,
        blob: &Descriptor,
        content: &dyn BlobContent,
        mount_from: Option<&Repository>,
    ) -> Result<(), RegistryError>;

    /// Uploads `manifest` under the tag of `to` (by digest where it has none), and enters it into
    /// the tag schema's list where it has a `subject` and the registry lacks the referrers API.
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

/// What is uploaded; opened again where a transfer broke off.
#[async_trait]
pub trait BlobContent: Send + Sync {
    /// Streams the content from `offset` (bytes) on.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Content`] where it can't be read.
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

/// A manifest or index as its registry keeps it, with the digest of exactly these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    media_type: MediaType,
    digest: Digest,
    bytes: Bytes,
}

impl RawManifest {
    /// Takes `bytes` and computes their SHA-256 digest.
    pub fn new(media_type: MediaType, bytes: Bytes) -> Self {
        Self::with_algorithm(media_type, bytes, DigestAlgorithm::Sha256)
    }

    /// Takes `bytes` and computes their digest with `algorithm`.
    pub fn with_algorithm(media_type: MediaType, bytes: Bytes, algorithm: DigestAlgorithm) -> Self {
        let digest = Digest::of(algorithm, &bytes);
        Self {
            media_type,
            digest,
            bytes,
        }
    }

    /// The media type that body and server agree on.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// The digest, computed over the bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The descriptor of these bytes.
    pub fn descriptor(&self) -> Descriptor {
        let size = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        Descriptor::new(self.media_type.clone(), self.digest.clone(), size)
    }
}

/// A reference that was looked up: its pin, and the manifest that the same answer carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pin: PinnedReference,
    manifest: RawManifest,
}

impl Resolved {
    /// Joins `reference` and the manifest that was found for it; the pin is the manifest's digest.
    ///
    /// # Errors
    ///
    /// [`RegistryError::DigestMismatch`] where `reference` names another digest.
    pub fn new(reference: &Reference, manifest: RawManifest) -> Result<Self, RegistryError> {
        if let Some(expected) = reference.digest()
            && expected != manifest.digest()
        {
            return Err(RegistryError::DigestMismatch {
                expected: expected.clone(),
                actual: manifest.digest().clone(),
            });
        }
        let pin = reference.clone().with_digest(manifest.digest().clone());
        Ok(Self { pin, manifest })
    }

    /// The reference with the digest that it named when it was resolved.
    pub fn pin(&self) -> &PinnedReference {
        &self.pin
    }

    /// The manifest or index behind the pin.
    pub fn manifest(&self) -> &RawManifest {
        &self.manifest
    }
}

// By hand, because `automock` knows neither a trait's supertraits nor `Option<&_>` arguments.
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
        async fn resolve(&self, reference: &Reference) -> Result<Resolved, RegistryError>;
        async fn manifest(
            &self,
            pin: &PinnedReference,
            limit: u64,
        ) -> Result<RawManifest, RegistryError>;
        async fn blob(
            &self,
            from: &Repository,
            blob: &Descriptor,
            eaten: Digester,
        ) -> Result<BlobStream, RegistryError>;
        async fn referrers(
            &self,
            subject: &PinnedReference,
        ) -> Result<Vec<Descriptor>, RegistryError>;
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
        // The inherent method of the same name is the mock's own.
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
