//! One blob from several sources: where a transfer breaks off, the next source resumes it.

use std::sync::Arc;

use futures_util::StreamExt as _;
use qmt_oci_ref::{BlobStream, Descriptor, Digester, RegistryError, RegistryErrorKind, Repository};
use tokio::time::{Instant, timeout_at};

use super::{Source, Subject};
use crate::error::ClientError;
use crate::events::Events;

/// The transfer of one blob.
pub(super) struct Failover {
    pub(super) events: Events,
    pub(super) from: Repository,
    pub(super) blob: Descriptor,
    /// The bytes that were handed out.
    pub(super) hashed: Digester,
    /// The sources that were not given up, in order.
    pub(super) sources: Vec<Arc<Source>>,
    /// Mirrors whose bytes were handed out.
    pub(super) contributors: Vec<Arc<Source>>,
}

impl Failover {
    /// Opens the rest of the blob at the first source that has it.
    pub(super) async fn open(&mut self) -> Result<(Arc<Source>, BlobStream), RegistryError> {
        loop {
            let Some(source) = self.sources.first().cloned() else {
                let what = format!("{}@{}", self.from, self.blob.digest());
                return Err(ClientError::NotFound { what, host: None }.into());
            };
            let opened = match source.locate(&self.from) {
                Ok(from) => {
                    let hashed = self.hashed.clone();
                    source.registry.blob(&from, &self.blob, hashed).await
                }
                Err(error) => Err(error),
            };
            match opened {
                Ok(stream) => return Ok((source, stream)),
                Err(error) => self.next_source(&source, error)?,
            }
        }
    }

    /// Gives `source` up after `error`, which is returned if no other source is left.
    pub(super) fn next_source(
        &mut self,
        source: &Arc<Source>,
        error: RegistryError,
    ) -> Result<(), RegistryError> {
        if self.sources.len() <= 1 {
            return Err(error);
        }
        source.skip(&error, Subject::Content, &self.events);
        self.sources.remove(0);
        Ok(())
    }

    /// Streams the blob. Bytes that were handed out can't be taken back: where they turn out to be
    /// wrong, the mirrors that sent them are given up, and the error is one to retry.
    pub(super) async fn into_stream(
        mut self,
        deadline: Instant,
        timed_out: RegistryError,
    ) -> Result<BlobStream, RegistryError> {
        let opened = self.open().await?;
        let state = Some((self, opened, timed_out));
        Ok(Box::pin(futures_util::stream::unfold(
            state,
            move |state| async move {
                let (mut transfer, mut opened, timed_out) = state?;
                match timeout_at(deadline, transfer.next(&mut opened)).await {
                    Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some((transfer, opened, timed_out)))),
                    Ok(Some(Err(error))) => Some((Err(error), None)),
                    Ok(None) => None,
                    Err(_) => Some((Err(timed_out), None)),
                }
            },
        )))
    }

    async fn next(
        &mut self,
        opened: &mut (Arc<Source>, BlobStream),
    ) -> Option<Result<bytes::Bytes, RegistryError>> {
        loop {
            let (source, stream) = opened;
            let error = match stream.next().await? {
                Ok(chunk) => {
                    self.hashed.update(&chunk);
                    self.contributed(source);
                    return Some(Ok(chunk));
                }
                Err(error) => error,
            };
            if error.kind() == RegistryErrorKind::Content {
                self.contributed(source);
                return Some(Err(self.wrong_content(error)));
            }
            let source = Arc::clone(source);
            if let Err(error) = self.next_source(&source, error) {
                return Some(Err(error));
            }
            match self.open().await {
                Ok(next) => *opened = next,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn contributed(&mut self, source: &Arc<Source>) {
        let is_known = |known: &Arc<Source>| Arc::ptr_eq(known, source);
        if source.mirror.is_some() && !self.contributors.iter().any(is_known) {
            self.contributors.push(Arc::clone(source));
        }
    }

    /// Gives up the mirrors that contributed; without any, the error is the registry's own.
    fn wrong_content(&self, source: RegistryError) -> RegistryError {
        for mirror in &self.contributors {
            mirror.skip(&source, Subject::Content, &self.events);
        }
        let mirror = self.contributors.first();
        match mirror.and_then(|mirror| mirror.mirror.as_ref()) {
            Some(location) => {
                let mirror = location.host.clone();
                ClientError::MirrorContent { mirror, source }.into()
            }
            None => source,
        }
    }
}
