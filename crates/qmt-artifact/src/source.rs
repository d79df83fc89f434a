//! The ports: where manifests, configs and layers come from.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use qmt_oci_ref::Descriptor;

use crate::error::BoxError;

/// The bytes of one layer as they arrive. It ends with an error unless they are the layer's.
pub type LayerStream = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// Reads manifests and configs. The facade adapts a registry or a layout to it.
#[cfg_attr(feature = "test-util", mockall::automock)] // Must stand above `#[async_trait]`.
#[async_trait]
pub trait ManifestSource: Send + Sync {
    /// Reads the manifest or index that `descriptor` names, at most `limit` bytes of it.
    ///
    /// # Errors
    /// Whatever the source says; selection passes it on as [`ArtifactError::Source`].
    ///
    /// [`ArtifactError::Source`]: crate::ArtifactError::Source
    async fn manifest(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes, BoxError>;

    /// Reads the image config that `descriptor` names, at most `limit` bytes of it.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    async fn config(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes, BoxError>;
}

/// Streams layers. The facade adapts a registry or a layout to it.
#[cfg_attr(feature = "test-util", mockall::automock)] // Must stand above `#[async_trait]`.
#[async_trait]
pub trait LayerSource: Send + Sync {
    /// Streams `layer` from its first byte.
    ///
    /// The source proves size and digest: the stream's last item is an error where they differ
    /// from the descriptor's. Extraction counts on it and hashes a raw layer no second time.
    ///
    /// # Errors
    /// Whatever the source says; extraction passes it on as [`ArtifactError::Source`].
    ///
    /// [`ArtifactError::Source`]: crate::ArtifactError::Source
    async fn layer(&self, layer: &Descriptor) -> Result<LayerStream, BoxError>;
}
