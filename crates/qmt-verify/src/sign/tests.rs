//! What signs, what does not, and what comes of it.

use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, RsaKeyPair,
};
use serde_json::Value;
use sigstore_verify::crypto::VerificationKey;
use sigstore_verify::types::SignatureBytes;

use super::*;

/// Made by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`, for these tests.
const PKCS8: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3Pv43mDTzC0sUOpp\n\
ufP/ps+YktYUbRq4Xpo///XLEd2hRANCAAREH5Cu8+BlnPqAjPppL3VSUqVkgHeZ\n\
bFSG7oe+ytZpxsyGPINcWf9qXZGs2YovrhQ1Yq6J8UXwh0o3gS4gQ0MS\n\
-----END PRIVATE KEY-----\n";

/// The same key as cosign 3 encrypts it, with the password `throwaway`.
const COSIGN: &str = "\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n\
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6\n\
OCwicCI6MX0sInNhbHQiOiJ1d0ZJNzZ2LzMzbHN3bjd4WnRGNVV0K2U3VVJaeGVj\n\
aDFOYTFkblRNOWhJPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94\n\
Iiwibm9uY2UiOiJCQ0tBbWhWNE5oazViV1hzbFh0RXJDdEJxVnUvS2FmbyJ9LCJj\n\
aXBoZXJ0ZXh0IjoiSzhTRElmMkFCZnZ6cE93bVcyNWNhTTZOUXI0eWJaRCtwUGpV\n\
OGpsK2JkeUgrNlZ3WVFrZ1lhSmFNVEZaNVZpV3d0QmVvQnZ4MXcyNXRZbFN6OUF3\n\
RjZLMURlVjVxeFFqaDkzemdCYWlXU3ZaRStPMCsvK2lGR1IrVXBmNEFMUlN1Z3Rt\n\
SEx0eTFqVkRpMloxT2xPaU1SZnUrTllHajc5Nlhuc01RRzlVK0FIVzJkKzhYc21Q\n\
b1ErNkFhQnlIQ3dYSTEwK1E4T3BmNjNHUGc9PSJ9\n\
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n";

/// The same key in SEC 1 form.
const SEC1: &str = "\
-----BEGIN EC PRIVATE KEY-----\n\
MHcCAQEEINz7+N5g08wtLFDqabnz/6bPmJLWFG0auF6aP//1yxHdoAoGCCqGSM49\n\
AwEHoUQDQgAERB+QrvPgZZz6gIz6aS91UlKlZIB3mWxUhu6HvsrWacbMhjyDXFn/\n\
al2RrNmKL64UNWKuifFF8IdKN4EuIENDEg==\n\
-----END EC PRIVATE KEY-----\n";

/// A P-384 key in PKCS #8.
const P384: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCoJ0yw5OzIbhrHU2Rx\n\
oWOG62PT+lDg2YhsJVW/pxLwPtWZqC9jnfGxub6FZnxSyrGhZANiAATQprLc7pV5\n\
QxPcDeGBjJFEU+KF5b8hmTvOCDgrU+/iu/758lca9LB/cC8FKy/r1Z6j417IIirb\n\
k+b7gV1GVIXCjUVGt9ch0XFuuVM+eO0pWKs/Nd3bWyGjY0WkYLcS2Qc=\n\
-----END PRIVATE KEY-----\n";

/// RSA of 1024 bits, which is too weak.
const RSA_1024: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIICdQIBADANBgkqhkiG9w0BAQEFAASCAl8wggJbAgEAAoGBAL+HcZOg2fvJLmYL\n\
qJsjKfJsSFC6t94rwUWjw2E9AInDLUgIzJu4aGXGYdHIFWSq8TQkG5KAT+hMbMma\n\
rPvw7gGlmM1Qlii4vOQwj4bGWTVbW/+QAn5mmtiHNed3lGqK73rHpKmYNvE2bome\n\
JfvuOnkMh5C7BI0cf+mVNyGR5fAnAgMBAAECgYAjT+KF2Gs4O+BdGhss9y+9rW8r\n\
yzEpOiH5J/dWzztxKtYHaO/oafh9gzT3y47+L3InLd0Thqq05ppMFUN9c+89dtAh\n\
654+WqzCxhRNUyjMx8tMdTVqxq5a7j9K3K0MGXPUd7bqSFDp3pPkE/5tYpAqEV6S\n\
OhbFNRrh/ta8tdOhyQJBAOMiJU/CDBdneSNgA5JdRmeoa4AGsBTRlZFOPtf0VztV\n\
FP3LFnoZRkvXeE+m3GPv0lV/n0BD0sKnHd361JV6GI0CQQDX3uai/SFLBChGLSxk\n\
GL+r8Kz9EQOlAU8RD8i+TkG95y4j8v+3WxWPba0IMCbp1RfycknQfu/JZLYRmlZW\n\
sOCDAkB2hkAAMduLbwSI0Das7x2pQ/rs8RB7nK63B6TFnozSumBc29ib2IqVUxhG\n\
QGWrhN82nIVmzL2zs+9jAdxjMDaVAkArbtu0u31xXHrF89zUnu4hqCEGIeA72NGR\n\
uz1GnPQ5Q0RTU1cECz2BSC3iUd3iek+BJmGXo5KXUL4ZOJZahugFAkAs/Vd56b9A\n\
jXGoee4pvebjFppEChL+JrFA5X0BekyG2MxTGRjpTkKBxtskBpcoZ1bFWk/FqIAa\n\
voTqRzBkkYlo\n\
-----END PRIVATE KEY-----\n";

