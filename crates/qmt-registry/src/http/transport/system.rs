//! Certificates and verifiers of the operating system.

use std::ffi::OsString;
use std::sync::Arc;

use rustls::Error;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::Trusted;
use crate::place::Content;

/// The variables of OpenSSL. Where one is set, the system's certificates are not read.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Returns the first variable that names other certificates than the system's, and its value. An
/// empty one counts as not set, as in programs that use Go's library.
pub(super) fn variable() -> Option<(&'static str, OsString)> {
    let set = VARIABLES.into_iter();
    let mut set = set.filter_map(|name| Some((name, std::env::var_os(name)?)));
    set.find(|(_, value)| !value.is_empty())
}

/// Reads the certificates that the system, or `SSL_CERT_FILE` and `SSL_CERT_DIR`, trust.
pub(super) fn certificates() -> Vec<Trusted> {
    let found = list();
    // The library's errors quote the variable, which may hold certificates and keys themselves.
    let is_shown = variable().is_none_or(|(_, value)| Content::of(&value).is_none());
    for error in found.errors.iter().filter(|_| is_shown) {
        tracing::debug!("reading the system's certificates: {error}");
    }
    found.certs.into_iter().filter_map(Trusted::read).collect()
}

/// A certificate with the chain that the server sends.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    pub(super) end_entity: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    pub(super) name: &'a ServerName<'a>,
    #[cfg_attr(
        all(unix, not(target_os = "android"), not(target_vendor = "apple")),
        expect(dead_code, reason = "webpki does not read it, but other systems may")
    )]
    pub(super) ocsp: &'a [u8],
    pub(super) now: UnixTime,
}

#[cfg(all(unix, not(target_os = "android"), not(target_vendor = "apple")))]
use self::platform::list;
#[cfg(not(all(unix, not(target_os = "android"), not(target_vendor = "apple"))))]
use rustls_native_certs::load_native_certs as list;

pub(super) use self::platform::Verifier;

/// Elsewhere, the system is a file of certificates, which webpki checks.
#[cfg(all(unix, not(target_os = "android"), not(target_vendor = "apple")))]
mod platform {
    use std::io::Read as _;
    use std::path::{Path, PathBuf};

    use rustls::RootCertStore;
    use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
    use rustls::server::ParsedCertificate;
    use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

    use rustls::pki_types::pem::PemObject as _;

    use super::super::certificate::without_marks;
    use super::{Arc, CertificateDer, Chain, CryptoProvider, Error, Trusted};

    #[derive(Debug)]
    pub(in super::super) struct Verifier {
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
    }

    /// Reads the list. The library takes an empty variable for the path of a file.
    pub(super) fn list() -> CertificateResult {
        let mut variables = super::VARIABLES.iter();
        let is_set = variables.any(|name| std::env::var_os(name).is_some());
        let mut list = if !is_set || super::variable().is_some() {
            load_native_certs()
        } else {
            let found = openssl_probe::probe();
            let folder = found.cert_dir.first().filter(|_| found.cert_file.is_none());
            load_certs_from_paths(found.cert_file.as_deref(), folder.map(|path| &**path))
        };
        list.certs
            .extend(files().iter().flat_map(|path| marked(path)));
        list
    }

    /// The files that [`list`] reads.
    fn files() -> Vec<PathBuf> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let [file, folders] = super::VARIABLES.map(variable);
        if file.is_none() && folders.is_none() {
            return Vec::from_iter(openssl_probe::probe().cert_file);
        }
        let mut files = Vec::from_iter(file.map(PathBuf::from));
        for folder in folders.iter().flat_map(std::env::split_paths) {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            files.extend(entries.map(|entry| entry.path()));
        }
        files
    }

    /// The certificates of a file with byte order marks: the library does not find those after them.
    fn marked(path: &Path) -> Vec<CertificateDer<'static>> {
        let mut content = Vec::new();
        let read = qmt_storage::files::open_regular(path)
            .and_then(|mut opened| opened.read_to_end(&mut content));
        let clean = read.ok().and_then(|_| without_marks(&content));
        let clean = clean.unwrap_or_default();
        CertificateDer::pem_slice_iter(&clean).flatten().collect()
    }

    impl Verifier {
        /// Whether [`certificates`] are all that the system trusts.
        pub(in super::super) const IS_LIST: bool = true;

        #[expect(clippy::unnecessary_wraps, reason = "other systems can fail")]
        pub(in super::super) fn new<'a>(
            authorities: impl Iterator<Item = &'a Trusted>,
            provider: &Arc<CryptoProvider>,
        ) -> Result<Self, Error> {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(authorities.map(|root| root.der.clone()));
            let provider = Arc::clone(provider);
            Ok(Self { roots, provider })
        }

        pub(in super::super) fn verify(&self, chain: Chain<'_>) -> Result<(), Error> {
            let certificate = ParsedCertificate::try_from(chain.end_entity)?;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.roots,
                chain.intermediates,
                chain.now,
                self.provider.signature_verification_algorithms.all,
            )?;
            verify_server_name(&certificate, chain.name)
        }
    }
}

/// The system verifies, with the authorities in `ca_file` in addition to its own.
#[cfg(not(all(unix, not(target_os = "android"), not(target_vendor = "apple"))))]
mod platform {
    use rustls::client::danger::ServerCertVerifier as _;

    use super::{Arc, Chain, CryptoProvider, Error, Trusted};

    #[derive(Debug)]
    pub(in super::super) struct Verifier(rustls_platform_verifier::Verifier);

    impl Verifier {
        pub(in super::super) const IS_LIST: bool = false;

        pub(in super::super) fn new<'a>(
            authorities: impl Iterator<Item = &'a Trusted>,
            provider: &Arc<CryptoProvider>,
        ) -> Result<Self, Error> {
            let roots: Vec<_> = authorities.map(|root| root.der.clone()).collect();
            let provider = Arc::clone(provider);
            rustls_platform_verifier::Verifier::new_with_extra_roots(roots, provider).map(Self)
        }

        pub(in super::super) fn verify(&self, chain: Chain<'_>) -> Result<(), Error> {
            let (certificate, others) = (chain.end_entity, chain.intermediates);
            let (name, ocsp, now) = (chain.name, chain.ocsp, chain.now);
            let verified = self
                .0
                .verify_server_cert(certificate, others, name, ocsp, now);
            verified.map(|_| ())
        }
    }
}
