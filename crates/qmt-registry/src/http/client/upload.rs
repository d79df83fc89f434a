//! Uploads: blobs in one request or in parts, manifests, and the list of the tag schema.
//!
//! A blob that the registry has is not sent; one that another repository of the registry has is
//! mounted. Large blobs are sent in parts, and after a failure the registry reports how much it
//! has. Some registries accept no parts, or a single one: they get the blob in one request.
//! Spec: <https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#push>

mod manifest;

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use qmt_oci_ref::address::AddressKind;
use qmt_oci_ref::{Descriptor, Digest, Repository};
use url::Url;

use super::manifest::{digest_hints, is_html};
use super::operation::{Operation, Request};
use crate::blob::check_digest;
use crate::error::ClientError;
use crate::http::transport::{Answer, Failure, Payload, upload_location};
use crate::redact::RedactedUrl;
use crate::writer::BlobContent;

/// How registries confirm that they store a blob or manifest (201 by the specification).
const STORED: [u16; 4] = [200, 201, 202, 204];
/// What registries answer to a part that they do not accept, or to one after the first.
const NO_PARTS: [u16; 8] = [400, 404, 405, 411, 413, 415, 416, 501];
/// How many times an upload is started again after the registry lost it.
const LOST_MAX: u32 = 2;
/// What to do if the registry loses each upload, or does not have the repository.
const LOST: &str = "if several servers share this address, all requests of an upload must reach the same \
                    one; some registries require that the repository is created first";
const OCTETS: &str = "application/octet-stream";

/// The upload of one blob.
pub(super) struct Upload<'a> {
    pub(super) operation: Operation,
    pub(super) to: &'a Repository,
    pub(super) blob: &'a Descriptor,
    pub(super) content: &'a dyn BlobContent,
    /// How many upload sessions the registry has lost.
    pub(super) lost: u32,
}

impl<'a> Upload<'a> {
    /// Sends the blob unless the registry has it.
    pub(super) async fn run(&mut self, mount_from: Option<&Repository>) -> Result<(), ClientError> {
        let to = self.to;
        let mount_from = mount_from.filter(|from| from.host() == to.host() && *from != to);
        if self.exists().await? {
            return Ok(());
        }
        let Some(session) = self.mount_or_start(mount_from).await? else {
            return Ok(());
        };
        let limits = &self.operation.endpoint.context.limits;
        let chunk = session.chunk_min.max(limits.upload_chunk);
        if self.blob.size() <= chunk {
            self.in_one(Some(session)).await
        } else {
            self.in_parts(session, chunk).await
        }
    }

