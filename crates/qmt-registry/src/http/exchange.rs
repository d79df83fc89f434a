//! The exchange with a token server: one question, bounded answer.
//!
//! Spec: <https://distribution.github.io/distribution/spec/auth/token/> and `…/oauth/`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::body::Body;
use super::endpoint::Endpoint;
use super::realm::{self, Realm, RealmTrust};
use super::redirect;
use super::request::{Context, Payload, execute, said};
use super::retry::{Failure, retry_after};
use super::token::basic;
use crate::credential::Credential;
use crate::error::RegistryError;
use crate::limits::{TOKEN_LIFETIME_MAX, TOKEN_LIFETIME_MIN};
use crate::redact::RedactedUrl;

/// How we call ourselves where a client has to have a name.
const CLIENT_ID: &str = "qmt-plugins";

/// What is asked of a token server.
pub(crate) struct TokenRequest<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) realm: &'a Realm,
    pub(crate) service: Option<&'a str>,
    pub(crate) scopes: Vec<String>,
    pub(crate) credential: Option<&'a Credential>,
}

/// A token and how long it is good for.
pub(crate) struct Token {
    pub(crate) text: SecretString,
    pub(crate) lifetime: Duration,
}

/// Asks for a token.
///
/// # Errors
///
/// [`RegistryError::RealmRefused`] where a credential would go to a realm that nobody vouches for,
/// [`RegistryError::TokenRefused`], [`RegistryError::Token`], and the network's errors.
pub(crate) async fn token(context: &Context, request: &TokenRequest<'_>) -> Result<Token, Failure> {
    let TokenRequest {
        endpoint,
        realm,
        service,
        scopes,
        credential,
    } = request;
    if credential.is_some() && realm.trust == RealmTrust::Nobody {
        return Err(realm::untrusted(&endpoint.host, &realm.url).into());
    }
    let mut parameters: Vec<(&str, &str)> = Vec::new();
    parameters.extend(service.map(|service| ("service", service)));
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let mut url = realm.url.clone();
    let (method, payload) = if let Some(Credential::IdentityToken(token)) = credential {
        let joined = scopes.join(" ");
        parameters.push(("client_id", CLIENT_ID));
        parameters.push(("grant_type", "refresh_token"));
        if !joined.is_empty() {
            parameters.push(("scope", &joined));
        }
        parameters.push(("refresh_token", token.expose_secret()));
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, kind);
        (Method::POST, Payload::Bytes(Bytes::from(form)))
    } else {
        parameters.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        if let Some(Credential::Basic { username, password }) = credential {
            headers.insert(header::AUTHORIZATION, basic(username, password)?);
        }
        (Method::GET, Payload::Empty)
    };
    let secret = credential.is_some();
    let mut trust = realm.trust;
    for _ in 0..=context.limits.redirects {
        let client = match trust {
            RealmTrust::Known if url.host() == endpoint.base.host() => endpoint.client()?,
            RealmTrust::Operator => endpoint.trusted_client(&url)?,
            RealmTrust::Known | RealmTrust::Nobody => endpoint.foreign_client(&url).await?,
        };
        let response = execute(context, &client, &method, &url, headers.clone(), &payload).await?;
        let status = response.status();
        if !redirect::is_redirect(status) {
            return read(context, response, &realm.url, &url).await;
        }
        let to = redirect::target(&url, response.headers())?;
        let refuse = |fault| {
            let (from, to) = (RedactedUrl::from(&url), RedactedUrl::from(&to));
            Err(RegistryError::RedirectRefused { from, to, fault }.into())
        };
        if method != Method::GET {
            return refuse("a token server does not redirect a refresh token");
        }
        if !redirect::same_origin(&url, &to) {
            // A redirect makes another realm of it, which is judged like the first one.
            let allow = &endpoint.options.allow_realms;
            let next = realm::judge(&endpoint.host, &endpoint.base, allow, to.as_str())?;
            // The same host on another port is another origin: only the operator's word counts.
            if secret && next.trust != RealmTrust::Operator {
                return refuse("it is another origin, so it is not given your credential");
            }
            redirect::check_address(&url, &to, endpoint.kinds().await)?;
            trust = next.trust;
        }
        url = to;
    }
    let fault = "it redirects too often";
    Err(RegistryError::Protocol {
        url: RedactedUrl::from(&realm.url),
        fault,
    }
    .into())
}

