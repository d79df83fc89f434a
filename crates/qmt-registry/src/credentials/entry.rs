//! One entry of `auths`: the credential of one registry.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use secrecy::SecretString;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::auth_file::field;
use super::helper::TOKEN_USER;
use super::store::Credential;

/// Takes what programs write: with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The rule that an entry breaks.
type Reason = &'static str;

/// Decodes an entry; `None` where it has no credential. Docker writes `{}` where a helper has it.
pub(super) fn decode(entry: &Value) -> Result<Option<Credential>, Reason> {
    let entry = entry.as_object().ok_or("it is not a JSON object")?;
    let reason = "its `identitytoken` is not a string";
    if let Some(token) = text(entry, "identitytoken", reason)? {
        let token = token.trim_matches(is_filler);
        return Ok(Some(Credential::IdentityToken(token.into())));
    }
    let reason = "its `registrytoken` is not a string";
    if let Some(token) = text(entry, "registrytoken", reason)? {
        let token = token.trim_matches(is_filler);
        return Ok(Some(Credential::Bearer(token.into())));
    }
    let auth = text(entry, "auth", "its `auth` is not a string")?;
    if let Some(auth) = auth.filter(|auth| !auth.trim_matches(is_filler).is_empty()) {
        return pair(auth).map(Some);
    }
    let username = text(entry, "username", "its `username` is not a string")?;
    let password = text(entry, "password", "its `password` is not a string")?;
    match (username, password) {
        (Some(username), Some(password)) => Ok(Some(Credential::basic(username, password))),
        (None, None) => Ok(None),
        _ => Err("it has a user name without password, or the reverse"),
    }
}

/// The text of a field; `None` if it is absent or empty.
fn text<'a>(
    entry: &'a Map<String, Value>,
    name: &str,
    reason: Reason,
) -> Result<Option<&'a str>, Reason> {
    let text = field(entry, name).map(|value| value.as_str().ok_or(reason));
    Ok(text.transpose()?.filter(|text| !text.is_empty()))
}

/// Programs break the lines of base64 and end texts with a line break, docker sometimes with NULs.
fn is_filler(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\0'
}

/// Decodes `base64(user:password)`.
fn pair(auth: &str) -> Result<Credential, Reason> {
    let plain: Zeroizing<String> = auth.split(is_filler).collect::<String>().into();
    let bytes = BASE64.decode(&*plain).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| "its `auth` is not base64")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "its `auth` is not UTF-8 in base64")?;
    let (username, password) = text
        .trim_end_matches('\0')
        .split_once(':')
        .ok_or("its `auth` has no colon after the user name")?;
    if username.is_empty() {
        return Err("its `auth` has no user name");
    }
    // Docker marks a token in place of a password by this user name.
    if username == TOKEN_USER {
        return Ok(Credential::IdentityToken(SecretString::from(password)));
    }
    Ok(Credential::basic(username, password))
}
