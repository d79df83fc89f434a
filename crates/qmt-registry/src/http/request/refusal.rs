//! What an answer means that is none: its status, and the words that the server has for it.

use std::time::SystemTime;

use serde::Deserialize;

use super::super::retry::{Failure, retry_after};
use super::{Answer, Call, Context};
use crate::error::{RegistryError, ServerText};
use crate::redact::RedactedUrl;

/// What a status means that was not expected.
pub(super) async fn refusal(
    context: &Context,
    call: &Call<'_>,
    answer: Answer,
    anonymous: bool,
) -> Failure {
    let status = answer.status.as_u16();
    let wait = retry_after(answer.headers(), SystemTime::now());
    let url = RedactedUrl::from(&answer.url);
    let text = answer
        .body(&context.limits)
        .beginning(context.limits.error_body)
        .await;
    let error = match status {
        404 => RegistryError::NotFound {
            what: call.what.clone(),
        },
        401 | 403 => unauthorized(call, status, anonymous, &text),
        429 => RegistryError::RateLimited {
            url,
            retry_after: wait,
        },
        _ => RegistryError::Status {
            url,
            status,
            said: said(&text),
        },
    };
    Failure {
        error,
        retry_after: wait,
    }
}

pub(super) fn unauthorized(
    call: &Call<'_>,
    status: u16,
    anonymous: bool,
    text: &[u8],
) -> RegistryError {
    RegistryError::Unauthorized {
        host: call.endpoint.host.clone(),
        what: call.what.clone(),
        status,
        anonymous,
        said: said(text),
    }
}

/// The words in an error body: the specification's JSON, a token server's, or plain text.
pub(crate) fn said(body: &[u8]) -> ServerText {
    #[derive(Deserialize)]
    struct Said {
        errors: Option<Vec<Entry>>,
        details: Option<String>,
        message: Option<String>,
    }
    #[derive(Deserialize)]
    struct Entry {
        code: Option<String>,
        message: Option<String>,
    }
    if let Ok(Said {
        errors,
        details,
        message,
    }) = serde_json::from_slice(body)
    {
        let mut words: Vec<String> = Vec::new();
        for entry in errors.into_iter().flatten().take(4) {
            let parts = [entry.code, entry.message];
            words.push(parts.into_iter().flatten().collect::<Vec<_>>().join(": "));
        }
        words.extend(details);
        words.extend(message);
        return ServerText::new(&words.join("; "));
    }
    let text = String::from_utf8_lossy(body);
    // A gateway's HTML page says less than its status.
    if text.trim_start().starts_with('<') {
        ServerText::default()
    } else {
        ServerText::new(&text)
    }
}
