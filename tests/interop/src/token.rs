//! A token server as distribution expects one: Basic in, a signed JWT out.
//!
//! Spec: <https://distribution.github.io/distribution/spec/auth/jwt/>

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use qmt_testkit::{KeyKind, KeyPair};
use serde_json::{Value, json};

use super::servers::{PASSWORD, USER};
use super::web::{self, Answer, Request, Server};

/// Issuer and service alike.
pub(super) const NAME: &str = "e2e";
const KEY_ID: &str = "e2e-key";
/// Bytes of a raw Ed25519 key, which end its public form.
const ED25519_BYTES: usize = 32;
const LIFETIME: Duration = Duration::from_mins(5);

/// Serves until it is dropped.
pub(super) struct TokenServer {
    server: Server,
}

impl TokenServer {
    /// Starts it, and writes the key that verifies its tokens to `jwks`.
    pub(super) fn start(jwks: &Path) -> anyhow::Result<Self> {
        let key = KeyPair::generate(KeyKind::Ed25519);
        let der = key.public_der();
        let raw = der.get(der.len().saturating_sub(ED25519_BYTES)..);
        let set = json!({ "keys": [{
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
            "kid": KEY_ID,
            "x": URL_SAFE_NO_PAD.encode(raw.unwrap_or_default()),
        }]});
        std::fs::write(jwks, set.to_string())?;
        let server = Server::start(web::listen()?, move |request| answer(request, &key))?;
        Ok(Self { server })
    }

    /// The realm that a registry names. By name, because cosign 3 refuses realms that are addresses
    /// of loopback.
    pub(super) fn realm(&self) -> String {
        format!("http://localhost:{}/token", self.server.port())
    }
}

fn answer(request: &Request, key: &KeyPair) -> Answer {
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    if request.method != "GET" {
        Answer("405 Method Not Allowed", "{}".to_owned())
    } else if request.headers.get("authorization") == Some(&expected) {
        Answer::ok(&token(&request.target, key))
    } else {
        Answer("401 Unauthorized", "{}".to_owned())
    }
}

/// A token for every scope in the query.
fn token(target: &str, key: &KeyPair) -> Value {
    let now = web::now();
    let claims = json!({
        "iss": NAME,
        "sub": USER,
        "aud": NAME,
        "exp": now + LIFETIME.as_secs(),
        "nbf": now.saturating_sub(60),
        "iat": now,
        "jti": now.to_string(),
        "access": access(target),
    });
    let token = web::jwt(key, "EdDSA", KEY_ID, &claims);
    json!({ "token": token, "access_token": token, "expires_in": LIFETIME.as_secs() })
}

/// `repository:a/b:pull,push`, in one `scope` or several, as entries of the claim `access`.
fn access(target: &str) -> Vec<Value> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("scope="))
        .flat_map(|scope| {
            let scope = scope.replace("%3A", ":").replace("%2F", "/");
            let scope = scope.replace("%2C", ",").replace("%20", "+");
            scope.split('+').map(str::to_owned).collect::<Vec<_>>()
        })
        .filter_map(|scope| {
            let (kind, rest) = scope.split_once(':')?;
            let (name, actions) = rest.rsplit_once(':')?;
            let actions: Vec<&str> = actions.split(',').collect();
            Some(json!({ "type": kind, "name": name, "actions": actions }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_become_claims() {
        let asked =
            access("/token?service=e2e&scope=repository%3Aa%2Fb%3Apull%2Cpush+registry:x:*");
        assert_eq!(
            asked,
            [
                json!({"type": "repository", "name": "a/b", "actions": ["pull", "push"]}),
                json!({"type": "registry", "name": "x", "actions": ["*"]}),
            ]
        );
        assert!(access("/token?service=e2e").is_empty());
    }
}
