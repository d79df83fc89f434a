//! What a registry demands: `WWW-Authenticate` by RFC 9110, read with `http-auth`.

use http::{HeaderMap, header};
use http_auth::parser::ChallengeParser;
use qmt_oci_ref::RegistryHost;

use crate::error::RegistryError;
use crate::limits::CHALLENGE_BYTES_MAX;

/// The strongest demand that we can meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from the server at `realm`.
    Bearer(BearerChallenge),
    /// User name and password.
    Basic,
}

/// Where a token comes from and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BearerChallenge {
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    pub(crate) scope: Option<String>,
}

/// Picks the strongest challenge in an answer's headers: bearer before basic, the first of each.
///
/// # Errors
///
/// [`RegistryError::Challenge`] where there is none that can be read and met.
pub(crate) fn strongest(
    host: &RegistryHost,
    headers: &HeaderMap,
) -> Result<Challenge, RegistryError> {
    let refuse = |fault| RegistryError::Challenge {
        host: host.clone(),
        fault,
    };
    let mut fault = "it sends no `WWW-Authenticate`";
    let mut basic = false;
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        let Some(text) = value
            .to_str()
            .ok()
            .filter(|text| text.len() <= CHALLENGE_BYTES_MAX)
        else {
            fault = "its `WWW-Authenticate` is not ASCII, or longer than 8 KiB";
            continue;
        };
        fault = "it offers neither `Bearer` nor `Basic`";
        for challenge in ChallengeParser::new(text) {
            let Ok(challenge) = challenge else {
                fault = "its `WWW-Authenticate` is malformed";
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
                    // A parameter that occurs twice is not a choice for us to make.
                    if found.next().is_some() { None } else { first }
                };
                let Some(realm) = find("realm") else {
                    fault = "its `Bearer` challenge names no single `realm`";
                    continue;
                };
                let (service, scope) = (find("service"), find("scope"));
                return Ok(Challenge::Bearer(BearerChallenge {
                    realm,
                    service,
                    scope,
                }));
            }
        }
    }
    if basic {
        Ok(Challenge::Basic)
    } else {
        Err(refuse(fault))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn pick(values: &[&[u8]]) -> Result<Challenge, RegistryError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        strongest(&"a.example".parse().unwrap(), &headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer(BearerChallenge {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        })
    }

    /// AUTH-08: the forms of RFC 9110, quoted commas and escapes included.
    #[test]
    fn challenges_are_read_by_the_rfc() {
        let usual = br#"Bearer realm="https://t.example/token",service="s",scope="repository:a/b:pull,push""#;
        let expected = || {
            bearer(
                "https://t.example/token",
                Some("s"),
                Some("repository:a/b:pull,push"),
            )
        };
        assert_eq!(pick(&[usual]).unwrap(), expected());
        let escaped = br#"bearer REALM="https://t.example/\"q\"""#;
        assert_eq!(
            pick(&[escaped]).unwrap(),
            bearer("https://t.example/\"q\"", None, None)
        );
        assert_eq!(pick(&[br#"BASIC realm="x""#]).unwrap(), Challenge::Basic);
        assert_eq!(pick(&[b"Basic"]).unwrap(), Challenge::Basic);
        // Two headers, or several in one, in any order, unknown ones first: the strongest is taken.
        assert_eq!(pick(&[br#"Basic realm="x""#, usual]).unwrap(), expected());
        let both = [br#"Negotiate, Basic realm="a,b", "#.as_slice(), usual].concat();
        assert_eq!(pick(&[&both]).unwrap(), expected());
        let reverse = [usual.as_slice(), br#", Basic realm="x""#].concat();
        assert_eq!(pick(&[&reverse]).unwrap(), expected());
    }

    /// AUTH-08: what can't be read is an error with a reason, never a panic.
    #[test]
    fn hostile_challenges_are_errors() {
        let long = [b"Basic realm=\"".as_slice(), &vec![b'x'; 64 << 10], b"\""].concat();
        for hostile in [
            long.as_slice(),
            b"",
            b"\xff\xfe",
            b"Negotiate",
            b"Bearer",
            br#"Bearer service="s""#,
            br#"Bearer realm="unterminated"#,
            br#"Bearer realm="a", realm="b""#,
            b"=,=,=",
            b"Bearer realm=,",
        ] {
            let error = pick(&[hostile]).unwrap_err();
            assert!(
                matches!(error, RegistryError::Challenge { .. }),
                "{error:?}"
            );
        }
        assert!(pick(&[]).is_err());
        // A bad header beside a good one does not matter.
        assert_eq!(pick(&[b"\xff", b"Basic"]).unwrap(), Challenge::Basic);
    }

    /// AUTH-08: a value at the limit is read, one byte more is not.
    #[test]
    fn the_length_is_bounded() {
        let value = |length: usize| {
            let mut value = b"Basic realm=\"".to_vec();
            value.resize(length - 1, b'x');
            value.push(b'"');
            value
        };
        assert_eq!(
            pick(&[&value(CHALLENGE_BYTES_MAX)]).unwrap(),
            Challenge::Basic
        );
        assert!(pick(&[&value(CHALLENGE_BYTES_MAX + 1)]).is_err());
    }
}
