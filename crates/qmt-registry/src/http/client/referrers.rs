//! Referrers: the API, page by page, and the list under the tag of the tag schema.
//!
//! Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers>

use std::collections::HashSet;

use http::{HeaderMap, header};
use qmt_oci_ref::manifest::{Index, ManifestLimits, OCI_INDEX};
use qmt_oci_ref::{Descriptor, Digest, MediaType, PinnedReference, Reference, Tag};
use url::Url;

use super::manifest::content_type;
use super::operation::{Operation, Request};
use crate::error::ClientError;
use crate::events::RegistryEvent;
use crate::http::transport::same_origin;

/// How registries without the API answer (404 by the specification).
const NO_API: [u16; 7] = [200, 400, 404, 405, 406, 415, 501];

impl Operation<'_> {
    /// Lists the referrers of `subject`.
    pub(super) async fn list_referrers(
        mut self,
        subject: &PinnedReference,
    ) -> Result<Vec<Descriptor>, ClientError> {
        let mut listed = Listed::new(subject, self.context.limits.referrers);
        // A registry that added the API later may not have read the lists that existed before, and
        // one referrer that the API lists says nothing about others.
        let mut by_tag = self.another();
        let (has_api, tagged) = futures_util::try_join!(
            self.referrers_by_api(subject, &mut listed),
            by_tag.referrers_by_tag(subject),
        )?;
        if !has_api {
            let host = self.endpoint.host.clone();
            let event = RegistryEvent::ReferrersFallback { host };
            self.context.events.send(event);
        }
        listed.extend(tagged.unwrap_or_default())?;
        Ok(listed.entries)
    }

    /// The list under the subject's tag, if it exists.
    pub(super) async fn referrers_by_tag(
        &mut self,
        subject: &PinnedReference,
    ) -> Result<Option<Vec<Descriptor>>, ClientError> {
        let Some(tag) = fallback_tag(subject) else {
            return Ok(None);
        };
        let list = Reference::new(subject.repository().clone(), Some(tag), None);
        let limit = self.context.limits.referrers_page;
        match self.fetch_manifest(&list, limit).await {
            Ok(index) => read_list(subject, index.bytes()).map(Some),
            Err(ClientError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the API's pages into `listed`; `false` where the registry has no such API.
    async fn referrers_by_api(
        &mut self,
        subject: &PinnedReference,
        listed: &mut Listed<'_>,
    ) -> Result<bool, ClientError> {
        let limits = &self.context.limits;
        let rest = format!("referrers/{}", subject.digest());
        let what = format!("the referrers of {subject}");
        let mut request = Request::read(self.endpoint, subject.repository(), &rest, what)
            .header(header::ACCEPT, OCI_INDEX);
        let mut visited = HashSet::new();
        loop {
            let is_first = visited.is_empty();
            if !visited.insert(request.spec.url.clone()) || visited.len() > limits.referrers_pages {
                let what = "pages of referrers";
                return Err(too_many(what, limits.referrers_pages, subject));
            }
            let accept: &[u16] = if is_first { &NO_API } else { &[200] };
            let answer = self.send(&request, accept).await?;
            let is_index = content_type(answer.headers()) == Some(MediaType::ImageIndex);
            if answer.status.as_u16() != 200 || (is_first && !is_index) {
                return Ok(false);
            }
            let next = next_page(&answer.url, answer.headers(), &self.endpoint.base)?;
            let body = answer.body(limits);
            let what = "a page of the referrers list (bytes)";
            match body.whole(limits.referrers_page, what).await {
                Ok(content) => listed.extend(read_list(subject, &content)?)?,
                Err(error) => {
                    self.pause(error, &request).await?;
                    visited.remove(&request.spec.url);
                    continue;
                }
            }
            match next {
                Some(next) => request.spec.url = next,
                None => return Ok(true),
            }
        }
    }
}

/// The tag under which a registry without the API stores the list: `sha256-<hex>`.
pub(super) fn fallback_tag(subject: &PinnedReference) -> Option<Tag> {
    // The grammar of tags allows every digest.
    Tag::for_digest(subject.digest(), "").ok()
}

fn read_list(subject: &PinnedReference, content: &[u8]) -> Result<Vec<Descriptor>, ClientError> {
    let index = Index::read(content, &ManifestLimits::default());
    index.map(Index::into_manifests).map_err(|source| {
        let what = format!("the referrers of {subject}");
        ClientError::NotAManifest { what, source }
    })
}

/// Descriptors in the order in which they were listed, each digest once, up to a limit.
struct Listed<'a> {
    subject: &'a PinnedReference,
    limit: usize,
    digests: HashSet<Digest>,
    entries: Vec<Descriptor>,
}

impl<'a> Listed<'a> {
    fn new(subject: &'a PinnedReference, limit: usize) -> Self {
        Self {
            subject,
            limit,
            digests: HashSet::new(),
            entries: Vec::new(),
        }
    }

    /// Adds the `descriptors` that are new.
    fn extend(&mut self, descriptors: Vec<Descriptor>) -> Result<(), ClientError> {
        for descriptor in descriptors {
            if !self.digests.insert(descriptor.digest().clone()) {
                continue;
            }
            if self.entries.len() >= self.limit {
                return Err(too_many("referrers", self.limit, self.subject));
            }
            self.entries.push(descriptor);
        }
        Ok(())
    }
}

fn too_many(what: &'static str, limit: usize, subject: &PinnedReference) -> ClientError {
    ClientError::TooMany {
        what,
        limit: u64::try_from(limit).unwrap_or(u64::MAX),
        subject: subject.to_string(),
    }
}

/// The next page, from `Link: <…>; rel="next"` (RFC 8288), which stays at the registry.
fn next_page(url: &Url, headers: &HeaderMap, base: &Url) -> Result<Option<Url>, ClientError> {
    let protocol = |rule| ClientError::protocol(url, rule);
    for value in headers.get_all(header::LINK) {
        let text = value.to_str().map_err(|_| protocol("a `Link` is ASCII"))?;
        for link in text.split(", <") {
            let link = link.trim_start_matches('<');
            let Some((target, parameters)) = link.split_once('>') else {
                continue;
            };
            let is_next = parameters.split(';').any(|parameter| {
                let parameter = parameter.trim().trim_end_matches(',').replace(' ', "");
                parameter.eq_ignore_ascii_case("rel=\"next\"")
                    || parameter.eq_ignore_ascii_case("rel=next")
            });
            if !is_next {
                continue;
            }
            let next = url
                .join(target)
                .map_err(|_| protocol("a `Link` has a URL"))?;
            if !same_origin(&next, base) {
                return Err(protocol("the next page is at the same host"));
            }
            return Ok(Some(next));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
