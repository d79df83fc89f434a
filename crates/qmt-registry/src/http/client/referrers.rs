//! Referrers: the API, page by page, and the list under the tag of the tag schema.
//!
//! Both are read as far as they can be: every entry is a claim that the caller checks, so one odd
//! entry, or one list that is refused, does not hide the rest.
//!
//! Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers>

mod listed;
mod pages;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::join;
use http::header;
use qmt_oci_ref::manifest::{
    ClaimLimits, Claims, Index, ManifestError, ManifestLimits, OCI_INDEX, Referrers, is_index,
};
use qmt_oci_ref::{
    Digest, MediaType, PinnedReference, Reference, RegistryError, RegistryHost, Tag, manifest, text,
};
use tokio::time::timeout_at;
use url::Url;

use self::listed::Listed;
use self::pages::next_page;
use super::attempt::unauthorized;
use super::manifest::{content_type, is_html};
use super::operation::{Operation, Request};
use crate::error::{ClientError, text::answers_with};
use crate::events::RegistryEvent;
use crate::http::transport::{ErrorBody, Secrets, is_denied, is_registry_error, is_web_page};
use crate::limits::REFERRERS_BYTES_MAX;
use crate::redact::RedactedUrl;

/// How registries with and without the API answer. Without it (404 by the specification), what was
/// requested does not exist or is not supported.
const FIRST_PAGE: [u16; 8] = [200, NO_API_IF_ERROR, 404, 405, 406, 410, 415, 501];
/// Amazon ECR answers so, with an error in the form of the specification.
const NO_API_IF_ERROR: u16 = 400;
const NO_LIST: &str = "the registry answers with status 200 and sends no list";
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
        let by_api = by_api.unwrap_or_else(|_| Err(endpoint.timed_out(limit)));
        let by_tag = by_tag.unwrap_or_else(|_| Err(endpoint.timed_out(limit)));
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
        let missing = by_api.err().or(tagged.err());
        let missing = match missing {
            None => listed.incomplete(),
            missing => {
                listed.remark_limit();
                missing
            }
        };
        match missing.map(RegistryError::from) {
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
        let (auth, scope) = (&self.auth, &request.scope);
        let current = auth.current(scope).await;
        let used = current.map_err(|failure| failure.error)?;
        let anonymous = auth.is_without_credential(scope, used.as_ref()).await?;
        let header = used.as_ref().map(|used| &used.header);
        let secrets = Secrets::of_exchange(&self.endpoint, &request.spec, header, url);
        let message = secrets.message(&ErrorBody {
            bytes: Bytes::copy_from_slice(content),
            is_html: false,
        });
        Ok(if from.is_none() && is_denied(status, content) {
            unauthorized(auth, request, status, anonymous, message)
        } else {
            ClientError::Status {
                url: RedactedUrl::from(url),
                status,
                from,
                message,
            }
        })
    }

    /// Reads the API's pages into `listed`; `false` where the registry has no such API.
    async fn referrers_by_api(
        &mut self,
        subject: &PinnedReference,
        listed: &mut Listed<'_>,
    ) -> Result<bool, ClientError> {
        let endpoint = Arc::clone(&self.endpoint);
        let limits = &endpoint.context.limits;
        let rest = format!("referrers/{}", subject.digest());
        let what = format!("the referrers of {subject}");
        let mut request = self
            .read_request(subject.repository(), &rest, what)
            .header(header::ACCEPT, OCI_INDEX);
        let mut visited = HashSet::new();
        let mut bytes_left = REFERRERS_BYTES_MAX;
        let mut skipped = None;
        loop {
            let is_first = visited.is_empty();
            if !visited.insert(request.spec.url.clone()) || visited.len() > limits.referrers_pages {
                let what = "pages of referrers";
                return Err(too_many(what, limits.referrers_pages, subject));
            }
            let accept: &[u16] = if is_first { &FIRST_PAGE } else { &[200] };
            let answer = match self.send(&request, accept).await {
                // The API exists, and the rest of its list was not read.
                Err(ClientError::NotFound { message, .. }) => {
                    return Err(ClientError::Status {
                        url: request.redacted(),
                        status: 404,
                        from: None,
                        message,
                    });
                }
                answer => answer?,
            };
            let media_type = content_type(answer.headers());
            // Servers send a generic type for what they do not know.
            let is_specific = |media_type: &&MediaType| !manifest::is_generic(media_type);
            let declared = media_type.as_ref().filter(is_specific);
            let url = answer.url.clone();
            let from = self.redirected_by(&answer);
            match answer.status.as_u16() {
                200 => {}
                NO_API_IF_ERROR => {
                    let content = answer.body.beginning().await?.bytes;
                    if from.is_none()
                        && is_registry_error(&content)
                        && !is_denied(NO_API_IF_ERROR, &content)
                    {
                        return Ok(false);
                    }
                    let refused = (NO_API_IF_ERROR, &content[..]);
                    return Err(self.refused(&request, (&url, from), refused).await?);
                }
                _ => return Ok(false),
            }
            let is_page = is_html(answer.headers());
            let next = next_page(&answer.url, answer.headers(), &endpoint.base);
            let limit = limits.referrers_page.min(bytes_left);
            let what = "a page of the referrers list";
            let content = match answer.body.whole(limit, what).await {
                Ok(content) => content,
                // The next page may have what matters.
                Err(error @ ClientError::TooLarge { .. }) => {
                    let is_page_over = limit == limits.referrers_page;
                    let error = if is_page_over {
                        error
                    } else {
                        list_too_large(&url)
                    };
                    bytes_left = bytes_left.saturating_sub(limit);
                    match next? {
                        Some(next) if bytes_left > 0 => request.spec.url = next,
                        _ => return Err(error),
                    }
                    skipped = Some(error);
                    continue;
                }
                Err(error) => {
                    self.pause(error, &request).await?;
                    visited.remove(&request.spec.url);
                    continue;
                }
            };
            bytes_left = bytes_left.saturating_sub(content.len() as u64);
            let rule = "a list of referrers does not repeat the credential that was sent";
            answer.secrets.refuse_in(&content, &url, rule)?;
            if is_page || is_web_page(&content) {
                let (url, what) = (RedactedUrl::from(&url), "the list of referrers");
                return Err(ClientError::WebPage { url, what, from });
            }
            if let Some(declared) = declared.filter(|declared| is_first && !is_index(declared)) {
                // A list under another type is not used, as by oras, but it was there.
                if Index::read(&content, &ManifestLimits::default()).is_ok() {
                    let (declared, found) = (declared.clone(), OCI_INDEX.into());
                    let cause = ManifestError::MediaTypeMismatch { declared, found };
                    return Err(not_a_list(subject, cause));
                }
                listed.remark(NO_LIST);
                return Ok(false);
            }
            match listed.add(&content) {
                Err(_) if is_denied(200, &content) => {
                    let refused = (200, &content[..]);
                    return Err(self.refused(&request, (&url, from), refused).await?);
                }
                // Nothing says that it was meant as a list.
                Err(_) if is_first && declared.is_none() => {
                    listed.remark(NO_LIST);
                    return Ok(false);
                }
                added => added?,
            }
            if !declared.is_some_and(is_index) {
                let found = text::escape(media_type.as_ref().map_or("", AsRef::as_ref));
                listed.remark(format!("the list has the media type `{found}`"));
            }
            match next? {
                Some(next) => request.spec.url = next,
                None => return skipped.map_or(Ok(true), Err),
            }
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
    let what = format!("the referrers of {subject}");
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
