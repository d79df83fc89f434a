//! A blob's transfer: resumes where it broke off, and is verified over the whole.
//!
//! A task reads from the network, collects the bytes in buffers of one size, hands each to the
//! hasher and passes it on, so reading, hashing and the consumer's work run at the same time. The
//! channel to the consumer is short: memory does not depend on the blob's size.

mod buffers;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::{StreamExt as _, stream};
use http::header;
use qmt_oci_ref::{BlobStream, Descriptor, Digester, RegistryError, Repository};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use self::buffers::Buffers;
use super::hosts::Inner;
use super::manifest::content_type;
use super::operation::{Request, once};
use super::retry::Attempts;
use crate::blob::Proof;
use crate::error::ClientError;
use crate::events::RegistryEvent;
use crate::http::transport::{Answer, Body, Endpoint, Failure, length};

/// Chunks that may wait for the consumer. They are the same memory that waits for the hasher.
const CHUNKS_WAITING: usize = 2;
/// How long collected bytes wait for more before they are sent on.
const GATHER_PAUSE: Duration = Duration::from_millis(20);
/// The media type of web pages.
const HTML: &str = "text/html";
/// An attempt that brought this much counts as progress: the next failure is the first again.
const PROGRESS: u64 = 1 << 20;

/// Opens `blob` after the bytes that `resume_from` has hashed.
pub(super) async fn open(
    inner: &Arc<Inner>,
    endpoint: &Arc<Endpoint>,
    from: &Repository,
    blob: &Descriptor,
    resume_from: Digester,
    deadline: Instant,
) -> Result<BlobStream, ClientError> {
    let proof = Proof::new(blob, resume_from)?;
    if proof.missing() == 0 {
        proof.finish().await?;
        return Ok(Box::pin(stream::empty()));
    }
    let permit = Arc::clone(&inner.streams).acquire_owned().await;
    let permit = permit.map_err(ClientError::setup)?;
    let mut transfer = Transfer {
        attempts: Attempts::new(&inner.context.limits, deadline),
        inner: Arc::clone(inner),
        endpoint: Arc::clone(endpoint),
        from: from.clone(),
        mark: proof.seen(),
        proof,
        buffers: Buffers::default(),
    };
    let opened = transfer.connect().await?;
    let (chunks, waiting) = mpsc::channel(CHUNKS_WAITING);
    // Dropping the stream drops the set, which ends the task.
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        transfer.run(opened, chunks, deadline).await;
        drop(permit);
    });
    let items = stream::unfold((waiting, tasks), |(mut waiting, mut tasks)| async move {
        if let Some(item) = waiting.recv().await {
            return Some((item, (waiting, tasks)));
        }
        // The channel is closed: the task is done. If it was aborted (at the end of a runtime), the
        // bytes so far are not verified, which must not look like the end of the blob.
        let cause = tasks.join_next().await?.err()?;
        Some((Err(ClientError::setup(cause).into()), (waiting, tasks)))
    });
    Ok(Box::pin(items.fuse()))
}

/// Where a transfer sends the chunks.
type Chunks = mpsc::Sender<Result<Bytes, RegistryError>>;

/// The transfer of one blob.
struct Transfer {
    inner: Arc<Inner>,
    endpoint: Arc<Endpoint>,
    from: Repository,
    proof: Proof,
    attempts: Attempts,
    /// Where the last counted progress ended, in bytes.
    mark: u64,
    buffers: Buffers,
}

/// A body, and how many of its first bytes are known already.
struct Opened {
    body: Body,
    skip: u64,
}

impl Transfer {
    /// Requests the rest of the blob, as often as the attempts allow.
    async fn connect(&mut self) -> Result<Opened, ClientError> {
        loop {
            match self.request().await {
                Ok(opened) => return Ok(opened),
                Err(failure) => self.pause(failure).await?,
            }
        }
    }

    /// Waits until it is time for another attempt; returns the failure's error if no attempt is left.
    async fn pause(&mut self, failure: Failure) -> Result<(), ClientError> {
        let url = self.whole().redacted();
        let events = &self.inner.context.events;
        self.attempts.pause(failure, &url, events).await
    }

