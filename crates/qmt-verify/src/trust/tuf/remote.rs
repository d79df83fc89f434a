//! The repository as the library reads it: through the transport of the caller, with the checks
//! that the library does not make.

use bytes::Bytes;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error as TufError, MetadataStore as _, Repository};
use tokio::sync::{mpsc, oneshot};

use super::state::{StateStore, distinct_keys, is_snapshot, no_rollback};
use crate::error::BoxError;

/// A file that the library requests.
pub(super) struct Request {
    pub(super) path: String,
    pub(super) limit: u64,
    pub(super) answer: oneshot::Sender<Result<Option<Bytes>, BoxError>>,
}

/// The library's end of the channel to the transport: the library requires an owned transport, and
/// the caller lends one.
pub(super) struct Remote {
    pub(super) send: mpsc::Sender<Request>,
    /// Snapshots that earlier refreshes verified.
    pub(super) snapshots: Vec<Vec<u8>>,
    pub(super) store: StateStore,
}

impl Remote {
    async fn get(&self, path: String, limit: u64) -> Result<Option<Vec<u8>>, TufError> {
        // Names come from metadata and must not lead out of the repository (CVE-2026-24137).
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\\') {
            return Err(TufError::Malformed(format!("`{path}` is not a file name")));
        }
        let (answer, answered) = oneshot::channel();
        let stopped = || TufError::transport("the transport stopped");
        let request = Request {
            path: path.clone(),
            limit,
            answer,
        };
        let sent = self.send.send(request).await;
        sent.map_err(|_| stopped())?;
        let fetched = answered.await.map_err(|_| stopped())?;
        let fetched = fetched.map_err(|source| {
            TufError::transport_with_source(format!("fetching {path}"), source)
        })?;
        let Some(bytes) = fetched else {
            return Ok(None);
        };
        if bytes.len() as u64 > limit {
            let problem = format!("`{path}` is over {limit} bytes");
            return Err(TufError::Malformed(problem));
        }
        distinct_keys(&path, &bytes)?;
        if is_snapshot(&path) {
            // The library refreshes the root first, so the store has the current one.
            let root = self.store.load("root.json")?.unwrap_or_default();
            no_rollback(&bytes, &self.snapshots, &root)?;
        }
        Ok(Some(bytes.to_vec()))
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
