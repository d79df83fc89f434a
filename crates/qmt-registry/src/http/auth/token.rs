//! One request to a token server, and its bounded answer.
//!
//! Spec: <https://distribution.github.io/distribution/spec/auth/token/> and `…/oauth/`.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use qmt_oci_ref::RegistryHost;
use qmt_oci_ref::text::without_byte_order_mark;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::realm::{self, Realm, RealmTrust};
use super::{basic, unusable};
use crate::credentials::{Credential, CredentialOrigin};
use crate::error::{ClientError, TokenServerError};
use crate::http::transport::{
    Body, Context, Endpoint, Failure, Payload, Secrets, check_address, exchange, is_of_proxy,
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

/// What a token server is asked for.
pub(super) struct TokenRequest<'a> {
    pub(super) context: &'a Context,
    pub(super) endpoint: &'a Endpoint,
    pub(super) realm: &'a Realm,
    pub(super) service: Option<&'a str>,
    pub(super) scopes: &'a [String],
}

impl TokenRequest<'_> {
    /// Asks for a token. An untrusted realm gets no credential: that is an error.
    pub(super) async fn send(&self, credential: Option<&Credential>) -> Result<Token, Failure> {
        let endpoint = self.endpoint;
        if credential.is_some() && self.realm.trust == RealmTrust::Untrusted {
            return Err(realm::untrusted(&endpoint.host, &self.realm.url).into());
        }
        let (method, mut url, headers, payload) = self.message(credential)?;
        let sent = Sent {
            host: &endpoint.host,
            realm: RedactedUrl::from(&self.realm.url),
            secrets: secrets_of(credential, &headers),
            anonymous: credential.is_none(),
            is_exchange: method == Method::POST,
        };
        let mut trust = self.realm.trust;
        for _ in 0..=self.context.limits.redirects {
            let client = match trust {
                RealmTrust::Known if url.host() == endpoint.base.host() => {
                    endpoint.own_host_client(&url)?
                }
                RealmTrust::Operator => endpoint.trusted_client(&url)?,
                RealmTrust::Known | RealmTrust::Untrusted => endpoint.foreign_client(&url)?,
            };
            let response = exchange(
                self.context,
                &client,
                &method,
                &url,
                headers.clone(),
                &payload,
            )
            .await;
            let mut response = response.map_err(|error| sent.failed(error))?;
            sent.secrets.hide_in(response.headers_mut(), &url)?;
            if !is_redirect(response.status()) {
                let proxy = client.answering_proxy(&url);
                return read(self.context, response, sent, proxy, &url).await;
            }
            let to = location(&url, response.headers())?;
            let refuse = |reason| Err(ClientError::redirect_refused(&url, &to, reason).into());
            if method != Method::GET {
                return refuse("a request with a refresh token is not redirected");
            }
            if !same_origin(&url, &to) {
                // The target is another realm, and is checked like the first one.
                let allow = &endpoint.options.allow_realms;
                let next = realm::check(&endpoint.host, &endpoint.base, allow, to.as_str())?;
                // The same host on another port is another origin, which only the operator can allow.
                if credential.is_some() && next.trust != RealmTrust::Operator {
                    return refuse("it is another origin, so the credential is not sent to it");
                }
                check_address(&url, &to, endpoint.kind())?;
                trust = next.trust;
            }
            url = to;
        }
        let limits = &self.context.limits;
        Err(ClientError::too_many_redirects(&self.realm.url, limits).into())
    }

    /// Returns method, URL, headers and body: a form for an identity token, a query for all others.
    fn message(
        &self,
        credential: Option<&Credential>,
    ) -> Result<(Method, Url, HeaderMap, Payload<'_>), Failure> {
        let service = self.service.map(|service| ("service", service));
        let mut parameters: Vec<(&str, &str)> = Vec::from_iter(service);
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let mut url = self.realm.url.clone();
        if let Some(Credential::IdentityToken(token)) = credential {
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
            headers.insert(header::CONTENT_TYPE, kind);
            return Ok((
                Method::POST,
                url,
                headers,
                Payload::Bytes(Bytes::from(form)),
            ));
        }
        parameters.extend(self.scopes.iter().map(|scope| ("scope", scope.as_str())));
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        if let Some(Credential::Basic { username, password }) = credential {
            let basic = basic(username, password);
            let basic = basic.map_err(|reason| unusable(&self.endpoint.host, reason))?;
            headers.insert(header::AUTHORIZATION, basic);
        }
        Ok((Method::GET, url, headers, Payload::Empty))
    }
}

