//! What a certificate says: its identities, who vouched for them, and what the CI system claims.
//! <https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md>

use std::collections::BTreeMap;
use std::net::IpAddr;

use sigstore_verify::types::DerCertificate;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::{ObjectIdentifier, Utf8StringRef};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::fault::Fault;
use crate::policy::WorkflowClaims;

/// The arc of all Fulcio extensions.
const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");
/// The kind of an `otherName` in which Fulcio writes user names.
const OTHER_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");
const GITHUB: &str = "https://github.com/";

/// What we read out of a signing certificate. Claims, until the certificate is proven.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    /// The subject alternative name, of whatever kind; none or one.
    pub(crate) identities: Vec<String>,
    /// The issuer, from the current extension or else the old one.
    pub(crate) issuer: Option<String>,
    /// Values of the extensions by their number under Fulcio's arc.
    extensions: BTreeMap<u32, String>,
}

impl Claims {
    pub(crate) fn parse(der: &DerCertificate) -> Result<Self, Fault> {
        let certificate = Certificate::from_der(der.as_bytes()).map_err(broken)?;
        let mut claims = Self {
            identities: identities(&certificate)?,
            ..Self::default()
        };
        for extension in certificate.tbs_certificate.extensions.iter().flatten() {
            let Some(number) = number(&extension.extn_id) else {
                continue;
            };
            let value = extension.extn_value.as_bytes();
            let text = match number {
                // The first six hold bare text, the later ones a DER UTF8String.
                1..=6 => bare(value),
                8..=24 => Utf8StringRef::from_der(value)
                    .ok()
                    .map(|text| text.as_str().to_owned()),
                _ => continue,
            };
            let Some(text) = text else {
                return Err(Fault::Certificate(format!(
                    "its extension {number} is no text"
                )));
            };
            if claims.extensions.insert(number, text).is_some() {
                return Err(Fault::Certificate(format!(
                    "its extension {number} occurs twice"
                )));
            }
        }
        let (old, new) = (claims.extensions.get(&1), claims.extensions.get(&8));
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            return Err(Fault::IssuerConflict {
                old: old.clone(),
                new: new.clone(),
            });
        }
        claims.issuer = new.or(old).cloned();
        Ok(claims)
    }

    /// Checks the workflow that the policy wants. Where a certificate says a thing in an old and in
    /// a current extension, both must say what is wanted.
    pub(crate) fn check(&self, wanted: &WorkflowClaims) -> Result<(), Fault> {
        for (claim, expected) in wanted.all() {
            let Some(expected) = expected else { continue };
            let numbers: &[u32] = match claim {
                "repository" => &[12, 5],
                "ref" => &[14, 6],
                "trigger" => &[20, 2],
                "sha" => &[13, 3],
                _ => &[4],
            };
            let said: Vec<&String> = numbers
                .iter()
                .filter_map(|number| self.extensions.get(number))
                .collect();
            let same = |said: &&&String| match claim {
                "repository" => same_repository(said, expected),
                _ => said.as_str() == expected,
            };
            let wrong = said.iter().find(|said| !same(said));
            if said.is_empty() || wrong.is_some() {
                return Err(Fault::OtherClaim {
                    claim,
                    found: wrong.map_or_else(|| "not there".to_owned(), ToString::to_string),
                    expected: expected.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The claims by name, for the report.
    pub(crate) fn named(&self) -> BTreeMap<String, String> {
        let mut named = BTreeMap::new();
        for (name, numbers) in [
            ("repository", [12, 5]),
            ("ref", [14, 6]),
            ("trigger", [20, 2]),
            ("sha", [13, 3]),
            ("name", [4, 4]),
            ("build_signer", [9, 9]),
            ("build_config", [18, 18]),
            ("runner", [11, 11]),
            ("run", [21, 21]),
        ] {
            let value = numbers
                .iter()
                .find_map(|number| self.extensions.get(number));
            if let Some(value) = value {
                named.insert(name.to_owned(), value.clone());
            }
        }
        named
    }
}

/// Whether a certificate's repository is the wanted one. Only github.com may be left out.
fn same_repository(said: &str, wanted: &str) -> bool {
    let short = |text: &str| text.strip_prefix(GITHUB).map(ToOwned::to_owned);
    let whole = |text: &str| {
        if text.contains("://") {
            text.to_owned()
        } else {
            format!("{GITHUB}{text}")
        }
    };
    said == wanted || whole(said) == whole(wanted) && short(&whole(wanted)).is_some()
}

fn number(id: &ObjectIdentifier) -> Option<u32> {
    let arcs: Vec<u32> = id.arcs().collect();
    let (last, parent) = arcs.split_last()?;
    FULCIO.arcs().eq(parent.iter().copied()).then_some(*last)
}

/// Old extensions hold bare text; some authorities wrote a DER string into the issuer's.
fn bare(value: &[u8]) -> Option<String> {
    if let Ok(text) = Utf8StringRef::from_der(value) {
        return Some(text.as_str().to_owned());
    }
    std::str::from_utf8(value).ok().map(ToOwned::to_owned)
}

fn identities(certificate: &Certificate) -> Result<Vec<String>, Fault> {
    let names: Option<(bool, SubjectAltName)> =
        certificate.tbs_certificate.get().map_err(broken)?;
    let Some((_, SubjectAltName(names))) = names else {
        return Ok(Vec::new());
    };
    if names.len() > 1 {
        // Fulcio writes one. With two, a rule would be met by the one and a report show the other.
        return Err(Fault::Certificate(
            "it names more than one identity".to_owned(),
        ));
    }
    let mut identities = Vec::new();
    for name in names {
        match name {
            GeneralName::Rfc822Name(text)
            | GeneralName::DnsName(text)
            | GeneralName::UniformResourceIdentifier(text) => identities.push(text.to_string()),
            GeneralName::IpAddress(bytes) => {
                let bytes = bytes.as_bytes();
                let address = <[u8; 4]>::try_from(bytes)
                    .map(IpAddr::from)
                    .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
                    .map_err(|_| Fault::Certificate("its IP address is none".to_owned()))?;
                identities.push(address.to_string());
            }
            GeneralName::OtherName(other) if other.type_id == OTHER_NAME => {
                let text: Utf8StringRef<'_> = other.value.decode_as().map_err(broken)?;
                identities.push(text.as_str().to_owned());
            }
            // Other kinds name nobody whom a policy could mean.
            _ => {}
        }
    }
    Ok(identities)
}

fn broken(error: x509_cert::der::Error) -> Fault {
    Fault::Certificate(format!("it cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use x509_cert::der::Tag;
    use x509_cert::der::asn1::{Any, Ia5String, OctetString};
    use x509_cert::ext::AsExtension as _;
    use x509_cert::ext::pkix::name::OtherName;

    use super::*;
    use crate::judge::rekor2::tests::CERTIFICATE;

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
            let found = identities(&naming(vec![name])).unwrap();
            assert_eq!(found.first().map(String::as_str), expected);
        }
        assert!(identities(&naming(vec![address(&[1, 2, 3])])).is_err());
        let two = vec![address(&[192, 0, 2, 7]), address(&[192, 0, 2, 8])];
        assert!(identities(&naming(two)).is_err());
        assert_eq!(identities(&naming(Vec::new())).ok(), Some(Vec::new()));
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
}
