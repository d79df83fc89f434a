//! Streams files: what an earlier try left, and what is published.

use std::io::{self, Read};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream, TryStreamExt as _};
use qmt_artifact::PackedBlob;
use qmt_registry::{BlobContent, BlobStream, RegistryError};
use tokio::task::JoinError;

/// How much is read from disk at once, in bytes.
const DISK_CHUNK: usize = 256 * 1024;

/// Streams the rest of `file`, each piece read on a thread that may block.
pub(super) fn disk_stream(
    file: impl Read + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(file, |mut file| async move {
        let (file, chunk) = blocking(move || -> io::Result<_> {
            let mut chunk = BytesMut::zeroed(DISK_CHUNK);
            let length = file.read(&mut chunk)?;
            chunk.truncate(length);
            Ok((file, chunk.freeze()))
        })
        .await?;
        Ok((!chunk.is_empty()).then_some((chunk, file)))
    })
}

/// Does what blocks on a thread of its own.
pub(super) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<JoinError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await?
}

/// Lets a registry's client upload what was packed.
pub(crate) struct PackedContent<'a>(pub(crate) &'a PackedBlob);

#[async_trait]
impl BlobContent for PackedContent<'_> {
    async fn open(&self, offset: u64) -> Result<BlobStream, RegistryError> {
        let blob = self.0.clone();
        let content = |source: io::Error| RegistryError::Content {
            source: source.into(),
        };
        let file = blocking(move || blob.open(offset)).await.map_err(content)?;
        Ok(Box::pin(disk_stream(file).map_err(content)))
    }
}
