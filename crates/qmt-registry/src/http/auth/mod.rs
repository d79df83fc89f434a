//! Authorization: what a registry demands, and how the demand is met.
//!
//! [`challenge`] reads the demand, [`realm`] decides about the token server that it names,
//! [`scope`] limits what is asked for, [`token`] asks, and [`session`] remembers.

mod challenge;
mod realm;
mod scope;
mod session;
mod token;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

pub(super) use self::scope::{Access, AuthScope};
pub(super) use self::session::{Auth, AuthOutcome, Authorization};
use crate::credentials::begins_with_bearer;

/// The header for a user name and password, or the rule of the scheme that they break.
fn basic(username: &str, password: &SecretString) -> Result<HeaderValue, &'static str> {
    if username.contains(':') {
        return Err("basic authentication allows no `:` in the user name");
    }
    let joined = zeroize::Zeroizing::new(format!("{username}:{}", password.expose_secret()));
    let text = zeroize::Zeroizing::new(format!("Basic {}", STANDARD.encode(joined.as_bytes())));
    sensitive(&text).ok_or("a header allows no control characters in it")
}

/// The header for a token; `None` where a header does not allow its characters.
fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let token = token.expose_secret();
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let text = zeroize::Zeroizing::new(format!("Bearer {token}"));
    fits.then(|| sensitive(&text)).flatten()
}

/// Why there is no header for a token.
fn unsendable(token: &SecretString) -> &'static str {
    let token = token.expose_secret();
    if begins_with_bearer(token) {
        "the token must be given without the word `Bearer`, which is added when it is sent"
    } else if token.contains(char::is_whitespace) {
        "the token has white space"
    } else {
        "the token has characters that a header does not allow"
    }
}

/// A header value that `Debug` does not show and HPACK does not index.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
