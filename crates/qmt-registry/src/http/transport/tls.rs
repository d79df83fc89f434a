//! TLS: which certificates are trusted, and the client's own.

mod other;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use qmt_oci_ref::RegistryHost;
use qmt_oci_ref::text::{utf_16, without_byte_order_mark};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, Error, InconsistentKeys};
use zeroize::Zeroizing;

use super::certificate::{Trusted, public_key, validity, without_marks};
use super::options::HostOptions;
use super::system;
use super::verifier::ServerVerifier;
use crate::BoxError;
use crate::error::{ClientError, TlsError};
use crate::place::{Content, unexpanded};

/// The content of the files that the options of a registry name.
pub(super) struct TlsFiles {
    /// Trusted next to the system's.
    trusted: Vec<Trusted>,
    /// The client's certificate with its chain and key.
    identity: Option<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl TlsFiles {
    /// Reads the files.
    pub(super) fn read(host: &RegistryHost, options: &HostOptions) -> Result<Self, ClientError> {
        let ca_file = options.ca_file.as_deref();
        let ca_file = ca_file.map(|path| File::read(host, "ca_file", path));
        let trusted = match ca_file {
            Some(file) => file?.trusted()?,
            None => Vec::new(),
        };
        let provider = CryptoProvider::get_default().cloned();
        let provider = provider.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
        let identity = match &options.client_certificate {
            Some((certificate, key)) => {
                let certificate = File::read(host, "client_cert", certificate)?;
                let key = File::read(host, "client_key", key)?;
                Some(identity(&certificate, &key, &provider)?)
            }
            None => None,
        };
        Ok(Self {
            trusted,
            identity,
            provider,
        })
    }

    /// When the client's certificate is valid.
    pub(super) fn client_validity(&self) -> Option<[SystemTime; 2]> {
        validity(self.identity.as_ref()?.cert.first()?)
    }

    /// Trusts the certificates in `ca_file` of another registry as well.
    pub(super) fn trust(&mut self, host: &RegistryHost, path: &Path) -> Result<(), ClientError> {
        let file = File::read(host, "ca_file", path)?;
        self.trusted.extend(file.trusted()?);
        Ok(())
    }

    /// The settings of connections; `is_own` are those that get the client's certificate. Over plain
    /// HTTP, they are to servers that the registry names.
    pub(super) fn config(
        self,
        host: &RegistryHost,
        plain_http: bool,
        is_own: bool,
    ) -> Result<ClientConfig, ClientError> {
        let verifier = ServerVerifier::new(self.trusted, Arc::clone(&self.provider));
        let verifier = verifier.map_err(ClientError::setup)?;
        let verifier = verifier.ok_or_else(|| no_authorities(host, plain_http))?;
        let config = ClientConfig::builder_with_provider(self.provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(ClientError::setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.identity.filter(|_| is_own) {
            Some(key) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The client's certificate with its chain and key. The server decides whether it is valid, so one of
/// version 1 (`openssl x509 -req` without extensions) is sent as well.
fn identity(
    certificate: &File<'_>,
    key: &File<'_>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, ClientError> {
    let chain = certificate.certificates()?;
    let private = key.private_key()?;
    let reason = other::than_supported_key(&private);
    let private = provider.key_provider.load_private_key(private);
    // The texts of the causes are those of programmers.
    let private = private.map_err(|_| key.unusable(reason, None))?;
    let certified = CertifiedKey::new(chain, private);
    let is_its_key = match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => true,
        Err(Error::InconsistentKeys(_)) => false,
        // rustls reads version 3 only.
        Err(_) => {
            let own = certified.cert.first().and_then(|first| public_key(first));
            let malformed = "its first certificate is malformed";
            let own = own.ok_or_else(|| certificate.unusable(malformed, None))?;
            let public = certified.key.public_key();
            public.is_none_or(|public| *public == *own)
        }
    };
    if is_its_key {
        Ok(certified)
    } else {
        Err(key.unusable(
            "it is not the key of the certificate in `client_cert`",
            None,
        ))
    }
}

fn no_authorities(host: &RegistryHost, plain_http: bool) -> TlsError {
    let host = host.clone();
    let Some((variable, value)) = system::variable() else {
        return TlsError::NoAuthorities { host, plain_http };
    };
    if let Some(content) = Content::of(&value) {
        return TlsError::NoPathOfAuthorities {
            host,
            plain_http,
            variable,
            content: content.name(),
        };
    }
    let path = PathBuf::from(value);
    TlsError::NoAuthoritiesAt {
        reason: encoding_of(&path)
            .or_else(|| unexpanded(&path))
            .unwrap_or(""),
        host,
        plain_http,
        variable,
        path,
    }
}

/// What to say of a file that is text in UTF-16.
fn encoding_of(path: &Path) -> Option<&'static str> {
    let mut mark = [0; 2];
    let opened = qmt_storage::files::open_regular(path);
    opened.ok()?.read_exact(&mut mark).ok()?;
    utf_16(&mark)
}

/// Names the certificate of a file that `before` others precede.
fn certificate_number(before: usize) -> BoxError {
    format!(
        "certificate number {} of the file",
        before.saturating_add(1)
    )
    .into()
}

/// A PEM file that an option names.
struct File<'a> {
    host: &'a RegistryHost,
    option: &'static str,
    path: &'a Path,
    content: Zeroizing<Vec<u8>>,
}

impl<'a> File<'a> {
    fn read(
        host: &'a RegistryHost,
        option: &'static str,
        path: &'a Path,
    ) -> Result<Self, ClientError> {
        let content = Zeroizing::new(Vec::new());
        let mut file = Self {
            host,
            option,
            path,
            content,
        };
        let opened = qmt_storage::files::open_regular(path);
        if let Err(cause) = opened.and_then(|mut opened| opened.read_to_end(&mut file.content)) {
            return Err(file.unusable("it can't be read", Some(cause.into())));
        }
        match utf_16(&file.content) {
            Some(reason) => Err(file.unusable(reason, None)),
            None => Ok(file),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, ClientError> {
        let clean = without_marks(&self.content);
        let content = clean.as_ref().unwrap_or(&self.content);
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(content) {
            // The texts of the causes are those of programmers.
            let reason = match certificate {
                Ok(certificate) => {
                    certificates.push(certificate);
                    continue;
                }
                Err(pem::Error::MissingSectionEnd { .. }) => {
                    "it is cut off: the line `-----END CERTIFICATE-----` is missing"
                }
                Err(pem::Error::Base64Decode(_)) => {
                    "the base64 of one of its certificates is damaged"
                }
                Err(_) => "it is not PEM",
            };
            return Err(self.unusable(reason, Some(certificate_number(certificates.len()))));
        }
        if certificates.is_empty() {
            return Err(self.unusable(other::than_certificates(&self.content), None));
        }
        Ok(certificates)
    }

    /// Certificates that can be trusted.
    fn trusted(&self) -> Result<Vec<Trusted>, ClientError> {
        let mut roots = rustls::RootCertStore::empty();
        let certificates = self.certificates()?.into_iter();
        let trusted = certificates.enumerate().map(|(before, certificate)| {
            let is_accepted = roots.add(certificate.clone()).is_ok();
            let trusted = Trusted::read(certificate).filter(|_| is_accepted);
            let reason = "one of its certificates is malformed";
            trusted.ok_or_else(|| self.unusable(reason, Some(certificate_number(before))))
        });
        trusted.collect()
    }

    /// The key. No cause is kept, because it could quote the file.
    fn private_key(&self) -> Result<PrivateKeyDer<'static>, ClientError> {
        if let Some(reason) = other::encryption(&self.content) {
            return Err(self.unusable(reason, None));
        }
        PrivateKeyDer::from_pem_slice(without_byte_order_mark(&self.content))
            .map_err(|_| self.unusable(other::than_private_key(&self.content), None))
    }

    fn unusable(&self, reason: &'static str, source: Option<BoxError>) -> ClientError {
        ClientError::Options {
            host: self.host.clone(),
            option: self.option,
            path: Some(self.path.to_path_buf()),
            reason,
            source,
        }
    }
}

#[cfg(test)]
mod tests;
