//! The port through which signatures are read. The facade adapts its registry client to it.

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{Descriptor, PinnedReference, Reference, Repository};

use crate::error::BoxError;

/// Reads what lies beside an image in a registry.
///
/// An implementation returns only what it was asked for: content by digest is proven to have that
/// digest. We prove it once more, because a signature that is overlooked must never be a guess.
#[cfg_attr(feature = "test-util", mockall::automock)] // Must stand above `#[async_trait]`.
#[async_trait]
pub trait EvidenceSource: Send + Sync {
    /// Lists what refers to `subject`: the referrers API and, where a registry lacks it, the
    /// fallback tag. An empty list means that nothing does.
    ///
    /// # Errors
    ///
    /// Whatever keeps the answer from being known.
    async fn referrers(&self, subject: &PinnedReference) -> Result<Vec<Descriptor>, BoxError>;

    /// Reads a manifest of at most `limit` bytes. `None` means 404 and nothing else.
    ///
    /// # Errors
    ///
    /// Whatever keeps the answer from being known.
    async fn manifest(&self, reference: &Reference, limit: u64) -> Result<Option<Bytes>, BoxError>;

    /// Reads a blob of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// Whatever keeps the content from being read in full.
    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, BoxError>;
}
