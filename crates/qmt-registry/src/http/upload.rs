//! Publishing: blobs in one request or in parts, manifests, and the tag schema's list.
//!
//! A blob that is there is not sent; one that is in another repository of the registry is linked.
//! Large blobs go in parts, and after a failure the registry is asked how much it has. Some
//! registries take no parts, or one only: there the blob goes in one request after all.
//! Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#push>

mod manifest;

use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, Method, header};
use qmt_oci_ref::{Descriptor, Digest, Repository};
use url::Url;

use super::endpoint::Endpoint;
use super::manifest::digest_hints;
use super::redirect;
use super::request::{Answer, Call, Context, Payload, once, send};
use super::retry::{Attempts, Failure};
use super::token::{Access, Auth};
use crate::error::RegistryError;
use crate::redact::RedactedUrl;
use crate::registry::{BlobContent, BlobStream};

/// The least size of a part that a registry takes.
const CHUNK_MIN: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// What registries answer to a part that they do not take, or to one after the first.
const NO_PARTS: [u16; 8] = [400, 404, 405, 411, 413, 415, 416, 501];

/// Cuts `content` off after `length` bytes; its end before that is an error.
pub(crate) fn part(
    content: BlobStream,
    length: u64,
) -> impl Stream<Item = Result<bytes::Bytes, RegistryError>> + Send + 'static {
    futures_util::stream::try_unfold((content, length), |(mut content, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        match content.next().await {
            Some(chunk) => {
                let mut chunk = chunk?;
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len()));
                let taken = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                Ok(Some((chunk, (content, left.saturating_sub(taken)))))
            }
            None => Err(RegistryError::Content {
                source: "it is shorter than its descriptor says".into(),
            }),
        }
    })
}

/// One registry that is written to.
pub(crate) struct Upload<'a> {
    pub(crate) context: &'a Context,
    pub(crate) auth: &'a Auth,
    pub(crate) endpoint: &'a Endpoint,
}