const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn subject() -> PinnedReference {
    let reference: qmt_oci_ref::Reference = "ghcr.io/acme/echo:1".parse().unwrap();
    reference.with_digest(DIGEST.parse().unwrap())
}

fn problem(pem: &str, password: Option<&str>) -> String {
    KeySigner::from_pem(pem.as_bytes(), password)
        .unwrap_err()
        .to_string()
}

fn pem_of(pkcs8: &[u8]) -> String {
    let body = STANDARD.encode(pkcs8);
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

fn ecdsa(kind: &'static EcdsaSigningAlgorithm) -> String {
    let key = EcdsaKeyPair::generate_pkcs8(kind, &SystemRandom::new()).unwrap();
    pem_of(key.as_ref())
}

/// A key of each kind that signs, as PEM.
fn kinds() -> Vec<String> {
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    vec![
        PKCS8.to_owned(),
        ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
        // With its public half, and without, as openssl writes it.
        pem_of(ed25519.to_pkcs8().unwrap().as_ref()),
        pem_of(ed25519.to_pkcs8v1().unwrap().as_ref()),
        pem_of(rsa.as_ref()),
    ]
}

#[test]
fn a_bundle_is_what_cosign_writes_and_its_signature_holds() {
    for pem in kinds() {
        holds(&KeySigner::from_pem(pem.as_bytes(), None).unwrap());
    }
}

fn holds(signer: &KeySigner) {
    let bundle: Value = serde_json::from_slice(&signer.sign(&subject()).unwrap()).unwrap();
    assert_eq!(bundle["mediaType"], KeySigner::BUNDLE_MEDIA_TYPE);
    let material = &bundle["verificationMaterial"];
    let hint = material["publicKey"]["hint"].as_str().unwrap();
    let SignerId::Key { key } = signer.signer() else {
        panic!("a key signs")
    };
    let fingerprint = hex::encode(STANDARD.decode(hint).unwrap());
    assert_eq!(key, format!("sha256:{fingerprint}"));

    let envelope = &bundle["dsseEnvelope"];
    assert_eq!(envelope["payloadType"], "application/vnd.in-toto+json");
    let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let payload = decode(&envelope["payload"]);
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(
        statement["predicateType"],
        "https://sigstore.dev/cosign/sign/v1"
    );
    let digest: Digest = DIGEST.parse().unwrap();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest.hex());

    let key = VerificationKey::from_spki(&signer.public).unwrap();
    let signature = SignatureBytes::new(decode(&envelope["signatures"][0]["sig"]));
    key.verify(pae(PAYLOAD_TYPE, &payload), &signature).unwrap();
    key.verify(&payload, &signature).unwrap_err();
}

/// The verifier of this crate accepts it where no log is required, and only by its own key.
#[test]
fn it_is_accepted_by_its_key_and_refused_by_another() {
    for pem in kinds() {
        is_accepted_by_its_key_alone(&KeySigner::from_pem(pem.as_bytes(), None).unwrap());
    }
}

