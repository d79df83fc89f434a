//! The library's end of the channel to our transport, which it wants to own and we only borrow.

use bytes::Bytes;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error as TufError, Repository};
use tokio::sync::{mpsc, oneshot};

use super::state::distinct_keys;
use crate::error::BoxError;

/// One file that the library wants.
pub(super) struct Request {
    pub(super) path: String,
    pub(super) limit: u64,
    pub(super) answer: oneshot::Sender<Result<Option<Bytes>, BoxError>>,
}

/// The library's end of the channel to our transport.
pub(super) struct Remote {
    pub(super) send: mpsc::Sender<Request>,
}

impl Remote {
    async fn get(&self, path: String, limit: u64) -> Result<Option<Vec<u8>>, TufError> {
        // Names come from metadata: none may leave the repository (CVE-2026-24137).
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\\') {
            return Err(TufError::Malformed(format!(
                "`{path}` is no name of a file"
            )));
        }
        let (answer, answered) = oneshot::channel();
        let stopped = |_| TufError::transport("the transport stopped");
        self.send
            .send(Request {
                path: path.clone(),
                limit,
                answer,
            })
            .await
            .map_err(|_| TufError::transport("the transport stopped"))?;
        let bytes = answered.await.map_err(stopped)?.map_err(|source| {
            TufError::transport_with_source(format!("fetching {path}"), source)
        })?;
        match bytes {
            Some(bytes) if bytes.len() as u64 > limit => Err(TufError::Malformed(format!(
                "`{path}` is over {limit} bytes"
            ))),
            Some(bytes) => {
                distinct_keys(&path, &bytes)?;
                Ok(Some(bytes.to_vec()))
            }
            None => Ok(None),
        }
    }
}

impl Repository for Remote {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.get(name.to_owned(), max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.get(format!("targets/{path}"), max_length))
    }
}
