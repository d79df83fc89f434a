//! Acquires a token, with the credential of the session or anonymously.

use tokio::time::Instant;

use super::refusal::{is_refusal, is_unusable};
use super::{Auth, Authorization, CredentialState, Kind, LEEWAY, Session};
use crate::credentials::Credential;
use crate::error::{ClientError, TokenServerError};
use crate::events::RegistryEvent;
use crate::http::auth::challenge::BearerChallenge;
use crate::http::auth::scope::AuthScope;
use crate::http::auth::token::{Token, TokenRequest};
use crate::http::auth::{bearer, realm};
use crate::http::transport::Failure;
use crate::redact::RedactedUrl;

impl Auth {
    /// Acquires a token for `session`.
    pub(super) async fn renew(
        &self,
        scope: &AuthScope<'_>,
        session: &mut Session,
        challenge: &BearerChallenge,
    ) -> Result<(), Failure> {
        let endpoint = &scope.endpoint;
        let credential = match self.credential(scope, session).await {
            Err(error) if is_unusable(&error) && self.may_read_anonymously(scope) => {
                session.pause_credential(CredentialState::Unusable);
                let events = &endpoint.context.events;
                events.send(RegistryEvent::CredentialSkipped {
                    host: endpoint.host.clone(),
                    reason: error.to_string(),
                });
                None
            }
            credential => credential?,
        };
        if let Some(Credential::Bearer(token)) = &credential {
            let header = bearer(token).ok_or_else(|| {
                let reason = "the token has characters that a header does not allow";
                self.unusable(scope, reason)
            })?;
            session.authorization = Some(Authorization::new(header, Kind::Token));
            return Ok(());
        }
        let allow = &endpoint.options.allow_realms;
        let realm = realm::check(&endpoint.host, &endpoint.base, allow, &challenge.realm)?;
        let request = TokenRequest {
            auth: self,
            scope,
            realm: &realm,
            service: challenge.service.as_deref(),
            scopes: &scope.tokens(challenge.scope.as_deref()),
            credential: credential.as_ref(),
        };
        let token = self.token(&request, session).await?;
        let header = bearer(&token.text).ok_or_else(|| {
            ClientError::from(TokenServerError::NoToken {
                realm: RedactedUrl::from(&realm.url),
                reason: "it has characters that a header does not allow",
                source: None,
            })
        })?;
        let kind = if credential.is_some() && session.credential_state == CredentialState::InUse {
            Kind::Token
        } else {
            Kind::AnonymousToken
        };
        session.authorization = Some(Authorization {
            alternative: token.alternative.as_ref().and_then(bearer),
            expires: Some(Instant::now() + token.lifetime.saturating_sub(LEEWAY)),
            ..Authorization::new(header, kind)
        });
        Ok(())
    }

    /// Asks for a token. If the credential is refused and anonymous access may be enough, asks once
    /// more without it.
    async fn token(
        &self,
        request: &TokenRequest<'_>,
        session: &mut Session,
    ) -> Result<Token, Failure> {
        let scope = request.scope;
        match request.send().await {
            Err(refused) if !is_refusal(&refused) => Err(refused),
            Err(refused) if request.credential.is_some() && self.may_read_anonymously(scope) => {
                session.drop_credential(scope, self.origin(scope));
                let anonymous = TokenRequest {
                    credential: None,
                    ..*request
                };
                match anonymous.send().await {
                    Err(second) if is_refusal(&second) => Err(refused),
                    token => token,
                }
            }
            Err(refused) => {
                self.check_usable(scope, session).await?;
                Err(refused)
            }
            Ok(token) => Ok(token),
        }
    }
}
