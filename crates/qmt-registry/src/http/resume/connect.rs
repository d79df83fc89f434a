//! Who is asked for a blob, from which byte on, and what follows when that fails.

use std::sync::Arc;

use http::header;

use super::super::endpoint::Endpoint;
use super::super::request::{Answer, Call, once};
use super::super::retry::Failure;
use super::blame::skip_mirror;
use super::{Opened, Transfer};
use crate::error::RegistryError;
use crate::events::RegistryEvent;
use crate::redact::RedactedUrl;

impl Transfer {
    /// Asks the sources from the present one on, each as often as attempts allow.
    pub(super) async fn connect(&mut self) -> Result<Opened, RegistryError> {
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
    pub(super) async fn failed(
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
}

/// Reads `bytes first-last/total`: first and, if known, total.
pub(super) fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}
