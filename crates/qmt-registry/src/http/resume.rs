//! A blob's transfer: goes on where it broke off, at the same source or the next one, and is
//! proven over the whole.
//!
//! A task of its own reads from the network, gathers what comes in buffers of one size, hands each to
//! the hasher and passes it on, so reading, hashing and whatever the consumer does run beside one another. The channel to the
//! consumer is short: memory does not depend on the blob's size.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, TryStreamExt as _};
use http::header;
use qmt_oci_ref::{Descriptor, Digester, Repository};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::Inner;
use super::body::Body;
use super::endpoint::Endpoint;
use super::pool::Pool;
use super::request::{Answer, Call, once};
use super::retry::{Attempts, Failure};
use crate::blob::Proof;
use crate::error::{Phase, RegistryError};
use crate::events::RegistryEvent;
use crate::mirror::Source as _;
use crate::redact::RedactedUrl;
use crate::registry::BlobStream;

/// Chunks that may wait for the consumer. They are the same memory that waits for the hasher.
const CHUNKS_WAITING: usize = 2;
/// How long what came so far waits for more before it is handed on.
const GATHER_PAUSE: Duration = Duration::from_millis(20);
/// A try that brought this much counts as progress: the next failure is the first again.
const PROGRESS: u64 = 1 << 20;

/// Up to this size, a blob that may come from a mirror is proven before its first byte is handed
/// out, so that a lie costs nothing: 1 MiB.
const HELD_BACK_MAX: u64 = 1 << 20;

/// Opens `blob` at the first of the sources that gives it; a small one from the first that gives
/// it right.
///
/// # Errors
///
/// As the trait's `blob`.
pub(crate) async fn open_at(
    inner: &Arc<Inner>,
    sources: impl Fn() -> Vec<Arc<Endpoint>>,
    from: &Repository,
    blob: &Descriptor,
    eaten: Digester,
    deadline: Instant,
) -> Result<BlobStream, RegistryError> {
    loop {
        let asked = sources();
        let held_back = asked.len() > 1 && blob.size() <= HELD_BACK_MAX;
        let opening = open(
            Arc::clone(inner),
            asked,
            from,
            blob,
            eaten.clone(),
            deadline,
        );
        if !held_back {
            return opening.await;
        }
        // A mirror that lied is not among the sources the next time, so this ends.
        match opening.await?.try_collect::<Vec<Bytes>>().await {
            Err(RegistryError::MirrorLied { .. }) => {}
            Err(error) => return Err(error),
            Ok(chunks) => {
                return Ok(Box::pin(futures_util::stream::iter(
                    chunks.into_iter().map(Ok),
                )));
            }
        }
    }
}

/// Opens `blob` after what `eaten` has consumed, at the first of `sources` that gives it.
///
/// # Errors
///
/// As the trait's `blob`.
async fn open(
    inner: Arc<Inner>,
    sources: Vec<Arc<Endpoint>>,
    from: &Repository,
    blob: &Descriptor,
    eaten: Digester,
    deadline: Instant,
) -> Result<BlobStream, RegistryError> {
    let proof = Proof::new(blob, eaten)?;
    if proof.missing() == 0 {
        // Nothing to fetch; the empty stream still has to be right.
        return Ok(match proof.finish().await {
            Ok(()) => Box::pin(futures_util::stream::empty()),
            Err(error) => Box::pin(futures_util::stream::iter([Err(error)])),
        });
    }
    let permit = Arc::clone(&inner.streams)
        .acquire_owned()
        .await
        .map_err(|cause| RegistryError::Client {
            source: cause.into(),
        })?;
    let attempts = Attempts::new(&inner.context.limits, deadline);
    let url = RedactedUrl::from_text("about:blank");
    let mut transfer = Transfer {
        inner,
        sources,
        at: 0,
        from: from.clone(),
        mark: proof.seen(),
        proof,
        attempts,
        contributors: Vec::new(),
        pool: Pool::default(),
        url,
    };
    let body = transfer.connect().await?;
    let (chunks, waiting) = mpsc::channel(CHUNKS_WAITING);
    let task = tokio::spawn(transfer.run(body, chunks, deadline, permit));
    Ok(Box::pin(Receiver {
        waiting,
        task: Some(task),
    }))
}

struct Transfer {
    inner: Arc<Inner>,
    sources: Vec<Arc<Endpoint>>,
    /// Which source is asked.
    at: usize,
    from: Repository,
    proof: Proof,
    attempts: Attempts,
    /// Where the last counted progress ended.
    mark: u64,
    /// Mirrors whose bytes are part of what was handed out.
    contributors: Vec<Arc<Endpoint>>,
    pool: Pool,
    url: RedactedUrl,
}

/// A body, and how many of its first bytes we have already.
struct Opened {
    body: Body,
    skip: u64,
}

impl Transfer {
    /// Asks the sources from the present one on, each as often as attempts allow.
    async fn connect(&mut self) -> Result<Opened, RegistryError> {
        loop {
            let Some(source) = self.sources.get(self.at).cloned() else {
                return Err(RegistryError::NotFound { what: self.what() });
            };
            match self.ask(&source).await {
                Ok(opened) => return Ok(opened),
                Err(failure) => self.failed(&source, failure).await?,
            }
        }
    }

