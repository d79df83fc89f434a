//! OIDC issuers for Fulcio: discovery, keys, and tokens that are signed with RS256.
//!
//! Spec: <https://openid.net/specs/openid-connect-discovery-1_0.html>

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::UintRef;
use der::{Decode as _, Reader as _, SliceReader};
use qmt_testkit::{KeyKind, KeyPair};
use serde_json::{Value, json};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::web::{self, Answer, Server};

const KEY_ID: &str = "e2e";
/// The audience of the tokens.
const AUDIENCE: &str = "sigstore";
const LIFETIME: Duration = Duration::from_hours(1);

/// An issuer on loopback, ended with this value.
pub(super) struct Issuer {
    server: Server,
    key: Arc<KeyPair>,
}

impl Issuer {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = web::listen()?;
        let url = format!("http://{}", listener.local_addr()?);
        let key = Arc::new(KeyPair::generate(KeyKind::Rsa2048));
        let keys = json!({ "keys": [jwk(key.public_der())?] });
        let discovery = json!({
            "issuer": url,
            "jwks_uri": format!("{url}/keys"),
            "authorization_endpoint": format!("{url}/auth"),
            "token_endpoint": format!("{url}/token"),
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        });
        let server = Server::start(listener, move |request| match request.target.as_str() {
            "/.well-known/openid-configuration" => Answer::ok(&discovery),
            "/keys" => Answer::ok(&keys),
            _ => Answer::not_found(),
        })?;
        Ok(Self { server, key })
    }

    /// What certificates name as the issuer.
    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    /// A token of a person.
    pub(super) fn email(&self, address: &str) -> String {
        self.token(&json!({ "sub": address, "email": address, "email_verified": true }))
    }

    /// A token of a GitHub workflow, with every claim that Fulcio reads.
    pub(super) fn github(&self, workflow: &Workflow) -> String {
        let Workflow {
            repository,
            file,
            name,
            git_ref,
            trigger,
            sha,
        } = workflow;
        let owner = repository.split('/').next().unwrap_or(repository);
        self.token(&json!({
            "sub": format!("repo:{repository}:ref:{git_ref}"),
            "job_workflow_ref": format!("{repository}/.github/workflows/{file}@{git_ref}"),
            "job_workflow_sha": sha,
            "workflow_ref": format!("{repository}/.github/workflows/{file}@{git_ref}"),
            "workflow_sha": sha,
            "workflow": name,
            "event_name": trigger,
            "repository": repository,
            "repository_id": "1001",
            "repository_owner": owner,
            "repository_owner_id": "1002",
            "repository_visibility": "public",
            "ref": git_ref,
            "sha": sha,
            "run_id": "42",
            "run_attempt": "1",
            "runner_environment": "github-hosted",
        }))
    }

    fn token(&self, claims: &Value) -> String {
        let now = web::now();
        let mut claims = claims.clone();
        for (name, value) in [
            ("iss", json!(self.url())),
            ("aud", json!(AUDIENCE)),
            ("iat", json!(now)),
            ("nbf", json!(now)),
            ("exp", json!(now + LIFETIME.as_secs())),
        ] {
            claims[name] = value;
        }
        web::jwt(&self.key, "RS256", KEY_ID, &claims)
    }
}

/// What a GitHub workflow's token says.
pub(super) struct Workflow {
    pub(super) repository: &'static str,
    /// In `.github/workflows`.
    pub(super) file: &'static str,
    pub(super) name: &'static str,
    pub(super) git_ref: &'static str,
    pub(super) trigger: &'static str,
    pub(super) sha: &'static str,
}

impl Workflow {
    /// The name in the certificate.
    pub(super) fn identity(&self) -> String {
        format!(
            "https://github.com/{}/.github/workflows/{}@{}",
            self.repository, self.file, self.git_ref
        )
    }
}

/// An RSA key as a JSON web key.
fn jwk(spki: &[u8]) -> anyhow::Result<Value> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki)?;
    let bits = spki.subject_public_key.as_bytes().context("no RSA key")?;
    let mut reader = SliceReader::new(bits)?;
    let (modulus, exponent) = reader.sequence(|reader| {
        let modulus = UintRef::decode(reader)?.as_bytes();
        Ok((modulus, UintRef::decode(reader)?.as_bytes()))
    })?;
    Ok(json!({
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "kid": KEY_ID,
        "n": URL_SAFE_NO_PAD.encode(modulus),
        "e": URL_SAFE_NO_PAD.encode(exponent),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_issuer_is_of_2048_bits_and_tokens_have_three_parts() {
        let issuer = Issuer::start().unwrap();
        let key = jwk(issuer.key.public_der()).unwrap();
        let modulus = URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap();
        assert_eq!(modulus.len(), 256);
        assert_eq!(key["e"], "AQAB");
        let token = issuer.email("dev@example.com");
        let claims = token.split('.').nth(1).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["iss"], issuer.url());
        assert_eq!(claims["email"], "dev@example.com");
        assert_eq!(token.split('.').count(), 3);
    }
}
