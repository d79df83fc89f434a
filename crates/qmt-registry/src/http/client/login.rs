//! Whether a registry accepts a credential.

use qmt_oci_ref::RegistryHost;

use super::operation::Operation;
use crate::error::{ClientError, LoginError};
use crate::http::transport::API;
use crate::redact::RedactedUrl;

impl Operation {
    /// Requests what every registry has. Returns whether the registry asked for
    /// a credential and got it.
    pub(super) async fn check(mut self) -> Result<bool, ClientError> {
        let mut url = self.endpoint.base.clone();
        url.set_path(API);
        let host = self.endpoint.host.clone();
        let request = self.check_request(url, format!("`{host}`"));
        let answer = self.send(&request, &[200]).await;
        let answer = answer.map_err(|error| match error {
            ClientError::NotFound { message, .. } => {
                ClientError::from(LoginError::NoRegistry { host, message })
            }
            error => error,
        })?;
        let url = RedactedUrl::from(&answer.url);
        if answer.body.beginning().await?.is_web_page() {
            let (what, from) = ("the answer of a registry", None);
            return Err(ClientError::WebPage { url, what, from });
        }
        let current = self.auth.current(&request.scope).await;
        let used = current.map_err(|failure| failure.error)?;
        Ok(used.is_some_and(|used| !used.is_anonymous()))
    }
}

/// What an error means for a login: nothing was asked for but to accept the credential.
pub(super) fn of_login(host: RegistryHost, mut error: ClientError) -> ClientError {
    if let ClientError::RateLimited { host, .. } = &mut error {
        *host = None;
    }
    if let ClientError::Unreachable { for_login, .. } = &mut error {
        *for_login = true;
    }
    match error {
        ClientError::Unauthorized {
            status, message, ..
        }
        | ClientError::TokenRefused {
            status, message, ..
        } => ClientError::from(LoginError::Refused {
            host,
            status,
            message,
        }),
        error => error,
    }
}
