//! Certificates for servers: a private authority, and the ways in which they can be wrong.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs};

use crate::error::TestkitError;

/// How a server identifies itself over TLS. Each server gets an authority of its own, unless it
/// shares that of another.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    names: Vec<String>,
    expired: bool,
    signer: Signer,
    client_certificates: bool,
    protocols: Vec<&'static str>,
    authority: Option<Authority>,
}

/// What signs the server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signer {
    Authority,
    Itself,
    ItselfAsAuthority,
}

impl TlsOptions {
    /// A good certificate for `localhost`, `127.0.0.1` and `::1`.
    pub fn new() -> Self {
        Self {
            names: ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec(),
            expired: false,
            signer: Signer::Authority,
            client_certificates: false,
            protocols: vec!["http/1.1"],
            authority: None,
        }
    }

    /// A certificate for these names only. IP addresses become IP names.
    #[must_use]
    pub fn names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// A certificate whose time ended in 2021.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    /// A certificate that no authority signed.
    #[must_use]
    pub fn self_signed(mut self) -> Self {
        self.signer = Signer::Itself;
        self
    }

    /// The same, marked as the certificate of an authority, as `openssl req -x509` makes it.
    #[must_use]
    pub fn self_signed_as_authority(mut self) -> Self {
        self.signer = Signer::ItselfAsAuthority;
        self
    }

    /// Speaks HTTP/2 with clients that can, as public registries do. Faults that break a connection
    /// break all requests that it carries.
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.protocols = vec!["h2", "http/1.1"];
        self
    }

    /// Takes the certificate from the authority of another server.
    #[must_use]
    pub fn authority_of(mut self, other: &Certificates) -> Self {
        self.authority = Some(other.authority.clone());
        self
    }

    /// Demands a client certificate of the same authority, as
    /// [`Certificates::client_certificate_pem`] is.
    #[must_use]
    pub fn require_client_certificate(mut self) -> Self {
        self.client_certificates = true;
        self
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The PEM texts that belong to a TLS server.
#[derive(Clone, Debug)]
pub struct Certificates {
    ca: String,
    server: String,
    client_certificate: String,
    client_key: String,
    authority: Authority,
}

/// A certificate authority with its key.
#[derive(Clone)]
struct Authority(Arc<CertifiedIssuer<'static, KeyPair>>);

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl Certificates {
    /// The authority's certificate, for a client's list of trusted roots.
    pub fn ca_pem(&self) -> &str {
        &self.ca
    }

    /// The server's own certificate.
    pub fn server_pem(&self) -> &str {
        &self.server
    }

    /// A client certificate of that authority.
    pub fn client_certificate_pem(&self) -> &str {
        &self.client_certificate
    }

    /// The private key of [`client_certificate_pem`](Self::client_certificate_pem), PKCS #8.
    pub fn client_key_pem(&self) -> &str {
        &self.client_key
    }
}

/// Makes keys and certificates, and the acceptor that uses them, if TLS is wanted.
pub(super) fn make_optional(
    options: Option<&TlsOptions>,
) -> Result<(Option<TlsAcceptor>, Option<Certificates>), TestkitError> {
    let Some(options) = options else {
        return Ok((None, None));
    };
    let (acceptor, certificates) = make(options)?;
    Ok((Some(acceptor), Some(certificates)))
}

/// Makes keys and certificates, and the acceptor that uses them.
pub(super) fn make(options: &TlsOptions) -> Result<(TlsAcceptor, Certificates), TestkitError> {
    build(options).map_err(|source| TestkitError::Tls { source })
}

fn build(
    options: &TlsOptions,
) -> Result<(TlsAcceptor, Certificates), Box<dyn std::error::Error + Send + Sync>> {
    let authority = options.authority.clone().map_or_else(new_authority, Ok)?;
    let ca: &CertifiedIssuer<'static, KeyPair> = &authority.0;

    let mut server = CertificateParams::new(options.names.clone())?;
    server
        .distinguished_name
        .push(DnType::CommonName, "Test server");
    if options.signer == Signer::ItselfAsAuthority {
        server.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    } else {
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    }
    if options.expired {
        server.not_before = date_time_ymd(2020, 1, 1);
        server.not_after = date_time_ymd(2021, 1, 1);
    }
    let server_key = KeyPair::generate()?;
    let is_self_signed = options.signer != Signer::Authority;
    let server = if is_self_signed {
        server.self_signed(&server_key)?
    } else {
        server.signed_by(&server_key, ca)?
    };

    let mut client = CertificateParams::new(Vec::new())?;
    client
        .distinguished_name
        .push(DnType::CommonName, "Test client");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client_key = KeyPair::generate()?;
    let client = client.signed_by(&client_key, ca)?;

    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let config = if options.client_certificates {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes())?)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        config.with_client_cert_verifier(verifier)
    } else {
        config.with_no_client_auth()
    };
    let mut config = config.with_single_cert(
        vec![server.der().clone()],
        PrivateKeyDer::from_pem_slice(server_key.serialize_pem().as_bytes())?,
    )?;
    let protocols = options.protocols.iter();
    config.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
    let certificates = Certificates {
        ca: if is_self_signed {
            server.pem()
        } else {
            ca.pem()
        },
        server: server.pem(),
        client_certificate: client.pem(),
        client_key: client_key.serialize_pem(),
        authority,
    };
    Ok((TlsAcceptor::from(Arc::new(config)), certificates))
}

fn new_authority() -> Result<Authority, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    Ok(Authority(Arc::new(issuer)))
}
