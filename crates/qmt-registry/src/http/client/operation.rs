//! One operation at one registry: requests with authorization, and more attempts where they help.

mod unchallenged;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use qmt_oci_ref::{RegistryHost, Repository};
use tokio::time::Instant;
use url::Url;

use self::unchallenged::{hides_the_repository, with_credential};
use super::retry::Attempts;
use crate::error::{ClientError, hint};
use crate::events::RegistryEvent;
use crate::http::auth::{Access, Auth, AuthOutcome, AuthScope, Authorization};
use crate::http::transport::{
    API, Answer, Endpoint, Failure, Payload, RequestSpec, Secrets, follow, has_error_code,
    is_denied, is_of_proxy, is_registry_error, retry_after,
};
use crate::limits::LIST_TRIES_MAX;
use crate::redact::RedactedUrl;

/// A header of registries.
const API_VERSION: &str = "docker-distribution-api-version";

/// A request to a registry.
pub(super) struct Request<'a> {
    pub(super) scope: AuthScope<'a>,
    pub(super) spec: RequestSpec<'a>,
    /// What is asked for, for errors.
    pub(super) what: String,
    /// What to do if that does not exist.
    pub(super) advice: &'static str,
    /// Whether access to it may be denied by a status 404.
    pub(super) may_be_private: bool,
}

impl<'a> Request<'a> {
    /// A request that reads `rest` (such as `manifests/latest`) of `repository`.
    pub(super) fn read(
        endpoint: &Arc<Endpoint>,
        repository: &'a Repository,
        rest: &str,
        what: String,
    ) -> Self {
        let url = endpoint.url(repository, rest);
        let repository = Some(repository);
        Self::new(endpoint, repository, Access::Pull, Method::GET, url, what)
    }

    /// A request for no repository, with which a credential can be checked.
    pub(super) fn check(endpoint: &Arc<Endpoint>, url: Url, what: String) -> Self {
        Self::new(endpoint, None, Access::Check, Method::GET, url, what)
    }

    pub(super) fn new(
        endpoint: &Arc<Endpoint>,
        repository: Option<&'a Repository>,
        access: Access,
        method: Method,
        url: Url,
        what: String,
    ) -> Self {
        let scope = AuthScope {
            endpoint: Arc::clone(endpoint),
            repository,
            access,
            mount_from: None,
        };
        let spec = RequestSpec {
            method,
            url,
            headers: HeaderMap::new(),
            payload: Payload::Empty,
        };
        let advice = match access {
            Access::Push => hint::REPOSITORY,
            Access::Pull => hint::NAMED,
            Access::Check => "",
        };
        Self {
            scope,
            spec,
            what,
            advice,
            may_be_private: true,
        }
    }

    /// The request for a part of an image whose manifest was read.
    pub(super) fn part(mut self) -> Self {
        (self.advice, self.may_be_private) = (hint::PART, false);
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        // All values are made of constants, numbers, digests and media types.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.spec.headers.insert(name, value);
        }
        self
    }

    pub(super) fn payload(mut self, payload: Payload<'a>) -> Self {
        self.spec.payload = payload;
        self
    }

    pub(super) fn redacted(&self) -> RedactedUrl {
        RedactedUrl::from(&self.spec.url)
    }
}

/// One operation at one registry.
pub(super) struct Operation {
    pub(super) auth: Arc<Auth>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) attempts: Attempts,
}

impl Operation {
    /// The same operation with its own attempts, as few and in as little time as one of the places
    /// gets in which the evidence about a digest is searched: the others may be enough, and the
    /// error of its last attempt is reported in time.
    pub(super) fn as_one_of_many_places(&self) -> Self {
        let mut limits = self.endpoint.context.limits.clone();
        limits.tries = limits.tries.min(LIST_TRIES_MAX);
        let deadline = Instant::now() + limits.referrers_timeout;
        Self {
            auth: Arc::clone(&self.auth),
            endpoint: Arc::clone(&self.endpoint),
            attempts: Attempts::new(&limits, deadline.min(self.attempts.deadline)),
        }
    }

