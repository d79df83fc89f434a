//! The validity of a certificate ends with that of its actual issuers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::json;

use super::*;
use crate::pem;
use crate::trust::material;

/// A key with the years in which a certificate of it is valid.
struct Ca {
    name: &'static str,
    key: KeyPair,
    years: (i32, i32),
}

impl Ca {
    fn new(name: &'static str, years: (i32, i32)) -> Self {
        Self::of(name, KeyPair::generate().unwrap(), years)
    }

    fn of(name: &'static str, key: KeyPair, years: (i32, i32)) -> Self {
        Self { name, key, years }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, self.name);
        params.not_before = date_time_ymd(self.years.0, 1, 1);
        params.not_after = date_time_ymd(self.years.1, 1, 1);
        params
    }

    fn root(&self) -> Vec<u8> {
        let certificate = self.params().self_signed(&self.key).unwrap();
        certificate.der().to_vec()
    }

    fn issued_by(&self, upper: &Self) -> Vec<u8> {
        let params = upper.params();
        let issuer = Issuer::from_params(&params, &upper.key);
        let certificate = self.params().signed_by(&self.key, &issuer).unwrap();
        certificate.der().to_vec()
    }

    /// The same key, valid in other years.
    fn renewed(&self, years: (i32, i32)) -> Self {
        let key = KeyPair::try_from(self.key.serialize_der()).unwrap();
        Self::of(self.name, key, years)
    }
}

/// The windows of the authorities made of `chains`: first and last year, sorted.
fn windows(chains: &[&[Vec<u8>]]) -> (Vec<(i16, i16)>, Vec<String>) {
    let authorities = chains.iter().map(|chain| {
        let certificates = chain.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) }));
        json!({ "uri": "https://ca.example", "certChain": { "certificates": certificates.collect::<Vec<_>>() } })
    });
    let root = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "certificateAuthorities": authorities.collect::<Vec<_>>(),
    });
    let parsed = material::parse(root.to_string().as_bytes()).unwrap();
    let year = |time: String| time[..4].parse().unwrap();
    let mut windows: Vec<(i16, i16)> = Vec::new();
    for authority in parsed.root.certificate_authorities {
        let window = authority.valid_for.unwrap();
        windows.push((
            year(window.start.to_string()),
            year(window.end.unwrap().to_string()),
        ));
    }
    windows.sort_unstable();
    (windows, parsed.unusable)
}

/// SIG-10: a renewed root of the same name does not extend the validity of what the expired root
/// issued, in any order of the certificates.
#[test]
fn a_renewed_root_with_the_same_name_lends_no_window() {
    let (old, new) = (Ca::new("root", (2010, 2020)), Ca::new("root", (2019, 2040)));
    let intermediate = Ca::new("intermediate", (2012, 2035));
    let (lower, old, new) = (intermediate.issued_by(&old), old.root(), new.root());
    let expected = vec![(2010, 2020), (2012, 2020), (2019, 2040)];
    for order in [
        [&lower, &old, &new],
        [&lower, &new, &old],
        [&new, &old, &lower],
    ] {
        let chain = order.map(Clone::clone);
        assert_eq!(windows(&[&chain]), (expected.clone(), Vec::new()));
        // Each in a separate authority, as from three PEM files.
        let [one, two, three] = &chain;
        let alone = [one, two, three].map(std::slice::from_ref);
        assert_eq!(windows(&alone), (expected.clone(), Vec::new()));
    }
    // The renewed root alone: it is not the issuer.
    let without = [lower.clone(), new.clone()];
    assert_eq!(windows(&[&without]).0, [(2012, 2035), (2019, 2040)]);
    // What the renewed root issued has its dates.
    let new = Ca::new("root", (2019, 2040));
    let chain = [intermediate.issued_by(&new), old, new.root()];
    // The intermediate begins with its issuer.
    assert_eq!(
        windows(&[&chain]).0,
        [(2010, 2020), (2019, 2035), (2019, 2040)]
    );
}

/// A root that was renewed with its key issued everything that the key signed.
#[test]
fn a_root_renewed_with_the_same_key_is_an_issuer() {
    let old = Ca::new("root", (2010, 2020));
    let new = old.renewed((2019, 2040));
    let lower = Ca::new("intermediate", (2012, 2035)).issued_by(&old);
    let chain = [lower, old.root(), new.root()];
    let expected = vec![(2010, 2020), (2012, 2020), (2019, 2035), (2019, 2040)];
    assert_eq!(windows(&[&chain]), (expected, Vec::new()));
}

/// A certificate with the root's own name that another key signed (RFC 4210, "new with old") is not
/// a root: its validity ends with that of its issuer.
#[test]
fn a_root_that_another_one_signed_ends_with_that_one() {
    let (old, new) = (Ca::new("root", (2010, 2020)), Ca::new("root", (2015, 2040)));
    let chain = [new.issued_by(&old), old.root()];
    assert_eq!(
        windows(&[&chain]),
        (vec![(2010, 2020), (2015, 2020)], Vec::new())
    );
}

