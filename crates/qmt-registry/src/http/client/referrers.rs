//! Referrers: the API, page by page, and the list under the tag of the tag schema.
//!
//! Both are read as far as they can be: every entry is a claim that the caller checks, so one odd
//! entry, or one list that is refused, does not hide the rest.
//!
//! Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers>

mod listed;
mod page;
mod pages;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::join;
use qmt_oci_ref::manifest::{ClaimLimits, Claims, ManifestError, Referrers, SIGNATURE_TYPES};
use qmt_oci_ref::{Digest, PinnedReference, Reference, RegistryError, RegistryHost, Tag};
use tokio::time::timeout_at;
use url::Url;

use self::listed::Listed;
use self::page::{Page, Pages};
use super::attempt::unauthorized;
use super::operation::{Operation, Request};
use crate::error::{ClientError, text::answers_with};
use crate::events::RegistryEvent;
use crate::http::transport::{ErrorBody, Secrets, is_denied};
use crate::limits::REFERRERS_BYTES_MAX;
use crate::redact::RedactedUrl;

/// A list of more pages is probably one of many other artifacts.
const FEW_PAGES: usize = 8;
/// How registries answer for a tag that they do not have, or that no tag may have.
pub(super) const NO_TAG: [u16; 7] = [400, 405, 406, 410, 415, 422, 501];

impl Operation {
    /// Lists the referrers of `subject`. An error contains the entries that could be read.
    pub(super) async fn list_referrers(
        mut self,
        subject: &PinnedReference,
    ) -> Result<Referrers, RegistryError> {
        self = self.as_one_of_many_places();
        let endpoint = Arc::clone(&self.endpoint);
        let (limits, events) = (&endpoint.context.limits, &endpoint.context.events);
        let limit = limits.referrers_timeout;
        let deadline = self.attempts.deadline;
        // A registry that added the API later may not have read the lists that existed before, and
        // one referrer that the API lists says nothing about others.
        let mut tag_reader = self.as_one_of_many_places();
        let mut listed = Listed::new(subject, limits.referrers);
        let (by_api, by_tag) = join!(
            timeout_at(deadline, self.referrers_by_api(subject, &mut listed)),
            timeout_at(deadline, tag_reader.answer_under_tag(subject)),
        );
        let timed_out = |rest: String| {
            let request = (subject.repository(), &*rest);
            endpoint.timed_out(Some(request), limit)
        };
        let by_api =
            by_api.unwrap_or_else(|_| Err(timed_out(format!("referrers/{}", subject.digest()))));
        let tag = Tag::for_referrers(subject.digest());
        let by_tag = by_tag.unwrap_or_else(|_| Err(timed_out(format!("manifests/{tag}"))));
        if let Ok(false) = by_api {
            let host = endpoint.host.clone();
            events.send(RegistryEvent::ReferrersFallback { host });
        }
        let tagged = by_tag.and_then(|answer| match answer {
            UnderTag::List(list) => listed.add(&list),
            UnderTag::Other(remark) => {
                listed.remark(remark);
                Ok(())
            }
            UnderTag::Nothing => Ok(()),
        });
        // The registry makes the pages of the API itself: no publisher can make one unreadable.
        let is_other_content = matches!(
            by_api,
            Err(ClientError::NotAManifest { .. } | ClientError::ErrorContent { .. })
        );
        let missing = by_api.err().or(tagged.err());
        let missing = match missing {
            None => listed.incomplete(),
            missing => {
                listed.remark_limit();
                missing
            }
        };
        let missing = missing.map(RegistryError::from);
        let missing = missing.map(|error| {
            if is_other_content {
                error.with_other_content()
            } else {
                error
            }
        });
        match missing {
            None => Ok(listed.into_referrers()),
            Some(error) if listed.was_read => Err(error.with_listed(listed.into_referrers())),
            Some(error) => Err(error),
        }
    }

    pub(super) async fn answer_under_tag(
        &mut self,
        subject: &PinnedReference,
    ) -> Result<UnderTag, ClientError> {
        let tag = Tag::for_referrers(subject.digest());
        let other = |what: &str| UnderTag::Other(format!("under the tag `{tag}`, {what}"));
        let list = Reference::new(subject.repository().clone(), Some(tag.clone()), None);
        let limit = self.endpoint.context.limits.referrers_page;
        let content = match self.receive(&list, limit).await {
            Ok((content, _)) => content,
            Err(ClientError::NotFound { .. }) => return Ok(UnderTag::Nothing),
            Err(ClientError::Status {
                status,
                from: None,
                message,
                ..
            }) if NO_TAG.contains(&status) => {
                return Ok(other(&answers_with(status, &message)));
            }
            Err(error) => return Err(error),
        };
        let digest = subject.digest();
        // GitLab takes the tag for the digest that it is made of.
        if Digest::of(digest.algorithm(), &content) == *digest {
            return Ok(other("the registry sends the image itself"));
        }
        let claims = read_claims(&content, subject, ClaimLimits::nothing())?;
        Ok(if claims.is_index() {
            UnderTag::List(content)
        } else {
            other("the registry has a manifest and no index")
        })
    }

