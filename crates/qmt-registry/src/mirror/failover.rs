//! One blob from several sources: where a transfer breaks off, the next source resumes it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use qmt_oci_ref::{BlobStream, Descriptor, Digester, RegistryError, Repository};

use super::deadline::{Deadline, Turn};
use super::{Source, Subject, is_wrong_content};
use crate::error::ClientError;
use crate::events::Events;

/// The transfer of one blob.
pub(super) struct Failover {
    pub(super) deadline: Deadline,
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

/// The rest of a blob, as one source sends it.
pub(super) struct Opened {
    pub(super) turn: Turn,
    pub(super) stream: BlobStream,
}

impl Failover {
    /// Opens the rest of the blob at the first source that has it.
    pub(super) async fn open(&mut self) -> Result<Opened, RegistryError> {
        loop {
            let Some(source) = self.sources.first().cloned() else {
                let what = format!("{}@{}", self.from, self.blob.digest());
                return Err(ClientError::absent(what).into());
            };
            let others = self.sources.len().saturating_sub(1);
            let turn = self.deadline.turn(source, others);
            let (registry, hashed) = (&turn.source.registry, self.hashed.clone());
            let read = async |from| registry.blob(&from, &self.blob, hashed).await;
            match turn.read(&self.from, read).await {
                Ok(stream) => return Ok(Opened { turn, stream }),
                Err(error) => self.next_source(&turn.source, error)?,
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
    pub(super) async fn into_stream(mut self) -> Result<BlobStream, RegistryError> {
        let opened = self.open().await?;
        let next = async |(mut transfer, mut opened): (Self, Opened)| {
            let chunk = transfer.next(&mut opened).await?;
            Ok(chunk.map(|chunk| (chunk, (transfer, opened))))
        };
        Ok(Box::pin(futures_util::stream::try_unfold(
            (self, opened),
            next,
        )))
    }

    async fn next(&mut self, opened: &mut Opened) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let stream = &mut opened.stream;
            let next = async { stream.next().await.transpose() };
            let error = match opened.turn.wait(next).await {
                Ok(None) => return Ok(None),
                Ok(Some(chunk)) => {
                    self.hashed.update(&chunk);
                    self.contributed(&opened.turn.source);
                    return Ok(Some(chunk));
                }
                Err(error) => error,
            };
            if is_wrong_content(&error) {
                self.contributed(&opened.turn.source);
                return Err(self.wrong_content(error));
            }
            self.next_source(&opened.turn.source, error)?;
            *opened = self.open().await?;
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
            Some(mirror) => {
                let mirror = mirror.host.clone();
                ClientError::MirrorContent { mirror, source }.into()
            }
            None => source,
        }
    }
}
