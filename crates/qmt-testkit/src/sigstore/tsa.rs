//! The timestamp authority: signs that it saw a signature at a time.
//!
//! Spec: <https://www.rfc-editor.org/rfc/rfc3161>, shaped as Sigstore's timestamp-authority does.

use std::time::{Duration, SystemTime};

use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ID_KP_TIME_STAMPING;
use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA, ID_SIGNING_TIME};
use const_oid::db::rfc5912::ID_SHA_256;
use der::asn1::AnyRef;
use der::asn1::{Any, GeneralizedTime, Int, OctetString, SetOfVec, UtcTime};
use der::{Decode as _, Encode, Sequence, Tag};
use x509_cert::Certificate;
use x509_cert::attr::Attribute;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_tsp::{Accuracy, MessageImprint, TspVersion, TstInfo};

use super::ca::{algorithm, name, self_signed, service_leaf};
use super::codec::{Must, since_1970};
use super::key::{KeyKind, KeyPair, sha256};

const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// The policy that Sigstore's timestamp authority names.
const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2");

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenDefect {
    /// The token names the authority's certificate, and another key signed (CVE-2026-39984).
    OtherSigner,
    /// The time in the token was changed after it was signed.
    Tampered,
}

/// An authority that signs timestamps.
pub(super) struct TimestampAuthority {
    pub(super) root: Vec<u8>,
    pub(super) leaf: Vec<u8>,
    key: KeyPair,
    certificate: Certificate,
}

#[derive(Sequence)]
struct Status {
    status: u8,
}

#[derive(Sequence)]
struct Response {
    status: Status,
    token: ContentInfo,
}

/// `ESSCertIDv2` with SHA-256, which is the default and therefore absent.
#[derive(Sequence)]
struct EssCertId {
    hash: OctetString,
    issuer: IssuerSerial,
}

#[derive(Sequence)]
struct IssuerSerial {
    issuer: Vec<GeneralName>,
    serial: x509_cert::serial_number::SerialNumber,
}

#[derive(Sequence)]
struct SigningCertificate {
    certificates: Vec<EssCertId>,
}

impl TimestampAuthority {
    pub(super) fn new(organisation: &str, valid: (SystemTime, SystemTime)) -> Self {
        let root_key = KeyPair::generate(KeyKind::P384);
        let root_name: Name = name(organisation, "timestamp root");
        let key = KeyPair::generate(KeyKind::P256);
        let leaf = service_leaf(
            &root_key,
            &root_name,
            &key,
            &name(organisation, "timestamp"),
            valid,
            ID_KP_TIME_STAMPING,
        );
        Self {
            root: self_signed(&root_key, &root_name, valid),
            certificate: Certificate::from_der(&leaf).must("read its own certificate"),
            leaf,
            key,
        }
    }

