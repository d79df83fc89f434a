//! Certificates: a root and an intermediate, and leaves as Fulcio issues them.
//!
//! Profile: <https://github.com/sigstore/fulcio/blob/main/docs/certificate-specification.md>.

use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{
    ID_CE_AUTHORITY_KEY_IDENTIFIER, ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME, ID_CE_SUBJECT_KEY_IDENTIFIER, ID_KP_CODE_SIGNING, ID_KP_SERVER_AUTH,
};
use der::asn1::{Any, BitString, GeneralizedTime, Ia5String, OctetString, UtcTime, Utf8StringRef};
use der::{Decode as _, Encode as _};
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, SubjectAltName,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

use super::codec::{Must, since_1970};
use super::identity::{Identity, LAST_RAW_CLAIM, SubjectName};
use super::key::{KeyKind, KeyPair, sha256};
use super::sct::{self, SctDefect};

/// How long a leaf lives.
pub(super) const LEAF_LIFETIME: Duration = Duration::from_mins(10);

const USERNAME_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");
/// An unknown extension.
const STRANGE_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.99.1");

/// `keyUsage` digitalSignature.
const USAGE_SIGN: &[u8] = &[0x03, 0x02, 0x07, 0x80];
/// `keyUsage` keyCertSign and cRLSign.
const USAGE_CERTIFY: &[u8] = &[0x03, 0x02, 0x01, 0x06];

/// What is wrong with a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeafDefect {
    NoCodeSigning,
    StrangeCriticalExtension,
    NoSct,
    Sct(SctDefect),
}

/// A root, and the intermediate that issues.
pub(super) struct Authority {
    pub(super) root: Vec<u8>,
    pub(super) intermediate: Vec<u8>,
    key: KeyPair,
    name: Name,
}

impl Authority {
    /// Makes both certificates, valid in the given times, the intermediate for `usage` only.
    pub(super) fn new(
        organisation: &str,
        what: &str,
        valid: (SystemTime, SystemTime),
        usage: ObjectIdentifier,
    ) -> Self {
        let root_key = KeyPair::generate(KeyKind::P384);
        let root_name = name(organisation, &format!("{what} root"));
        let key = KeyPair::generate(KeyKind::P256);
        let subject = name(organisation, &format!("{what} intermediate"));
        let extensions = vec![
            basic_constraints(Some(0)),
            extension(ID_CE_KEY_USAGE, true, USAGE_CERTIFY),
            extended_key_usage(usage, false),
            subject_key_id(&key),
            authority_key_id(&root_key),
        ];
        let tbs = tbs(&root_key, &root_name, &subject, &key, valid, extensions);
        Self {
            root: self_signed(&root_key, &root_name, valid),
            intermediate: seal(tbs, &root_key),
            key,
            name: subject,
        }
    }

    /// Issues a leaf to `key` for `identity`, logged in `ct_log` at `not_before`.
    pub(super) fn issue(
        &self,
        key: &KeyPair,
        identity: &Identity,
        ct_log: &KeyPair,
        not_before: SystemTime,
        defect: Option<LeafDefect>,
    ) -> Vec<u8> {
        let usage = match defect {
            Some(LeafDefect::NoCodeSigning) => ID_KP_SERVER_AUTH,
            _ => ID_KP_CODE_SIGNING,
        };
        let mut extensions = vec![
            extension(ID_CE_KEY_USAGE, true, USAGE_SIGN),
            extended_key_usage(usage, false),
            subject_key_id(key),
            authority_key_id(&self.key),
        ];
        if !identity.names.is_empty() {
            extensions.push(subject_alt_name(&identity.names));
        }
        for (number, value) in &identity.claims {
            extensions.push(claim(*number, value));
        }
        if defect == Some(LeafDefect::StrangeCriticalExtension) {
            extensions.push(extension(STRANGE_OID, true, &[0x05, 0x00]));
        }
        let valid = (not_before, not_before + LEAF_LIFETIME);
        let empty = Name::default();
        let mut tbs = tbs(&self.key, &self.name, &empty, key, valid, extensions);
        if defect != Some(LeafDefect::NoSct) {
            let defect = match defect {
                Some(LeafDefect::Sct(defect)) => Some(defect),
                _ => None,
            };
            let precertificate = tbs.to_der().must("write the precertificate");
            let seen = sct::extension(
                ct_log,
                &precertificate,
                self.key.public_der(),
                not_before,
                defect,
            );
            tbs.extensions.get_or_insert_default().push(seen);
        }
        seal(tbs, &self.key)
    }
}

/// A self-signed certificate authority.
pub(super) fn self_signed(key: &KeyPair, name: &Name, valid: (SystemTime, SystemTime)) -> Vec<u8> {
    let extensions = vec![
        basic_constraints(Some(1)),
        extension(ID_CE_KEY_USAGE, true, USAGE_CERTIFY),
        subject_key_id(key),
    ];
    seal(tbs(key, name, name, key, valid, extensions), key)
}

/// A leaf of a service, as the timestamp authority has one.
pub(super) fn service_leaf(
    issuer: &KeyPair,
    issuer_name: &Name,
    key: &KeyPair,
    subject: &Name,
    valid: (SystemTime, SystemTime),
    usage: ObjectIdentifier,
) -> Vec<u8> {
    let extensions = vec![
        extension(ID_CE_KEY_USAGE, true, USAGE_SIGN),
        extended_key_usage(usage, true),
        subject_key_id(key),
        authority_key_id(issuer),
    ];
    seal(
        tbs(issuer, issuer_name, subject, key, valid, extensions),
        issuer,
    )
}