    /// The request for the whole blob.
    fn whole(&self) -> Request<'_> {
        let digest = self.proof.blob().digest();
        let what = format!("{}@{digest}", self.from);
        let rest = format!("blobs/{digest}");
        Request::read(&self.endpoint, &self.from, &rest, what).part()
    }

    async fn request(&self) -> Result<Opened, Failure> {
        let (offset, blob) = (self.proof.seen(), self.proof.blob());
        let (context, auth) = (&self.inner.context, &self.inner.auth);
        let mut request = self.whole();
        if offset > 0 {
            // Some registries (go-containerregistry's) accept only ranges with an end.
            let last = blob.size().saturating_sub(1);
            request = request.header(header::RANGE, &format!("bytes={offset}-{last}"));
            context.events.send(RegistryEvent::Resumed {
                digest: blob.digest().clone(),
                offset,
                host: self.endpoint.host.clone(),
            });
        }
        let mut answer = once(context, auth, &request, &[200, 206, 416]).await?;
        if answer.status.as_u16() == 416 {
            // The registry does not support this range: the whole blob contains it, too.
            answer = once(context, auth, &self.whole(), &[200]).await?;
        }
        let skip = self.known_bytes(&answer, offset)?;
        let is_html = content_type(answer.headers()).is_some_and(|kind| kind.as_ref() == HTML);
        let body = answer.body(&context.limits);
        // A length that differs from the descriptor's needs no download to be wrong.
        if let Some(announced) = body.announced() {
            let whole = announced.saturating_add(offset.saturating_sub(skip));
            if whole != blob.size() && is_html {
                let (url, what) = (body.url, "the blob");
                return Err(ClientError::WebPage { url, what }.into());
            }
            if whole != blob.size() {
                return Err(self.proof.size_mismatch(whole, false).into());
            }
        }
        Ok(Opened { body, skip })
    }

    /// How many bytes of the answer are known already: all before `offset` where the server ignored
    /// the range, none where it sent the range.
    fn known_bytes(&self, answer: &Answer, offset: u64) -> Result<u64, ClientError> {
        if answer.status.as_u16() == 200 {
            return Ok(offset);
        }
        let range = answer.headers().get(header::CONTENT_RANGE);
        let range = range.and_then(|value| content_range(value.to_str().ok()?));
        let fits = range.is_some_and(|(first, total)| {
            first == offset && total.is_none_or(|total| total == self.proof.blob().size())
        });
        // Also without a range in the request: the bytes are verified by their digest.
        if fits {
            return Ok(0);
        }
        let rule = "the answer has the range of the request";
        Err(ClientError::protocol(&answer.url, rule))
    }

    /// Copies the blob to `chunks` and verifies it. The last item is the error, if there is one.
    async fn run(mut self, opened: Opened, chunks: Chunks, deadline: Instant) {
        let outcome = match timeout_at(deadline, self.copy(opened, &chunks)).await {
            Ok(Ok(true)) => self.proof.finish().await,
            Ok(Ok(false)) => Ok(()), // The consumer is gone.
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.inner.timed_out(&self.endpoint)),
        };
        if let Err(error) = outcome {
            // Without a consumer, the error is lost with the stream.
            let _ = chunks.send(Err(error.into())).await;
        }
    }

    /// Copies until all bytes are there; `false` where the consumer is gone.
    async fn copy(&mut self, mut opened: Opened, chunks: &Chunks) -> Result<bool, ClientError> {
        loop {
            match self.drain(&mut opened, chunks).await {
                Ok(copied) => return Ok(copied),
                Err(error) => {
                    let seen = self.proof.seen();
                    if seen.saturating_sub(self.mark) >= PROGRESS {
                        self.attempts.progress();
                        self.mark = seen;
                    }
                    self.pause(error.into()).await?;
                }
            }
            opened = self.connect().await?;
        }
    }

    /// Copies the body of one answer. `true`: the blob is complete; `false`: the consumer is gone.
    async fn drain(&mut self, opened: &mut Opened, chunks: &Chunks) -> Result<bool, ClientError> {
        let bounded = opened.body.announced().is_some();
        loop {
            let next = if self.buffers.filled() == 0 {
                opened.body.chunk().await
            } else {
                match timeout(GATHER_PAUSE, opened.body.chunk()).await {
                    Ok(next) => next,
                    Err(_) if self.send_on(chunks).await? => continue,
                    Err(_) => return Ok(false),
                }
            };
            let mut chunk = match next {
                Ok(Some(chunk)) => chunk,
                // Bytes before the end count, for every kind of end.
                ended => {
                    if !self.send_on(chunks).await? {
                        return Ok(false);
                    }
                    ended?;
                    break;
                }
            };
            let known = opened.skip.min(length(&chunk));
            chunk.advance(usize::try_from(known).unwrap_or(usize::MAX));
            opened.skip = opened.skip.saturating_sub(known);
            while !chunk.is_empty() {
                let missing = self.proof.missing();
                self.buffers.fill(&mut chunk, missing);
                // Bytes beyond the end are refused at once.
                let is_all = u64::try_from(self.buffers.filled()).unwrap_or(u64::MAX) >= missing;
                if (self.buffers.is_full() || is_all) && !self.send_on(chunks).await? {
                    return Ok(false);
                }
            }
            // An announced length was compared already, and nothing can follow.
            if bounded && self.proof.missing() == 0 {
                return Ok(true);
            }
        }
        if self.proof.missing() == 0 {
            return Ok(true);
        }
        // An end that was not announced can't be distinguished from a broken connection.
        Err(ClientError::Transport {
            url: opened.body.url.clone(),
            retryable: true,
            answered: true,
            source: "the transfer ended before the content did".into(),
        })
    }

    /// Sends the collected bytes to the hasher and the consumer; `false` where the latter is gone.
    async fn send_on(&mut self, chunks: &Chunks) -> Result<bool, ClientError> {
        if self.buffers.filled() == 0 {
            return Ok(true);
        }
        let chunk = self.buffers.take();
        self.proof.update(&chunk).await?;
        Ok(chunks.send(Ok(chunk)).await.is_ok())
    }
}

/// Reads `bytes first-last/total`: first and, if known, total.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}

#[cfg(test)]
mod tests;
