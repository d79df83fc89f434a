//! Verifies certificates of servers as the system does, and trusts those that are listed themselves.

use std::sync::{Arc, LazyLock};

use qmt_oci_ref::time::rfc3339;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::certificate::{Trusted, is_self_issued, names};
use super::system::{self, Chain, Verifier};

/// The certificates that the system trusts, read when one is looked for.
static SYSTEM: LazyLock<Vec<Trusted>> = LazyLock::new(system::certificates);

/// The verifier of the operating system, and the certificates of `ca_file` next to its own.
///
/// Only certificates of authorities may issue others. A certificate that is listed byte for byte is
/// trusted for the names in it, as by OpenSSL and Go: `openssl req -x509` marks a server's own
/// certificate as one of an authority, which no chain may end in. Its names, dates and purpose are
/// checked as usual.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    system: Verifier,
    /// Those of `ca_file`, and the system's where it is a list.
    trusted: Vec<Trusted>,
    provider: Arc<CryptoProvider>,
}

/// Trusted authorities issued the certificate, but they are not valid now.
#[derive(Debug, thiserror::Error)]
#[error("the trusted authority that issued it is valid only from {from} until {until}")]
pub(super) struct AuthorityNotValid {
    from: String,
    until: String,
}

/// The issuer of the certificate is trusted here, and is not the certificate of an authority.
#[derive(Debug, thiserror::Error)]
#[error(
    "the certificate of its issuer, which is listed here, may not issue others: it lacks {lacks}"
)]
pub(super) struct NotAnAuthority {
    lacks: &'static str,
}

/// The certificate of the server is marked as one that issues others. webpki looks at this first, so
/// its issuer may be trusted or not.
#[derive(Debug, thiserror::Error)]
#[error("it is marked as the certificate of an authority (`CA:TRUE`)")]
pub(super) struct MarkedAsAuthority;

/// A trusted authority has the name of the issuer, and another key: it was renewed.
#[derive(Debug, thiserror::Error)]
#[error("the authority that has the name of its issuer did not sign it")]
pub(super) struct IssuerKeyDiffers;

impl ServerVerifier {
    /// Trusts `listed` next to the system's certificates; `None` if there is no certificate at all.
    pub(super) fn new(
        mut listed: Vec<Trusted>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Option<Self>, Error> {
        if Verifier::IS_LIST {
            // Read again for each client, so that changes are seen.
            listed.extend(system::certificates());
            if listed.is_empty() {
                return Ok(None);
            }
        }
        let system = Verifier::new(authorities(&listed), &provider)?;
        Ok(Some(Self {
            system,
            trusted: listed,
            provider,
        }))
    }

    /// Verifies the chain up to an authority that is valid now. webpki does not read their dates.
    fn verify_issued(&self, chain: Chain<'_>) -> Result<(), Error> {
        self.system.verify(chain)?;
        let is_valid = |root: &&Trusted| root.is_valid_at(chain.now);
        if authorities(&self.trusted).all(|root| is_valid(&root)) {
            return Ok(());
        }
        let remaining = authorities(&self.trusted).filter(is_valid);
        let verified = Verifier::new(remaining, &self.provider)?.verify(chain);
        verified.map_err(|error| {
            let mut outdated = authorities(&self.trusted).filter(|root| !is_valid(root));
            let issuer = outdated.find(|root| {
                let verifier = Verifier::new(std::iter::once(*root), &self.provider);
                verifier.is_ok_and(|verifier| verifier.verify(chain).is_ok())
            });
            issuer.map_or(error, |issuer| {
                let [from, until] = issuer.validity().map(rfc3339);
                refusal(AuthorityNotValid { from, until })
            })
        })
    }

    /// Verifies a certificate that is trusted itself, except for its issuer.
    fn verify_listed(&self, listed: &Trusted, chain: Chain<'_>) -> Result<(), Error> {
        let certificate = ParsedCertificate::try_from(chain.end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let (roots, now) = (RootCertStore::empty(), chain.now);
        // Dates, which the system's verifier may look at in another order.
        match verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], now, algorithms)
        {
            Err(error) if !is_about_issuer(&error) => return Err(error),
            _ => {}
        }
        // webpki does not come to the purpose of certificates of authorities.
        if !listed.is_for_servers {
            return Err(CertificateError::InvalidPurpose.into());
        }
        verify_server_name(&certificate, chain.name)
    }

    /// What the trusted certificate lacks that issued this one.
    fn lack_of_issuer(&self, chain: Chain<'_>) -> Option<NotAnAuthority> {
        self.trusted.iter().find_map(|issuer| {
            let lacks = issuer.lacks?;
            let verifier = Verifier::new(std::iter::once(issuer), &self.provider).ok()?;
            verifier.verify(chain).ok()?;
            Some(NotAnAuthority { lacks })
        })
    }

    /// The trusted certificate that is equal to `certificate`.
    fn listed(&self, certificate: &CertificateDer<'_>) -> Option<&Trusted> {
        let is_equal = |trusted: &&Trusted| trusted.der == *certificate;
        let system = || SYSTEM.iter().find(is_equal).filter(|_| !Verifier::IS_LIST);
        self.trusted.iter().find(is_equal).or_else(system)
    }
}

fn refusal(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    CertificateError::Other(OtherError(Arc::new(cause))).into()
}

fn authorities(trusted: &[Trusted]) -> impl Iterator<Item = &Trusted> {
    trusted.iter().filter(|certificate| certificate.may_issue())
}

/// Whether the chain is the only thing that is wrong with a certificate: its issuer is not known or may
/// not issue others, or it is marked as one of an authority. webpki finds wrong dates before these.
pub(super) fn is_about_issuer(error: &Error) -> bool {
    let is_listed = matches!(error,
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause)))
            if cause.is::<NotAnAuthority>());
    is_listed || is_unknown_issuer(error)
}

/// Whether a certificate is refused because its issuer, or it itself where it has none, is not listed.
pub(super) fn is_unknown_issuer(error: &Error) -> bool {
    let is_unknown = matches!(
        error,
        Error::InvalidCertificate(CertificateError::UnknownIssuer)
    );
    is_unknown || is_about_mark(error)
}

/// Whether a certificate is refused because it is marked as one of an authority.
fn is_about_mark(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else {
        return false;
    };
    cause.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = Chain {
            end_entity,
            intermediates,
            name: server_name,
            ocsp: ocsp_response,
            now,
        };
        let verified = match self.verify_issued(chain) {
            Err(error) if is_about_issuer(&error) => match self.listed(end_entity) {
                Some(listed) => self.verify_listed(listed, chain),
                // Of one that issued itself, the issuer is what is missing.
                None if is_about_mark(&error) && !is_self_issued(end_entity) => {
                    Err(refusal(MarkedAsAuthority))
                }
                None => Err(self.lack_of_issuer(chain).map_or(error, refusal)),
            },
            // Not that of the handshake, which the server itself makes.
            Err(Error::InvalidCertificate(CertificateError::BadSignature)) => {
                Err(refusal(IssuerKeyDiffers))
            }
            verified => verified,
        };
        match verified {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            // The names as text, and not as rustls writes their types.
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                expected,
                ..
            })) => Err(CertificateError::NotValidForNameContext {
                expected,
                presented: names(end_entity),
            }
            .into()),
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