pub(super) fn name(organisation: &str, common: &str) -> Name {
    Name::from_str(&format!("CN={common},O={organisation}")).must("write a distinguished name")
}

fn tbs(
    issuer_key: &KeyPair,
    issuer: &Name,
    subject: &Name,
    key: &KeyPair,
    valid: (SystemTime, SystemTime),
    extensions: Vec<Extension>,
) -> TbsCertificate {
    TbsCertificate {
        version: Version::V3,
        serial_number: serial(subject, key, valid.0),
        signature: algorithm(issuer_key),
        issuer: issuer.clone(),
        validity: Validity {
            not_before: time(valid.0),
            not_after: time(valid.1),
        },
        subject: subject.clone(),
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(key.public_der())
            .must("read the public key"),
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    }
}

fn seal(tbs: TbsCertificate, issuer: &KeyPair) -> Vec<u8> {
    let signature = issuer.sign(&tbs.to_der().must("write a certificate"));
    Certificate {
        signature_algorithm: tbs.signature.clone(),
        signature: BitString::from_bytes(&signature).must("wrap a signature"),
        tbs_certificate: tbs,
    }
    .to_der()
    .must("write a certificate")
}

pub(super) fn algorithm(key: &KeyPair) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: key.x509_algorithm(),
        parameters: None,
    }
}

/// Twenty bytes that depend on nothing but the certificate, so that equal inputs give equal serials.
fn serial(subject: &Name, key: &KeyPair, not_before: SystemTime) -> SerialNumber {
    let mut seed = subject.to_der().must("write a name");
    seed.extend_from_slice(key.public_der());
    seed.extend_from_slice(&since_1970(not_before).as_nanos().to_be_bytes());
    let mut bytes = sha256(&seed);
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::new(&bytes[..20]).must("make a serial number")
}

/// `UTCTime` through 2049, as RFC 5280 requires. A reader that encodes a certificate again to check its SCT, as
/// Go's library does, writes that form, and would find a signature over other bytes otherwise.
fn time(time: SystemTime) -> Time {
    let since = Duration::from_secs(since_1970(time).as_secs());
    match UtcTime::from_unix_duration(since) {
        Ok(time) => Time::UtcTime(time),
        Err(_) => GeneralizedTime::from_unix_duration(since)
            .must("write a time")
            .into(),
    }
}

pub(super) fn extension(oid: ObjectIdentifier, critical: bool, der: &[u8]) -> Extension {
    Extension {
        extn_id: oid,
        critical,
        extn_value: OctetString::new(der).must("wrap an extension"),
    }
}

fn basic_constraints(path_len_constraint: Option<u8>) -> Extension {
    let value = BasicConstraints {
        ca: true,
        path_len_constraint,
    };
    let der = value.to_der().must("write basic constraints");
    extension(ID_CE_BASIC_CONSTRAINTS, true, &der)
}

fn extended_key_usage(usage: ObjectIdentifier, critical: bool) -> Extension {
    let der = ExtendedKeyUsage(vec![usage])
        .to_der()
        .must("write the extended key usage");
    extension(ID_CE_EXT_KEY_USAGE, critical, &der)
}

/// RFC 7093, method 1: no SHA-1 needed.
fn key_id(key: &KeyPair) -> OctetString {
    OctetString::new(&sha256(key.public_bits())[..20]).must("wrap a key identifier")
}

fn subject_key_id(key: &KeyPair) -> Extension {
    let der = key_id(key).to_der().must("write a key identifier");
    extension(ID_CE_SUBJECT_KEY_IDENTIFIER, false, &der)
}

fn authority_key_id(issuer: &KeyPair) -> Extension {
    let value = AuthorityKeyIdentifier {
        key_identifier: Some(key_id(issuer)),
        authority_cert_issuer: None,
        authority_cert_serial_number: None,
    };
    let der = value.to_der().must("write a key identifier");
    extension(ID_CE_AUTHORITY_KEY_IDENTIFIER, false, &der)
}

fn subject_alt_name(names: &[SubjectName]) -> Extension {
    let ia5 = |text: &str| Ia5String::new(text).must("write a name in ASCII");
    let names = names
        .iter()
        .map(|name| match name {
            SubjectName::Email(address) => GeneralName::Rfc822Name(ia5(address)),
            SubjectName::Uri(uri) => GeneralName::UniformResourceIdentifier(ia5(uri)),
            SubjectName::Dns(name) => GeneralName::DnsName(ia5(name)),
            SubjectName::Username(name) => GeneralName::OtherName(OtherName {
                type_id: USERNAME_OID,
                value: utf8(name),
            }),
        })
        .collect();
    let der = SubjectAltName(names).to_der().must("write the names");
    extension(ID_CE_SUBJECT_ALT_NAME, true, &der)
}

fn claim(number: u32, value: &str) -> Extension {
    let oid = ObjectIdentifier::new(&format!("1.3.6.1.4.1.57264.1.{number}"))
        .must("name a Fulcio extension");
    if number <= LAST_RAW_CLAIM {
        extension(oid, false, value.as_bytes())
    } else {
        extension(oid, false, &utf8(value).to_der().must("write a claim"))
    }
}

fn utf8(text: &str) -> Any {
    let text = Utf8StringRef::new(text).must("write UTF-8");
    Any::from(text)
}