impl Upload<'_> {
    /// Sends a blob unless it is there.
    ///
    /// # Errors
    ///
    /// As the trait's `push_blob`.
    pub(crate) async fn blob(
        &self,
        to: &Repository,
        blob: &Descriptor,
        content: &dyn BlobContent,
        mount_from: Option<&Repository>,
        attempts: &mut Attempts,
    ) -> Result<(), RegistryError> {
        let mount_from = mount_from.filter(|from| from.host() == to.host() && *from != to);
        if self.has(to, blob, attempts).await? {
            return Ok(());
        }
        let Some(session) = self.start(to, blob, mount_from, attempts).await? else {
            return Ok(()); // Linked.
        };
        let chunk = session.chunk.max(self.context.limits.upload_chunk);
        if blob.size() <= chunk {
            self.in_one(to, blob, content, session, attempts).await
        } else {
            self.in_parts(to, blob, content, session, chunk, attempts)
                .await
        }
    }

    async fn has(
        &self,
        to: &Repository,
        blob: &Descriptor,
        attempts: &mut Attempts,
    ) -> Result<bool, RegistryError> {
        let url = self.endpoint.url(to, &format!("blobs/{}", blob.digest()));
        let call = self.call(to, Method::HEAD, url);
        let answer = send(self.context, self.auth, &call, &[200, 404], attempts).await?;
        Ok(answer.status.as_u16() == 200)
    }

    /// Whether the blob is there after a last request that failed: its answer alone may have been
    /// lost.
    ///
    /// # Errors
    ///
    /// The failure's own, where asking again can't help.
    async fn has_after(
        &self,
        failure: Failure,
        call: &Call<'_>,
        to: &Repository,
        blob: &Descriptor,
        attempts: &mut Attempts,
    ) -> Result<bool, RegistryError> {
        let url = RedactedUrl::from(&call.url);
        attempts.pause(failure, &url, &self.context.events).await?;
        self.has(to, blob, attempts).await
    }

    /// Starts an upload; `None` where the registry linked the blob instead.
    async fn start(
        &self,
        to: &Repository,
        blob: &Descriptor,
        mount_from: Option<&Repository>,
        attempts: &mut Attempts,
    ) -> Result<Option<Session>, RegistryError> {
        let url = self.endpoint.url(to, "blobs/uploads/");
        if let Some(from) = mount_from {
            let mut url = url.clone();
            url.query_pairs_mut()
                .append_pair("mount", &blob.digest().to_string())
                .append_pair("from", &self.endpoint.path(from));
            let mut call = self.call(to, Method::POST, url);
            call.mount_from = Some(from);
            // Whatever goes wrong with a link, the blob can still be sent.
            if let Ok(answer) = once(self.context, self.auth, &call, &[201, 202]).await {
                if answer.status.as_u16() == 201 {
                    return Ok(None);
                }
                return Session::from_answer(&answer).map(Some);
            }
        }
        let call = self.call(to, Method::POST, url);
        let answer = send(self.context, self.auth, &call, &[202], attempts).await?;
        Session::from_answer(&answer).map(Some)
    }

    async fn in_one(
        &self,
        to: &Repository,
        blob: &Descriptor,
        content: &dyn BlobContent,
        mut session: Session,
        attempts: &mut Attempts,
    ) -> Result<(), RegistryError> {
        loop {
            let mut call = self.call(to, Method::PUT, with_digest(&session.place, blob.digest()));
            call.payload = Payload::Part {
                content,
                offset: 0,
                length: blob.size(),
            };
            let call = call.header(header::CONTENT_TYPE, "application/octet-stream");
            match once(self.context, self.auth, &call, &[201, 204]).await {
                Ok(answer) => return check_digest(&answer, blob.digest()),
                Err(failure) => {
                    if self.has_after(failure, &call, to, blob, attempts).await? {
                        return Ok(());
                    }
                    // What the registry made of the broken one is unknown: a new session is not.
                    let Some(next) = self.start(to, blob, None, attempts).await? else {
                        return Ok(());
                    };
                    session = next;
                }
            }
        }
    }

    async fn in_parts(
        &self,
        to: &Repository,
        blob: &Descriptor,
        content: &dyn BlobContent,
        mut session: Session,
        chunk: u64,
        attempts: &mut Attempts,
    ) -> Result<(), RegistryError> {
        let mut offset = 0;
        // Where a registry forgets what it had, getting there again is no progress.
        let mut furthest = 0;
        // How many bytes of the content were ever on their way.
        let mut sent = 0;
        while offset < blob.size() {
            let length = chunk.min(blob.size().saturating_sub(offset));
            let last = offset.saturating_add(length).saturating_sub(1);
            sent = sent.max(last.saturating_add(1));
            let mut call = self.call(to, Method::PATCH, session.place.clone());
            call.payload = Payload::Part {
                content,
                offset,
                length,
            };
            let call = call
                .header(header::CONTENT_TYPE, "application/octet-stream")
                .header(header::CONTENT_RANGE, &format!("{offset}-{last}"));
            let accept = [&[202], &NO_PARTS[..]].concat();
            match once(self.context, self.auth, &call, &accept).await {
                Ok(answer) if answer.status.as_u16() != 202 => {
                    return self.instead_in_one(to, blob, content, attempts).await;
                }
                Ok(answer) => {
                    let next = Session::from_answer(&answer)?;
                    // A registry may have kept less than was sent, never more.
                    let kept = next.kept.unwrap_or(last.saturating_add(1));
                    if kept > last.saturating_add(1) {
                        return Err(RegistryError::UploadRefused {
                            url: RedactedUrl::from(&call.url),
                            fault: "it acknowledges another range than was sent",
                        });
                    }
                    // It took the part, and says that it did not: parts are not its thing.
                    if kept <= offset {
                        return self.instead_in_one(to, blob, content, attempts).await;
                    }
                    offset = kept;
                    session.place = next.place;
                    if offset > furthest {
                        furthest = offset;
                        attempts.progress();
                    }
                }
                Err(failure) => {
                    let url = RedactedUrl::from(&call.url);
                    attempts.pause(failure, &url, &self.context.events).await?;
                    offset = self.ask_progress(to, blob, &mut session, attempts).await?;
                    if offset > sent {
                        // To go on from there would leave a hole in the content.
                        return Err(RegistryError::UploadRefused {
                            url,
                            fault: "it says that it has more than was sent",
                        });
                    }
                }
            }
        }
        self.commit(to, blob, &session, attempts).await
    }

    /// Ends an upload whose parts are all there.
    async fn commit(
        &self,
        to: &Repository,
        blob: &Descriptor,
        session: &Session,
        attempts: &mut Attempts,
    ) -> Result<(), RegistryError> {
        loop {
            let url = with_digest(&session.place, blob.digest());
            let call = self.call(to, Method::PUT, url);
            match once(self.context, self.auth, &call, &[201, 204]).await {
                Ok(answer) => return check_digest(&answer, blob.digest()),
                Err(failure) => {
                    if self.has_after(failure, &call, to, blob, attempts).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Starts again where the registry wants no parts.
    async fn instead_in_one(
        &self,
        to: &Repository,
        blob: &Descriptor,
        content: &dyn BlobContent,
        attempts: &mut Attempts,
    ) -> Result<(), RegistryError> {
        match self.start(to, blob, None, attempts).await? {
            Some(session) => self.in_one(to, blob, content, session, attempts).await,
            None => Ok(()),
        }
    }

    /// Asks how much of an upload the registry has; starts a new one where it has forgotten it.
    async fn ask_progress(
        &self,
        to: &Repository,
        blob: &Descriptor,
        session: &mut Session,
        attempts: &mut Attempts,
    ) -> Result<u64, RegistryError> {
        let call = self.call(to, Method::GET, session.place.clone());
        let answer = send(
            self.context,
            self.auth,
            &call,
            &[200, 202, 204, 400, 404],
            attempts,
        )
        .await?;
        if matches!(answer.status.as_u16(), 400 | 404) {
            if let Some(next) = self.start(to, blob, None, attempts).await? {
                *session = next;
            }
            return Ok(0);
        }
        let kept = kept(answer.headers()).unwrap_or(0);
        if answer.headers().contains_key(header::LOCATION) {
            session.place = redirect::target(&answer.url, answer.headers())?;
        }
        Ok(kept)
    }

    fn call<'a>(&'a self, to: &'a Repository, method: Method, url: Url) -> Call<'a> {
        Call {
            endpoint: self.endpoint,
            repository: Some(to),
            access: Access::Push,
            mount_from: None,
            method,
            url,
            headers: HeaderMap::new(),
            payload: Payload::Empty,
            what: to.to_string(),
        }
    }
}

/// An upload that the registry has opened.
struct Session {
    place: Url,
    /// The least size of a part.
    chunk: u64,
    /// Bytes that the registry has.
    kept: Option<u64>,
}

impl Session {
    fn from_answer(answer: &Answer) -> Result<Self, RegistryError> {
        let chunk = answer.headers().get(CHUNK_MIN);
        let chunk = chunk
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .unwrap_or(0);
        let place = redirect::target(&answer.url, answer.headers())?;
        Ok(Self {
            place,
            chunk,
            kept: kept(answer.headers()),
        })
    }
}

/// How many bytes `Range: 0-<last>` acknowledges. `0-0` is what many say for nothing at all.
fn kept(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::RANGE)?.to_str().ok()?.trim();
    let last: u64 = text
        .trim_start_matches("bytes=")
        .strip_prefix("0-")?
        .parse()
        .ok()?;
    Some(if last == 0 { 0 } else { last.saturating_add(1) })
}

fn with_digest(place: &Url, digest: &Digest) -> Url {
    let mut url = place.clone();
    url.query_pairs_mut()
        .append_pair("digest", &digest.to_string());
    url
}

/// Holds a registry to the digest that it confirms.
fn check_digest(answer: &Answer, expected: &Digest) -> Result<(), RegistryError> {
    let same_kind = |hint: &Digest| hint.algorithm() == expected.algorithm();
    match digest_hints(answer.headers()).into_iter().find(same_kind) {
        Some(actual) if actual != *expected => Err(RegistryError::DigestMismatch {
            expected: expected.clone(),
            actual,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::TryStreamExt as _;
    use http::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn a_part_has_exactly_its_length() {
        let content = Bytes::from_static(b"0123456789");
        let take = |offset, length| {
            let content = content.clone();
            async move {
                let parts: Vec<Bytes> = part(content.open(offset).await?, length)
                    .try_collect()
                    .await?;
                Ok::<_, RegistryError>(parts.concat())
            }
        };
        assert_eq!(take(0, 10).await.unwrap(), b"0123456789");
        assert_eq!(take(3, 4).await.unwrap(), b"3456");
        assert_eq!(take(10, 0).await.unwrap(), b"");
        assert!(matches!(
            take(8, 3).await,
            Err(RegistryError::Content { .. })
        ));
    }

    #[test]
    fn acknowledged_ranges_are_read() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(text));
            kept(&headers)
        };
        assert_eq!(read("0-9"), Some(10));
        assert_eq!(read("bytes=0-9"), Some(10));
        assert_eq!(read("0-0"), Some(0));
        for wrong in ["", "1-9", "0--1", "0-x", "9"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
