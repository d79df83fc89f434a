//! Registries that hide private repositories from anonymous requests without a challenge.

use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use super::{Auth, AuthOutcome, CredentialState, Session};
use crate::http::auth::AuthScope;
use crate::http::transport::{Context, Failure, Payload, RequestSpec, follow};

impl Auth {
    /// Whether a request that was refused without a challenge can be sent again with a credential.
    /// If there is a credential, the registry is asked for a challenge, at most once a minute.
    pub(crate) async fn is_worth_a_credential(
        &self,
        context: &Context,
        scope: &AuthScope<'_>,
    ) -> bool {
        let mut session = self.session(scope).await;
        if session.authorization.is_some() {
            return true; // Another request has acquired it.
        }
        if session.is_challenge_requested || session.credential_state != CredentialState::InUse {
            return false;
        }
        session.is_challenge_requested = true;
        session.paused_at = Some(Instant::now());
        if !matches!(self.stored(scope).await, Ok(Some(_))) {
            return false;
        }
        let outcome = self.request_challenge(context, scope, &mut session).await;
        matches!(outcome, Ok(AuthOutcome::Retry))
    }

    /// Requests what every registry has, and answers its challenge.
    async fn request_challenge(
        &self,
        context: &Context,
        scope: &AuthScope<'_>,
        session: &mut Session,
    ) -> Result<AuthOutcome, Failure> {
        let mut url = scope.endpoint.base.clone();
        url.set_path("/v2/");
        let spec = RequestSpec {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            payload: Payload::Empty,
        };
        let answer = follow(context, scope.endpoint, &spec, None).await?;
        if answer.status != StatusCode::UNAUTHORIZED || !answer.is_same_origin {
            return Ok(AuthOutcome::Refused);
        }
        self.answer_challenge(context, scope, session, None, answer.headers())
            .await
    }
}
