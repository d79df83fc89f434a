//! Manifests and indexes: fetched by tag or digest, hashed by us, of one agreed type.

use http::{HeaderMap, header};
use qmt_oci_ref::{Digest, DigestAlgorithm, MediaType, Repository};

use super::endpoint::Endpoint;
use super::request::{Call, Context, send};
use super::retry::Attempts;
use super::token::Auth;
use crate::error::RegistryError;
use crate::registry::RawManifest;
use crate::shape::agreed_media_type;

/// What a manifest is looked up by.
#[derive(Clone, Copy)]
pub(crate) enum Name<'a> {
    Tag(&'a str),
    Digest(&'a Digest),
}

/// All types that we read, the usual ones first.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// What the limit of a manifest counts.
const MANIFEST: &str = "the manifest (bytes)";

/// Fetches one manifest of at most `limit` bytes from one endpoint.
///
/// # Errors
///
/// As the trait's `resolve` and `manifest`.
pub(crate) async fn fetch(
    context: &Context,
    auth: &Auth,
    endpoint: &Endpoint,
    repository: &Repository,
    name: Name<'_>,
    limit: u64,
    attempts: &mut Attempts,
) -> Result<RawManifest, RegistryError> {
    let (text, what) = match name {
        Name::Tag(tag) => (tag.to_owned(), format!("{repository}:{tag}")),
        Name::Digest(digest) => (digest.to_string(), format!("{repository}@{digest}")),
    };
    let call = Call::read(endpoint, repository, &format!("manifests/{text}"), what)
        .header(header::ACCEPT, ACCEPT);
    let limit = limit.min(context.limits.manifest);
    loop {
        let answer = send(context, auth, &call, &[200], attempts).await?;
        let media_type = content_type(answer.headers());
        let hints = digest_hints(answer.headers());
        match answer.body(&context.limits).whole(limit, MANIFEST).await {
            Ok(content) => {
                // The header is a hint of the algorithm that this registry files it under; which
                // digest it is, the bytes say.
                let algorithm = match name {
                    Name::Digest(digest) => digest.algorithm(),
                    Name::Tag(_) => hints
                        .first()
                        .map_or(DigestAlgorithm::Sha256, Digest::algorithm),
                };
                if let Name::Digest(expected) = name {
                    check(expected, &content)?;
                }
                for hint in &hints {
                    check(hint, &content)?;
                }
                let media_type = agreed_media_type(&call.what, &content, media_type.as_ref())?;
                return Ok(RawManifest::with_algorithm(media_type, content, algorithm));
            }
            Err(error) => {
                let url = crate::redact::RedactedUrl::from(&call.url);
                attempts.pause(error.into(), &url, &context.events).await?;
            }
        }
    }
}

fn check(expected: &Digest, content: &[u8]) -> Result<(), RegistryError> {
    let actual = Digest::of(expected.algorithm(), content);
    if *expected == actual {
        return Ok(());
    }
    Err(RegistryError::DigestMismatch {
        expected: expected.clone(),
        actual,
    })
}

/// The digests that the server claims. One that can't be read claims nothing.
pub(crate) fn digest_hints(headers: &HeaderMap) -> Vec<Digest> {
    headers
        .get_all("docker-content-digest")
        .iter()
        .filter_map(|value| value.to_str().ok()?.trim().parse().ok())
        .collect()
}

/// The media type of an answer, without its parameters and in lower case, as types compare.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<MediaType> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(MediaType::new(&text.to_ascii_lowercase()))
}
