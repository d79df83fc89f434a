//! One page of the list that the API sends.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use http::{HeaderMap, header};
use qmt_oci_ref::manifest::{Index, ManifestError, ManifestLimits, OCI_INDEX, is_index};
use qmt_oci_ref::{MediaType, PinnedReference, manifest, text};

use super::listed::Listed;
use super::pages::next_page;
use super::{list_too_large, not_a_list, too_many};
use crate::error::ClientError;
use crate::http::client::manifest::{content_type, is_html};
use crate::http::client::operation::{Operation, Request};
use crate::http::transport::{is_denied, is_error_only, is_registry_error, is_web_page};
use crate::limits::REFERRERS_BYTES_MAX;
use crate::redact::RedactedUrl;

/// How registries with and without the API answer. Without it (404 by the specification), what was
/// requested does not exist or is not supported.
const FIRST_PAGE: [u16; 8] = [200, NO_API_IF_ERROR, 404, 405, 406, 410, 415, 501];
/// Amazon ECR answers so, with an error in the form of the specification.
const NO_API_IF_ERROR: u16 = 400;
const NO_LIST: &str = "the registry answers with status 200 and sends no list";
/// The header of a registry that listed only the artifact type of the request.
const FILTERS_APPLIED: &str = "oci-filters-applied";
const ARTIFACT_TYPE: &str = "artifactType";

/// The pages of one list, of which each names the next one.
pub(super) struct Pages<'a> {
    subject: &'a PinnedReference,
    /// For the page that is read next.
    request: Request<'a>,
    is_filtered: bool,
    /// Hashes of the URLs of the pages that were read.
    visited: HashSet<u64>,
    hasher: RandomState,
    bytes_left: u64,
    /// The error of a page that was not read.
    pub(super) skipped: Option<ClientError>,
}

/// What a page is, once its entries are listed.
pub(super) enum Page {
    /// The registry has no such API, or does not list one artifact type alone.
    NoList,
    Next,
    Last,
}

impl<'a> Pages<'a> {
    /// The pages of the list of all referrers, or of those of one artifact type.
    pub(super) fn new(
        operation: &Operation,
        subject: &'a PinnedReference,
        artifact_type: Option<&str>,
    ) -> Self {
        let rest = format!("referrers/{}", subject.digest());
        let what = format!("the list of referrers of `{subject}`");
        let request = operation.read_request(subject.repository(), &rest, what);
        let mut request = request.header(header::ACCEPT, OCI_INDEX);
        if let Some(artifact_type) = artifact_type {
            let mut query = request.spec.url.query_pairs_mut();
            query.append_pair(ARTIFACT_TYPE, artifact_type);
        }
        Self {
            subject,
            request,
            is_filtered: artifact_type.is_some(),
            visited: HashSet::new(),
            hasher: RandomState::new(),
            bytes_left: REFERRERS_BYTES_MAX,
            skipped: None,
        }
    }

    /// How many pages were requested.
    pub(super) fn requested(&self) -> usize {
        self.visited.len()
    }

    /// Notes that the next page is read; `Ok(true)` for the first one.
    fn visit(&mut self, most: usize) -> Result<bool, ClientError> {
        let is_first = self.visited.is_empty();
        let read = self.visited.len();
        if read >= most {
            return Err(too_many("pages of referrers", most, self.subject));
        }
        if !self
            .visited
            .insert(self.hasher.hash_one(&self.request.spec.url))
        {
            let rule =
                "a page of a list of referrers never names itself or an earlier page as the next";
            return Err(ClientError::protocol(&self.request.spec.url, rule));
        }
        Ok(is_first)
    }
}

impl Operation {
    /// Reads the next page into `listed`.
    pub(super) async fn read_page(
        &mut self,
        pages: &mut Pages<'_>,
        listed: &mut Listed<'_>,
    ) -> Result<Page, ClientError> {
        let endpoint = Arc::clone(&self.endpoint);
        let limits = &endpoint.context.limits;
        let is_first = pages.visit(limits.referrers_pages)?;
        let accept: &[u16] = if is_first { &FIRST_PAGE } else { &[200] };
        loop {
            let answer = match self.send(&pages.request, accept).await {
                // The API exists, and the rest of its list was not read.
                Err(ClientError::NotFound { message, .. }) => {
                    return Err(ClientError::Status {
                        url: pages.request.redacted(),
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
                        return Ok(Page::NoList);
                    }
                    let refused = (NO_API_IF_ERROR, &content[..]);
                    return Err(self.refused(&pages.request, (&url, from), refused).await?);
                }
                _ => return Ok(Page::NoList),
            }
            if is_first && pages.is_filtered && !is_filter_applied(answer.headers()) {
                return Ok(Page::NoList);
            }
            let is_page = is_html(answer.headers());
            let next = next_page(&answer.url, answer.headers(), &endpoint.base);
            let limit = limits.referrers_page.min(pages.bytes_left);
            let what = "a page of the referrers list";
            let content = match answer.body.document(limit, what, |_| true).await {
                Ok(content) => content,
                // The next page may have what matters.
                Err(error @ ClientError::TooLarge { .. }) => {
                    let is_page_over = limit == limits.referrers_page;
                    let error = if is_page_over {
                        error
                    } else {
                        list_too_large(&url)
                    };
                    pages.bytes_left = pages.bytes_left.saturating_sub(limit);
                    match next? {
                        Some(next) if pages.bytes_left > 0 => pages.request.spec.url = next,
                        _ => return Err(error),
                    }
                    pages.skipped = Some(error);
                    return Ok(Page::Next);
                }
                Err(error) => {
                    self.pause(error, &pages.request).await?;
                    continue;
                }
            };
            pages.bytes_left = pages.bytes_left.saturating_sub(content.len() as u64);
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
                    return Err(not_a_list(pages.subject, cause));
                }
                listed.remark(NO_LIST);
                return Ok(Page::NoList);
            }
            match listed.add(&content) {
                Err(_) if from.is_none() && is_denied(200, &content) => {
                    let refused = (200, &content[..]);
                    return Err(self.refused(&pages.request, (&url, from), refused).await?);
                }
                Err(_)
                    if is_denied(200, &content)
                        || (declared.is_some() && is_error_only(&content)) =>
                {
                    return Err(ClientError::ErrorContent {
                        message: self.words(&pages.request, &url, &content).await?,
                        url: RedactedUrl::from(&url),
                        from,
                    });
                }
                // Nothing says that it was meant as a list.
                Err(_) if is_first && declared.is_none() => {
                    listed.remark(NO_LIST);
                    return Ok(Page::NoList);
                }
                added => added?,
            }
            if !declared.is_some_and(is_index) {
                let found = text::escape(media_type.as_ref().map_or("", AsRef::as_ref));
                listed.remark(format!("the list has the media type `{found}`"));
            }
            return Ok(match next? {
                Some(next) => {
                    pages.request.spec.url = next;
                    Page::Next
                }
                None => Page::Last,
            });
        }
    }
}

/// Whether the registry listed only the artifact type of the request. Others list all.
fn is_filter_applied(headers: &HeaderMap) -> bool {
    let values = headers.get_all(FILTERS_APPLIED).into_iter();
    let mut filters = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    filters.any(|filter| filter.trim().eq_ignore_ascii_case(ARTIFACT_TYPE))
}
