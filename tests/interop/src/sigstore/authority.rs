//! The keys and certificates that Fulcio and the timestamp authority are started with.

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, date_time_ymd,
};

const ORGANIZATION: &str = "private.test";
/// `extendedKeyUsage`.
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
/// `SEQUENCE { id-kp-timeStamping }`.
const TIME_STAMPING: &[u8] = &[0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 8];
/// First and last year: recordings are to hold for long.
const VALID: (i32, i32) = (2020, 2049);

/// A key that signs and the certificates that vouch for it, in PEM, its own first.
pub(super) struct Authority {
    pub(super) key: String,
    pub(super) chain: String,
}

/// An intermediate that may issue certificates for signing code.
pub(super) fn fulcio() -> anyhow::Result<Authority> {
    let mut intermediate = authority("fulcio intermediate", 0);
    intermediate.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    below_a_root("fulcio root", &intermediate)
}

/// A leaf that signs timestamps and nothing else, which its certificate must call critical.
pub(super) fn timestamps() -> anyhow::Result<Authority> {
    let mut leaf = params("timestamp authority");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let usage = TIME_STAMPING.to_vec();
    let mut usage = CustomExtension::from_oid_content(EXTENDED_KEY_USAGE, usage);
    usage.set_criticality(true);
    leaf.custom_extensions = vec![usage];
    below_a_root("timestamp root", &leaf)
}

/// A new P-256 key, private and public, in PEM.
pub(super) fn key() -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

fn below_a_root(root: &str, params: &CertificateParams) -> anyhow::Result<Authority> {
    let root_params = authority(root, 1);
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
    let root = root_params.self_signed(&root_key).context("root")?;
    let issuer = Issuer::new(root_params, root_key);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.signed_by(&key, &issuer).context("certificate")?;
    Ok(Authority {
        key: key.serialize_pem(),
        chain: unix_lines(&certificate.pem()) + &unix_lines(&root.pem()),
    })
}

fn authority(name: &str, below: u8) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, ORGANIZATION);
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.not_before = date_time_ymd(VALID.0, 1, 1);
    params.not_after = date_time_ymd(VALID.1, 12, 31);
    params.use_authority_key_identifier_extension = true;
    params
}

/// On Windows the library ends lines as Windows does.
fn unix_lines(pem: &str) -> String {
    pem.replace('\r', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_a_certificate_and_its_root() {
        for authority in [fulcio().unwrap(), timestamps().unwrap()] {
            assert_eq!(authority.chain.matches("BEGIN CERTIFICATE").count(), 2);
            assert!(authority.key.contains("BEGIN PRIVATE KEY"));
        }
    }
}
