//! What failed handshakes mean for the user.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;

/// The error for a certificate that is refused for `cause`, and its hint.
fn refused(cause: CertificateError, ca_file: Option<&str>) -> (TlsError, String) {
    let url = RedactedUrl::from_text("https://r.example/v2/");
    let mut options = HostOptions::new();
    options.ca_file = ca_file.map(PathBuf::from);
    let host: RegistryHost = "r.example".parse().unwrap();
    let cause = rustls::Error::InvalidCertificate(cause);
    let error = tls_error(&url, &host, &options, true, &cause, "handshake".into());
    let hint = ClientError::Tls(error).hint().unwrap();
    (
        tls_error(&url, &host, &options, true, &cause, "handshake".into()),
        hint,
    )
}

/// A certificate with `CA:TRUE` is not said to have an unknown issuer, and `ca_file` is not said to
/// lack the issuer.
#[test]
fn a_certificate_marked_as_an_authority_is_explained() {
    for (ca_file, words) in [
        (Some("ca.pem"), "to `ca.pem`, which `ca_file` names"),
        (None, "with `ca_file` in `[registries.\"r.example\"]`"),
    ] {
        let marked = || CertificateError::Other(OtherError(Arc::new(MarkedAsAuthority)));
        let (error, hint) = refused(marked(), ca_file);
        assert!(
            matches!(error, TlsError::MarkedAsAuthority { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("`CA:TRUE`"), "{error}");
        assert!(
            hint.contains(words) && hint.contains("`CA:FALSE`"),
            "{hint}"
        );
        assert!(!hint.contains("does not contain the issuer"), "{hint}");

        let (error, hint) = refused(CertificateError::UnknownIssuer, ca_file);
        let TlsError::Certificate { unknown_issuer, .. } = error else {
            panic!("{error:?}");
        };
        assert!(unknown_issuer && !hint.contains("`CA:FALSE`"), "{hint}");

        // The authority was renewed under its name.
        let renewed = CertificateError::Other(OtherError(Arc::new(IssuerKeyDiffers)));
        let (error, hint) = refused(renewed, ca_file);
        assert!(hint.contains("ca_file"), "{hint}");
        let source = Error::source(&error).unwrap();
        assert!(source.to_string().contains("did not sign it"), "{source}");

        // The server has no key for the certificate, so that no authority helps.
        let (error, hint) = refused(CertificateError::BadSignature, ca_file);
        let TlsError::Certificate { unknown_issuer, .. } = error else {
            panic!("{error:?}");
        };
        assert!(!unknown_issuer && !hint.contains("ca_file"), "{hint}");
    }
}

/// The name and the clock are named only where one of them is the reason.
#[test]
fn a_certificate_that_must_be_replaced_is_explained() {
    use rustls::pki_types::UnixTime;
    let old =
        || CertificateError::Other(OtherError(Arc::new(webpki::Error::UnsupportedCertVersion)));
    for cause in [
        old(),
        CertificateError::InvalidPurpose,
        CertificateError::BadSignature,
    ] {
        let (error, hint) = refused(cause, None);
        assert!(
            hint.contains("must replace the certificate"),
            "{error}: {hint}"
        );
    }
    let (time, not_after) = (UnixTime::now(), UnixTime::now());
    for cause in [
        CertificateError::NotValidForName,
        CertificateError::ExpiredContext { time, not_after },
    ] {
        let (error, hint) = refused(cause, None);
        assert!(hint.contains("this machine's clock"), "{error}: {hint}");
    }
}
