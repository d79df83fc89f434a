//! What the rest of the product knows of a registry.
//!
//! [`Registry`] is the one port through which manifests, blobs and referrers are read. Clients
//! over HTTP and image layouts on disk implement it; decorators add caching, mirrors or the rule
//! that forbids the network.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use crate::MediaType;
use crate::descriptor::Descriptor;
use crate::digest::{Digest, DigestAlgorithm, Digester};
use crate::host::RegistryHost;
use crate::manifest::{self, ManifestError, Referrers};
use crate::pinned::PinnedReference;
use crate::reference::Reference;
use crate::repository::Repository;

/// The bytes of a blob as they arrive. A stream that ends without an error was proven whole.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, RegistryError>> + Send>>;

/// Requests to a registry, which store their outcomes themselves.
type Reads<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Reads one or many OCI registries, or an image layout. Dropping a returned future or stream
/// abandons the request and nothing else.
///
/// Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md>
#[async_trait]
pub trait Registry: Send + Sync {
    /// Reads the manifest that `reference` names at this moment: by its digest where it has one,
    /// else by its tag. The digest of the result is computed over the bytes, so
    /// `reference.with_digest(manifest.digest().clone())` pins the reference.
    ///
    /// # Errors
    ///
    /// [`RegistryErrorKind::NotFound`] where it does not exist, [`RegistryErrorKind::Content`]
    /// where the answer is not what it should be, and the kinds of failed requests.
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError>;

    /// Reads the manifest or index that `pin` names, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`Registry::resolve`].
    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError>;

    /// Streams `blob` after the bytes that `resume_from` has already hashed. A new digester of the
    /// blob's algorithm means: from the start.
    ///
    /// The last item is an error if size (bytes) or digest over the whole blob differ from the
    /// descriptor; not one byte more than its size is handed out.
    ///
    /// # Errors
    ///
    /// As [`Registry::resolve`], on opening and in the stream.
    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        resume_from: Digester,
    ) -> Result<BlobStream, RegistryError>;

    /// Lists the manifests that refer to `subject`. The list is a claim: callers that read an
    /// entry compare the `subject` in it.
    ///
    /// # Errors
    ///
    /// As [`Registry::resolve`]; an empty list means that nothing refers to it. Where only a part
    /// of the list could be read, [`RegistryError::take_listed`] returns that part.
    async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError>;

    /// Reads every manifest that `reference` names: one in a registry, while an image layout can list
    /// several under one name. Each that can't be read is an error of its own, so that it hides no
    /// other.
    async fn resolve_all(&self, reference: &Reference) -> Vec<Result<RawManifest, RegistryError>> {
        vec![self.resolve(reference).await]
    }

    /// Reads the whole of `blob` into memory: at most `blob.size()` bytes, which the caller has
    /// compared with what it is ready to hold.
    ///
    /// # Errors
    ///
    /// As [`Registry::blob`].
    async fn pull_blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
    ) -> Result<Bytes, RegistryError> {
        let start = Digester::new(blob.digest().algorithm());
        let mut stream = self.blob(from, blob, start).await?;
        let mut content = BytesMut::new();
        while let Some(chunk) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
            content.extend_from_slice(&chunk?);
        }
        Ok(content.freeze())
    }

    /// Runs `reads`, which are requests to this registry, for a caller that gives them up at `end`.
    /// An implementation that repeats failed requests does not pause beyond that, so that the caller
    /// gets the error of the last attempt. Decorators forward this method.
    async fn until(&self, _end: Instant, reads: Reads<'_>) {
        reads.await;
    }
}

/// A manifest or index as its registry stores it, with the digest of exactly these bytes.
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

    /// Takes `bytes`, computes their digest with `algorithm`, and finds the media type that they
    /// and the `Content-Type` they came with agree on.
    ///
    /// # Errors
    ///
    /// [`ManifestError`], as for [`manifest::detect`].
    pub fn read(
        bytes: Bytes,
        declared: Option<&MediaType>,
        algorithm: DigestAlgorithm,
    ) -> Result<Self, ManifestError> {
        let media_type = manifest::detect(&bytes, declared)?;
        Ok(Self::with_algorithm(media_type, bytes, algorithm))
    }

    /// Returns the media type that content and server agree on.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Returns the digest, computed over the bytes.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Reports whether it is an index.
    pub fn is_index(&self) -> bool {
        manifest::is_index(&self.media_type)
    }

    /// Returns the descriptor of these bytes.
    pub fn descriptor(&self) -> Descriptor {
        let size = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        Descriptor::new(self.media_type.clone(), self.digest.clone(), size)
    }
}

