//! The challenge of a registry: `WWW-Authenticate` by RFC 9110.
//!
//! Registries and the proxies in front of them write it in many ways, and clients take what they can
//! read of it. So does this: white space is free, commas may be missing or semicolons, values may
//! lack quotes, and what is not understood is skipped. Whether the realm is used is decided later.

use std::borrow::Cow;

use http::{HeaderMap, header};
use qmt_oci_ref::RegistryHost;

use crate::error::{ClientError, TokenServerError};
use crate::limits::CHALLENGE_BYTES_MAX;

/// A challenge that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from the server at `realm`.
    Bearer(BearerChallenge),
    /// User name and password.
    Basic,
}

/// The token server, and what the token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BearerChallenge {
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    pub(crate) scope: Option<String>,
}

/// Schemes that are not supported, and are named. Others are not: a server may write anything there.
/// <https://www.iana.org/assignments/http-authschemes>
const OTHER_SCHEMES: [&str; 8] = [
    "AWS4-HMAC-SHA256",
    "Digest",
    "DPoP",
    "HOBA",
    "Mutual",
    "Negotiate",
    "NTLM",
    "OAuth",
];

/// Picks the strongest challenge in an answer's headers: bearer before basic, the first of each.
pub(crate) fn strongest(
    host: &RegistryHost,
    headers: &HeaderMap,
) -> Result<Challenge, ClientError> {
    let mut reason = "it sends no `WWW-Authenticate`";
    let mut basic = false;
    let mut offered = Vec::new();
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        if value.len() > CHALLENGE_BYTES_MAX {
            reason = "its `WWW-Authenticate` is longer than 8 KiB";
            continue;
        }
        reason = "it offers neither `Bearer` nor `Basic`";
        for offer in offers(&String::from_utf8_lossy(value.as_bytes())) {
            if offer.scheme.eq_ignore_ascii_case("basic") {
                basic = true;
            } else if let Some(other) = OTHER_SCHEMES
                .iter()
                .find(|scheme| scheme.eq_ignore_ascii_case(offer.scheme))
            {
                offered.push(*other);
            } else if offer.scheme.eq_ignore_ascii_case("bearer") {
                let Some(realm) = offer.parameter("realm") else {
                    reason = "its `Bearer` challenge does not have exactly one `realm`";
                    continue;
                };
                return Ok(Challenge::Bearer(BearerChallenge {
                    realm,
                    service: offer.parameter("service").filter(|value| !value.is_empty()),
                    scope: offer.parameter("scope").filter(|value| !value.is_empty()),
                }));
            }
        }
    }
    if basic {
        Ok(Challenge::Basic)
    } else {
        let host = host.clone();
        Err(ClientError::from(TokenServerError::Challenge {
            host,
            reason,
            offered,
        }))
    }
}

/// One challenge as it is written.
struct Offer<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, Cow<'a, str>)>,
}

impl Offer<'_> {
    /// The value of a parameter. Of two that differ, neither is safer than the other.
    fn parameter(&self, name: &str) -> Option<String> {
        let parameters = self.parameters.iter();
        let named = parameters.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let mut values = named.map(|(_, value)| value);
        let first = values.next()?;
        values
            .all(|other| other == first)
            .then(|| first.clone().into_owned())
    }
}

/// Reads challenges: a word in front of `=` is a parameter of the last scheme, every other word is
/// a scheme.
fn offers(text: &str) -> Vec<Offer<'_>> {
    let mut offers: Vec<Offer<'_>> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_separator);
        if rest.is_empty() {
            return offers;
        }
        let (word, after) = split(rest, |c| is_separator(c) || c == '=');
        let Some(value) = after.trim_start_matches(is_space).strip_prefix('=') else {
            let parameters = Vec::new();
            offers.push(Offer {
                scheme: word,
                parameters,
            });
            rest = after;
            continue;
        };
        let value = value.trim_start_matches(is_space);
        let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
            unquote(quoted)
        } else {
            let (value, after) = split(value, is_separator);
            let value = Some(Cow::Borrowed(value)).filter(|value| !value.is_empty());
            (value, after)
        };
        if let (Some(offer), Some(value)) = (offers.last_mut(), value) {
            offer.parameters.push((word, value));
        }
        rest = after;
    }
}

/// The text up to the closing quote, and what follows it. Without a closing quote there is no text.
fn unquote(quoted: &str) -> (Option<Cow<'_, str>>, &str) {
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return (Some(Cow::Owned(text)), chars.as_str()),
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    (None, "")
}

fn split(text: &str, is_end: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(is_end).unwrap_or(text.len());
    text.split_at(end)
}

fn is_separator(c: char) -> bool {
    is_space(c) || matches!(c, ',' | ';')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

#[cfg(test)]
mod tests;