    async fn exists(&mut self) -> Result<bool, ClientError> {
        let rest = format!("blobs/{}", self.blob.digest());
        let url = self.operation.endpoint.url(self.to, &rest);
        let request = self.request(Method::HEAD, url);
        match self.operation.send(&request, &[200]).await {
            Ok(answer) => Ok(!is_html(answer.headers())),
            // Some registries do not answer this question, and accept the blob.
            Err(
                ClientError::NotFound { .. }
                | ClientError::Status {
                    status: 400 | 402 | 404..=499,
                    ..
                }
                | ClientError::TooManyRedirects { .. },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends the last request of an upload. Returns whether the blob exists then: where the request
    /// failed, perhaps only its answer was lost.
    async fn finish(&mut self, request: &Request<'_>) -> Result<bool, ClientError> {
        match self.operation.once(request, &STORED).await {
            Ok(answer) => {
                confirmed(answer, self.blob.digest()).await?;
                Ok(true)
            }
            // Another server behind a load balancer, or one that was restarted.
            Err(Failure {
                error: ClientError::NotFound { what, message, .. },
                ..
            }) => {
                if self.lost < LOST_MAX {
                    self.lost += 1;
                    return self.exists().await;
                }
                Err(ClientError::NotFound {
                    what: format!("an upload to {what}"),
                    store: Some(request.redacted()),
                    message,
                    host: None,
                    origin: None,
                    advice: LOST,
                })
            }
            Err(failure) => {
                self.operation.pause(failure, request).await?;
                self.exists().await
            }
        }
    }

    /// Asks the registry to mount the blob from another repository, or to open a session. `None`
    /// if it mounted the blob.
    async fn mount_or_start(
        &mut self,
        mount_from: Option<&Repository>,
    ) -> Result<Option<Session>, ClientError> {
        if let Some(from) = mount_from {
            let mut url = self.operation.endpoint.url(self.to, "blobs/uploads/");
            url.query_pairs_mut()
                .append_pair("mount", &self.blob.digest().to_string())
                .append_pair("from", from.path());
            let mut request = self.request(Method::POST, url);
            request.scope.mount_from = Some(from);
            match self.operation.once(&request, &[201, 202]).await {
                Ok(answer) if answer.status == StatusCode::CREATED => return Ok(None),
                Ok(answer) => return Session::from_answer(&answer).map(Some),
                // Whatever the failure of a mount is, the blob can still be sent.
                Err(_) => {}
            }
        }
        self.start().await.map(Some)
    }

    async fn start(&mut self) -> Result<Session, ClientError> {
        let url = self.operation.endpoint.url(self.to, "blobs/uploads/");
        let request = self.request(Method::POST, url);
        let answer = self.operation.send(&request, &[202]).await?;
        Session::from_answer(&answer)
    }

    /// Sends the blob in one request, in `session` or, without one, in a new session.
    async fn in_one(&mut self, mut session: Option<Session>) -> Result<(), ClientError> {
        loop {
            // The state of a broken session is unknown, that of a new one is not.
            let session = match session.take() {
                Some(session) => session,
                None => self.start().await?,
            };
            let request = self
                .last_request(&session)
                .payload(self.part(0, self.blob.size()))
                .header(header::CONTENT_TYPE, OCTETS);
            if self.finish(&request).await? {
                return Ok(());
            }
        }
    }

    async fn in_parts(&mut self, mut session: Session, chunk: u64) -> Result<(), ClientError> {
        let mut offset = 0;
        // Where a registry loses bytes, sending them again is no progress.
        let mut furthest = 0;
        // How many bytes of the content were sent at least once.
        let mut sent = 0;
        while offset < self.blob.size() {
            let length = chunk.min(self.blob.size().saturating_sub(offset));
            let end = offset.saturating_add(length);
            sent = sent.max(end);
            let request = self
                .session_request(Method::PATCH, &session)
                .payload(self.part(offset, length))
                .header(header::CONTENT_TYPE, OCTETS)
                .header(header::CONTENT_RANGE, &format!("{offset}-{}", end - 1));
            let refuse = |reason| Err(ClientError::upload_refused(request.redacted(), reason));
            let accept = [&[202], &NO_PARTS[..]].concat();
            match self.operation.once(&request, &accept).await {
                Ok(answer) if answer.status.as_u16() != 202 => {
                    return self.in_one(None).await;
                }
                Ok(answer) => {
                    let next = Session::from_answer(&answer)?;
                    // A registry may store less than was sent, never more.
                    let stored = next.stored.unwrap_or(end);
                    if stored > end {
                        return refuse("it acknowledges another range than was sent");
                    }
                    // It accepted the part and stored none of it: it does not support parts.
                    if stored <= offset {
                        return self.in_one(None).await;
                    }
                    offset = stored;
                    (session.location, session.led_by) = (next.location, next.led_by);
                    if offset > furthest {
                        furthest = offset;
                        self.operation.attempts.progress();
                    }
                }
                Err(failure) => {
                    self.operation.pause(failure, &request).await?;
                    offset = self.stored(&mut session).await?;
                    if offset > sent {
                        // To continue from there would leave a gap in the content.
                        return refuse("it reports more bytes than were sent");
                    }
                }
            }
        }
        self.commit(&session).await
    }

    /// Ends an upload whose parts are complete.
    async fn commit(&mut self, session: &Session) -> Result<(), ClientError> {
        let request = self.last_request(session);
        let lost = self.lost;
        while !self.finish(&request).await? {
            if self.lost > lost {
                return self.in_one(None).await;
            }
        }
        Ok(())
    }

    /// Asks how many bytes of an upload the registry has; starts a new session where it lost it.
    async fn stored(&mut self, session: &mut Session) -> Result<u64, ClientError> {
        let request = self.session_request(Method::GET, session);
        let accept = [200, 202, 204, 400, 404];
        let answer = self.operation.send(&request, &accept).await?;
        if matches!(answer.status.as_u16(), 400 | 404) {
            *session = self.start().await?;
            return Ok(0);
        }
        if answer.headers().contains_key(header::LOCATION) {
            session.location = upload_location(&answer.url, answer.headers())?;
            session.led_by = answer.led_by;
        }
        Ok(stored(answer.headers()).unwrap_or(0))
    }

    fn request(&self, method: Method, url: Url) -> Request<'a> {
        self.operation.push_request(self.to, method, url)
    }

    fn session_request(&self, method: Method, session: &Session) -> Request<'a> {
        let mut request = self.request(method, session.location.clone());
        request.spec.led_by = session.led_by;
        request
    }

    /// The request that ends an upload.
    fn last_request(&self, session: &Session) -> Request<'a> {
        let mut request = self.session_request(Method::PUT, session);
        let mut query = request.spec.url.query_pairs_mut();
        query.append_pair("digest", &self.blob.digest().to_string());
        drop(query);
        request
    }

