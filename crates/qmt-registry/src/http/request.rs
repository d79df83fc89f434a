//! One request: authorization, redirects, and what an answer's status means.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use qmt_oci_ref::Repository;
use reqwest::Client;
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use super::body::{Body, transport};
use super::endpoint::Endpoint;
use super::redirect;
use super::retry::{Attempts, Failure, retry_after};
use super::token::{Access, Ask, Auth, Verdict};
use crate::error::{Phase, RegistryError, ServerText};
use crate::events::{Events, RegistryEvent};
use crate::limits::Limits;
use crate::redact::RedactedUrl;
use crate::registry::BlobContent;

/// What all requests of one client share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) limits: Limits,
    pub(crate) events: Events,
}

/// What a request carries.
#[derive(Clone)]
pub(crate) enum Payload<'a> {
    /// Nothing.
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// So many bytes of a blob from an offset on, opened for each try.
    Part {
        content: &'a dyn BlobContent,
        offset: u64,
        length: u64,
    },
}

/// A request to an endpoint.
pub(crate) struct Call<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) repository: Option<&'a Repository>,
    pub(crate) access: Access,
    pub(crate) mount_from: Option<&'a Repository>,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload<'a>,
    /// What is asked for, in words for an error.
    pub(crate) what: String,
}

impl<'a> Call<'a> {
    /// A request that reads.
    pub(crate) fn read(
        endpoint: &'a Endpoint,
        repository: &'a Repository,
        rest: &str,
        what: String,
    ) -> Self {
        Self {
            endpoint,
            repository: Some(repository),
            access: Access::Pull,
            mount_from: None,
            method: Method::GET,
            url: endpoint.url(repository, rest),
            headers: HeaderMap::new(),
            payload: Payload::Empty,
            what,
        }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        // All values are made of our own constants, numbers and digests.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// The head of an answer; its body is still on the line.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) url: Url,
    response: reqwest::Response,
}

impl Answer {
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(crate) fn body(self, limits: &Limits) -> Body {
        Body::new(self.response, &self.url, limits)
    }
}

/// Sends `call` until it is answered with one of the statuses in `accept`, within `attempts`.
///
/// # Errors
///
/// What the last try failed with.
pub(crate) async fn send(
    context: &Context,
    auth: &Auth,
    call: &Call<'_>,
    accept: &[u16],
    attempts: &mut Attempts,
) -> Result<Answer, RegistryError> {
    loop {
        match once(context, auth, call, accept).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => {
                let url = RedactedUrl::from(&call.url);
                attempts.pause(failure, &url, &context.events).await?;
            }
        }
    }
}

/// Sends `call` once, with as many rounds as authentication and redirects take.
///
/// # Errors
///
/// Any that a request can have; with the pause that the server asks for.
pub(crate) async fn once(
    context: &Context,
    auth: &Auth,
    call: &Call<'_>,
    accept: &[u16],
) -> Result<Answer, Failure> {
    let ask = Ask {
        endpoint: call.endpoint,
        repository: call.repository,
        access: call.access,
        mount_from: call.mount_from,
    };
    // An upload's place may be on another host: it gets no credential (AUTH-14).
    let ours = redirect::same_origin(&call.url, &call.endpoint.base);
    let mut authorization = if ours {
        auth.current(context, &ask).await?
    } else {
        None
    };
    let mut fresh = false;
    let mut challenges = 0;
    loop {
        let header = authorization.as_ref().map(|held| &held.header);
        let (answer, with_header) = hops(context, call, header).await?;
        if with_header {
            report_rate_limit(context, call.endpoint, answer.headers());
        }
        if answer.status == StatusCode::UNAUTHORIZED && with_header {
            challenges += 1;
            let used = authorization.as_ref();
            let verdict = if challenges > context.limits.challenges {
                Verdict::Refused {
                    anonymous: used.is_none(),
                }
            } else {
                auth.refused(context, &ask, used, fresh, answer.headers())
                    .await?
            };
            if let Verdict::Refused { anonymous } = verdict {
                let body = answer.body(&context.limits);
                let text = body.beginning(context.limits.error_body).await;
                return Err(unauthorized(call, 401, anonymous, &text).into());
            }
            authorization = auth.current(context, &ask).await?;
            fresh = true;
            continue;
        }
        if accept.contains(&answer.status.as_u16()) {
            return Ok(answer);
        }
        let anonymous = authorization.is_none();
        return Err(refusal(context, call, answer, anonymous).await);
    }
}

