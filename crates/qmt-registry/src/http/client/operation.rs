//! One operation at one registry: requests with authorization, and more attempts where they help.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use qmt_oci_ref::{RegistryHost, Repository};
use tokio::time::Instant;
use url::Url;

use super::attempt::Attempt;
use super::retry::Attempts;
use crate::error::ClientError;
use crate::http::auth::{Access, Auth, AuthScope};
use crate::http::transport::{Answer, Endpoint, Failure, Payload, RequestSpec};
use crate::limits::LIST_TRIES_MAX;
use crate::redact::RedactedUrl;

/// What the caller named does not exist.
const NAMED: &str = "check the name and the tag";
/// The manifest of a digest does not exist, which existed when the digest was learned.
pub(super) const PINNED: &str =
    "the image was deleted, or the registry has lost a part of it: publish it again";
/// A blob does not exist whose manifest exists.
const PART: &str = "the registry has lost a part of this image: publish it again";
/// The repository of an upload does not exist.
const REPOSITORY: &str =
    "check the name; some registries require that the repository is created first";

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
    /// The request for a part of an image whose manifest was read.
    pub(super) fn part(mut self) -> Self {
        (self.advice, self.may_be_private) = (PART, false);
        self.spec.is_content = true;
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
    /// A request that reads `rest` (such as `manifests/latest`) of `repository`.
    pub(super) fn read_request<'a>(
        &self,
        repository: &'a Repository,
        rest: &str,
        what: String,
    ) -> Request<'a> {
        let url = self.endpoint.url(repository, rest);
        self.request(Some(repository), Access::Pull, Method::GET, url, what)
    }

    /// A request for no repository, with which a credential can be checked.
    pub(super) fn check_request(&self, url: Url, what: String) -> Request<'static> {
        self.request(None, Access::Check, Method::GET, url, what)
    }

    pub(super) fn push_request<'a>(
        &self,
        to: &'a Repository,
        method: Method,
        url: Url,
    ) -> Request<'a> {
        self.request(Some(to), Access::Push, method, url, format!("`{to}`"))
    }

    fn request<'a>(
        &self,
        repository: Option<&'a Repository>,
        access: Access,
        method: Method,
        url: Url,
        what: String,
    ) -> Request<'a> {
        let advice = match access {
            Access::Push => REPOSITORY,
            Access::Pull => NAMED,
            Access::Check => "",
        };
        Request {
            scope: AuthScope {
                endpoint: Arc::clone(&self.endpoint),
                repository,
                access,
                mount_from: None,
            },
            spec: RequestSpec::new(method, url),
            what,
            advice,
            may_be_private: true,
        }
    }

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
        let auth = &self.auth;
        Attempt {
            auth,
            request,
            accept,
        }
        .send()
        .await
    }

    /// Waits until it is time for another attempt; returns the failure's error if no attempt is left.
    pub(super) async fn pause(
        &mut self,
        failure: impl Into<Failure>,
        request: &Request<'_>,
    ) -> Result<(), ClientError> {
        let events = &self.endpoint.context.events;
        let sent = (&request.spec.method, &request.redacted());
        self.attempts.pause(failure.into(), sent, events).await
    }

    /// The registry, if it redirected the request of `answer` elsewhere.
    pub(super) fn redirected_by(&self, answer: &Answer) -> Option<RegistryHost> {
        (!answer.is_same_origin).then(|| self.endpoint.host.clone())
    }
}
