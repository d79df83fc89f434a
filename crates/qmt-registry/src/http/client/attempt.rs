//! One attempt to send a request: with authorization, redirects, and what its answer means.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode, header};

use super::operation::Request;
use crate::error::{ClientError, ProxyError};
use crate::events::RegistryEvent;
use crate::http::auth::{Auth, AuthOutcome, Authorization};
use crate::http::transport::{
    API, Answer, Endpoint, Failure, Secrets, follow, has_error_code, is_denied, is_of_proxy,
    is_registry_error, retry_after,
};
use crate::redact::RedactedUrl;

/// A header of registries.
const API_VERSION: &str = "docker-distribution-api-version";

/// One attempt to send a request, with the requests that authentication and redirects add.
pub(super) struct Attempt<'a> {
    pub(super) auth: &'a Auth,
    pub(super) request: &'a Request<'a>,
    pub(super) accept: &'a [u16],
}

impl Attempt<'_> {
    pub(super) async fn send(&self) -> Result<Answer, Failure> {
        let (auth, Request { scope, spec, .. }) = (self.auth, self.request);
        let endpoint = &*scope.endpoint;
        // The location of an upload may be on another host, or named by one, and gets no credential then.
        let mut authorization = if endpoint.is_own_request(spec) {
            auth.current(scope).await?
        } else {
            None
        };
        let (mut is_fresh, mut challenges) = (false, 0);
        loop {
            let used = authorization.as_ref();
            let answer = follow(endpoint, spec, used.map(|used| &used.header)).await?;
            let is_same_origin = answer.is_same_origin;
            if is_same_origin {
                report_rate_limit(endpoint, answer.headers());
            }
            if used.is_none()
                && hides_the_repository(self.request, &answer)
                && let Some(outcome) = self.with_credential().await
            {
                return outcome;
            }
            if answer.status == StatusCode::UNAUTHORIZED && is_same_origin {
                challenges += 1;
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
            if self.accept.contains(&answer.status.as_u16()) {
                if used.is_none() && is_same_origin && answer.status.is_success() {
                    auth.note_anonymous_read(scope).await;
                }
                return Ok(answer);
            }
            let is_forbidden = answer.status == StatusCode::FORBIDDEN && is_same_origin;
            let failure = self.failure(used, answer).await?;
            let is_of_proxy =
                matches!(failure.error, ClientError::Proxy(ProxyError::Answer { .. }));
            if is_forbidden
                && !is_of_proxy
                && let Some(answer) = self.anonymously(used).await
            {
                return Ok(answer);
            }
            return Err(failure);
        }
    }

    /// What an answer means that was not asked for.
    async fn failure(
        &self,
        used: Option<&Authorization>,
        answer: Answer,
    ) -> Result<Failure, ClientError> {
        let (auth, request) = (self.auth, self.request);
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
        let secrets = Secrets::of_exchange(&scope.endpoint, &request.spec, header, &answer.url)
            .and(answer.secrets);
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
        let is_unsent = is_anonymous && auth.is_credential_unsent(scope).await;
        let is_of_server = has_api_version || is_registry_error(&text.bytes);
        let of_proxy = proxy.filter(|_| is_of_proxy(status, is_of_server));
        let error = match (status, of_proxy) {
            (_, Some(proxy)) => ClientError::Proxy(ProxyError::Answer {
                proxy,
                url,
                status,
                message,
            }),
            (200..=299, _) if text.is_web_page() => {
                let what = "the answer of a registry";
                let from = Some(host).filter(|_| !is_registry);
                ClientError::WebPage { url, what, from }
            }
            (400 | 404, _)
                if request.spec.method == Method::PUT
                    && has_error_code(&text.bytes, &["MANIFEST_BLOB_UNKNOWN"]) =>
            {
                ClientError::UploadRefused {
                    url,
                    reason: "it does not have a blob or manifest that the pushed manifest names",
                    message,
                    advice: "push again, so that the missing part is uploaded",
                }
            }
            (404, _) => ClientError::NotFound {
                what: request.what.clone(),
                store: Some(url).filter(|_| !is_registry),
                message,
                // Where its manifest was read, access to a part is not denied.
                host: scope
                    .repository
                    .and(Some(host))
                    .filter(|_| is_registry && request.may_be_private && !is_unsent),
                origin: (!is_anonymous).then(|| auth.origin(scope)),
                advice: request.advice,
            },
            // Registries send JSON, or nothing.
            (403, _) if is_registry && !has_api_version && text.is_web_page() => {
                ClientError::BlockPage {
                    url,
                    status,
                    message,
                }
            }
            (400 | 401 | 403 | 422, _)
                if (is_registry || is_challenge) && is_denied(status, &text.bytes) =>
            {
                match auth.is_without_credential(scope, used).await {
                    Ok(anonymous) => unauthorized(auth, request, status, anonymous, message)
                        .with_unsent_credential(is_unsent),
                    Err(error) => error,
                }
            }
            (429, _) => ClientError::RateLimited {
                host: (is_anonymous && is_registry && !is_unsent).then_some(host),
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
    async fn anonymously(&self, used: Option<&Authorization>) -> Option<Answer> {
        let scope = &self.request.scope;
        if !self.auth.may_drop_credential(scope, used) {
            return None;
        }
        let auth = &Auth::anonymous();
        let answer = Box::pin(Attempt { auth, ..*self }.send()).await.ok()?;
        self.auth.drop_credential(scope).await;
        Some(answer)
    }

    /// Sends an anonymous request again with the credential, or with a token that needs none. `None`
    /// where that fails as well: then the first answer counts.
    async fn with_credential(&self) -> Option<Result<Answer, Failure>> {
        let Request { scope, spec, .. } = self.request;
        // If a range is refused, the whole is requested next.
        let is_whole = !spec.headers.contains_key(header::RANGE);
        if !self.auth.is_worth_a_credential(scope, is_whole).await {
            return None;
        }
        let outcome = Box::pin(self.send()).await;
        Some(outcome).filter(|outcome| match outcome {
            Ok(_) => true,
            Err(Failure { error, .. }) => {
                error.is_retryable() || matches!(error, ClientError::NotFound { .. })
            }
        })
    }
}

/// Whether a registry may answer so, without a challenge, to an anonymous request for a private
/// repository. A challenge is answered in any case.
fn hides_the_repository(request: &Request<'_>, answer: &Answer) -> bool {
    let is_refused = match answer.status.as_u16() {
        401 => !answer.headers().contains_key(header::WWW_AUTHENTICATE),
        status => matches!(status, 403 | 404),
    };
    is_refused && answer.is_same_origin && request.scope.repository.is_some()
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
        is_unsent: false,
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
