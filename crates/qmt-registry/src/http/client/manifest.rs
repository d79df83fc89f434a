//! Manifests and indexes: read by tag or digest, hashed, and of one media type.

use bytes::Bytes;
use http::{HeaderMap, header};
use qmt_oci_ref::{Digest, DigestAlgorithm, MediaType, RawManifest, Reference, Tag, text};

use super::operation::Operation;
use crate::blob::check_digest;
use crate::error::ClientError;
use crate::http::transport::{is_error_only, is_web_page};
use crate::redact::RedactedUrl;

/// All media types that are read, the common ones first.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

impl Operation {
    /// Reads one manifest of at most `limit` bytes.
    pub(super) async fn fetch_manifest(
        &mut self,
        reference: &Reference,
        limit: u64,
    ) -> Result<RawManifest, ClientError> {
        let (content, declared) = self.receive(reference, limit).await?;
        // Signatures name images by SHA-256, whatever the header of the registry has.
        let algorithm = reference.digest().map(Digest::algorithm);
        let algorithm = algorithm.unwrap_or(DigestAlgorithm::Sha256);
        RawManifest::read(content, declared.as_ref(), algorithm).map_err(|source| {
            let what = named(reference).1;
            ClientError::NotAManifest { what, source }
        })
    }

    /// Reads what is under `reference`, at most `limit` bytes, and compares it with the digests
    /// that name it. Returns it with its media type, before it is known to be a manifest.
    pub(super) async fn receive(
        &mut self,
        reference: &Reference,
        limit: u64,
    ) -> Result<(Bytes, Option<MediaType>), ClientError> {
        let (rest, what) = named(reference);
        let request = self
            .read_request(reference.repository(), &rest, what)
            .header(header::ACCEPT, ACCEPT);
        let limit = limit.min(self.endpoint.context.limits.manifest);
        loop {
            let answer = self.send(&request, &[200]).await?;
            let declared = content_type(answer.headers());
            let hints = digest_hints(answer.headers());
            let url = RedactedUrl::from(&answer.url);
            let from = self.redirected_by(&answer);
            let (is_page, what) = (is_html(answer.headers()), "the manifest");
            let named = reference.digest().into_iter().chain(&hints);
            let is_named = |content: &[u8]| {
                let is_of = |digest: &Digest| Digest::of(digest.algorithm(), content) == *digest;
                named.clone().all(is_of)
            };
            let content = match answer.body.document(limit, what, is_named).await {
                Ok(content) => content,
                Err(ClientError::TooLarge { .. }) if is_page => {
                    return Err(ClientError::WebPage { url, what, from });
                }
                Err(error) => {
                    self.pause(error, &request).await?;
                    continue;
                }
            };
            if is_web_page(&content) {
                return Err(ClientError::WebPage { url, what, from });
            }
            let rule = "a manifest does not repeat the credential that was sent";
            answer.secrets.refuse_in(&content, &answer.url, rule)?;
            let is_named = |digest: &Digest| Digest::of(digest.algorithm(), &content) == *digest;
            if is_error_only(&content) && !reference.digest().is_some_and(is_named) {
                return Err(ClientError::ErrorContent {
                    message: self.words(&request, &answer.url, &content).await?,
                    url,
                    from,
                });
            }
            if let Some(expected) = reference.digest() {
                let actual = Digest::of(expected.algorithm(), &content);
                check_digest(expected, &actual, None)?;
            }
            for claimed in hints {
                let actual = Digest::of(claimed.algorithm(), &content);
                check_digest(&claimed, &actual, Some(&url))?;
            }
            return Ok((content, declared));
        }
    }
}

/// The path of a reference in its repository, and its name for errors: without a tag that selects
/// nothing.
fn named(reference: &Reference) -> (String, String) {
    let (separator, name) = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => ('@', digest.to_string()),
        // Without a digest, it has a tag.
        (None, tag) => (':', tag.map(Tag::to_string).unwrap_or_default()),
    };
    let what = format!("`{}{separator}{name}`", reference.repository());
    (format!("manifests/{name}"), what)
}

/// The digests that the server claims. A malformed one is ignored.
pub(super) fn digest_hints(headers: &HeaderMap) -> Vec<Digest> {
    headers
        .get_all("docker-content-digest")
        .iter()
        .filter_map(|value| value.to_str().ok()?.trim().parse().ok())
        .collect()
}

/// Whether an answer is declared to be a web page. Web sites send one for paths that they do not
/// have, with status 200.
pub(super) fn is_html(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|declared| declared.as_ref() == "text/html")
}

/// The media type of an answer, without parameters and in lower case, as media types compare.
pub(super) fn content_type(headers: &HeaderMap) -> Option<MediaType> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text::media_type(&value.to_ascii_lowercase()))
}