/// Who asked whom, and with what.
struct Sent<'a> {
    host: &'a RegistryHost,
    realm: RedactedUrl,
    secrets: Secrets,
    anonymous: bool,
    /// Whether it was an identity token.
    is_exchange: bool,
}

impl Sent<'_> {
    fn refused(&self, status: u16, message: String) -> ClientError {
        ClientError::TokenRefused {
            host: self.host.clone(),
            realm: self.realm.clone(),
            status,
            anonymous: self.anonymous,
            origin: CredentialOrigin::default(),
            message,
        }
    }

    fn failed(&self, source: ClientError) -> ClientError {
        ClientError::from(TokenServerError::Failed {
            host: self.host.clone(),
            realm: self.realm.clone(),
            source: Box::new(source),
        })
    }
}

fn secrets_of(credential: Option<&Credential>, headers: &HeaderMap) -> Secrets {
    let mut secrets = Secrets::of_header(headers.get(header::AUTHORIZATION));
    if let Some(Credential::IdentityToken(token)) = credential {
        secrets.add(token.expose_secret());
    }
    secrets
}

async fn read(
    context: &Context,
    response: reqwest::Response,
    sent: Sent<'_>,
    // The one that may have answered in place of the token server.
    proxy: Option<RedactedUrl>,
    url: &Url,
) -> Result<Token, Failure> {
    let status = response.status();
    let retry_after = retry_after(response.headers(), SystemTime::now());
    let body = Body::new(response, url, &context.limits);
    if !status.is_success() {
        let text = body.beginning().await?;
        let message = sent.secrets.message(&text);
        let status = status.as_u16();
        let url = RedactedUrl::from(url);
        // Token servers describe errors as JSON, in various forms.
        let is_of_server = serde_json::from_slice::<serde_json::Value>(&text.bytes).is_ok();
        let proxy = proxy.filter(|_| is_of_proxy(status, is_of_server));
        let error = match (status, proxy) {
            (_, Some(proxy)) => ClientError::ProxyAnswer {
                proxy,
                url,
                status,
                message,
            },
            // Servers that take no identity tokens do not know the request.
            (404 | 405 | 501, _) if sent.is_exchange => sent.refused(status, message),
            (400 | 401 | 403, _) => sent.refused(status, message),
            (429, _) => sent.failed(ClientError::RateLimited {
                host: sent.anonymous.then(|| sent.host.clone()),
                url,
                retry_after,
                message,
            }),
            _ => sent.failed(ClientError::Status {
                url,
                status,
                from: None,
                message,
            }),
        };
        return Err(Failure { error, retry_after });
    }
    let content = body
        .text(context.limits.token_body, "the token answer")
        .await?;
    Ok(parse(&content, &sent.realm)?)
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    #[serde(default)]
    expires_in: serde_json::Value,
}

/// Reads a token server's answer.
fn parse(content: &[u8], realm: &RedactedUrl) -> Result<Token, ClientError> {
    let refuse = |reason, source| {
        ClientError::from(TokenServerError::NoToken {
            realm: realm.clone(),
            reason,
            source,
        })
    };
    if is_web_page(content) {
        return Err(refuse("its answer is an HTML page", None));
    }
    let answer: Answer =
        serde_json::from_slice(without_byte_order_mark(content)).map_err(|cause| {
            // The parser's message may quote the value that it did not accept.
            let place = format!("line {}, column {}", cause.line(), cause.column());
            let reason = "its answer is not a JSON object with the expected types";
            refuse(reason, Some(place.into()))
        })?;
    let filled = |token: Option<String>| token.filter(|t| !t.is_empty()).map(SecretString::from);
    // The spec has them equal. Where they differ, registries accept one of them.
    let mut both = [filled(answer.token), filled(answer.access_token)]
        .into_iter()
        .flatten();
    let text = both
        .next()
        .ok_or_else(|| refuse("its answer has no token", None))?;
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
    Ok(Token {
        text,
        alternative,
        lifetime,
    })
}

#[cfg(test)]
mod tests;
