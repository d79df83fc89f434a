//! Registries that refuse anonymous requests without a challenge: they hide private repositories,
//! or send the challenge for `/v2/` only, which docker requests first.

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::{Auth, AuthOutcome, CredentialState, LockedSession, lock};
use crate::http::auth::AuthScope;
use crate::http::transport::{API, Failure, RequestSpec, follow};

impl Auth {
    /// Whether a request that was refused without a challenge can be sent again with a credential
    /// or an anonymous token. The challenge is requested at most once a minute. Without a
    /// credential, it is requested only if the refusal `is_about_access`, no content of the
    /// repository was read anonymously, and `GET /v2/` was not answered anonymously before.
    pub(crate) async fn is_worth_a_credential(
        &self,
        scope: &AuthScope<'_>,
        is_about_access: bool,
    ) -> bool {
        let mut locked = self.session(scope).await;
        let session = &mut *locked.session;
        if session.authorization.is_some() {
            return true; // Another request has acquired it.
        }
        if session.is_challenge_requested || session.credential_state != CredentialState::InUse {
            return false;
        }
        let stored = self.stored(scope).await;
        if !is_about_access && matches!(stored, Ok(None)) {
            return false; // The next request decides.
        }
        session.is_challenge_requested = true;
        session.paused_at = Some(Instant::now());
        let is_worth_it = match &stored {
            Ok(Some(_)) => true,
            // An anonymous token may be required to read.
            Ok(None) => {
                self.may_read_anonymously(scope)
                    && !session.is_read_anonymously
                    && !lock(&self.open_origins).contains(&scope.origin())
            }
            Err(_) => false,
        };
        if !is_worth_it {
            return false;
        }
        let outcome = locked.request_challenge().await;
        locked.session.is_unchallenged =
            matches!((&outcome, &stored), (Ok(AuthOutcome::Refused), Ok(Some(_))));
        matches!(outcome, Ok(AuthOutcome::Retry))
    }

    /// Whether there is a credential that is not sent: the registry does not ask for it, or asks to send
    /// it to a token server that may not get it.
    pub(crate) async fn is_credential_unsent(&self, scope: &AuthScope<'_>) -> bool {
        let session = &self.session(scope).await.session;
        session.is_unchallenged || matches!(session.credential_state, CredentialState::Withheld(_))
    }

    /// Notes that the registry answers requests of this session without a credential.
    pub(crate) async fn note_anonymous_read(&self, scope: &AuthScope<'_>) {
        self.session(scope).await.session.is_read_anonymously = true;
    }
}

impl LockedSession<'_> {
    /// Requests what every registry has, and answers its challenge.
    async fn request_challenge(&mut self) -> Result<AuthOutcome, Failure> {
        let endpoint = &self.scope.endpoint;
        let mut url = endpoint.base.clone();
        url.set_path(API);
        let spec = RequestSpec::new(Method::GET, url);
        let answer = follow(endpoint, &spec, None).await?;
        if answer.status.is_success() && answer.is_same_origin {
            lock(&self.auth.open_origins).insert(self.scope.origin());
        }
        if answer.status != StatusCode::UNAUTHORIZED || !answer.is_same_origin {
            return Ok(AuthOutcome::Refused);
        }
        self.answer_challenge(None, answer.headers()).await
    }
}
