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
use http::{Method, header};
use qmt_oci_ref::{
    BlobStream, Descriptor, Digest, Digester, RegistryError, RegistryErrorKind, RegistryHost,
    Repository,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};

use self::buffers::Buffers;
use super::manifest::is_html;
use super::operation::{Operation, Request};
use crate::blob::Proof;
use crate::error::{ClientError, Phase, ProxyError};
use crate::events::RegistryEvent;
use crate::http::transport::{Answer, Body, Failure, is_web_page, length};

/// Chunks that may wait for the consumer. They are the same memory that waits for the hasher.
const CHUNKS_WAITING: usize = 2;
/// How long collected bytes wait for more before they are sent on.
const GATHER_PAUSE: Duration = Duration::from_millis(20);
/// Up to this size, an answer of another size than the blob's is read, to know whether it is the
/// blob at all. Pages of logins and of proxies are small.
const OTHER_CONTENT_MAX: u64 = 256 << 10;
/// An attempt that brought this much counts as progress: the next failure is the first again.
const PROGRESS: u64 = 1 << 20;

/// Opens `blob` after the bytes that `resume_from` has hashed. `streams` bounds the concurrent
/// downloads.
pub(super) async fn open(
    operation: Operation,
    streams: Arc<Semaphore>,
    from: &Repository,
    blob: &Descriptor,
    resume_from: Digester,
) -> Result<BlobStream, ClientError> {
    let proof = Proof::new(blob, resume_from)?;
    if proof.missing() == 0 {
        // Nothing was sent, so the descriptor is wrong, or the bytes so far.
        let wrong = |error: ClientError| RegistryError::new(error.kind(), error);
        proof.finish().await.map_err(wrong)?;
        return Ok(Box::pin(stream::empty()));
    }
    let permit = streams.acquire_owned().await;
    let permit = permit.map_err(|cause| ClientError::Interrupted(cause.into()))?;
    let mut transfer = Transfer {
        operation,
        from: from.clone(),
        mark: proof.seen(),
        proof,
        is_resumed: false,
        buffers: Buffers::default(),
    };
    let opened = transfer.connect().await?;
    let (chunks, waiting) = mpsc::channel(CHUNKS_WAITING);
    // Dropping the stream drops the set, which ends the task.
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        transfer.run(opened, chunks).await;
        drop(permit);
    });
    let items = stream::unfold((waiting, tasks), |(mut waiting, mut tasks)| async move {
        if let Some(item) = waiting.recv().await {
            return Some((item, (waiting, tasks)));
        }
        // The channel is closed: the task is done. If it was aborted (at the end of a runtime), the
        // bytes so far are not verified, which must not look like the end of the blob.
        let cause = tasks.join_next().await?.err()?;
        let interrupted = ClientError::Interrupted(cause.into());
        Some((Err(interrupted.into()), (waiting, tasks)))
    });
    Ok(Box::pin(items.fuse()))
}

/// Where a transfer sends the chunks.
type Chunks = mpsc::Sender<Result<Bytes, RegistryError>>;

/// The transfer of one blob.
struct Transfer {
    operation: Operation,
    from: Repository,
    proof: Proof,
    /// Whether several answers sent parts of the blob.
    is_resumed: bool,
    /// Where the last counted progress ended, in bytes.
    mark: u64,
    buffers: Buffers,
}

