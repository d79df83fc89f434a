//! The task that copies: what comes in is gathered, hashed and handed to the consumer.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::blame::blame;
use super::{Opened, Transfer};
use crate::error::{Phase, RegistryError};

/// How long what came so far waits for more before it is handed on.
const GATHER_PAUSE: Duration = Duration::from_millis(20);
/// A try that brought this much counts as progress: the next failure is the first again.
const PROGRESS: u64 = 1 << 20;

impl Transfer {
    pub(super) async fn run(
        mut self,
        opened: Opened,
        chunks: mpsc::Sender<Result<Bytes, RegistryError>>,
        deadline: Instant,
        permit: OwnedSemaphorePermit,
    ) {
        let limit = self.inner.context.limits.total_timeout;
        let url = self.url.clone();
        let copied = timeout_at(deadline, self.copy(opened, &chunks)).await;
        let Self {
            inner,
            proof,
            contributors,
            ..
        } = self;
        let outcome = match copied {
            Ok(Ok(true)) => proof
                .finish()
                .await
                .map_err(|error| blame(&inner, &contributors, error)),
            Ok(Ok(false)) => Ok(()), // Nobody listens any more.
            Ok(Err(error)) if error.is_content() => Err(blame(&inner, &contributors, error)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(RegistryError::Timeout {
                url,
                phase: Phase::Finish,
                limit,
            }),
        };
        if let Err(error) = outcome {
            // Where nobody listens, nobody wants the error either.
            let _ = chunks.send(Err(error)).await;
        }
        drop(permit);
    }

    /// Copies until all bytes are there; `false` where the consumer is gone.
    async fn copy(
        &mut self,
        mut opened: Opened,
        chunks: &mpsc::Sender<Result<Bytes, RegistryError>>,
    ) -> Result<bool, RegistryError> {
        loop {
            let Some(source) = self.sources.get(self.at).cloned() else {
                return Err(RegistryError::NotFound { what: self.what() });
            };
            if source.is_mirror() && !self.contributors.iter().any(|m| Arc::ptr_eq(m, &source)) {
                self.contributors.push(Arc::clone(&source));
            }
            match self.drain(&mut opened, chunks).await {
                Ok(copied) => return Ok(copied),
                Err(error) if error.is_content() => return Err(error),
                Err(error) => {
                    let seen = self.proof.seen();
                    if seen.saturating_sub(self.mark) >= PROGRESS {
                        self.attempts.progress();
                        self.mark = seen;
                    }
                    self.failed(&source, error.into()).await?;
                }
            }
            opened = self.connect().await?;
        }
    }

    /// Passes one answer's body on. `true`: the blob is complete; `false`: the consumer is gone.
    async fn drain(
        &mut self,
        opened: &mut Opened,
        chunks: &mpsc::Sender<Result<Bytes, RegistryError>>,
    ) -> Result<bool, RegistryError> {
        let bounded = opened.body.announced().is_some();
        loop {
            let next = if self.pool.gathered() == 0 {
                opened.body.chunk().await
            } else {
                match timeout(GATHER_PAUSE, opened.body.chunk()).await {
                    Ok(next) => next,
                    Err(_) if self.hand_on(chunks).await? => continue,
                    Err(_) => return Ok(false),
                }
            };
            let mut chunk = match next {
                Ok(Some(chunk)) => chunk,
                // What came before the end counts, whatever kind of end it is.
                ended => {
                    if !self.hand_on(chunks).await? {
                        return Ok(false);
                    }
                    ended?;
                    break;
                }
            };
            let known = usize::try_from(opened.skip)
                .unwrap_or(usize::MAX)
                .min(chunk.len());
            chunk.advance(known);
            opened.skip = opened
                .skip
                .saturating_sub(u64::try_from(known).unwrap_or(u64::MAX));
            while !chunk.is_empty() {
                let missing = self.proof.missing();
                self.pool.fill(&mut chunk, missing);
                // What is beyond the end is refused at once.
                let is_all = u64::try_from(self.pool.gathered()).unwrap_or(u64::MAX) >= missing;
                if (self.pool.is_full() || is_all) && !self.hand_on(chunks).await? {
                    return Ok(false);
                }
            }
            // Where the length was announced it was checked, and nothing can follow.
            if bounded && self.proof.missing() == 0 {
                return Ok(true);
            }
        }
        if self.proof.missing() == 0 {
            return Ok(true);
        }
        // An end that was not announced can't be told from a connection that was cut.
        let url = opened.body.url().clone();
        let source = "the transfer ended before the content did".into();
        Err(RegistryError::Transport {
            url,
            retryable: true,
            source,
        })
    }

    /// Hands what was gathered to the hasher and the consumer; `false` where the latter is gone.
    async fn hand_on(
        &mut self,
        chunks: &mpsc::Sender<Result<Bytes, RegistryError>>,
    ) -> Result<bool, RegistryError> {
        if self.pool.gathered() == 0 {
            return Ok(true);
        }
        let chunk = self.pool.take();
        self.proof.update(&chunk).await?;
        Ok(chunks.send(Ok(chunk)).await.is_ok())
    }
}