fn is_accepted_by_its_key_alone(signer: &KeySigner) {
    use crate::evidence::Evidence;
    use crate::policy::{Authority, Policy, PolicySet, Scope};
    use crate::trust::TrustRoot;
    use crate::{SigstoreVerifier, Verifier as _};

    let bundle = signer.sign(&subject()).unwrap();
    let evidence = Evidence::empty(&subject())
        .with_bundle("referrer", &bundle)
        .unwrap();
    let other = ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING);
    let other = KeySigner::from_pem(other.as_bytes(), None)
        .unwrap()
        .public_key_pem();
    let checked = |pem: &str, log: bool| {
        let mut authority = Authority::key("k", pem.as_bytes()).unwrap();
        if !log {
            authority = authority.without_log();
        }
        let policy = Policy::any_of(vec![authority], 1).unwrap();
        let policies = PolicySet::new(vec![(Scope::everything(), policy)]).unwrap();
        let verifier = SigstoreVerifier::new(TrustRoot::none().unwrap(), policies)?;
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
        verifier.check(&subject(), &evidence, None, now)
    };
    let verification = checked(&signer.public_key_pem(), false).unwrap();
    assert_eq!(verification.signer(), Some(&signer.signer()));
    checked(&other, false).unwrap_err();
    checked(&signer.public_key_pem(), true).unwrap_err();
}

#[test]
fn a_key_that_cosign_encrypted_opens_with_its_password() {
    let plain = KeySigner::from_pem(PKCS8.as_bytes(), None).unwrap();
    let opened = KeySigner::from_pem(COSIGN.as_bytes(), Some("throwaway")).unwrap();
    assert_eq!(opened.public_key_pem(), plain.public_key_pem());
    assert!(problem(COSIGN, Some("wrong")).contains("does not decrypt"));
    assert!(problem(COSIGN, None).contains("COSIGN_PASSWORD"));
}

#[test]
fn keys_that_do_not_sign_here_are_refused_with_a_way_out() {
    let public = KeySigner::from_pem(PKCS8.as_bytes(), None)
        .unwrap()
        .public_key_pem();
    let encrypted = PKCS8.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let legacy = |kind: &str| {
        let headers = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00FF\n\n";
        format!(
            "-----BEGIN {kind} PRIVATE KEY-----\n{headers}AQID\n-----END {kind} PRIVATE KEY-----\n"
        )
    };
    // As `openssl ecparam -genkey` writes it.
    let with_parameters = format!(
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{SEC1}"
    );
    let (legacy_ec, legacy_rsa) = (legacy("EC"), legacy("RSA"));
    let damaged = PKCS8.replace("-----\nMI", "-----\nKey: 1\nMI");
    let p521 = ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING);
    for (pem, says) in [
        (SEC1, "openssl pkcs8"),
        (with_parameters.as_str(), "openssl pkcs8 -topk8 -nocrypt"),
        (encrypted.as_str(), "openssl pkcs8 -in"),
        (
            legacy_ec.as_str(),
            "it is encrypted in the form of older OpenSSL",
        ),
        (
            legacy_rsa.as_str(),
            "`openssl pkcs8 -topk8 -nocrypt -in FILE -out NEW_FILE`",
        ),
        (damaged.as_str(), "used: line 6: the block is not base64"),
        (P384, "SHA-384"),
        (p521.as_str(), "P-521"),
        (RSA_1024, "RSA of 2048 to 8192 bits"),
        (public.as_str(), "signing requires `PRIVATE KEY`"),
        ("", "0 PEM blocks"),
        (&PKCS8.repeat(2), "2 PEM blocks"),
        (&PKCS8.replace("-----END", "----END"), "does not end"),
        (
            "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n",
            "not PKCS #8",
        ),
    ] {
        let error = problem(pem, Some("throwaway"));
        assert!(error.contains(says), "{pem}: {error}");
    }
    let fits = format!(
        "{}{PKCS8}",
        "#".repeat(KEY_BYTES_MAX - PKCS8.len() - 1) + "\n"
    );
    assert_eq!(fits.len(), KEY_BYTES_MAX);
    assert!(KeySigner::from_pem(fits.as_bytes(), None).is_ok());
    assert!(problem(&format!("#{fits}"), None).contains("over 65536 bytes"));
}

#[test]
fn a_digest_that_no_statement_can_name_is_not_signed() {
    let signer = KeySigner::from_pem(PKCS8.as_bytes(), None).unwrap();
    let reference: qmt_oci_ref::Reference = "ghcr.io/acme/echo:1".parse().unwrap();
    let digest = Digest::of(DigestAlgorithm::Sha512, b"x");
    let error = signer.sign(&reference.with_digest(digest)).unwrap_err();
    assert!(
        matches!(error, VerifyError::UnsupportedDigest { .. }),
        "{error:?}"
    );
}

/// CFG-01: the private key shows nowhere.
#[test]
fn debug_shows_no_key() {
    let signer = KeySigner::from_pem(PKCS8.as_bytes(), None).unwrap();
    let shown = format!("{signer:?}");
    assert!(
        shown.contains("sha256:") && !shown.contains("KeyPair"),
        "{shown}"
    );
}