/// Chains are found at any depth, in circles and next to certificates that do not belong to them.
#[test]
fn all_issuers_of_a_chain_count() {
    let root = Ca::new("root", (2010, 2040));
    let middle = Ca::new("middle", (2011, 2030));
    let lower = Ca::new("lower", (2012, 2035));
    let other = Ca::new("middle", (2000, 2050));
    let chain = [
        lower.issued_by(&middle),
        other.root(),
        middle.issued_by(&root),
        root.root(),
    ];
    let expected = vec![(2000, 2050), (2010, 2040), (2011, 2030), (2012, 2030)];
    assert_eq!(windows(&[&chain]), (expected, Vec::new()));
    // Never valid together.
    let late = Ca::new("late", (2041, 2042));
    let (valid, left) = windows(&[&[late.issued_by(&root), root.root()]]);
    assert_eq!(valid, [(2010, 2040)]);
    assert!(left[0].contains("is never valid"), "{left:?}");
    // Each signed the other: neither is a root, and the search ends.
    let (one, two) = (Ca::new("one", (2010, 2020)), Ca::new("two", (2012, 2022)));
    let circle = [one.issued_by(&two), two.issued_by(&one)];
    assert_eq!(windows(&[&circle]).0, [(2012, 2020), (2012, 2020)]);
}

/// RSA with PSS, as `openssl req -x509 -sigopt rsa_padding_mode:pss` signs.
#[test]
fn a_root_signed_with_pss_is_a_root() {
    let root = pem::blocks(PSS_ROOT.as_bytes()).unwrap().remove(0).der;
    let expected = (vec![(2026, 2126)], Vec::new());
    assert_eq!(windows(&[std::slice::from_ref(&root)]), expected);
    let mut other = root;
    *other.last_mut().unwrap() ^= 1;
    let der = DerCertificate::new(other);
    let tampered = Issued::parse(&der).unwrap();
    assert_eq!(tampered.is_issued_by(&tampered), Ok(false));
}

const PSS_ROOT: &str = "
-----BEGIN CERTIFICATE-----
MIIDgTCCAjWgAwIBAgIUF+eDg6wB2hqKJwGjEAXYPCkZyiYwQQYJKoZIhvcNAQEK
MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEF
AKIDAgEgMBMxETAPBgNVBAMMCHBzcyByb290MCAXDTI2MTEyOTIxMDY1NVoYDzIx
MjYxMTA1MjEwNjU1WjATMREwDwYDVQQDDAhwc3Mgcm9vdDCCASIwDQYJKoZIhvcN
AQEBBQADggEPADCCAQoCggEBAMDiVURlte9ufqF4N9T/qgCzbqdvBeuFD00tBfIo
D8g6kFUhxfmZ0EQHvJHAo2cPjkzblMBsrTlvmAXkldy4Fl3QZonXHsZtLxCigK3A
DFm4aWok2JKweqS25+XzAS14PSjMC4TTJYw2nTrNOr72B+u0iCzWkcd4Q15jqx3Q
j067f0VbnxXRTodKX4J7WAhCC/0TqMtFvxOoKl4RgSf2DqGRUEXpriaG4h611LkM
ZdCtTrS8ttEMEFZ+v7Wq+0/mQ2V8E9YHmKweImS9KN5YYW6gnzt2xlYzrLJaJ1f7
Nq4HXXBrQi3MGvbiAGIwG9+qK9V60zVe5qKbrd6Cf5tQIBcCAwEAAaNjMGEwHQYD
VR0OBBYEFPRMtn7UDXS6gecrueApGs0jz1F2MB8GA1UdIwQYMBaAFPRMtn7UDXS6
gecrueApGs0jz1F2MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgIEMEEG
CSqGSIb3DQEBCjA0oA8wDQYJYIZIAWUDBAIBBQChHDAaBgkqhkiG9w0BAQgwDQYJ
YIZIAWUDBAIBBQCiAwIBIAOCAQEApRbzH1R24GLLOD1SrUXwbxUHFUCXPAEc3swc
5bYECbKGn7QPHJ3xLu6Pbfr/jv3qUc36xVN3YpKyFEnvVfl43qSEG06tmy7DMkum
6g8XJWxbYc9zsaFr+Q7n9IfziAazZtUlsskhFxzxqWiUSsodMnYnklhgI0FFffzN
/Ftlz/LFIpMsptni8G33WR5BJF9nZfJh2JkE4ApdbOhMgWK3Slmi0tO++YnG6iBu
MSOZZPn6Y1qIXJR3ZJz/4FGzN+bObgM8En0vIQn3CAfAJTB3u2NQDBhLJ34rReZf
eFNq/4A9Fcipb4+tffH2f/smAzeOmTaHMU5dzKk1YEGLSnPlKA==
-----END CERTIFICATE-----
";
