//! One request and the head of its answer, within limits of time and size; redirects.

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use qmt_oci_ref::BlobStream;
use qmt_oci_ref::address::AddressKind;
use tokio::time::timeout;
use url::Url;

use super::body::{Body, length};
use super::chain::RedirectChain;
use super::endpoint::{Connection, Endpoint};
use super::failure::{UnreadableContent, broken};
use super::redirect::{is_redirect, location};
use super::resolver::literal;
use super::secrets::Secrets;
use crate::error::{ClientError, Phase};
use crate::limits::Limits;
use crate::redact::RedactedUrl;
use crate::writer::BlobContent;

/// A request, without authorization.
pub(crate) struct RequestSpec<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload<'a>,
    /// The outermost network of the other servers that led to the URL; `None` if the registry named it.
    pub(crate) led_by: Option<AddressKind>,
    /// Whether a blob or file is requested.
    pub(crate) is_content: bool,
}

impl RequestSpec<'_> {
    /// A request without headers and body.
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            payload: Payload::Empty,
            led_by: None,
            is_content: false,
        }
    }
}

/// The body of a request.
#[derive(Clone)]
pub(crate) enum Payload<'a> {
    Empty,
    Bytes(Bytes),
    /// `length` bytes of a blob from `offset` on, opened again for each attempt.
    Part {
        content: &'a dyn BlobContent,
        offset: u64,
        length: u64,
    },
}

/// The head of an answer; its body was not read yet.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) url: Url,
    /// The network of the server; the internet where a proxy hides it.
    pub(crate) network: AddressKind,
    /// The outermost network of the servers that led here, with this one and without the registry.
    pub(crate) led_by: Option<AddressKind>,
    /// Whether no redirect led away from the endpoint: only then was the authorization sent, and
    /// only then a challenge is answered.
    pub(crate) is_same_origin: bool,
    /// The proxy that may have answered in place of the server: over plain HTTP it can.
    pub(crate) proxy: Option<RedactedUrl>,
    /// What was sent to the server, or to its proxy, as authorization.
    pub(crate) secrets: Secrets,
    pub(crate) body: Body,
}

impl Answer {
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.body.response.headers()
    }

    /// Hides the headers that repeat one of `secrets`.
    pub(crate) fn hide(&mut self, secrets: &Secrets) -> Result<(), ClientError> {
        secrets.hide_in(self.body.response.headers_mut(), &self.url)
    }
}

/// Sends `spec` and follows redirects. The authorization goes to the endpoint's own origin only.
pub(crate) async fn follow(
    endpoint: &Endpoint,
    spec: &RequestSpec<'_>,
    authorization: Option<&HeaderValue>,
) -> Result<Answer, ClientError> {
    let limits = &endpoint.context.limits;
    let mut url = spec.url.clone();
    let mut is_same_origin = endpoint.is_own_request(spec);
    let mut chain = RedirectChain::led_by(endpoint, spec.led_by);
    if !is_same_origin {
        chain.check(&endpoint.base, &url)?;
    }
    for _ in 0..=limits.redirects {
        let client = if is_same_origin {
            endpoint.own_client(&url)?
        } else {
            chain.client(&url)?
        };
        let authorization = authorization.filter(|_| is_same_origin);
        let answer = exchange(endpoint, &client, spec, &url, authorization).await;
        let mut answer = answer.map_err(|error| {
            if is_same_origin {
                error
            } else {
                let is_named_for_upload = url == spec.url && !endpoint.is_origin_of(&url);
                error.elsewhere(&endpoint.host, is_named_for_upload, spec.is_content)
            }
        })?;
        let headers = answer.body.response.headers_mut();
        answer.secrets.hide_in(headers, &url)?;
        chain.pass(&mut answer);
        // With these, method and body stay the same; a body is opened again.
        let repeats = matches!(
            answer.status,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        );
        let reads = matches!(spec.method, Method::GET | Method::HEAD);
        if !(repeats || (reads && is_redirect(answer.status))) {
            return Ok(answer);
        }
        let to = location(&url, answer.headers())?;
        // After a redirect to another origin, the header is not sent again (CVE-2024-45336).
        is_same_origin &= endpoint.is_origin_of(&to);
        if !is_same_origin {
            chain.check(&url, &to)?;
        }
        url = to;
    }
    Err(ClientError::too_many_redirects(&spec.url, limits))
}

