//! What certificates and alerts that end a TLS handshake mean, in words.

use std::time::{Duration, UNIX_EPOCH};

use qmt_oci_ref::time::rfc3339;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError};

use crate::error::text::{UNKNOWN_ISSUER, quoted};

/// Most names of a certificate that a message lists.
const NAMES_MAX: usize = 5;

const CRITICAL_EXTENSION: &str = "it, or one that it depends on, has a critical extension that is not \
                                  supported, such as certificatePolicies";

/// Whether a certificate is not accepted for the name or at the time of this machine's clock.
pub(super) fn is_about_name_or_time(error: &CertificateError) -> bool {
    use CertificateError as Error;
    matches!(
        error,
        Error::Expired
            | Error::ExpiredContext { .. }
            | Error::NotValidYet
            | Error::NotValidYetContext { .. }
            | Error::NotValidForName
            | Error::NotValidForNameContext { .. }
    )
}

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
            "the server does not have its key, or that is an RSA key of fewer than 2048 bits"
                .to_owned()
        }
        Error::Revoked => "it is revoked".to_owned(),
        Error::UnhandledCriticalExtension => CRITICAL_EXTENSION.to_owned(),
        Error::UnsupportedSignatureAlgorithmContext { .. }
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed by an algorithm that is not supported".to_owned()
        }
        Error::UnknownIssuer => UNKNOWN_ISSUER.to_owned(),
        Error::UnknownRevocationStatus
        | Error::ExpiredRevocationList
        | Error::ExpiredRevocationListContext { .. }
        | Error::InvalidOcspResponse => "whether it is revoked can't be checked".to_owned(),
        Error::Other(OtherError(cause)) => match cause.downcast_ref() {
            Some(cause) => broken_rule(cause).to_owned(),
            None => cause.to_string(),
        },
        // The messages of the other variants are meant for developers.
        _ => "it can't be verified".to_owned(),
    }
}

/// The rule of X.509 that a certificate or its chain breaks.
fn broken_rule(cause: &webpki::Error) -> &'static str {
    use webpki::Error;
    match cause {
        Error::CaUsedAsEndEntity => UNKNOWN_ISSUER,
        Error::EndEntityUsedAsCa => "it is issued by a certificate that may not issue others",
        Error::UnsupportedCertVersion => {
            "it, or one that it depends on, has an old version of X.509, without extensions; the \
             server needs a certificate of version 3 that has its name in subjectAltName"
        }
        Error::UnsupportedCriticalExtension => CRITICAL_EXTENSION,
        Error::NameConstraintViolation => {
            "an authority that it depends on may not issue certificates for its names"
        }
        Error::PathLenConstraintViolated
        | Error::MaximumPathDepthExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => {
            "it depends on more certificates than are allowed"
        }
        _ => "it, or one that it depends on, is malformed",
    }
}

/// Why a TLS connection failed, for the errors that have no text of their own.
pub(super) fn tls(error: &rustls::Error) -> String {
    use rustls::Error;
    let reason = match error {
        Error::InvalidCertificate(cause) => {
            return format!("its certificate is not accepted: {}", certificate(cause));
        }
        Error::AlertReceived(alert) => {
            return format!("it ends the TLS connection with alert {}", u8::from(*alert));
        }
        Error::General(_) | Error::Other(_) => return error.to_string(),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "its answer is not TLS",
        Error::PeerIncompatible(_) => "it supports no common version, cipher or extension of TLS",
        Error::NoCertificatesPresented => "it sends no certificate",
        Error::InconsistentKeys(_) => "the key is not that of the certificate",
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord
        | Error::DecryptError => "it breaks the rules of TLS",
        _ => "the TLS connection failed",
    };
    reason.to_owned()
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
    let names = quoted(presented, NAMES_MAX);
    format!("it is for {names}, not for `{expected}`")
}

