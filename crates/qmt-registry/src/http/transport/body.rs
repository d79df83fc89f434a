//! Reads the body of an answer: bounded in bytes, and in the time that the server takes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use qmt_oci_ref::text;
use tokio::time::{Instant, timeout};
use url::Url;

use super::encoding::{Compression, is_text};
use super::failure::broken;
use super::message::ErrorBody;
use crate::error::{ClientError, Phase};
use crate::limits::{Limits, STALL_BYTES_PER_SECOND};
use crate::redact::RedactedUrl;

/// A body that is read chunk by chunk. Only the time spent waiting for the server counts against
/// its rate: a slow consumer does not make the server slow.
pub(crate) struct Body {
    pub(super) response: reqwest::Response,
    pub(crate) url: RedactedUrl,
    compression: Option<Compression>,
    limits: Limits,
    waited: Duration,
    received: u64,
}

impl Body {
    pub(crate) fn new(response: reqwest::Response, url: &Url, limits: &Limits) -> Self {
        Self {
            compression: Compression::of(response.headers()),
            response,
            url: RedactedUrl::from(url),
            limits: limits.clone(),
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// The next chunk, `None` at the end; an error where less than 1 KiB per second arrived in the
    /// window.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let started = Instant::now();
            let left = self.limits.stall_window.saturating_sub(self.waited);
            let outcome = timeout(left, self.response.chunk()).await;
            self.waited += started.elapsed();
            match outcome {
                Ok(Ok(Some(chunk))) => {
                    self.received = self.received.saturating_add(length(&chunk));
                    if self.waited >= self.limits.stall_window {
                        self.check_rate()?;
                    }
                    return Ok(Some(chunk));
                }
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(cause)) => return Err(broken(self.url.clone(), None, cause)),
                // No chunk in the rest of the window: what came before decides.
                Err(_) => self.check_rate()?,
            }
        }
    }

    fn check_rate(&mut self) -> Result<(), ClientError> {
        let window = self.limits.stall_window;
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let least = STALL_BYTES_PER_SECOND.saturating_mul(millis) / 1000;
        if self.received < least.max(1) {
            let url = self.url.clone();
            return Err(ClientError::timed_out(url, Phase::Body, window));
        }
        (self.waited, self.received) = (Duration::ZERO, 0);
        Ok(())
    }

    /// The length that the server announces, in bytes.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Whether the server says that it compressed the content.
    pub(crate) fn is_compressed(&self) -> bool {
        self.compression.is_some()
    }

    /// The error for content that does not fit its descriptor: where the server says that it
    /// compressed the content, that is the reason.
    pub(crate) fn explained(&self, error: ClientError) -> ClientError {
        match (self.compression, error) {
            (Some(compression), ClientError::SizeMismatch { .. }) => {
                compression.refused(self.url.clone())
            }
            (_, error) => error,
        }
    }

    /// Reads the whole body, which must be text, as [`whole`](Self::whole) does, and decompresses it
    /// if it is compressed with gzip. `limit` holds for both forms. If only the form that was sent
    /// `is_named` by the digests of the document, that one is returned.
    pub(crate) async fn document(
        self,
        limit: u64,
        what: &'static str,
        is_named: impl Fn(&[u8]) -> bool,
    ) -> Result<Bytes, ClientError> {
        let (compression, url) = (self.compression, self.url.clone());
        let sent = self.whole(limit, what).await?;
        let Some(compression) = compression.filter(|_| !is_text(&sent)) else {
            return Ok(sent);
        };
        match compression.decompressed(&sent, limit, what, &url)? {
            Some(content) if !is_named(&content) && is_named(&sent) => Ok(sent),
            Some(content) if is_text(&content) && !content.is_empty() => Ok(content),
            // Compressed in another way, more than once, or nothing that was compressed.
            Some(_) | None => Err(compression.refused(url)),
        }
    }

    /// Reads the whole body of at most `limit` bytes; `what` names it in the error.
    pub(crate) async fn whole(
        mut self,
        limit: u64,
        what: &'static str,
    ) -> Result<Bytes, ClientError> {
        let mut whole = BytesMut::new();
        let mut expected = self.announced().unwrap_or(0);
        loop {
            if expected > limit {
                return Err(ClientError::TooLarge {
                    what,
                    limit,
                    unit: "bytes",
                    url: self.url,
                });
            }
            let Some(chunk) = self.chunk().await? else {
                return Ok(whole.freeze());
            };
            expected = length(&whole).saturating_add(length(&chunk));
            if expected <= limit {
                whole.extend_from_slice(&chunk);
            }
        }
    }

    /// Reads the beginning of an error body, which is only shown. Fails only where the server is
    /// silent and is not to be asked again. In place of a compressed body, there is a note.
    pub(crate) async fn beginning(mut self) -> Result<ErrorBody, ClientError> {
        let content_type = self.response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let is_html = content_type.is_some_and(|value| {
            let media_type = text::media_type(value).to_string();
            ["text/html", "application/xhtml+xml"].contains(&media_type.as_str())
        });
        let mut beginning = BytesMut::new();
        while length(&beginning) < self.limits.error_body {
            let mut chunk = match self.chunk().await {
                Ok(Some(chunk)) => chunk,
                Err(error) if error.is_silence() && !self.limits.retries_silence => {
                    return Err(error);
                }
                Ok(None) | Err(_) => break,
            };
            let room = self.limits.error_body.saturating_sub(length(&beginning));
            chunk.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            beginning.extend_from_slice(&chunk);
        }
        let bytes = match self.compression {
            Some(Compression { name, .. }) if !is_text(&beginning) => {
                format!("(its message is compressed with `{name}` and is not shown)").into()
            }
            _ => beginning.freeze(),
        };
        Ok(ErrorBody { bytes, is_html })
    }
}

pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
