//! Which names and extensions of a certificate are read.

use x509_cert::der::Tag;
use x509_cert::der::asn1::{Any, Ia5String, OctetString};
use x509_cert::ext::AsExtension as _;
use x509_cert::ext::pkix::name::OtherName;

use super::*;
use crate::signature::rekor_v2::tests::CERTIFICATE;

#[test]
fn only_github_may_be_left_out_of_a_repository() {
    for (said, wanted, same) in [
        ("https://github.com/acme/x", "acme/x", true),
        ("acme/x", "acme/x", true),
        ("acme/x", "https://github.com/acme/x", true),
        (
            "https://gitlab.com/acme/x",
            "https://gitlab.com/acme/x",
            true,
        ),
        ("https://gitlab.com/acme/x", "acme/x", false),
        ("https://github.com/acme/x-evil", "acme/x", false),
        ("https://github.com/evil/acme/x", "acme/x", false),
        (
            "https://evil.example/https://github.com/acme/x",
            "acme/x",
            false,
        ),
        ("", "acme/x", false),
    ] {
        assert_eq!(same_repository(said, wanted), same, "{said} and {wanted}");
    }
}

/// A certificate that names `names`.
fn naming(names: Vec<GeneralName>) -> Certificate {
    let der = DerCertificate::from_pem(CERTIFICATE).unwrap();
    let mut certificate = Certificate::from_der(der.as_bytes()).unwrap();
    let subject = certificate.tbs_certificate.subject.clone();
    let name = SubjectAltName(names).to_extension(&subject, &[]).unwrap();
    certificate.tbs_certificate.extensions = Some(vec![name]);
    certificate
}

fn address(bytes: &[u8]) -> GeneralName {
    GeneralName::IpAddress(OctetString::new(bytes).unwrap())
}

fn other(kind: &str) -> GeneralName {
    GeneralName::OtherName(OtherName {
        type_id: ObjectIdentifier::new(kind).unwrap(),
        value: Any::new(Tag::Utf8String, "alice".as_bytes()).unwrap(),
    })
}

/// SIG-03: every kind of name that a policy can mean, and none of the others.
#[test]
fn each_kind_of_name_is_read() {
    let text = |text: &str| Ia5String::new(text).unwrap();
    let six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    for (name, expected) in [
        (
            GeneralName::Rfc822Name(text("a@b.example")),
            Some("a@b.example"),
        ),
        (GeneralName::DnsName(text("b.example")), Some("b.example")),
        (
            GeneralName::UniformResourceIdentifier(text("https://b.example")),
            Some("https://b.example"),
        ),
        (address(&[192, 0, 2, 7]), Some("192.0.2.7")),
        (address(&six), Some("2001:db8::1")),
        // Fulcio's own kind; another kind of text is not what it writes.
        (other("1.3.6.1.4.1.57264.1.7"), Some("alice")),
        (other("1.3.6.1.4.1.57264.1.8"), None),
        (GeneralName::RegisteredId(OTHER_NAME), None),
    ] {
        let found = identity(&naming(vec![name])).unwrap();
        assert_eq!(found.as_deref(), expected);
    }
    assert!(identity(&naming(vec![address(&[1, 2, 3])])).is_err());
    let two = vec![address(&[192, 0, 2, 7]), address(&[192, 0, 2, 8])];
    assert!(identity(&naming(two)).is_err());
    assert_eq!(identity(&naming(Vec::new())).ok(), Some(None));
}

#[test]
fn noise_is_no_certificate() {
    for der in [&b""[..], b"x", &[0x30, 0x82, 0xff, 0xff]] {
        assert!(Claims::parse(&DerCertificate::from_bytes(der)).is_err());
    }
}

#[test]
fn only_extensions_of_fulcio_are_claims() {
    let id = |text: &str| ObjectIdentifier::new(text).unwrap();
    assert_eq!(number(&id("1.3.6.1.4.1.57264.1.8")), Some(8));
    assert_eq!(number(&id("1.3.6.1.4.1.57264.2.8")), None);
    assert_eq!(number(&id("1.3.6.1.4.1.57264.1.8.1")), None);
    assert_eq!(number(&id("1.3.6.1.4.1.57265.1.8")), None);
}

/// SIG-09: a certificate dates its signature only if it is valid for at most a day.
#[test]
fn only_a_short_lived_certificate_has_a_time_of_issue() {
    let from = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let time = |time: SystemTime| x509_cert::time::Time::try_from(time).unwrap();
    let mut certificate = naming(Vec::new());
    let mut issued = |lifetime: std::time::Duration| {
        let validity = &mut certificate.tbs_certificate.validity;
        (validity.not_before, validity.not_after) = (time(from), time(from + lifetime));
        issued_at(&certificate)
    };
    let second = std::time::Duration::from_secs(1);
    assert_eq!(issued(second * 600), Some(from));
    assert_eq!(issued(SHORT_LIVED_MAX), Some(from));
    assert_eq!(issued(SHORT_LIVED_MAX + second), None);
    assert_eq!(issued(SHORT_LIVED_MAX * 3650), None);
    // A certificate that is never valid gives no time.
    certificate.tbs_certificate.validity.not_before = time(from + second);
    certificate.tbs_certificate.validity.not_after = time(from);
    assert_eq!(issued_at(&certificate), None);
}