async fn read(
    context: &Context,
    response: reqwest::Response,
    realm: &Url,
    url: &Url,
) -> Result<Token, Failure> {
    let status = response.status();
    let wait = retry_after(response.headers(), std::time::SystemTime::now());
    let body = Body::new(response, url, &context.limits);
    let realm = RedactedUrl::from(realm);
    if !status.is_success() {
        let said = said(body.beginning(context.limits.error_body).await.as_ref());
        let status = status.as_u16();
        let error = match status {
            400 | 401 | 403 => RegistryError::TokenRefused {
                realm,
                status,
                said,
            },
            429 => RegistryError::RateLimited {
                url: realm,
                retry_after: wait,
            },
            _ => RegistryError::Status {
                url: realm,
                status,
                said,
            },
        };
        return Err(Failure {
            error,
            retry_after: wait,
        });
    }
    let content = body.whole(context.limits.token_body, TOKEN_ANSWER).await?;
    Ok(parse(&content, &realm)?)
}

/// What the limit of a token answer counts.
const TOKEN_ANSWER: &str = "the token answer (bytes)";

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

/// Reads a token server's answer.
///
/// # Errors
///
/// [`RegistryError::Token`].
fn parse(content: &[u8], realm: &RedactedUrl) -> Result<Token, RegistryError> {
    let refuse = |fault, source| RegistryError::Token {
        realm: realm.clone(),
        fault,
        source,
    };
    let answer: Answer = serde_json::from_slice(content).map_err(|cause| {
        // The parser's words may quote the value that it stumbled over.
        let cause =
            serde::de::Error::custom(format!("line {}, column {}", cause.line(), cause.column()));
        refuse("its answer is not the JSON that it should be", Some(cause))
    })?;
    let filled = |token: Option<String>| token.filter(|t| !t.is_empty()).map(SecretString::from);
    let text = match (filled(answer.token), filled(answer.access_token)) {
        (Some(a), Some(b)) if a.expose_secret() != b.expose_secret() => {
            return Err(refuse("`token` and `access_token` differ", None));
        }
        (Some(token), _) | (None, Some(token)) => token,
        (None, None) => return Err(refuse("it names no token", None)),
    };
    let seconds = answer.expires_in.unwrap_or_default();
    let lifetime = Duration::try_from_secs_f64(seconds.max(0.0))
        .unwrap_or(TOKEN_LIFETIME_MAX)
        .clamp(TOKEN_LIFETIME_MIN, TOKEN_LIFETIME_MAX);
    Ok(Token { text, lifetime })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(content: &str) -> Result<(String, u64), String> {
        let realm = RedactedUrl::from_text("https://auth.example/token");
        parse(content.as_bytes(), &realm)
            .map(|token| {
                (
                    token.text.expose_secret().to_owned(),
                    token.lifetime.as_secs(),
                )
            })
            .map_err(|error| format!("{error} {error:?}"))
    }

    #[test]
    fn tokens_are_read() {
        let with = |rest: &str| parsed(&format!(r#"{{"token":"t"{rest}}}"#)).unwrap();
        assert_eq!(with(r#","expires_in":300"#), ("t".to_owned(), 300));
        assert_eq!(
            with(r#","expires_in":300.5,"issued_at":"x","other":[1]"#).1,
            300
        );
        assert_eq!(with(r#","access_token":"t""#).0, "t");
        assert_eq!(parsed(r#"{"access_token":"a"}"#).unwrap().0, "a");
    }

    /// AUTH-10: absent, negative and huge lifetimes are brought within bounds.
    #[test]
    fn lifetimes_are_bounded() {
        let lifetime = |text: &str| parsed(&format!(r#"{{"token":"t"{text}}}"#)).unwrap().1;
        assert_eq!(lifetime(""), 60);
        assert_eq!(lifetime(r#","expires_in":-1"#), 60);
        assert_eq!(lifetime(r#","expires_in":0"#), 60);
        assert_eq!(lifetime(r#","expires_in":3600"#), 3600);
        assert_eq!(lifetime(r#","expires_in":3601"#), 3600);
        assert_eq!(lifetime(r#","expires_in":1e300"#), 3600);
    }

    /// AUTH-10: what is no token answer is a typed error that quotes nothing of it.
    #[test]
    fn odd_answers_are_refused() {
        let deep = format!(r#"{{"token":"t","x":{}"#, "[".repeat(1_000_000));
        for odd in [
            "",
            "[]",
            "{}",
            r#"{"token":""}"#,
            r#"{"token":7}"#,
            r#"{"token":"canary","access_token":"other"}"#,
            r#"{"token":"canary","token":"other"}"#,
            r#"{"token":"t","expires_in":"canary"}"#,
            r#"{"token":"t","expires_in":1e999}"#,
            &deep,
        ] {
            let error = parsed(odd).unwrap_err();
            assert!(!error.contains("canary"), "CFG-01: {error}");
        }
    }
}