    fn part(&self, offset: u64, length: u64) -> Payload<'a> {
        Payload::Part {
            content: self.content,
            offset,
            length,
        }
    }
}

/// Checks an answer that confirms an upload, and returns its headers.
async fn confirmed(answer: Answer, digest: &Digest) -> Result<HeaderMap, ClientError> {
    let (headers, url) = (answer.headers().clone(), RedactedUrl::from(&answer.url));
    let hints = digest_hints(&headers);
    let same_algorithm = |hint: &&Digest| hint.algorithm() == digest.algorithm();
    if let Some(claimed) = hints.iter().find(same_algorithm) {
        check_digest(claimed, digest, Some(&url))?;
    }
    // Some registries answer 200 in place of 201, and so does every page of a web site.
    let is_doubtful = answer.status != StatusCode::CREATED && hints.is_empty();
    if is_doubtful && answer.body.beginning().await?.is_web_page() {
        let (what, from) = ("a confirmation of the upload", None);
        return Err(ClientError::WebPage { url, what, from });
    }
    Ok(headers)
}

/// The least size of a part that a registry accepts.
const CHUNK_MIN: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// An upload that the registry has opened.
struct Session {
    location: Url,
    /// The outermost network of the servers that named the location, without the registry.
    led_by: Option<AddressKind>,
    /// The least size of a part, in bytes.
    chunk_min: u64,
    /// Bytes that the registry has.
    stored: Option<u64>,
}

impl Session {
    fn from_answer(answer: &Answer) -> Result<Self, ClientError> {
        let chunk = answer.headers().get(CHUNK_MIN);
        let chunk = chunk.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Self {
            location: upload_location(&answer.url, answer.headers())?,
            led_by: answer.led_by,
            chunk_min: chunk.unwrap_or(0),
            stored: stored(answer.headers()),
        })
    }
}

/// How many bytes `Range: 0-<last>` acknowledges. Many registries send `0-0` for none at all.
fn stored(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::RANGE)?.to_str().ok()?.trim();
    let range = text.trim_start_matches("bytes=").strip_prefix("0-")?;
    let last: u64 = range.parse().ok()?;
    Some(if last == 0 { 0 } else { last.saturating_add(1) })
}

#[cfg(test)]
mod tests;
