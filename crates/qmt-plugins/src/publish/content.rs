//! Streams packed blobs to a registry client.

use std::io;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use qmt_artifact::pack::PackedBlob;
use qmt_oci_ref::{BlobStream, RegistryError};
use qmt_registry::{BlobContent, ClientError};

use crate::caching::{blocking, disk_stream};

/// A packed blob that a registry client uploads.
pub(super) struct PackedContent<'a>(pub(super) &'a PackedBlob);

#[async_trait]
impl BlobContent for PackedContent<'_> {
    async fn open(&self, offset: u64) -> Result<BlobStream, RegistryError> {
        let blob = self.0.clone();
        let content = |error: io::Error| RegistryError::from(ClientError::Content(error.into()));
        let file = blocking(move || blob.open(offset)).await.map_err(content)?;
        Ok(Box::pin(disk_stream(file).map_err(content)))
    }
}