    /// Sends `request` until the answer has one of the statuses in `accept`.
    pub(super) async fn send(
        &mut self,
        request: &Request<'_>,
        accept: &[u16],
    ) -> Result<Answer, ClientError> {
        loop {
            match self.once(request, accept).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.pause(failure, request).await?,
            }
        }
    }

    /// Sends `request` in one attempt.
    pub(super) async fn once(
        &self,
        request: &Request<'_>,
        accept: &[u16],
    ) -> Result<Answer, Failure> {
        once(&self.auth, request, accept).await
    }

    /// Waits until it is time for another attempt; returns the failure's error if no attempt is left.
    pub(super) async fn pause(
        &mut self,
        failure: impl Into<Failure>,
        request: &Request<'_>,
    ) -> Result<(), ClientError> {
        let events = &self.endpoint.context.events;
        let url = request.redacted();
        self.attempts.pause(failure.into(), &url, events).await
    }

    /// The registry, if it redirected the request of `answer` elsewhere.
    pub(super) fn redirected_by(&self, answer: &Answer) -> Option<RegistryHost> {
        (!answer.is_same_origin).then(|| self.endpoint.host.clone())
    }
}

/// Sends `request` in one attempt, with the requests that authentication and redirects add.
pub(super) async fn once(
    auth: &Auth,
    request: &Request<'_>,
    accept: &[u16],
) -> Result<Answer, Failure> {
    let Request { scope, spec, .. } = request;
    let endpoint = &*scope.endpoint;
    // The location of an upload may be on another host, which gets no credential.
    let mut authorization = if endpoint.is_origin_of(&spec.url) {
        auth.current(scope).await?
    } else {
        None
    };
    let (mut is_fresh, mut challenges) = (false, 0);
    loop {
        let header = authorization.as_ref().map(|held| &held.header);
        let answer = follow(endpoint, spec, header).await?;
        let is_same_origin = answer.is_same_origin;
        if is_same_origin {
            report_rate_limit(endpoint, answer.headers());
        }
        if authorization.is_none()
            && hides_the_repository(request, &answer)
            && let Some(outcome) = with_credential(auth, request, accept).await
        {
            return outcome;
        }
        if answer.status == StatusCode::UNAUTHORIZED && is_same_origin {
            challenges += 1;
            let used = authorization.as_ref();
            if challenges <= endpoint.context.limits.challenges
                && let AuthOutcome::Retry = auth
                    .refused(scope, used, is_fresh, answer.headers())
                    .await?
            {
                authorization = auth.current(scope).await?;
                is_fresh = true;
                continue;
            }
        }
        if accept.contains(&answer.status.as_u16()) {
            if authorization.is_none() && is_same_origin && answer.status.is_success() {
                auth.note_anonymous_read(scope).await;
            }
            return Ok(answer);
        }
        let is_forbidden = answer.status == StatusCode::FORBIDDEN && is_same_origin;
        let used = authorization.as_ref();
        let failure = failure(auth, request, used, answer).await?;
        let is_of_proxy = matches!(failure.error, ClientError::ProxyAnswer { .. });
        if is_forbidden
            && !is_of_proxy
            && let Some(answer) = anonymously(auth, request, accept, used).await
        {
            return Ok(answer);
        }
        return Err(failure);
    }
}

