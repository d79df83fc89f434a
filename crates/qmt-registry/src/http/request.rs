//! One request: authorization, redirects, and what an answer's status means.

mod execute;
mod refusal;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use qmt_oci_ref::Repository;
use url::Url;

pub(super) use self::execute::execute;
pub(super) use self::refusal::said;
use self::refusal::{refusal, unauthorized};
use super::body::Body;
use super::endpoint::Endpoint;
use super::redirect;
use super::retry::{Attempts, Failure};
use super::token::{Access, Ask, Auth, Verdict};
use crate::error::RegistryError;
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
        let is_forbidden = answer.status == StatusCode::FORBIDDEN && with_header;
        let refused = refusal(context, call, answer, anonymous).await;
        // The token server took the credential, and the registry forbids it what everybody may.
        if is_forbidden && auth.may_go_without(&ask, authorization.as_ref()) {
            let nobody = Auth::new(None, false);
            if let Ok(answer) = Box::pin(once(context, &nobody, call, accept)).await {
                auth.go_without(context, &ask).await;
                return Ok(answer);
            }
        }
        return Err(refused);
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
mod tests;
