//! Asking for referrers: the API, page by page, and the list under the tag.

use std::collections::HashSet;

use http::{HeaderMap, header};
use qmt_oci_ref::{Descriptor, MediaType, PinnedReference};
use url::Url;

use super::endpoint::Endpoint;
use super::manifest::{self, Name, content_type};
use super::redirect::same_origin;
use super::request::{Call, Context, send};
use super::retry::Attempts;
use super::token::Auth;
use crate::error::RegistryError;
use crate::events::RegistryEvent;
use crate::redact::RedactedUrl;
use crate::referrers::{Found, ReferrersIndex, fallback_tag};

/// What the limit of a page counts.
const PAGE: &str = "a page of the referrers list (bytes)";

/// Lists the referrers of `subject` at one endpoint, those of `artifact_type` where it is given.
///
/// # Errors
///
/// As the trait's `referrers`.
pub(crate) async fn list(
    context: &Context,
    auth: &Auth,
    endpoint: &Endpoint,
    subject: &PinnedReference,
    artifact_type: Option<&MediaType>,
    attempts: &mut Attempts,
) -> Result<Vec<Descriptor>, RegistryError> {
    let mut found = Found::new(subject, context.limits.referrers);
    // A registry that learned the API later may not have read the lists that were there before, and
    // one referrer that it knows says nothing about others.
    let mut attempts_by_tag = attempts.another(&context.limits);
    let (has_api, listed) = futures_util::try_join!(
        by_api(
            context,
            auth,
            endpoint,
            subject,
            artifact_type,
            &mut found,
            attempts,
        ),
        by_tag(context, auth, endpoint, subject, &mut attempts_by_tag),
    )?;
    if !has_api {
        let host = endpoint.host.clone();
        context
            .events
            .send(RegistryEvent::ReferrersFallback { host });
    }
    found.extend(listed.map(|index| index.manifests).unwrap_or_default())?;
    // Registries may ignore the filter, and may claim to have applied it.
    let fits = |descriptor: &Descriptor| {
        artifact_type.is_none_or(|wanted| descriptor.artifact_type() == Some(wanted))
    };
    Ok(found.into_list().into_iter().filter(fits).collect())
}

/// The list under the subject's tag, if there is one.
///
/// # Errors
///
/// As [`list`].
pub(crate) async fn by_tag(
    context: &Context,
    auth: &Auth,
    endpoint: &Endpoint,
    subject: &PinnedReference,
    attempts: &mut Attempts,
) -> Result<Option<ReferrersIndex>, RegistryError> {
    // Every digest makes a tag; were there one that doesn't, nothing could be kept under it.
    let Ok(tag) = fallback_tag(subject) else {
        return Ok(None);
    };
    let (name, limit) = (Name::Tag(tag.as_str()), context.limits.referrers_page);
    let repository = subject.repository();
    match manifest::fetch(context, auth, endpoint, repository, name, limit, attempts).await {
        Ok(index) => ReferrersIndex::read(subject, index.bytes()).map(Some),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the API's pages into `found`; `false` where the registry has no such API.
async fn by_api(
    context: &Context,
    auth: &Auth,
    endpoint: &Endpoint,
    subject: &PinnedReference,
    artifact_type: Option<&MediaType>,
    found: &mut Found<'_>,
    attempts: &mut Attempts,
) -> Result<bool, RegistryError> {
    let what = format!("the referrers of {subject}");
    let rest = format!("referrers/{}", subject.digest());
    let mut call = Call::read(endpoint, subject.repository(), &rest, what)
        .header(header::ACCEPT, MediaType::OCI_INDEX);
    if let Some(artifact_type) = artifact_type {
        call.url
            .query_pairs_mut()
            .append_pair("artifactType", artifact_type.as_str());
    }
    let mut visited = HashSet::new();
    loop {
        let first = visited.is_empty();
        if !visited.insert(call.url.clone()) || visited.len() > context.limits.referrers_pages {
            return Err(RegistryError::TooMany {
                what: "pages of referrers",
                limit: u64::try_from(context.limits.referrers_pages).unwrap_or(u64::MAX),
                subject: subject.to_string(),
            });
        }
        // How registries say that they don't know the API (404 by the specification).
        let accept: &[u16] = if first {
            &[200, 400, 404, 405, 406, 415, 501]
        } else {
            &[200]
        };
        let answer = send(context, auth, &call, accept, attempts).await?;
        let is_index = content_type(answer.headers()).is_some_and(|t| t == MediaType::OCI_INDEX);
        if answer.status.as_u16() != 200 || (first && !is_index) {
            return Ok(false);
        }
        let next = next_page(&answer.url, answer.headers(), &endpoint.base)?;
        let body = answer.body(&context.limits);
        match body.whole(context.limits.referrers_page, PAGE).await {
            Ok(content) => found.extend(ReferrersIndex::read(subject, &content)?.manifests)?,
            Err(error) => {
                let url = RedactedUrl::from(&call.url);
                attempts.pause(error.into(), &url, &context.events).await?;
                visited.remove(&call.url);
                continue;
            }
        }
        match next {
            Some(next) => call.url = next,
            None => return Ok(true),
        }
    }
}

/// The next page, from `Link: <…>; rel="next"` (RFC 8288), which stays at the registry.
fn next_page(url: &Url, headers: &HeaderMap, base: &Url) -> Result<Option<Url>, RegistryError> {
    let protocol = |fault| RegistryError::Protocol {
        url: RedactedUrl::from(url),
        fault,
    };
    for value in headers.get_all(header::LINK) {
        let text = value
            .to_str()
            .map_err(|_| protocol("its `Link` is not ASCII"))?;
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
                .map_err(|_| protocol("its `Link` is not a URL"))?;
            if !same_origin(&next, base) {
                return Err(protocol("its next page is at another host"));
            }
            return Ok(Some(next));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// DIG-14: paging stays at the registry and is read by RFC 8288.
    #[test]
    fn the_next_page_is_found() {
        let base = Url::parse("https://r.example/").unwrap();
        let url = Url::parse("https://r.example/v2/a/referrers/x").unwrap();
        let next = |link: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::LINK, HeaderValue::from_static(link));
            next_page(&url, &headers, &base).map(|next| next.map(String::from))
        };
        let expected = Some("https://r.example/v2/a?n=2".to_owned());
        assert_eq!(next(r#"</v2/a?n=2>; rel="next""#).unwrap(), expected);
        assert_eq!(
            next("<https://r.example/v2/a?n=2>;rel=next").unwrap(),
            expected
        );
        assert_eq!(
            next(r#"</x>; rel="prev", </v2/a?n=2>; rel="next""#).unwrap(),
            expected
        );
        assert_eq!(next(r#"</x>; rel="prev""#).unwrap(), None);
        assert!(next(r#"<https://evil.example/x>; rel="next""#).is_err());
        assert_eq!(next_page(&url, &HeaderMap::new(), &base).unwrap(), None);
    }
}