/// What an answer means that was not asked for.
async fn failure(
    auth: &Auth,
    request: &Request<'_>,
    used: Option<&Authorization>,
    answer: Answer,
) -> Result<Failure, ClientError> {
    let scope = &request.scope;
    let proxy = answer.proxy.clone();
    let has_api_version = answer.headers().contains_key(API_VERSION);
    let retry_after = retry_after(answer.headers(), SystemTime::now());
    let (status, url) = (answer.status.as_u16(), RedactedUrl::from(&answer.url));
    // After a redirect to another server, or out of the API, the answer is the store's.
    let is_of_api = answer.url == request.spec.url || answer.url.path().starts_with(API);
    let is_registry = scope.endpoint.is_origin_of(&answer.url) && is_of_api;
    let is_challenge = status == 401 && answer.is_same_origin;
    let header = used.map(|used| &used.header);
    let secrets = Secrets::of_exchange(&scope.endpoint, &request.spec, header, &answer.url);
    let text = answer.body.beginning().await?;
    // The content of an answer with another status of success is no message.
    let is_message = status >= 300 || is_registry_error(&text.bytes);
    let message = if is_message {
        secrets.message(&text)
    } else {
        String::new()
    };
    let host = scope.endpoint.host.clone();
    let is_anonymous = used.is_none_or(Authorization::is_anonymous);
    let is_of_server = has_api_version || is_registry_error(&text.bytes);
    let of_proxy = proxy.filter(|_| is_of_proxy(status, is_of_server));
    let error = match (status, of_proxy) {
        (_, Some(proxy)) => ClientError::ProxyAnswer {
            proxy,
            url,
            status,
            message,
        },
        (200..=299, _) if text.is_web_page() => {
            let what = "the answer of a registry";
            let from = Some(host).filter(|_| !is_registry);
            ClientError::WebPage { url, what, from }
        }
        (400 | 404, _)
            if request.spec.method == Method::PUT
                && has_error_code(&text.bytes, &["MANIFEST_BLOB_UNKNOWN"]) =>
        {
            ClientError::part_missing(url, message)
        }
        (404, _) => ClientError::NotFound {
            what: request.what.clone(),
            store: Some(url).filter(|_| !is_registry),
            message,
            // Where its manifest was read, access to a part is not denied.
            host: scope
                .repository
                .and(Some(host))
                .filter(|_| is_registry && request.may_be_private),
            origin: (!is_anonymous).then(|| auth.origin(scope)),
            advice: request.advice,
        },
        (400 | 401 | 403 | 422, _)
            if (is_registry || is_challenge) && is_denied(status, &text.bytes) =>
        {
            match auth.is_without_credential(scope, used).await {
                Ok(anonymous) => unauthorized(auth, request, status, anonymous, message),
                Err(error) => error,
            }
        }
        (429, _) => ClientError::RateLimited {
            host: (is_anonymous && is_registry).then_some(host),
            url,
            retry_after,
            message,
        },
        _ => ClientError::Status {
            url,
            status,
            from: Some(host).filter(|_| !is_registry),
            message,
        },
    };
    Ok(Failure { error, retry_after })
}

/// Sends a forbidden request again without the credential. The token server may have accepted a
/// credential to which the registry forbids what everyone may read.
async fn anonymously(
    auth: &Auth,
    request: &Request<'_>,
    accept: &[u16],
    used: Option<&Authorization>,
) -> Option<Answer> {
    if !auth.may_drop_credential(&request.scope, used) {
        return None;
    }
    let anonymous = Auth::anonymous();
    let answer = Box::pin(once(&anonymous, request, accept)).await.ok()?;
    auth.drop_credential(&request.scope).await;
    Some(answer)
}

pub(super) fn unauthorized(
    auth: &Auth,
    request: &Request<'_>,
    status: u16,
    anonymous: bool,
    message: String,
) -> ClientError {
    ClientError::Unauthorized {
        host: request.scope.endpoint.host.clone(),
        what: request.what.clone(),
        status,
        anonymous,
        origin: auth.origin(&request.scope),
        message,
    }
}

/// Reports Docker Hub's `ratelimit-limit: 100;w=21600` and `ratelimit-remaining: 76;w=21600`.
fn report_rate_limit(endpoint: &Endpoint, headers: &HeaderMap) {
    let read = |name: &str| {
        let text = headers.get(name)?.to_str().ok()?;
        let (count, rest) = text.split_once(';').unwrap_or((text, ""));
        let window = rest.trim().strip_prefix("w=");
        let window = window.and_then(|seconds| seconds.parse().ok());
        Some((count.trim().parse().ok()?, window.map(Duration::from_secs)))
    };
    if let Some((remaining, window)) = read("ratelimit-remaining") {
        endpoint.context.events.send(RegistryEvent::RateLimit {
            host: endpoint.host.clone(),
            limit: read("ratelimit-limit").map(|(limit, _)| limit),
            remaining,
            window,
        });
    }
}
