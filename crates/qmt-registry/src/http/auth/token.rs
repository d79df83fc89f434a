//! One request to a token server, and its bounded answer.
//!
//! Spec: <https://distribution.github.io/distribution/spec/auth/token/> and `…/oauth/`.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use qmt_oci_ref::text::without_byte_order_mark;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::realm::{self, Realm, RealmTrust};
use super::scope::{Access, AuthScope};
use super::{Auth, basic};
use crate::BoxError;
use crate::credentials::Credential;
use crate::error::{ClientError, ProxyError, TokenServerError};
use crate::http::transport::{
    Answer, Failure, Payload, RedirectChain, RequestSpec, Secrets, exchange, is_of_proxy,
    is_redirect, is_web_page, location, retry_after, same_origin,
};
use crate::limits::{TOKEN_LIFETIME_MAX, TOKEN_LIFETIME_MIN};
use crate::redact::RedactedUrl;

/// The name of the client in requests that require one.
const CLIENT_ID: &str = "qmt-plugins";

/// A token and how long it is good for.
pub(crate) struct Token {
    pub(crate) text: SecretString,
    /// The answer's `access_token`, where it differs from its `token`.
    pub(crate) alternative: Option<SecretString>,
    pub(crate) lifetime: Duration,
}

/// What a token server is asked for, and with what.
pub(super) struct TokenRequest<'a> {
    pub(super) auth: &'a Auth,
    pub(super) scope: &'a AuthScope<'a>,
    pub(super) realm: &'a Realm,
    pub(super) service: Option<&'a str>,
    pub(super) scopes: Vec<String>,
    pub(super) credential: Option<&'a Credential>,
}

impl TokenRequest<'_> {
    /// Asks for a token. An untrusted realm gets no credential: that is an error.
    pub(super) async fn send(&self) -> Result<Token, Failure> {
        let endpoint = &*self.scope.endpoint;
        if self.credential.is_some() && self.realm.trust == RealmTrust::Untrusted {
            return Err(realm::untrusted(&endpoint.host, &self.realm.url).into());
        }
        let spec = self.spec()?;
        let mut secrets = Secrets::of_header(spec.headers.get(header::AUTHORIZATION));
        if let Some(Credential::IdentityToken(token)) = self.credential {
            secrets.add(token.expose_secret());
        }
        let (mut url, mut trust) = (spec.url.clone(), self.realm.trust);
        let mut chain = RedirectChain::new(endpoint);
        let limits = &endpoint.context.limits;
        for _ in 0..=limits.redirects {
            let client = match trust {
                RealmTrust::Known if url.host() == endpoint.base.host() => {
                    endpoint.own_client(&url)?
                }
                RealmTrust::Operator => endpoint.trusted_client(&url)?,
                RealmTrust::Known | RealmTrust::Untrusted => chain.client(&url)?,
            };
            let answer = exchange(endpoint, &client, &spec, &url, None).await;
            let mut answer = answer.map_err(|error| self.failed(error))?;
            secrets = secrets.and(std::mem::take(&mut answer.secrets));
            answer.hide(&secrets)?;
            if !is_redirect(answer.status) {
                return self.read(answer, &secrets).await;
            }
            let to = location(&url, answer.headers())?;
            chain.pass(&mut answer);
            let refuse = |reason| Err(ClientError::redirect_refused(&url, &to, reason).into());
            if spec.method != Method::GET {
                return refuse("a request with a refresh token is not redirected");
            }
            if !same_origin(&url, &to) {
                // The target is another realm, and is checked like the first one.
                let allow = &endpoint.options.allow_realms;
                let next = realm::check(&endpoint.host, &endpoint.base, allow, to.as_str())?;
                // The same host on another port is another origin, which only the operator can allow.
                if self.credential.is_some() && next.trust != RealmTrust::Operator {
                    return refuse("it is another origin, so the credential is not sent to it");
                }
                if next.trust == RealmTrust::Operator {
                    // The operator lists it, whichever servers led to it.
                    chain = RedirectChain::new(endpoint);
                }
                chain.check(&url, &to)?;
                trust = next.trust;
            }
            url = to;
        }
        Err(ClientError::too_many_redirects(&self.realm.url, limits).into())
    }

    /// Returns the request: a form for an identity token, a query for all others.
    fn spec(&self) -> Result<RequestSpec<'static>, Failure> {
        let service = self.service.map(|service| ("service", service));
        let mut parameters: Vec<(&str, &str)> = Vec::from_iter(service);
        let mut spec = RequestSpec::new(Method::GET, self.realm.url.clone());
        let json = HeaderValue::from_static("application/json");
        spec.headers.insert(header::ACCEPT, json);
        if let Some(Credential::IdentityToken(token)) = self.credential {
            let joined = self.scopes.join(" ");
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
            spec.headers.insert(header::CONTENT_TYPE, kind);
            spec.payload = Payload::Bytes(Bytes::from(form));
            spec.method = Method::POST;
            return Ok(spec);
        }
        parameters.extend(self.scopes.iter().map(|scope| ("scope", scope.as_str())));
        if !parameters.is_empty() {
            spec.url.query_pairs_mut().extend_pairs(parameters);
        }
        if let Some(Credential::Basic { username, password }) = self.credential {
            let basic = basic(username, password);
            let basic = basic.map_err(|reason| self.auth.unusable(self.scope, reason))?;
            spec.headers.insert(header::AUTHORIZATION, basic);
        }
        Ok(spec)
    }

    fn refused(&self, status: u16, message: String) -> ClientError {
        ClientError::TokenRefused {
            host: self.scope.endpoint.host.clone(),
            realm: RedactedUrl::from(&self.realm.url),
            status,
            anonymous: self.credential.is_none(),
            origin: self.auth.origin(self.scope),
            message,
        }
    }

    /// Names the credential in the error for an answer without a token.
    fn with_origin(&self, mut error: ClientError) -> ClientError {
        if let ClientError::TokenServer(TokenServerError::NoToken { origin, .. }) = &mut error {
            *origin = self.credential.map(|_| self.auth.origin(self.scope));
        }
        error
    }

    fn failed(&self, source: ClientError) -> ClientError {
        let is_answer = matches!(
            source,
            ClientError::Status { .. } | ClientError::RateLimited { .. }
        );
        // Only what everyone may read can be read without it.
        let is_of_credential =
            is_answer && self.credential.is_some() && self.scope.access == Access::Pull;
        ClientError::from(TokenServerError::Failed {
            host: self.scope.endpoint.host.clone(),
            realm: RedactedUrl::from(&self.realm.url),
            origin: is_of_credential.then(|| self.auth.origin(self.scope)),
            source: Box::new(source),
        })
    }

    async fn read(&self, answer: Answer, secrets: &Secrets) -> Result<Token, Failure> {
        let status = answer.status.as_u16();
        if answer.status.is_success() {
            let limit = self.scope.endpoint.context.limits.token_body;
            let content = answer
                .body
                .document(limit, "the token answer", |_| true)
                .await?;
            let realm = RedactedUrl::from(&self.realm.url);
            let token = parse(&content, &realm).map_err(|error| self.with_origin(error))?;
            let token = token.ok_or_else(|| match self.credential {
                // Some servers refuse so.
                None => self.refused(status, String::new()),
                Some(_) => self.with_origin(no_token(&realm, "its answer has no token", None)),
            });
            return Ok(token?);
        }
        let retry_after = retry_after(answer.headers(), SystemTime::now());
        let url = RedactedUrl::from(&answer.url);
        let text = answer.body.beginning().await?;
        let message = secrets.message(&text);
        // Token servers describe errors as JSON, in various forms.
        let is_of_server = serde_json::from_slice::<serde_json::Value>(&text.bytes).is_ok();
        let proxy = answer.proxy.filter(|_| is_of_proxy(status, is_of_server));
        let is_exchange = matches!(self.credential, Some(Credential::IdentityToken(_)));
        let error = match (status, proxy) {
            (_, Some(proxy)) => ClientError::Proxy(ProxyError::Answer {
                proxy,
                url,
                status,
                message,
            }),
            // Servers that take no identity tokens do not know the request.
            (404 | 405 | 501, _) if is_exchange => self.refused(status, message),
            (400 | 401 | 403, _) => self.refused(status, message),
            (429, _) => {
                let host = &self.scope.endpoint.host;
                self.failed(ClientError::RateLimited {
                    host: self.credential.is_none().then(|| host.clone()),
                    url,
                    retry_after,
                    message,
                })
            }
            _ => self.failed(ClientError::Status {
                url,
                status,
                from: None,
                message,
            }),
        };
        Err(Failure { error, retry_after })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: serde_json::Value,
    #[serde(default)]
    access_token: serde_json::Value,
    #[serde(default)]
    expires_in: serde_json::Value,
}