/// Follows redirects. Tells whether the answer came from the endpoint's own origin, without having
/// left it in between: only then was the header sent, and only then a challenge is answered.
async fn hops(
    context: &Context,
    call: &Call<'_>,
    authorization: Option<&HeaderValue>,
) -> Result<(Answer, bool), RegistryError> {
    let endpoint = call.endpoint;
    let mut url = call.url.clone();
    let mut ours = redirect::same_origin(&url, &endpoint.base);
    if !ours {
        redirect::check_address(&endpoint.base, &url, endpoint.kinds().await)?;
    }
    for _ in 0..=context.limits.redirects {
        let client = if ours {
            endpoint.client()?
        } else {
            endpoint.foreign_client(&url).await?
        };
        let mut headers = call.headers.clone();
        if let Some(authorization) = authorization.filter(|_| ours) {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let response =
            execute(context, &client, &call.method, &url, headers, &call.payload).await?;
        let status = response.status();
        let follows = matches!(call.method, Method::GET | Method::HEAD);
        if !(redirect::is_redirect(status) && follows) {
            return Ok((
                Answer {
                    status,
                    url,
                    response,
                },
                ours,
            ));
        }
        let to = redirect::target(&url, response.headers())?;
        // Once it left, the header does not come back (CVE-2024-45336).
        ours &= redirect::same_origin(&to, &endpoint.base);
        if !ours {
            redirect::check_address(&url, &to, endpoint.kinds().await)?;
        }
        url = to;
    }
    let fault = "it redirects too often";
    Err(RegistryError::Protocol {
        url: RedactedUrl::from(&call.url),
        fault,
    })
}

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
    let mut uploads = false;
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
            uploads = true;
            let stream = super::upload::part(content.open(*offset).await?, *length);
            request = request
                .header(header::CONTENT_LENGTH, *length)
                .body(reqwest::Body::wrap_stream(stream));
        }
    }
    let pending = request.send();
    // An upload takes as long as it takes; the whole operation's time bounds it.
    let limit = if uploads {
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
fn bound_head(headers: &HeaderMap, limits: &Limits, url: &Url) -> Result<(), RegistryError> {
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

/// What a status means that was not expected.
async fn refusal(context: &Context, call: &Call<'_>, answer: Answer, anonymous: bool) -> Failure {
    let status = answer.status.as_u16();
    let wait = retry_after(answer.headers(), SystemTime::now());
    let url = RedactedUrl::from(&answer.url);
    let text = answer
        .body(&context.limits)
        .beginning(context.limits.error_body)
        .await;
    let error = match status {
        404 => RegistryError::NotFound {
            what: call.what.clone(),
        },
        401 | 403 => unauthorized(call, status, anonymous, &text),
        429 => RegistryError::RateLimited {
            url,
            retry_after: wait,
        },
        _ => RegistryError::Status {
            url,
            status,
            said: said(&text),
        },
    };
    Failure {
        error,
        retry_after: wait,
    }
}

fn unauthorized(call: &Call<'_>, status: u16, anonymous: bool, text: &[u8]) -> RegistryError {
    RegistryError::Unauthorized {
        host: call.endpoint.host.clone(),
        what: call.what.clone(),
        status,
        anonymous,
        said: said(text),
    }
}

/// The words in an error body: the specification's JSON, a token server's, or plain text.
pub(crate) fn said(body: &[u8]) -> ServerText {
    #[derive(Deserialize)]
    struct Said {
        errors: Option<Vec<Entry>>,
        details: Option<String>,
        message: Option<String>,
    }
    #[derive(Deserialize)]
    struct Entry {
        code: Option<String>,
        message: Option<String>,
    }
    if let Ok(Said {
        errors,
        details,
        message,
    }) = serde_json::from_slice(body)
    {
        let mut words: Vec<String> = Vec::new();
        for entry in errors.into_iter().flatten().take(4) {
            let parts = [entry.code, entry.message];
            words.push(parts.into_iter().flatten().collect::<Vec<_>>().join(": "));
        }
        words.extend(details);
        words.extend(message);
        return ServerText::new(&words.join("; "));
    }
    let text = String::from_utf8_lossy(body);
    // A gateway's HTML page says less than its status.
    if text.trim_start().starts_with('<') {
        ServerText::default()
    } else {
        ServerText::new(&text)
    }
}

/// Docker Hub's `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 76;w=21600`.
fn report_rate_limit(context: &Context, endpoint: &Endpoint, headers: &HeaderMap) {
    let read = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        let (count, rest) = text.split_once(';').unwrap_or((text, ""));
        let window = rest
            .trim()
            .strip_prefix("w=")
            .and_then(|seconds| seconds.parse().ok());
        Some((
            count.trim().parse().ok()?,
            window.map(std::time::Duration::from_secs),
        ))
    };
    if let Some((remaining, window)) = read("ratelimit-remaining") {
        context.events.send(RegistryEvent::RateLimit {
            host: endpoint.host.clone(),
            limit: read("ratelimit-limit").map(|(limit, _)| limit),
            remaining,
            window,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LIM-03: 100 lines and 64 KiB of names and values, and one past each.
    #[test]
    fn lim_03_a_head_at_the_limit_and_past_it() {
        let url = Url::parse("https://r.example/v2/").unwrap();
        let head = |lines: usize, bytes: usize| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(&vec![b'v'; bytes / lines - 3]).unwrap();
            for line in 0..lines {
                let name = HeaderName::from_bytes(format!("x{line:02}").as_bytes()).unwrap();
                headers.append(name, value.clone());
            }
            // What the division left over.
            let rest = vec![b'v'; bytes / lines - 3 + bytes % lines];
            headers.insert("x00", HeaderValue::from_bytes(&rest).unwrap());
            bound_head(&headers, &Limits::default(), &url).map_err(|error| error.to_string())
        };
        head(100, 5_000).unwrap();
        let error = head(101, 5_000).unwrap_err();
        assert!(
            error.contains("(lines)") && error.contains("100"),
            "{error}"
        );
        head(100, 65_536).unwrap();
        let error = head(100, 65_537).unwrap_err();
        assert!(
            error.contains("(bytes)") && error.contains("65536"),
            "{error}"
        );
    }

    /// LIM-02: of an error body 64 KiB are read: JSON of that size is understood, and of one byte
    /// more only its beginning is shown.
    #[tokio::test]
    async fn lim_02_an_error_body_at_the_limit_and_past_it() {
        let server = qmt_testkit::FakeRegistry::builder().serve().await;
        let reference = server.reference("acme/echo:1");
        let client = super::super::HttpRegistry::builder()
            .host(
                server.host(),
                super::super::HostOptions::new().plain_http(true),
            )
            .build()
            .unwrap();
        for (length, understood) in [(65_536, true), (65_537, false)] {
            let start = r#"{"errors":[{"code":"DENIED","message":"not you"}],"filler":""#;
            let body = format!("{start}{}\"}}", "f".repeat(length - start.len() - 2));
            assert_eq!(body.len(), length);
            server.clear_faults();
            let refusal = qmt_testkit::Fault::on("GET", "/v2/*")
                .respond(403)
                .body(body);
            server.fault(refusal);
            let error = crate::Registry::resolve(&client, &reference)
                .await
                .unwrap_err();
            let text = error.to_string();
            assert_eq!(text.ends_with(": DENIED: not you"), understood, "{text}");
            assert!(text.len() < 1_400);
        }
    }

    /// CFG-02: of an error body its words are shown, escaped and cut; of a page nothing.
    #[test]
    fn a_servers_words_are_found() {
        let text = |body: &str| said(body.as_bytes()).to_string();
        let spec = r#"{"errors":[{"code":"DENIED","message":"not you\u001b[31m","detail":{}}]}"#;
        assert_eq!(text(spec), ": DENIED: not you\\u{1b}[31m");
        assert_eq!(
            text(r#"{"details":"incorrect username or password"}"#),
            ": incorrect username or password"
        );
        assert_eq!(text("no such thing\n"), ": no such thing");
        assert_eq!(text("<html><body>502</body></html>"), "");
        assert_eq!(text(""), "");
        assert!(text(&"x".repeat(64 << 10)).len() < 1100);
        assert_eq!(said(b"\xff\xfe").to_string(), ": \u{fffd}\u{fffd}");
    }
}