/// Sends one request and waits for the head of its answer.
pub(crate) async fn exchange(
    endpoint: &Endpoint,
    connection: &Connection,
    spec: &RequestSpec<'_>,
    url: &Url,
    authorization: Option<&HeaderValue>,
) -> Result<Answer, ClientError> {
    let limits = &endpoint.context.limits;
    let mut headers = spec.headers.clone();
    headers.extend(authorization.map(|value| (header::AUTHORIZATION, value.clone())));
    let client = &connection.client;
    let mut request = client
        .request(spec.method.clone(), url.clone())
        .headers(headers);
    match &spec.payload {
        // Some servers insist on a length, also of zero.
        Payload::Empty if matches!(spec.method, Method::GET | Method::HEAD) => {}
        Payload::Empty => request = request.header(header::CONTENT_LENGTH, 0),
        Payload::Bytes(bytes) => request = request.body(bytes.clone()),
        Payload::Part {
            content,
            offset,
            length,
        } => {
            let stream = part(content.open(*offset).await?, *length);
            request = request
                .header(header::CONTENT_LENGTH, *length)
                .body(reqwest::Body::wrap_stream(stream));
        }
    }
    // The time of an upload depends on its size, and so does the registry's work at its end; the
    // limit of the whole operation bounds both.
    let limit = if matches!(spec.payload, Payload::Part { .. }) || spec.method == Method::PUT {
        limits.total_timeout
    } else {
        limits.header_timeout
    };
    let timed_out = |phase, limit| ClientError::Timeout {
        url: RedactedUrl::from(url),
        proxy: connection.proxy.clone(),
        phase,
        limit,
    };
    let response = match timeout(limit, request.send()).await {
        Ok(Ok(response)) => response,
        Ok(Err(cause)) if cause.is_connect() && cause.is_timeout() => {
            return Err(timed_out(Phase::Connect, limits.connect_timeout));
        }
        Ok(Err(cause)) => {
            let connection = Some((endpoint, connection));
            return Err(broken(RedactedUrl::from(url), connection, cause));
        }
        Err(_) => return Err(timed_out(Phase::Answer, limit)),
    };
    endpoint.note_answer(url);
    check_head(response.headers(), limits, url)?;
    let proxy = connection.proxy.clone();
    let address = match proxy {
        Some(_) => literal(url),
        None => response.remote_addr().map(|address| address.ip()),
    };
    Ok(Answer {
        network: address.map_or(AddressKind::Public, AddressKind::of),
        led_by: None,
        status: response.status(),
        url: url.clone(),
        is_same_origin: connection.is_own,
        proxy: proxy.filter(|_| url.scheme() == "http"),
        secrets: Secrets::of_header(authorization).with_proxy(connection.proxy_url.as_ref()),
        body: Body::new(response, url, limits),
    })
}

/// Refuses a head of too many lines or bytes.
pub(super) fn check_head(
    headers: &HeaderMap,
    limits: &Limits,
    url: &Url,
) -> Result<(), ClientError> {
    let bytes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    for (unit, found, limit) in [
        ("lines", headers.len(), limits.headers),
        ("bytes", bytes, limits.header_bytes),
    ] {
        if found > limit {
            return Err(ClientError::TooLarge {
                what: "the head",
                limit: limit.try_into().unwrap_or(u64::MAX),
                unit,
                url: RedactedUrl::from(url),
            });
        }
    }
    Ok(())
}

/// Cuts `content` off after `length` bytes; an earlier end is an error.
pub(super) fn part(
    content: BlobStream,
    length: u64,
) -> impl Stream<Item = Result<Bytes, UnreadableContent>> + Send + 'static {
    futures_util::stream::try_unfold((content, length), |(mut content, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(chunk) = content.next().await else {
            let reason = "it is shorter than its descriptor says";
            return Err(UnreadableContent(reason.into()));
        };
        let mut chunk = chunk.map_err(|cause| UnreadableContent(cause.into()))?;
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left.saturating_sub(self::length(&chunk));
        Ok(Some((chunk, (content, left))))
    })
}