    /// A `TimeStampResp` over `signature`. With `embed` the token carries the certificate and a
    /// nonce, as cosign 2 asks for them; cosign 3 does not.
    pub(super) fn token(
        &self,
        signature: &[u8],
        time: SystemTime,
        embed: bool,
        defect: Option<TokenDefect>,
    ) -> Vec<u8> {
        let seconds = Duration::from_secs(since_1970(time).as_secs());
        let info = self
            .info(signature, seconds, embed)
            .to_der()
            .must("write TSTInfo");
        let stranger = KeyPair::generate(self.key.kind());
        let signer = match defect {
            Some(TokenDefect::OtherSigner) => &stranger,
            _ => &self.key,
        };
        let attributes = self.attributes(&info, seconds);
        let signed = signer.sign(&attributes.to_der().must("write the signed attributes"));
        let content = match defect {
            Some(TokenDefect::Tampered) => self
                .info(signature, seconds + Duration::from_secs(1), embed)
                .to_der()
                .must("write TSTInfo"),
            _ => info,
        };
        let certificates: Vec<CertificateChoices> = embed
            .then(|| CertificateChoices::Certificate(self.certificate.clone()))
            .into_iter()
            .collect();
        let signer_info = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: self.certificate.tbs_certificate.issuer.clone(),
                serial_number: self.certificate.tbs_certificate.serial_number.clone(),
            }),
            digest_alg: sha256_algorithm(),
            signed_attrs: Some(attributes),
            signature_algorithm: algorithm(&self.key),
            signature: OctetString::new(signed).must("wrap a signature"),
            unsigned_attrs: None,
        };
        let signed_data = SignedData {
            version: CmsVersion::V3,
            digest_algorithms: set(vec![sha256_algorithm()]),
            encap_content_info: EncapsulatedContentInfo {
                econtent_type: TST_INFO,
                econtent: Some(Any::new(Tag::OctetString, content).must("wrap TSTInfo")),
            },
            certificates: Some(CertificateSet::try_from(certificates).must("list certificates")),
            crls: None,
            signer_infos: SignerInfos::try_from(vec![signer_info]).must("list the signer"),
        };
        Response {
            status: Status { status: 0 },
            token: ContentInfo {
                content_type: ID_SIGNED_DATA,
                content: any(&signed_data),
            },
        }
        .to_der()
        .must("write a timestamp response")
    }

    fn info(&self, signature: &[u8], seconds: Duration, nonce: bool) -> TstInfo {
        let imprint = sha256(signature);
        let mut serial = sha256(&[&imprint[..], &seconds.as_secs().to_be_bytes()[..]].concat());
        serial[0] = serial[0] & 0x7f | 0x40;
        serial[20] = serial[20] & 0x7f | 0x40;
        TstInfo {
            version: TspVersion::V1,
            policy: POLICY,
            message_imprint: MessageImprint {
                hash_algorithm: AlgorithmIdentifierOwned {
                    oid: ID_SHA_256,
                    parameters: Some(Any::from(AnyRef::NULL)),
                },
                hashed_message: OctetString::new(imprint).must("wrap a hash"),
            },
            serial_number: Int::new(&serial[..20]).must("make a serial number"),
            gen_time: GeneralizedTime::from_unix_duration(seconds).must("write a time"),
            accuracy: Some(Accuracy {
                seconds: Some(1),
                millis: None,
                micros: None,
            }),
            ordering: false,
            nonce: nonce.then(|| Int::new(&serial[20..28]).must("make a nonce")),
            tsa: Some(GeneralName::DirectoryName(
                self.certificate.tbs_certificate.subject.clone(),
            )),
            extensions: None,
        }
    }

    fn attributes(&self, info: &[u8], seconds: Duration) -> SetOfVec<Attribute> {
        let digest = OctetString::new(sha256(info)).must("wrap a hash");
        let time = UtcTime::from_unix_duration(seconds).must("write a time");
        let tbs = &self.certificate.tbs_certificate;
        let own = SigningCertificate {
            certificates: vec![EssCertId {
                hash: OctetString::new(sha256(&self.leaf)).must("wrap a hash"),
                issuer: IssuerSerial {
                    issuer: vec![GeneralName::DirectoryName(tbs.issuer.clone())],
                    serial: tbs.serial_number.clone(),
                },
            }],
        };
        set(vec![
            attribute(ID_CONTENT_TYPE, any(&TST_INFO)),
            attribute(ID_SIGNING_TIME, any(&time)),
            attribute(ID_MESSAGE_DIGEST, any(&digest)),
            attribute(SIGNING_CERTIFICATE_V2, any(&own)),
        ])
    }
}

fn sha256_algorithm() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: ID_SHA_256,
        parameters: None,
    }
}

fn attribute(oid: ObjectIdentifier, value: Any) -> Attribute {
    Attribute {
        oid,
        values: set(vec![value]),
    }
}

fn any(value: &impl Encode) -> Any {
    Any::from_der(&value.to_der().must("write DER")).must("read DER")
}

fn set<T: der::DerOrd>(values: Vec<T>) -> SetOfVec<T> {
    SetOfVec::try_from(values).must("sort a set")
}