    /// After a failure: a pause and another try, or the next source, or the error.
    async fn failed(
        &mut self,
        source: &Arc<Endpoint>,
        failure: Failure,
    ) -> Result<(), RegistryError> {
        let url = self.url.clone();
        let Err(error) = self
            .attempts
            .pause(failure, &url, &self.inner.context.events)
            .await
        else {
            return Ok(());
        };
        if self.at + 1 >= self.sources.len() {
            return Err(error);
        }
        skip_mirror(&self.inner, source, &error);
        self.at += 1;
        self.attempts.next_source();
        Ok(())
    }

    async fn ask(&mut self, source: &Endpoint) -> Result<Opened, Failure> {
        let offset = self.proof.seen();
        let digest = self.proof.blob().digest();
        let (from, path, what) = (&self.from, format!("blobs/{digest}"), self.what());
        let whole = || Call::read(source, from, &path, what.clone());
        let mut call = whole();
        if offset > 0 {
            // Some registries (go-containerregistry's) understand ranges with an end only.
            let last = self.proof.blob().size().saturating_sub(1);
            call = call.header(header::RANGE, &format!("bytes={offset}-{last}"));
            self.inner.context.events.send(RegistryEvent::Resumed {
                digest: digest.clone(),
                offset,
                host: source.host.clone(),
            });
        }
        self.url = RedactedUrl::from(&call.url);
        let (context, auth) = (&self.inner.context, &self.inner.auth);
        let mut answer = once(context, auth, &call, &[200, 206, 416]).await?;
        if answer.status.as_u16() == 416 {
            // It does not give parts, or not this one: the whole has it, too.
            answer = once(context, auth, &whole(), &[200]).await?;
        }
        let skip = self.first_byte(&answer, offset)?;
        let body = answer.body(&self.inner.context.limits);
        // A length that differs from the descriptor's needs no download to be wrong.
        if let Some(announced) = body.announced() {
            let whole = announced.saturating_add(offset.saturating_sub(skip));
            if whole != self.proof.blob().size() {
                return Err(self.proof.size_mismatch(whole, false).into());
            }
        }
        Ok(Opened { body, skip })
    }

    /// How many bytes of the answer we have already: all before `offset` where the server ignored
    /// the range, none where it honoured it.
    fn first_byte(&self, answer: &Answer, offset: u64) -> Result<u64, RegistryError> {
        if answer.status.as_u16() == 200 {
            return Ok(offset);
        }
        let range = answer.headers().get(header::CONTENT_RANGE);
        let range = range.and_then(|value| content_range(value.to_str().ok()?));
        let fits = range.is_some_and(|(first, total)| {
            first == offset && total.is_none_or(|total| total == self.proof.blob().size())
        });
        if fits && offset > 0 {
            return Ok(0);
        }
        let url = RedactedUrl::from(&answer.url);
        Err(RegistryError::Protocol {
            url,
            fault: "it sends another range than was asked for",
        })
    }

    async fn run(
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

    fn what(&self) -> String {
        format!("{}@{}", self.from, self.proof.blob().digest())
    }
}

/// Blames the mirrors that took part; without any, the error stays what it is.
fn blame(inner: &Inner, contributors: &[Arc<Endpoint>], error: RegistryError) -> RegistryError {
    for mirror in contributors {
        skip_mirror(inner, mirror, &error);
    }
    match contributors.first() {
        Some(mirror) => RegistryError::MirrorLied {
            mirror: mirror.host.clone(),
            source: Box::new(error),
        },
        None => error,
    }
}

/// Tells that a mirror is left for the next source, and remembers if its content was wrong.
pub(crate) fn skip_mirror(inner: &Inner, source: &Arc<Endpoint>, error: &RegistryError) {
    if !source.is_mirror() {
        return;
    }
    let lied = error.is_content();
    if lied && !source.has_lied() {
        source.set_lied();
    }
    inner.context.events.send(RegistryEvent::MirrorSkipped {
        mirror: source.host.clone(),
        reason: error.to_string(),
        lied,
    });
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

/// The consumer's end. Dropping it ends the task.
struct Receiver {
    waiting: mpsc::Receiver<Result<Bytes, RegistryError>>,
    task: Option<JoinHandle<()>>,
}

impl Stream for Receiver {
    type Item = Result<Bytes, RegistryError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(self.waiting.poll_recv(cx));
        if next.is_some() {
            return Poll::Ready(next);
        }
        // The channel is closed: the task is done. If it was torn down (a runtime's end), what
        // came so far is not proven, and must not look like the end.
        let Some(task) = &mut self.task else {
            return Poll::Ready(None);
        };
        let outcome = std::task::ready!(Pin::new(task).poll(cx));
        self.task = None;
        match outcome {
            Ok(()) => Poll::Ready(None),
            Err(cause) => Poll::Ready(Some(Err(RegistryError::Client {
                source: cause.into(),
            }))),
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for wrong in [
            "",
            "bytes 5-9",
            "bytes 9-5/10",
            "bytes 5-10/10",
            "items 5-9/10",
            "bytes -9/10",
        ] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
