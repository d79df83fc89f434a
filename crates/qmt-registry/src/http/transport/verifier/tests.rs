//! Which listed certificates may issue others, and which are trusted themselves.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose as Purpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;

use super::*;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A root of version 1, and a certificate of version 1 that it issued: `openssl x509 -req` without
/// extensions.
const V1_ROOT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBIDCBxwIUE+EfQoVhwN3/VyQeUVNvVZUsB2cwCgYIKoZIzj0EAwIwEjEQMA4G
A1UEAwwHdjEtcm9vdDAgFw0yNjExMjgxNzI4MzVaGA8yMTI2MTEwNDE3MjgzNVow
EjEQMA4GA1UEAwwHdjEtcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDJS
zbdXVX84rLPKx5Jlg+1tmKWKr8PpMg3w56cXgXSHZRWIAkDqJKgs+Vn/MxUzf2VM
dz5QeQPKhBwLwayKjBUwCgYIKoZIzj0EAwIDSAAwRQIhAO8UGxqjD3CbS5erxiOA
AP0AL9jF5hJNbTxH92ItFz9dAiA7ttTlcka0gKZgMrdp+xI9hgElqa7esvmeY6v/
xFuAMg==
-----END CERTIFICATE-----
";
const V1_LEAF: &str = "\
-----BEGIN CERTIFICATE-----
MIIBIDCBxwIUIUfdl41bR1TwIsyzVNPRjRglU9YwCgYIKoZIzj0EAwIwEjEQMA4G
A1UEAwwHdjEtcm9vdDAgFw0yNjExMjgxNzI4MzVaGA8yMTI2MTEwNDE3MjgzNVow
EjEQMA4GA1UEAwwHdjEtbGVhZjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABPbd
7K8Ss8Uwp6VX5NIcMnVVkst1PXXrrPd5Dr6Nz0JUqUlyyfsR3i6f8L4mgWBY+VBy
+ufZliOnVKoOGUGJuU0wCgYIKoZIzj0EAwIDSAAwRQIhALjuyVNi/XV1ceDoRYgx
xoqsjuMph+K4QBs9rfez5o0IAiBNDPE6oKLQPti8AmZInX8jeM4W6/DzcVjTImM1
7Ff+xQ==
-----END CERTIFICATE-----
";

fn params() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned()]).unwrap()
}

