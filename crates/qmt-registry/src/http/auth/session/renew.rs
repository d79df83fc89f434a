//! Acquires a token, with the credential of the session or anonymously.

use qmt_oci_ref::text;
use tokio::time::Instant;

use super::refusal::{is_refusal, is_unusable};
use super::{Authorization, CredentialState, Kind, LEEWAY, LockedSession};
use crate::credentials::Credential;
use crate::error::{ClientError, TokenServerError};
use crate::events::RegistryEvent;
use crate::http::auth::challenge::BearerChallenge;
use crate::http::auth::token::{Token, TokenRequest};
use crate::http::auth::{bearer, realm, unsendable};
use crate::http::transport::Failure;
use crate::redact::RedactedUrl;

impl LockedSession<'_> {
    /// Acquires a token.
    pub(super) async fn renew(&mut self, challenge: &BearerChallenge) -> Result<(), Failure> {
        let (auth, scope) = (self.auth, self.scope);
        let endpoint = &scope.endpoint;
        let mut credential = match self.credential().await {
            Err(error) if is_unusable(&error) && auth.may_skip_credential(scope) => {
                self.skip_credential(CredentialState::Unusable, &error);
                None
            }
            credential => credential?,
        };
        if let Some(Credential::Bearer(token)) = &credential {
            let header = bearer(token).ok_or_else(|| auth.unusable(scope, unsendable(token)))?;
            self.session.authorization = Some(Authorization::new(header, Kind::Token));
            return Ok(());
        }
        let allow = &endpoint.options.allow_realms;
        let realm = realm::check(&endpoint.host, &endpoint.base, allow, &challenge.realm)?;
        if realm.is_for_anonymous() && credential.is_some() && auth.may_skip_credential(scope) {
            let withheld = CredentialState::Withheld(realm.url.clone());
            self.skip_credential(withheld, &realm::untrusted(&endpoint.host, &realm.url));
            credential = None;
        }
        let token = self.token(TokenRequest {
            auth,
            scope,
            realm: &realm,
            service: challenge.service.as_deref(),
            scopes: scope.tokens(challenge.scope.as_deref()),
            credential: credential.as_ref(),
        });
        let token = token.await?;
        let header = bearer(&token.text).ok_or_else(|| {
            ClientError::from(TokenServerError::NoToken {
                realm: RedactedUrl::from(&realm.url),
                origin: credential.as_ref().map(|_| auth.origin(scope)),
                reason: "it has characters that a header does not allow",
                source: None,
            })
        })?;
        let is_used = self.session.credential_state == CredentialState::InUse;
        let kind = if credential.is_some() && is_used {
            Kind::Token
        } else {
            Kind::AnonymousToken
        };
        self.session.authorization = Some(Authorization {
            alternative: token.alternative.as_ref().and_then(bearer),
            expires: Some(Instant::now() + token.lifetime.saturating_sub(LEEWAY)),
            ..Authorization::new(header, kind)
        });
        Ok(())
    }

    /// Continues without the credential, and reports why.
    fn skip_credential(&mut self, state: CredentialState, why: &(dyn std::error::Error + 'static)) {
        self.session.authorization = None;
        self.session.pause_credential(state);
        let endpoint = &self.scope.endpoint;
        endpoint
            .context
            .events
            .send(RegistryEvent::CredentialSkipped {
                host: endpoint.host.clone(),
                reason: text::error_line(why, None),
            });
    }

    /// Asks for a token. If the credential is refused and anonymous access may be enough, asks once
    /// more without it.
    async fn token(&mut self, mut request: TokenRequest<'_>) -> Result<Token, Failure> {
        let refused = match request.send().await {
            Err(refused) if is_refusal(&refused) => refused,
            token => return token,
        };
        if request.credential.is_none() || !self.auth.may_read_anonymously(self.scope) {
            self.check_usable().await?;
            return Err(refused);
        }
        // A token server that gives no token refuses nothing.
        let answer = match &refused.error {
            ClientError::TokenServer(no_token) => Some(text::error_line(no_token, None)),
            _ => None,
        };
        self.drop_credential(answer);
        request.credential = None;
        match request.send().await {
            Err(second) if is_refusal(&second) => Err(refused),
            token => token,
        }
    }
}