/// Why something could not be read from a registry, or written to it.
///
/// It shows what the implementation said; [`kind`](Self::kind) is what callers decide by.
#[derive(Clone)]
pub struct RegistryError {
    kind: RegistryErrorKind,
    source: Arc<dyn Error + Send + Sync>,
    // Lists have errors of mirrors.
    listed: Option<Box<Referrers>>,
    remark: Option<String>,
    hint: Option<Box<str>>,
    mirror: Option<RegistryHost>,
    is_other_content: bool,
}

/// What kind of failure a [`RegistryError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "callers decide about every kind, exit codes among them"
)]
pub enum RegistryErrorKind {
    /// The registry says that it does not exist.
    NotFound,
    /// A credential is missing, or not enough.
    Unauthorized,
    /// The registry could not be reached, or is busy.
    Network {
        /// Whether the same request can succeed later.
        retryable: bool,
    },
    /// The content is not what its name, size or type promised, or exceeds a limit.
    Content,
    /// The answer is not one that the distribution specification allows.
    Protocol,
    /// An option, or a file with credentials or certificates, can't be used.
    Configuration,
    /// A file on this machine can't be read or written.
    Storage,
    /// The network may not be used.
    Offline,
}

impl RegistryError {
    /// Wraps what an implementation says.
    pub fn new(kind: RegistryErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: Arc::from(source.into()),
            listed: None,
            remark: None,
            hint: None,
            mirror: None,
            is_other_content: false,
        }
    }

    /// Adds what [`Registry::referrers`] could read of a list in spite of this error.
    #[must_use]
    pub fn with_listed(mut self, listed: impl Into<Referrers>) -> Self {
        self.listed = Some(Box::new(listed.into()));
        self
    }

    /// Takes what could be read of a list of referrers in spite of this error; `None` where no
    /// list could be read at all.
    pub fn take_listed(&mut self) -> Option<Referrers> {
        self.listed.take().map(|listed| *listed)
    }

    /// Adds what was unexpected about an answer that means that something does not exist.
    #[must_use]
    pub fn with_remark(mut self, remark: impl Into<String>) -> Self {
        self.remark = Some(remark.into());
        self
    }

    /// Returns what was unexpected about the answer; `None` for a usual one.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns what the user can do about it, if the implementation knows that.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Says that it is the error of a mirror.
    #[must_use]
    pub fn with_mirror(mut self, mirror: RegistryHost) -> Self {
        self.mirror = Some(mirror);
        self
    }

    /// Returns the mirror that failed; `None` for the registry itself.
    pub fn mirror(&self) -> Option<&RegistryHost> {
        self.mirror.as_ref()
    }

    /// Says that something else was sent in place of the content.
    #[must_use]
    pub fn with_other_content(mut self) -> Self {
        self.is_other_content = true;
        self
    }

    /// Reports whether something else was sent in place of the content, such as a login page. No
    /// publisher can store that under the digest, so it says nothing about what is stored.
    pub fn is_other_content(&self) -> bool {
        self.is_other_content
    }

    /// Returns the kind.
    pub fn kind(&self) -> RegistryErrorKind {
        self.kind
    }

    /// Returns the implementation's own error, if it is an `E`.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.source.downcast_ref()
    }

    /// Reports whether the registry says that it does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == RegistryErrorKind::NotFound
    }

    /// Reports whether the registry could not be reached, or is busy.
    pub fn is_network(&self) -> bool {
        matches!(self.kind, RegistryErrorKind::Network { .. })
    }

    /// Reports whether the same request can succeed later.
    pub fn is_retryable(&self) -> bool {
        self.kind == RegistryErrorKind::Network { retryable: true }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, f)
    }
}

impl fmt::Debug for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryError({:?}, {:?})", self.kind, self.source)
    }
}

impl Error for RegistryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

// Written out, because `automock` would replace `pull_blob` as well.
#[cfg(feature = "test-util")]
mockall::mock! {
    /// A [`Registry`] whose answers a test sets.
    pub Registry {}

    #[async_trait]
    impl Registry for Registry {
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
        async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError>;
    }
}

#[cfg(test)]
mod tests;
