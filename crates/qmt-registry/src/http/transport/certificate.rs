//! What a certificate may be used for. webpki does not look at it in certificates that are trusted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{self, Decode as _, Encode as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use zeroize::Zeroizing;

const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const ANY_PURPOSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// A certificate that the operator or the system trusts.
#[derive(Clone, Debug)]
pub(super) struct Trusted {
    pub(super) der: CertificateDer<'static>,
    /// What it would have to have to issue certificates of servers; `None` if it may issue them.
    pub(super) lacks: Option<&'static str>,
    /// Whether it may be the certificate of a server.
    pub(super) is_for_servers: bool,
    /// In seconds since 1970.
    not_before: u64,
    not_after: u64,
}

impl Trusted {
    /// Reads a certificate; `None` if it is malformed.
    pub(super) fn read(der: CertificateDer<'static>) -> Option<Self> {
        let certificate = Certificate::from_der(&der).ok()?;
        let is_for_servers = is_for_servers(&certificate)?;
        let lacks = if is_for_servers {
            lacks(&certificate).ok()?
        } else {
            Some("`serverAuth` in its extendedKeyUsage")
        };
        let validity = certificate.tbs_certificate.validity;
        let seconds = |time: Duration| time.as_secs();
        Some(Self {
            der,
            lacks,
            is_for_servers,
            not_before: seconds(validity.not_before.to_unix_duration()),
            not_after: seconds(validity.not_after.to_unix_duration()),
        })
    }

    /// Whether it may issue certificates of servers.
    pub(super) fn may_issue(&self) -> bool {
        self.lacks.is_none()
    }

    pub(super) fn is_valid_at(&self, now: UnixTime) -> bool {
        (self.not_before..=self.not_after).contains(&now.as_secs())
    }

    /// The first and the last second in which it is valid.
    pub(super) fn validity(&self) -> [SystemTime; 2] {
        [self.not_before, self.not_after].map(|time| UNIX_EPOCH + Duration::from_secs(time))
    }
}

/// What a certificate lacks to be one of an authority, by the rules of OpenSSL: `CA:TRUE`, and
/// `keyCertSign` where it has a key usage. Version 1 has no extensions; of these, self-issued
/// ones are roots.
fn lacks(certificate: &Certificate) -> der::Result<Option<&'static str>> {
    let tbs = &certificate.tbs_certificate;
    let is_ca = if tbs.version == Version::V1 {
        tbs.issuer == tbs.subject
    } else {
        let constraints = tbs.get::<BasicConstraints>()?;
        constraints.is_some_and(|(_, constraints)| constraints.ca)
    };
    let usage = tbs.get::<KeyUsage>()?;
    let signs = usage.is_none_or(|(_, usage)| usage.key_cert_sign());
    Ok(match (is_ca, signs) {
        (true, true) => None,
        (false, _) => Some("`CA:TRUE` in its basicConstraints"),
        (true, false) => Some("`keyCertSign` in its keyUsage"),
    })
}

fn is_for_servers(certificate: &Certificate) -> Option<bool> {
    let purposes = certificate.tbs_certificate.get::<ExtendedKeyUsage>().ok()?;
    Some(purposes.is_none_or(|(_, ExtendedKeyUsage(purposes))| {
        let mut purposes = purposes.iter();
        purposes.any(|purpose| [SERVER_AUTH, ANY_PURPOSE].contains(purpose))
    }))
}

/// PEM without the byte order marks that precede its blocks, which a parser does not find then; `None`
/// where there are none. A file that is made of several ones can have some.
pub(super) fn without_marks(content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    const MARKED: &[u8] = "\u{feff}-----BEGIN ".as_bytes();
    let mut clean = Zeroizing::new(Vec::with_capacity(content.len()));
    let mut rest = content;
    while let Some(at) = rest.windows(MARKED.len()).position(|part| part == MARKED) {
        clean.extend_from_slice(&rest[..at]);
        rest = &rest[at + MARK.len()..];
    }
    let has_marks = rest.len() < content.len();
    clean.extend_from_slice(rest);
    has_marks.then_some(clean)
}

/// Whether a certificate names itself as its issuer.
pub(super) fn is_self_issued(der: &[u8]) -> bool {
    Certificate::from_der(der).is_ok_and(|certificate| {
        let tbs = certificate.tbs_certificate;
        tbs.issuer == tbs.subject
    })
}

/// The first and the last second in which a certificate of any version is valid; `None` if it is malformed.
pub(super) fn validity(der: &[u8]) -> Option<[SystemTime; 2]> {
    let validity = Certificate::from_der(der).ok()?.tbs_certificate.validity;
    let [from, until] = [validity.not_before, validity.not_after];
    Some([from, until].map(|time| UNIX_EPOCH + time.to_unix_duration()))
}

/// The public key of a certificate of any version, in DER; `None` if it is malformed.
pub(super) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(der).ok()?;
    let key = certificate.tbs_certificate.subject_public_key_info;
    key.to_der().ok()
}

/// The host names and addresses of a certificate.
pub(super) fn names(der: &[u8]) -> Vec<String> {
    let certificate = Certificate::from_der(der).ok();
    let names = certificate.and_then(|certificate| {
        let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
        Some(names.0)
    });
    names.iter().flatten().filter_map(name).collect()
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(address) => {
            let bytes = address.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
            let v6 = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}
