//! Anonymous requests that were refused without a challenge, although the registry has one.

use http::header;

use super::{Request, once};
use crate::error::ClientError;
use crate::http::auth::Auth;
use crate::http::transport::{Answer, Failure};

/// Whether a registry may answer so to anonymous requests for a private repository. A challenge is
/// answered in any case.
pub(super) fn hides_the_repository(request: &Request<'_>, answer: &Answer) -> bool {
    let is_refused = match answer.status.as_u16() {
        401 => !answer.headers().contains_key(header::WWW_AUTHENTICATE),
        status => matches!(status, 403 | 404),
    };
    is_refused && answer.is_same_origin && request.scope.repository.is_some()
}

/// Sends an anonymous request again with the credential, or with a token that needs none. `None`
/// where that fails as well: then the first answer counts.
pub(super) async fn with_credential(
    auth: &Auth,
    request: &Request<'_>,
    accept: &[u16],
) -> Option<Result<Answer, Failure>> {
    // If a range is refused, the whole is requested next.
    let is_whole = !request.spec.headers.contains_key(header::RANGE);
    if !auth.is_worth_a_credential(&request.scope, is_whole).await {
        return None;
    }
    let outcome = Box::pin(once(auth, request, accept)).await;
    Some(outcome).filter(|outcome| match outcome {
        Ok(_) => true,
        Err(Failure { error, .. }) => {
            error.is_retryable() || matches!(error, ClientError::NotFound { .. })
        }
    })
}