/// What an alert means, and whether it is about the client's certificate; `None` if the server may
/// not send it the next time.
pub(super) fn alert(
    alert: AlertDescription,
    has_certificate: bool,
) -> Option<(&'static str, bool)> {
    use AlertDescription as Alert;
    let about_client = match alert {
        Alert::ProtocolVersion => return Some(("it supports neither TLS 1.2 nor TLS 1.3", false)),
        Alert::InsufficientSecurity => return Some(("it supports no common cipher", false)),
        Alert::UnrecognisedName => return Some(("it does not serve this host name", false)),
        Alert::NoApplicationProtocol => {
            return Some(("it supports neither HTTP/1.1 nor HTTP/2", false));
        }
        Alert::DecryptError if !has_certificate => {
            return Some(("a check of the handshake failed there", false));
        }
        Alert::HandshakeFailure if has_certificate => {
            "it does not accept the client certificate, or supports no common cipher"
        }
        Alert::HandshakeFailure => "it requires a client certificate, or supports no common cipher",
        Alert::UnknownCA if has_certificate => {
            "it does not know the authority that issued the client certificate"
        }
        Alert::CertificateExpired if has_certificate => "the client certificate has expired",
        Alert::CertificateRevoked if has_certificate => "the client certificate is revoked",
        Alert::CertificateRequired if has_certificate => {
            "it requires a client certificate of another authority"
        }
        Alert::CertificateRequired
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError => {
            if has_certificate {
                "it does not accept the client certificate"
            } else {
                "it requires a client certificate"
            }
        }
        _ => return None,
    };
    Some((about_client, true))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::Error;

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
        let cause = OtherError(Arc::new(webpki::Error::UnsupportedCriticalExtension));
        let text = certificate(&CertificateError::Other(cause));
        assert!(text.contains("critical extension"), "{text}");
        let cause = OtherError(Arc::new(webpki::Error::EndEntityUsedAsCa));
        assert_eq!(
            certificate(&CertificateError::Other(cause)),
            "it is issued by a certificate that may not issue others"
        );
        // For weak keys, TLS libraries report a signature that does not match.
        assert_eq!(
            certificate(&CertificateError::BadSignature),
            "the server does not have its key, or that is an RSA key of fewer than 2048 bits"
        );
    }

    /// rustls and webpki write the names of their types.
    #[test]
    fn no_error_is_shown_as_code() {
        use webpki::Error as Pki;
        let other = |cause| CertificateError::Other(OtherError(Arc::new(cause)));
        for cause in [
            other(Pki::UnsupportedCertVersion),
            other(Pki::CaUsedAsEndEntity),
            other(Pki::NameConstraintViolation),
            other(Pki::PathLenConstraintViolated),
            other(Pki::MaximumPathDepthExceeded),
            other(Pki::SignatureAlgorithmMismatch),
            other(Pki::MalformedExtensions),
            other(Pki::UnsupportedCriticalExtension),
            CertificateError::UnknownIssuer,
            CertificateError::UnknownRevocationStatus,
            CertificateError::ExpiredRevocationList,
            CertificateError::InvalidOcspResponse,
            CertificateError::ApplicationVerificationFailure,
        ] {
            is_in_words(&certificate(&cause));
            is_in_words(&tls(&Error::InvalidCertificate(cause)));
        }
        for error in [
            Error::AlertReceived(AlertDescription::InternalError),
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::InvalidMessage(InvalidMessage::MessageTooLarge),
            Error::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerMisbehaved(rustls::PeerMisbehaved::IllegalMiddleboxChangeCipherSpec),
            Error::InappropriateMessage {
                expect_types: Vec::new(),
                got_type: rustls::ContentType::Heartbeat,
            },
            Error::NoCertificatesPresented,
            Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch),
        ] {
            is_in_words(&tls(&error));
        }
    }

    fn is_in_words(text: &str) {
        let is_code = |word: &str| {
            let rest = word.trim_start_matches(char::is_uppercase);
            word.len() > 1
                && !["subjectAltName", "certificatePolicies"].contains(&word)
                && rest.contains(char::is_uppercase)
        };
        assert!(
            !text.split(|c: char| !c.is_alphanumeric()).any(is_code),
            "{text}"
        );
    }
}