    /// The error for a refusal by `url` that has a status which is accepted. `from` is the registry
    /// if it redirected the request there.
    async fn refused(
        &self,
        request: &Request<'_>,
        (url, from): (&Url, Option<RegistryHost>),
        (status, content): (u16, &[u8]),
    ) -> Result<ClientError, ClientError> {
        let message = self.words(request, url, content).await?;
        Ok(if from.is_none() && is_denied(status, content) {
            let (auth, scope) = (&self.auth, &request.scope);
            let current = auth.current(scope).await;
            let used = current.map_err(|failure| failure.error)?;
            let anonymous = auth.is_without_credential(scope, used.as_ref()).await?;
            unauthorized(auth, request, status, anonymous, message)
                .with_unsent_credential(auth.is_credential_unsent(scope).await)
        } else {
            ClientError::Status {
                url: RedactedUrl::from(url),
                status,
                from,
                message,
            }
        })
    }

    /// What an error in the answer of `url` says, without the credential that was sent.
    pub(super) async fn words(
        &self,
        request: &Request<'_>,
        url: &Url,
        content: &[u8],
    ) -> Result<String, ClientError> {
        let current = self.auth.current(&request.scope).await;
        let used = current.map_err(|failure| failure.error)?;
        let header = used.as_ref().map(|used| &used.header);
        let secrets = Secrets::of_exchange(&self.endpoint, &request.spec, header, url);
        Ok(secrets.message(&ErrorBody {
            bytes: Bytes::copy_from_slice(content),
            is_html: false,
        }))
    }

    /// Reads the API's pages into `listed`; `false` where the registry has no such API. Where these are
    /// many, or can't all be read, the lists of the types of signatures are requested as well, so that no
    /// number of other referrers hides one.
    async fn referrers_by_api(
        &mut self,
        subject: &PinnedReference,
        listed: &mut Listed<'_>,
    ) -> Result<bool, ClientError> {
        let mut pages = Pages::new(self, subject, None);
        let last = loop {
            match self.read_page(&mut pages, listed).await {
                Ok(Page::Next) if pages.requested() == FEW_PAGES => {
                    self.referrers_of_types(subject, listed).await;
                }
                Ok(Page::Next) => {}
                last => break last,
            }
        };
        let was_cut = match &last {
            Err(error) => matches!(error, ClientError::TooLarge { .. }) || pages.requested() > 1,
            Ok(_) => pages.skipped.is_some(),
        };
        if was_cut && pages.requested() < FEW_PAGES {
            self.referrers_of_types(subject, listed).await;
        }
        match last? {
            Page::NoList => Ok(false),
            Page::Next | Page::Last => pages.skipped.map_or(Ok(true), Err),
        }
    }

    /// Reads lists of the types of signatures alone, where the registry has these. Failures are those
    /// of the whole list.
    async fn referrers_of_types(&self, subject: &PinnedReference, listed: &mut Listed<'_>) {
        for artifact_type in SIGNATURE_TYPES {
            let mut pages = Pages::new(self, subject, Some(artifact_type));
            let mut reader = self.as_one_of_many_places();
            while let Ok(Page::Next) = reader.read_page(&mut pages, listed).await {}
        }
    }
}

/// What the registry has under the tag of the tag schema.
pub(super) enum UnderTag {
    List(Bytes),
    /// Something else, as a remark.
    Other(String),
    Nothing,
}

fn read_claims(
    content: &[u8],
    subject: &PinnedReference,
    limits: ClaimLimits,
) -> Result<Claims, ClientError> {
    Claims::read(content, limits).map_err(|source| not_a_list(subject, source))
}

pub(super) fn not_a_list(subject: &PinnedReference, source: ManifestError) -> ClientError {
    let what = format!("the list of referrers of `{subject}`");
    ClientError::NotAManifest { what, source }
}

fn list_too_large(url: &Url) -> ClientError {
    ClientError::TooLarge {
        what: "the list of referrers with all its pages",
        limit: REFERRERS_BYTES_MAX,
        unit: "bytes",
        url: RedactedUrl::from(url),
    }
}

fn too_many(what: &'static str, limit: usize, subject: &PinnedReference) -> ClientError {
    ClientError::TooMany {
        what,
        limit: u64::try_from(limit).unwrap_or(u64::MAX),
        subject: subject.to_string(),
    }
}

#[cfg(test)]
mod tests;
