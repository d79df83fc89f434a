//! What certificates and alerts that end a TLS handshake mean, in words.

use std::time::{Duration, UNIX_EPOCH};

use qmt_oci_ref::text::escape;
use qmt_oci_ref::time::rfc3339;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, OtherError};

/// Most names of a certificate that a message lists.
const NAMES_MAX: usize = 5;

/// Why a certificate is not accepted.
pub(super) fn certificate(error: &CertificateError) -> String {
    use CertificateError as Error;
    match error {
        Error::ExpiredContext { time, not_after } => format!(
            "it, or one that it depends on, expired on {}; this machine's clock is at {}",
            at(*not_after),
            at(*time)
        ),
        Error::NotValidYetContext { time, not_before } => format!(
            "it, or one that it depends on, is not valid before {}; this machine's clock is at {}",
            at(*not_before),
            at(*time)
        ),
        Error::Expired => "it has expired".to_owned(),
        Error::NotValidYet => "it is not valid yet".to_owned(),
        Error::NotValidForNameContext {
            expected,
            presented,
        } => names(expected, presented),
        Error::NotValidForName => "it is for another name".to_owned(),
        Error::InvalidPurpose | Error::InvalidPurposeContext { .. } => {
            "it is not for servers (its extendedKeyUsage lacks serverAuth)".to_owned()
        }
        Error::BadEncoding => "it is malformed".to_owned(),
        Error::BadSignature => {
            "the authority that has the name of its issuer did not sign it".to_owned()
        }
        Error::Revoked => "it is revoked".to_owned(),
        Error::UnhandledCriticalExtension => {
            "it has a critical extension that is not supported".to_owned()
        }
        Error::UnsupportedSignatureAlgorithmContext { .. }
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed by an algorithm that is not supported".to_owned()
        }
        Error::Other(OtherError(cause)) => match cause.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::EndEntityUsedAsCa) => {
                "it is issued by a certificate that may not issue others".to_owned()
            }
            Some(cause) => format!("it can't be verified: {cause}"),
            None => cause.to_string(),
        },
        error => error.to_string(),
    }
}

fn at(time: UnixTime) -> String {
    rfc3339(UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}

fn names(expected: &ServerName<'_>, presented: &[String]) -> String {
    let expected = expected.to_str();
    if presented.is_empty() {
        return format!(
            "it has no names in subjectAltName, so it is not for `{expected}`; its common name does \
             not count"
        );
    }
    if presented.iter().any(|name| *name == expected) {
        return format!("it has `{expected}` as a host name, but not as an IP address");
    }
    let shown = presented.iter().take(NAMES_MAX);
    let shown: Vec<String> = shown.map(|name| format!("`{}`", escape(name))).collect();
    let more = match presented.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("it is for {}{more}, not for `{expected}`", shown.join(", "))
}

/// Whether a server that sends this alert sends it the next time, too.
pub(super) fn is_final(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::HandshakeFailure
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            | Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::UnrecognisedName
            | Alert::NoApplicationProtocol
    )
}

/// What a final alert means, and whether it is about the client's certificate.
pub(super) fn alert(alert: AlertDescription, has_certificate: bool) -> (&'static str, bool) {
    use AlertDescription as Alert;
    match alert {
        Alert::ProtocolVersion => ("it supports neither TLS 1.2 nor TLS 1.3", false),
        Alert::InsufficientSecurity => ("it supports no common cipher", false),
        Alert::UnrecognisedName => ("it does not serve this host name", false),
        Alert::NoApplicationProtocol => ("it supports neither HTTP/1.1 nor HTTP/2", false),
        Alert::HandshakeFailure if has_certificate => (
            "it does not accept the client certificate, or supports no common cipher",
            true,
        ),
        Alert::HandshakeFailure => (
            "it requires a client certificate, or supports no common cipher",
            true,
        ),
        Alert::UnknownCA if has_certificate => (
            "it does not know the authority that issued the client certificate",
            true,
        ),
        Alert::CertificateExpired if has_certificate => {
            ("the client certificate has expired", true)
        }
        Alert::CertificateRevoked if has_certificate => ("the client certificate is revoked", true),
        Alert::CertificateRequired if has_certificate => (
            "it requires a client certificate of another authority",
            true,
        ),
        Alert::DecryptError if !has_certificate => ("a check of the handshake failed there", false),
        _ if has_certificate => ("it does not accept the client certificate", true),
        _ => ("it requires a client certificate", true),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Reasons have no names of types.
    #[test]
    fn certificates_are_explained_in_words() {
        let names = |presented: &[&str]| {
            certificate(&CertificateError::NotValidForNameContext {
                expected: "127.0.0.1".try_into().unwrap(),
                presented: presented.iter().copied().map(str::to_owned).collect(),
            })
        };
        assert!(names(&[]).contains("subjectAltName"));
        assert_eq!(
            names(&["a", "b\u{1b}"]),
            "it is for `a`, `b\\u{1b}`, not for `127.0.0.1`"
        );
        assert!(names(&["127.0.0.1"]).contains("not as an IP address"));
        assert!(names(&["a"; 9]).contains("and 4 more"));
        let cause = OtherError(Arc::new(webpki::Error::EndEntityUsedAsCa));
        assert_eq!(
            certificate(&CertificateError::Other(cause)),
            "it is issued by a certificate that may not issue others"
        );
    }
}
