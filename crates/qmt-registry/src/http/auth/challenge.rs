//! The challenge of a registry: `WWW-Authenticate` by RFC 9110, read with `http-auth`.

use http::{HeaderMap, header};
use http_auth::parser::ChallengeParser;
use qmt_oci_ref::RegistryHost;

use crate::error::ClientError;
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

/// Picks the strongest challenge in an answer's headers: bearer before basic, the first of each.
pub(crate) fn strongest(
    host: &RegistryHost,
    headers: &HeaderMap,
) -> Result<Challenge, ClientError> {
    let mut reason = "it sends no `WWW-Authenticate`";
    let mut basic = false;
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        let Some(text) = value
            .to_str()
            .ok()
            .filter(|text| text.len() <= CHALLENGE_BYTES_MAX)
        else {
            reason = "its `WWW-Authenticate` is not ASCII, or longer than 8 KiB";
            continue;
        };
        reason = "it offers neither `Bearer` nor `Basic`";
        for challenge in ChallengeParser::new(text) {
            let Ok(challenge) = challenge else {
                reason = "its `WWW-Authenticate` is malformed";
                break;
            };
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = true;
            } else if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let find = |name: &str| {
                    let mut found = challenge
                        .params
                        .iter()
                        .filter(|(key, _)| key.eq_ignore_ascii_case(name));
                    let first = found.next().map(|(_, value)| value.to_unescaped());
                    // Of two values, neither is safer than the other.
                    if found.next().is_some() { None } else { first }
                };
                let Some(realm) = find("realm") else {
                    reason = "its `Bearer` challenge does not have exactly one `realm`";
                    continue;
                };
                return Ok(Challenge::Bearer(BearerChallenge {
                    realm,
                    service: find("service"),
                    scope: find("scope"),
                }));
            }
        }
    }
    if basic {
        Ok(Challenge::Basic)
    } else {
        let host = host.clone();
        Err(ClientError::Challenge { host, reason })
    }
}

#[cfg(test)]
mod tests;