/// A body, and how many of its first bytes are known already.
struct Opened {
    body: Body,
    skip: u64,
    is_html: bool,
    /// The registry, if it redirected the request.
    from: Option<RegistryHost>,
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
        let Operation {
            endpoint, attempts, ..
        } = &mut self.operation;
        attempts
            .pause(failure, (&Method::GET, &url), &endpoint.context.events)
            .await
    }

    /// The request for the whole blob.
    fn whole(&self) -> Request<'_> {
        let digest = self.proof.blob().digest();
        let what = format!("`{}@{digest}`", self.from);
        let rest = format!("blobs/{digest}");
        self.operation.read_request(&self.from, &rest, what).part()
    }

    async fn request(&self) -> Result<Opened, Failure> {
        let offset = self.proof.seen();
        if offset > 0
            && let Some(opened) = self.request_rest(offset).await?
        {
            return Ok(opened);
        }
        // Some servers answer with the range of the whole, or say nothing about it. The bytes are
        // verified by their digest.
        let answer = self.operation.once(&self.whole(), &[200, 206]).await?;
        if answer.status.as_u16() == 206 && range_of(&answer).is_some() && !self.is_rest(&answer, 0)
        {
            let rule = "the answer has the range of the request";
            return Err(ClientError::protocol(&answer.url, rule).into());
        }
        Ok(self.opened(answer, 0, offset).await?)
    }

    /// Requests the bytes from `offset` on. `None` where the answer does not fit: registries,
    /// proxies and stores refuse ranges in many ways, and the whole blob contains this one, too.
    async fn request_rest(&self, offset: u64) -> Result<Option<Opened>, Failure> {
        let (blob, endpoint) = (self.proof.blob(), &self.operation.endpoint);
        // Some registries (go-containerregistry's) accept only ranges with an end.
        let last = blob.size().saturating_sub(1);
        let request = self
            .whole()
            .header(header::RANGE, &format!("bytes={offset}-{last}"));
        endpoint.context.events.send(RegistryEvent::Resumed {
            digest: blob.digest().clone(),
            offset,
            host: endpoint.host.clone(),
        });
        let answer = match self.operation.once(&request, &[200, 206]).await {
            Ok(answer) => answer,
            Err(failure) if is_answer(&failure.error) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let opened = match answer.status.as_u16() {
            200 => self.opened(answer, 0, offset).await,
            _ if self.is_rest(&answer, offset) => self.opened(answer, offset, 0).await,
            _ => return Ok(None),
        };
        Ok(opened.ok())
    }

    /// Whether the answer is the range of the blob that begins at `offset`.
    fn is_rest(&self, answer: &Answer, offset: u64) -> bool {
        range_of(answer).is_some_and(|(first, total)| {
            first == offset && total.is_none_or(|total| total == self.proof.blob().size())
        })
    }

    /// Opens the body of an answer that begins at byte `first` of the blob, and whose first `skip`
    /// bytes are known already.
    async fn opened(&self, answer: Answer, first: u64, skip: u64) -> Result<Opened, ClientError> {
        let opened = Opened {
            is_html: is_html(answer.headers()),
            from: self.operation.redirected_by(&answer),
            body: answer.body,
            skip,
        };
        // A length that differs from the descriptor's needs no download to be wrong.
        let whole = opened.body.announced();
        let whole = whole.map(|announced| announced.saturating_add(first));
        match whole.filter(|whole| *whole != self.proof.blob().size()) {
            None => Ok(opened),
            Some(whole) => {
                let error = opened.explained(self.proof.size_mismatch(whole, false));
                Err(opened.of_other_size(error).await)
            }
        }
    }

    /// Copies the blob to `chunks` and verifies it. The last item is the error, if there is one.
    async fn run(mut self, opened: Opened, chunks: Chunks) {
        let deadline = self.operation.attempts.deadline;
        let copied = timeout_at(deadline, self.copy(opened, &chunks)).await;
        let is_resumed = self.is_resumed;
        let outcome = match copied {
            Ok(Ok(true)) => self.proof.finish().await,
            Ok(Ok(false)) => Ok(()), // The consumer is gone.
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let limit = self.operation.endpoint.context.limits.total_timeout;
                let url = self.whole().redacted();
                Err(ClientError::timed_out(url, Phase::Finish, limit))
            }
        };
        if let Err(error) = outcome {
            let error = match error {
                // What arrived before the transfer broke off may be wrong, and the rest right.
                ClientError::DigestMismatch { .. } if is_resumed => {
                    RegistryError::new(RegistryErrorKind::Network { retryable: true }, error)
                }
                error => error.into(),
            };
            // Without a consumer, the error is lost with the stream.
            let _ = chunks.send(Err(error)).await;
        }
    }

    /// Copies until all bytes are there; `false` where the consumer is gone.
    async fn copy(&mut self, mut opened: Opened, chunks: &Chunks) -> Result<bool, ClientError> {
        loop {
            match self.drain(&mut opened, chunks).await {
                Ok(copied) => return Ok(copied),
                Err(error) => {
                    let error = opened.explained(error);
                    let seen = self.proof.seen();
                    self.is_resumed |= seen > 0;
                    if seen.saturating_sub(self.mark) >= PROGRESS {
                        self.operation.attempts.progress();
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
        if opened.body.is_compressed() {
            return Err(self.proof.size_mismatch(self.proof.seen(), false));
        }
        // An end that was not announced can't be distinguished from a broken connection.
        Err(ClientError::Transport {
            url: opened.body.url.clone(),
            proxy: None,
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

impl Opened {
    /// The error for content that does not fit its descriptor, where the head of the answer says why.
    fn explained(&self, error: ClientError) -> ClientError {
        match self.body.explained(error) {
            ClientError::SizeMismatch { .. } if self.is_html => self.web_page(),
            error => error,
        }
    }

    fn web_page(&self) -> ClientError {
        ClientError::WebPage {
            url: self.body.url.clone(),
            what: "the blob",
            from: self.from.clone(),
        }
    }

    /// Adds to the error for a body of another size whether it is the blob: else the descriptor has
    /// the wrong size.
    async fn of_other_size(self, mut error: ClientError) -> ClientError {
        let page = self.web_page();
        let is_small = self.body.announced() <= Some(OTHER_CONTENT_MAX);
        if let ClientError::SizeMismatch {
            digest,
            is_other_content,
            ..
        } = &mut error
            && is_small
            && let Ok(content) = self.body.whole(OTHER_CONTENT_MAX, "the blob").await
        {
            if is_web_page(&content) {
                return page;
            }
            *is_other_content = Digest::of(digest.algorithm(), &content) != *digest;
        }
        error
    }
}

/// Whether a server answered to a request, and did not merely ask for a pause.
fn is_answer(error: &ClientError) -> bool {
    match error {
        ClientError::Status { .. } | ClientError::Proxy(ProxyError::Answer { .. }) => true,
        error => !matches!(error.kind(), RegistryErrorKind::Network { .. }),
    }
}

/// The range that an answer declares; `None` where that cannot be read.
fn range_of(answer: &Answer) -> Option<(u64, Option<u64>)> {
    content_range(answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?)
}

/// Reads `bytes first-last/total`: first and, if known, total.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (unit, range) = text.trim().split_once(' ')?;
    let (range, total) = range.split_once('/')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
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
