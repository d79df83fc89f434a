//! Streams files, and runs what blocks on a thread for that.

use std::io::{self, Read};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use tokio::task::JoinError;

/// How much is read from disk at once, in bytes.
const DISK_CHUNK: usize = 256 * 1024;

/// Streams the rest of `file`; each chunk is read on a thread that may block.
pub(crate) fn disk_stream(
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

/// Runs blocking work on a thread that may block.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<JoinError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await?
}
