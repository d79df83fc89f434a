//! Reading the body of an answer: bounded in bytes, and never slower than the slowest line.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::error::{NO_TLS, Phase, RegistryError};
use crate::limits::{Limits, STALL_BYTES_PER_SECOND};
use crate::redact::RedactedUrl;

/// A body that is read chunk by chunk. Only waiting for the server counts against its rate: a
/// consumer that takes its time is not the server's fault.
pub(crate) struct Body {
    response: reqwest::Response,
    url: RedactedUrl,
    window: Duration,
    least_bytes: u64,
    waited: Duration,
    received: u64,
}

impl Body {
    pub(crate) fn new(response: reqwest::Response, url: &Url, limits: &Limits) -> Self {
        let window = limits.stall_window;
        // Judged over the window, in whole bytes and at least one.
        let least = STALL_BYTES_PER_SECOND.saturating_mul(millis(window)) / 1000;
        Self {
            response,
            url: RedactedUrl::from(url),
            window,
            least_bytes: least.max(1),
            waited: Duration::ZERO,
            received: 0,
        }
    }

    pub(crate) fn url(&self) -> &RedactedUrl {
        &self.url
    }

    /// The next chunk, `None` at the end.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Transport`] where the connection broke, [`RegistryError::Timeout`] where
    /// less than 1 KiB per second came in the window.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let started = Instant::now();
            let left = self.window.saturating_sub(self.waited);
            let outcome = timeout(left, self.response.chunk()).await;
            self.waited += started.elapsed();
            match outcome {
                Ok(Ok(Some(chunk))) => {
                    self.received = self.received.saturating_add(length(&chunk));
                    if self.waited >= self.window {
                        self.judge()?;
                    }
                    return Ok(Some(chunk));
                }
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(cause)) => return Err(transport(self.url.clone(), cause)),
                // Not one chunk in the rest of the window: what came before decides.
                Err(_) => self.judge()?,
            }
        }
    }

    fn judge(&mut self) -> Result<(), RegistryError> {
        if self.received < self.least_bytes {
            let (url, limit) = (self.url.clone(), self.window);
            return Err(RegistryError::Timeout {
                url,
                phase: Phase::Body,
                limit,
            });
        }
        (self.waited, self.received) = (Duration::ZERO, 0);
        Ok(())
    }

    /// The length that the server announces.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Reads the whole body of at most `limit` bytes; `what` names it in the error.
    ///
    /// # Errors
    ///
    /// [`RegistryError::TooLarge`], and those of [`Body::chunk`].
    pub(crate) async fn whole(
        mut self,
        limit: u64,
        what: &'static str,
    ) -> Result<Bytes, RegistryError> {
        let too_large = |url: &RedactedUrl| RegistryError::TooLarge {
            what,
            limit,
            url: url.clone(),
        };
        if self.announced().is_some_and(|announced| announced > limit) {
            return Err(too_large(&self.url));
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if length(&whole).saturating_add(length(&chunk)) > limit {
                return Err(too_large(&self.url));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Reads the beginning of a body that is only shown; never fails.
    pub(crate) async fn beginning(mut self, limit: u64) -> Bytes {
        let mut text = BytesMut::new();
        while length(&text) < limit {
            let Ok(Some(chunk)) = self.chunk().await else {
                break;
            };
            let room = usize::try_from(limit.saturating_sub(length(&text))).unwrap_or(usize::MAX);
            text.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        }
        text.freeze()
    }
}

/// The error for an exchange that broke.
pub(crate) fn transport(url: RedactedUrl, cause: reqwest::Error) -> RegistryError {
    use std::error::Error as _;
    // Certificates and forbidden addresses don't get better by asking again.
    let mut retryable = !cause.is_builder();
    let (is_connect, mut is_dns) = (cause.is_connect(), cause.is_dns());
    let mut unreachable = None;
    let mut source = cause.source();
    while let Some(inner) = source {
        // What we were to send can't be read: nothing that the other side could mend.
        if let Some(RegistryError::Content { source }) = inner.downcast_ref() {
            return RegistryError::Content {
                source: source.to_string().into(),
            };
        }
        // The other side sent frames without end or sense, and would do so again.
        if inner.downcast_ref().is_some_and(is_flood) {
            let source = cause.without_url().into();
            return RegistryError::Flooded { url, source };
        }
        let text = inner.to_string();
        retryable &= !text.contains("certificate") && !text.contains("tls handshake");
        // Who answers in a TLS of other times, or without one, does so the next time.
        retryable &= !text.contains("peer is incompatible");
        retryable &= !text.contains(NO_TLS);
        // A head that is too large for the parser is as large the next time.
        retryable &= !text.contains("too large");
        if is_dns && text.contains("not known") {
            // A name that does not exist is no outage; a name server that does not answer is one.
            unreachable = Some("there is no such name");
            retryable = false;
        }
        if inner.is::<super::resolver::ForbiddenAddress>() {
            (is_dns, retryable) = (false, false);
        } else if is_connect && let Some(error) = inner.downcast_ref::<io::Error>() {
            unreachable = unreachable.or(no_way(error.kind()));
        }
        source = inner.source();
    }
    let source = cause.without_url().into();
    let unreachable = unreachable.or(is_dns.then_some("its name can't be looked up"));
    if let Some(fault) = unreachable {
        return RegistryError::Unreachable {
            address: url.address(),
            retryable,
            fault,
            source,
        };
    }
    RegistryError::Transport {
        url,
        retryable,
        source,
    }
}

/// Whether our side ended the connection because of what the other side asked of it.
fn is_flood(error: &h2::Error) -> bool {
    error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
}

/// Why there is no connection, where that is known at once.
fn no_way(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => {
            Some("the connection is refused, nothing listens there")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some("there is no route to it")
        }
        _ => None,
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
