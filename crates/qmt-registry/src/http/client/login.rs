//! Whether a registry accepts a credential.

use qmt_oci_ref::RegistryHost;

use super::operation::{Operation, Request};
use crate::error::{ClientError, LoginError};
use crate::redact::RedactedUrl;

impl Operation<'_> {
    /// Requests what every registry has. Returns whether the registry asked for the credential.
    pub(super) async fn log_in(mut self) -> Result<bool, ClientError> {
        let mut url = self.endpoint.base.clone();
        url.set_path("/v2/");
        let request = Request::check(self.endpoint, url, self.endpoint.host.to_string());
        let endpoint = self.endpoint;
        let of_login = |error| of_login(&endpoint.host, error);
        let answer = self.send(&request, &[200]).await;
        let answer = answer.map_err(of_login)?;
        let url = RedactedUrl::from(&answer.url);
        let body = answer.body(&self.context.limits).beginning().await;
        if body.is_web_page() {
            let what = "the answer of a registry";
            return Err(ClientError::WebPage {
                url,
                what,
                from: None,
            });
        }
        let current = self.auth.current(self.context, &request.scope).await;
        let used = current.map_err(|failure| of_login(failure.error))?;
        Ok(used.is_some())
    }
}

/// What an error means for a login: nothing was asked for but to accept the credential.
fn of_login(host: &RegistryHost, error: ClientError) -> ClientError {
    let host = host.clone();
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
        ClientError::NotFound { message, .. } => {
            ClientError::from(LoginError::NoRegistry { host, message })
        }
        error => error,
    }
}