fn no_token(realm: &RedactedUrl, reason: &'static str, source: Option<BoxError>) -> ClientError {
    ClientError::from(TokenServerError::NoToken {
        realm: realm.clone(),
        origin: None,
        reason,
        source,
    })
}

/// Reads a token server's answer; `None` if its fields have no token.
fn parse(content: &[u8], realm: &RedactedUrl) -> Result<Option<Token>, ClientError> {
    if is_web_page(content) {
        return Err(no_token(realm, "its answer is an HTML page", None));
    }
    if content.trim_ascii().is_empty() {
        return Err(no_token(realm, "its answer is empty", None));
    }
    let answer: TokenAnswer =
        serde_json::from_slice(without_byte_order_mark(content)).map_err(|cause| {
            // The parser's message may quote the value that it did not accept.
            let place = format!("line {}, column {}", cause.line(), cause.column());
            let reason = "its answer is not a JSON object with the expected types";
            no_token(realm, reason, Some(place.into()))
        })?;
    let filled = |token| {
        let serde_json::Value::String(text) = token else {
            return None;
        };
        Some(text)
            .filter(|text| !text.is_empty())
            .map(SecretString::from)
    };
    // The spec has them equal. Where they differ, registries accept one of them.
    let mut both = [filled(answer.token), filled(answer.access_token)]
        .into_iter()
        .flatten();
    let Some(text) = both.next() else {
        return Ok(None);
    };
    let alternative = both.next();
    let alternative = alternative.filter(|other| other.expose_secret() != text.expose_secret());
    // Some servers write the number as a text.
    let seconds = match &answer.expires_in {
        serde_json::Value::String(text) => text.trim().parse().unwrap_or_default(),
        value => value.as_f64().unwrap_or_default(),
    };
    let lifetime = Duration::try_from_secs_f64(f64::max(seconds, 0.0))
        .unwrap_or(TOKEN_LIFETIME_MAX)
        .clamp(TOKEN_LIFETIME_MIN, TOKEN_LIFETIME_MAX);
    Ok(Some(Token {
        text,
        alternative,
        lifetime,
    }))
}

#[cfg(test)]
mod tests;
