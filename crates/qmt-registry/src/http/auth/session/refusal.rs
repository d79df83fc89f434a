//! What the refusal of a credential means, and where the credential comes from.

use super::Auth;
use crate::credentials::CredentialOrigin;
use crate::error::{ClientError, CredentialError, TokenServerError};
use crate::http::auth::AuthScope;
use crate::http::transport::Failure;

impl Auth {
    /// Where the credential of a request comes from.
    pub(crate) fn origin(&self, scope: &AuthScope<'_>) -> CredentialOrigin {
        let store = self.store.as_ref();
        store.map_or_else(CredentialOrigin::default, |store| {
            store.origin(&scope.endpoint.host, scope.repository)
        })
    }

    /// The error for a credential that can't be sent.
    pub(crate) fn unusable(&self, scope: &AuthScope<'_>, reason: &'static str) -> ClientError {
        ClientError::from(CredentialError::Unusable {
            host: scope.endpoint.host.clone(),
            origin: self.origin(scope),
            reason,
        })
    }
}

/// Whether a file or helper with a credential can't be used. Docker's files are shared by many
/// programs, so the request is still tried without it; after an error in a variable it is not.
pub(super) fn is_unusable(error: &ClientError) -> bool {
    let ClientError::Caller(error) = error else {
        return false;
    };
    matches!(
        error.downcast_ref(),
        Some(ClientError::Credential(
            CredentialError::File { .. } | CredentialError::Helper { .. }
        ))
    )
}

/// Whether a token server gives no token for a credential. Some answer with an empty token.
pub(super) fn is_refusal(failure: &Failure) -> bool {
    matches!(
        failure.error,
        ClientError::TokenRefused { .. }
            | ClientError::TokenServer(TokenServerError::NoToken { .. })
    )
}