fn authority() -> CertificateParams {
    let mut params = params();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn self_signed(params: CertificateParams) -> Issuer {
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(by: &Issuer) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    params().signed_by(&key, by).unwrap().der().clone()
}

fn verify(listed: &[&CertificateDer<'static>], sent: &CertificateDer<'_>) -> Result<(), Error> {
    let listed = listed.iter().map(|der| Trusted::read((*der).clone()));
    let listed = listed.collect::<Option<Vec<_>>>().unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = ServerVerifier::new(listed, provider).unwrap().unwrap();
    let name = "localhost".try_into().unwrap();
    let verified = verifier.verify_server_cert(sent, &[], &name, &[], UnixTime::now());
    verified.map(|_| ())
}

/// AUTH-18: a listed certificate that is not one of an authority vouches for itself only.
#[test]
fn only_authorities_issue_certificates() {
    let signing = |usages: &[KeyUsagePurpose]| {
        let mut params = authority();
        params.key_usages = usages.to_vec();
        self_signed(params)
    };
    for good in [signing(&[]), signing(&[KeyUsagePurpose::KeyCertSign])] {
        verify(&[good.der()], &issued(&good)).unwrap();
        verify(&[good.der()], good.der()).unwrap();
    }
    let mut leaf = params();
    leaf.is_ca = IsCa::ExplicitNoCa;
    let mut for_clients = authority();
    for_clients.extended_key_usages = vec![Purpose::ClientAuth];
    for bad in [
        self_signed(params()),
        self_signed(leaf),
        self_signed(for_clients),
        signing(&[KeyUsagePurpose::DigitalSignature]),
    ] {
        let error = verify(&[bad.der()], &issued(&bad)).unwrap_err();
        assert!(is_about_issuer(&error), "{error}");
    }
    // A leaf that an authority issued, without and with that authority.
    let root = signing(&[]);
    let key = KeyPair::generate().unwrap();
    let leaf = CertifiedIssuer::signed_by(params(), key, &root).unwrap();
    assert!(verify(&[leaf.der()], &issued(&leaf)).is_err());
    assert!(verify(&[root.der(), leaf.der()], &issued(&leaf)).is_err());
    verify(&[leaf.der()], leaf.der()).unwrap();
}

/// A server's certificate with `CA:TRUE` is refused as that where it has an issuer, trusted or not,
/// and accepted where it is listed itself.
#[test]
fn a_server_marked_as_an_authority_is_refused_as_that() {
    let root = self_signed(authority());
    let key = KeyPair::generate().unwrap();
    let mut params = authority();
    params.distinguished_name.push(DnType::CommonName, "server");
    let marked = CertifiedIssuer::signed_by(params, key, &root).unwrap();
    let other = self_signed(authority());
    for listed in [root.der(), other.der()] {
        let error = verify(&[listed], marked.der()).unwrap_err();
        let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = &error else {
            panic!("{error}");
        };
        assert!(cause.is::<MarkedAsAuthority>(), "{error}");
        assert!(!is_about_issuer(&error), "{error}");
    }
    verify(&[marked.der()], marked.der()).unwrap();
    verify(&[root.der()], &issued(&root)).unwrap();
    // Of one that issued itself, the issuer is not known.
    let error = verify(&[root.der()], other.der()).unwrap_err();
    assert!(is_about_issuer(&error), "{error}");
}

/// What is wrong with a certificate of version 1 is said in words, whether it is issued or listed.
#[test]
fn a_server_with_version_1_is_explained() {
    let read = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (root, leaf) = (read(V1_ROOT), read(V1_LEAF));
    for listed in [&root, &leaf] {
        let Err(Error::InvalidCertificate(cause)) = verify(&[listed], &leaf) else {
            panic!("it is accepted");
        };
        let text = super::super::explain::certificate(&cause);
        assert!(
            text.contains("old version") && text.contains("subjectAltName"),
            "{text}"
        );
    }
    let good = self_signed(authority());
    verify(&[good.der()], &issued(&good)).unwrap();
}

/// AUTH-18: a listed certificate that is not one of an authority issues nothing, and is named as the reason.
#[test]
fn an_issuer_that_is_no_authority_is_explained() {
    let mut usage = authority();
    usage.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let mut purpose = authority();
    purpose.extended_key_usages = vec![Purpose::CodeSigning];
    for (params, lacking) in [
        (params(), "`CA:TRUE`"),
        (usage, "`keyCertSign`"),
        (purpose, "`serverAuth`"),
    ] {
        let issuer = self_signed(params);
        let error = verify(&[issuer.der()], &issued(&issuer)).unwrap_err();
        assert!(!is_unknown_issuer(&error), "{error}");
        let Error::InvalidCertificate(cause) = error else {
            panic!("{error}");
        };
        let text = super::super::explain::certificate(&cause);
        assert!(text.contains(lacking), "{text}");
        let other = self_signed(authority());
        let error = verify(&[issuer.der()], &issued(&other)).unwrap_err();
        assert!(is_unknown_issuer(&error), "{error}");
    }
}

/// AUTH-18: without extensions, a certificate is one of an authority if it is its own issuer.
#[test]
fn a_root_of_version_1_issues_certificates() {
    let read = |pem: &str| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        Trusted::read(der).unwrap()
    };
    assert!(read(V1_ROOT).may_issue());
    assert!(!read(V1_LEAF).may_issue());
}

/// AUTH-18: the purpose of a registry's own certificate counts, also if it is listed.
#[test]
fn a_listed_certificate_must_be_for_servers() {
    let with = |mut params: CertificateParams, purposes: &[Purpose]| {
        params.extended_key_usages = purposes.to_vec();
        self_signed(params)
    };
    for params in [params(), authority()] {
        for good in [&[][..], &[Purpose::ClientAuth, Purpose::ServerAuth]] {
            let own = with(params.clone(), good);
            verify(&[own.der()], own.der()).unwrap();
        }
        for bad in [Purpose::ClientAuth, Purpose::CodeSigning] {
            let own = with(params.clone(), &[bad]);
            let error = verify(&[own.der()], own.der()).unwrap_err();
            let Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            ) = error
            else {
                panic!("{error}");
            };
        }
    }
}

/// AUTH-18: an authority issues certificates for as long as it is valid itself.
#[test]
fn the_dates_of_an_authority_count() {
    let dated = |from: i32, until: i32| {
        let mut params = authority();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        self_signed(params)
    };
    let (valid, expired, future) = (dated(2020, 2090), dated(2020, 2021), dated(2090, 2091));
    let all = [expired.der(), future.der(), valid.der()];
    verify(&all, &issued(&valid)).unwrap();
    for (bad, date) in [
        (&expired, "until 2021-01-01"),
        (&future, "until 2091-01-01"),
    ] {
        let error = verify(&all, &issued(bad)).unwrap_err();
        assert!(!is_about_issuer(&error), "{error}");
        let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else {
            panic!("{error}");
        };
        assert!(cause.to_string().contains(date), "{cause}");
    }
}

/// The system's own certificates can be read.
#[test]
fn most_certificates_of_this_machine_are_of_authorities() {
    let found = system::certificates();
    let authorities = authorities(&found).count();
    assert!(authorities * 10 >= found.len() * 9, "{authorities}");
}
