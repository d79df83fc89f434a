//! A certificate transparency log for Fulcio: `add-pre-chain` returns a signature.
//!
//! Spec: <https://www.rfc-editor.org/rfc/rfc6962#section-4.2>

use std::time::SystemTime;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{Decode as _, Encode as _};
use qmt_testkit::{KeyKind, KeyPair, SignedCertificateTimestamp};
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::oid::ObjectIdentifier;

use crate::web::{self, Answer, Request, Server};

/// Marks a certificate as one that must not be used.
const POISON: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3");
const PATH: &str = "/log";

/// A log that promises everything and shows nothing, ended with this value.
pub(super) struct CtLog {
    server: Server,
    public_pem: String,
}

#[derive(Deserialize)]
struct Chain {
    chain: Vec<String>,
}

impl CtLog {
    pub(super) fn start() -> anyhow::Result<Self> {
        let key = KeyPair::generate(KeyKind::P256);
        let public_pem = key.public_pem();
        let server = Server::start(web::listen()?, move |request| {
            answer(request, &key).unwrap_or_else(|error| {
                Answer("400 Bad Request", format!("{:?}", format!("{error:#}")))
            })
        })?;
        Ok(Self { server, public_pem })
    }

    pub(super) fn url(&self) -> String {
        format!("{}{PATH}", self.server.url())
    }

    pub(super) fn public_pem(&self) -> &str {
        &self.public_pem
    }
}

fn answer(request: &Request, key: &KeyPair) -> anyhow::Result<Answer> {
    if request.method != "POST" || request.target != format!("{PATH}/ct/v1/add-pre-chain") {
        return Ok(Answer::not_found());
    }
    let Chain { chain } = serde_json::from_slice(&request.body)?;
    let [precertificate, issuer, ..] = chain.as_slice() else {
        anyhow::bail!("a chain of {} certificates", chain.len());
    };
    let tbs = without_poison(&STANDARD.decode(precertificate)?)?;
    let issuer = Certificate::from_der(&STANDARD.decode(issuer)?)?;
    let issuer = issuer.tbs_certificate.subject_public_key_info.to_der()?;
    let sct = SignedCertificateTimestamp::sign(key, &tbs, &issuer, SystemTime::now());
    Ok(Answer::ok(&sct.json()))
}

/// The signed part of a precertificate, as the certificate will have it but for the timestamp.
fn without_poison(precertificate: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut tbs = Certificate::from_der(precertificate)?.tbs_certificate;
    let extensions = tbs.extensions.as_mut().context("no extensions")?;
    let before = extensions.len();
    extensions.retain(|extension| extension.extn_id != POISON);
    anyhow::ensure!(extensions.len() + 1 == before, "not a precertificate");
    Ok(tbs.to_der()?)
}
