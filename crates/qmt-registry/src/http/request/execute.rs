//! One request on the wire and the head of its answer, within limits of time and size.

use http::{HeaderMap, Method, header};
use reqwest::Client;
use tokio::time::timeout;
use url::Url;

use super::super::body::transport;
use super::super::upload;
use super::{Context, Payload};
use crate::error::{Phase, RegistryError};
use crate::limits::Limits;
use crate::redact::RedactedUrl;

/// Sends one request and waits for the head of its answer.
///
/// # Errors
///
/// [`RegistryError::Transport`], [`RegistryError::Timeout`], and [`RegistryError::TooLarge`] for
/// the head.
pub(crate) async fn execute(
    context: &Context,
    client: &Client,
    method: &Method,
    url: &Url,
    headers: HeaderMap,
    payload: &Payload<'_>,
) -> Result<reqwest::Response, RegistryError> {
    let shown = || RedactedUrl::from(url);
    let mut request = client.request(method.clone(), url.clone()).headers(headers);
    match payload {
        // A length of zero is said, because some servers insist on one.
        Payload::Empty if matches!(*method, Method::GET | Method::HEAD) => {}
        Payload::Empty => request = request.header(header::CONTENT_LENGTH, 0),
        Payload::Bytes(bytes) => request = request.body(bytes.clone()),
        Payload::Part {
            content,
            offset,
            length,
        } => {
            let stream = upload::part(content.open(*offset).await?, *length);
            request = request
                .header(header::CONTENT_LENGTH, *length)
                .body(reqwest::Body::wrap_stream(stream));
        }
    }
    let pending = request.send();
    // An upload takes as long as it takes, and so does what a registry makes of it at the end; the
    // whole operation's time bounds both.
    let limit = if matches!(payload, Payload::Part { .. }) || *method == Method::PUT {
        context.limits.total_timeout
    } else {
        context.limits.header_timeout
    };
    let response = match timeout(limit, pending).await {
        Ok(Ok(response)) => response,
        Ok(Err(cause)) if cause.is_connect() && cause.is_timeout() => {
            return Err(RegistryError::Timeout {
                url: shown(),
                phase: Phase::Connect,
                limit: context.limits.connect_timeout,
            });
        }
        Ok(Err(cause)) => return Err(transport(shown(), cause)),
        Err(_) => {
            return Err(RegistryError::Timeout {
                url: shown(),
                phase: Phase::Answer,
                limit,
            });
        }
    };
    bound_head(response.headers(), &context.limits, url)?;
    Ok(response)
}

/// Refuses a head of too many lines or bytes.
pub(super) fn bound_head(
    headers: &HeaderMap,
    limits: &Limits,
    url: &Url,
) -> Result<(), RegistryError> {
    let (count, bytes) = headers
        .iter()
        .fold((0_usize, 0_usize), |sum, (name, value)| {
            (sum.0 + 1, sum.1 + name.as_str().len() + value.len())
        });
    let too_large = |what, limit: usize| {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        Err(RegistryError::TooLarge {
            what,
            limit,
            url: RedactedUrl::from(url),
        })
    };
    if count > limits.headers {
        return too_large("the head (lines)", limits.headers);
    }
    if bytes > limits.header_bytes {
        return too_large("the head (bytes)", limits.header_bytes);
    }
    Ok(())
}
