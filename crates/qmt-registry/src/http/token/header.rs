//! The values of `Authorization`: a user name with its password, and a token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::RegistryError;

/// The header for a user name and password.
///
/// # Errors
///
/// [`RegistryError::CredentialOption`] where the scheme can't carry the name.
pub(crate) fn basic(username: &str, password: &SecretString) -> Result<HeaderValue, RegistryError> {
    let fault = |fault| RegistryError::CredentialOption {
        origin: "username".to_owned(),
        fault,
    };
    if username.contains(':') {
        return Err(fault(
            "it has a `:`, which basic authentication can't carry",
        ));
    }
    let joined = zeroize::Zeroizing::new(format!("{username}:{}", password.expose_secret()));
    let text = zeroize::Zeroizing::new(format!("Basic {}", STANDARD.encode(joined.as_bytes())));
    sensitive(&text).ok_or_else(|| fault("no header can carry it"))
}

pub(super) fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let token = token.expose_secret();
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let text = zeroize::Zeroizing::new(format!("Bearer {token}"));
    fits.then(|| sensitive(&text)).flatten()
}

/// A header value that is shown by no `Debug` and indexed by no HPACK table.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
