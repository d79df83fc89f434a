//! What an entry's body must say, field by field. That the log holds it is for the real fixtures.

use serde_json::{Value, json};

use super::*;

/// Made by `openssl req -x509` with a key of P-384.
pub(in crate::signature) const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBwTCCAUagAwIBAgIUALtyqLOPX1nS2+xpncbh5GKWsowwCgYIKoZIzj0EAwIw\n\
FjEUMBIGA1UEAwwLVGVzdCBzaWduZXIwIBcNMjYxMTI0MTI1MjAxWhgPMjEyNjEw\n\
MzExMjUyMDFaMBYxFDASBgNVBAMMC1Rlc3Qgc2lnbmVyMHYwEAYHKoZIzj0CAQYF\n\
K4EEACIDYgAEWYAv8EZUQdLq3phi5WJPzvn3weVyW7aRCq2pWqKx2DZS9wxXvKUo\n\
ljN8Wq5963WTczftpY9Et99EWfNP0ORTwJEL47R3z+2hAiiNpHSMkVBWq6XpRXGk\n\
7Emrp+TIrmxGo1MwUTAdBgNVHQ4EFgQU+mZvTGi9AzVWFbdCd34svkMWJrQwHwYD\n\
VR0jBBgwFoAU+mZvTGi9AzVWFbdCd34svkMWJrQwDwYDVR0TAQH/BAUwAwEB/zAK\n\
BggqhkjOPQQDAgNpADBmAjEA+gcHz5tzmMM7Ds80BOGVYh0/kwCssB/nGgdrw6h1\n\
kGH3jLz0o7gjkuaiwI57JLmtAjEA8C8VPxs2vuhAvMAny25Vi2WpiceUepyfMND2\n\
aRZ73eUm7hq6thdhhoKUtbKcWDqq\n\
-----END CERTIFICATE-----\n";

const MESSAGE: &[u8] = b"the message";
const SIGNATURE: &[u8] = b"a signature";

fn certificate() -> DerCertificate {
    DerCertificate::from_pem(CERTIFICATE).unwrap()
}

fn key() -> DerPublicKey {
    parse_certificate_info(&certificate()).unwrap().public_key
}

/// The body of an entry of a P-384 key or certificate.
fn body(signing_key: &SigningKey<'_>) -> Value {
    let (field, der) = match signing_key {
        SigningKey::Key(key) => ("publicKey", key.as_bytes()),
        SigningKey::Certificate(certificate) => ("x509Certificate", certificate.as_bytes()),
    };
    json!({
        "apiVersion": "0.0.2",
        "kind": "hashedrekord",
        "spec": { "hashedRekordV002": {
            "data": {
                "algorithm": "SHA2_384",
                "digest": STANDARD.encode(sha384(MESSAGE).as_slice()),
            },
            "signature": {
                "content": STANDARD.encode(SIGNATURE),
                "verifier": {
                    "keyDetails": "PKIX_ECDSA_P384_SHA_384",
                    field: { "rawBytes": STANDARD.encode(der) },
                },
            },
        } },
    })
}

fn checked(body: &Value, signing_key: &SigningKey<'_>) -> Result<(), Reason> {
    let signature = SignatureBytes::from_bytes(SIGNATURE);
    is_about(
        body.to_string().as_bytes(),
        &Content::Bytes(MESSAGE),
        &signature,
        signing_key,
    )
}

/// SIG-01: the good ones, by key and by certificate; and with one field of another thing.
#[test]
fn each_field_of_a_body_is_about_this_signature() {
    let (key, certificate) = (key(), certificate());
    for signing_key in [SigningKey::Key(&key), SigningKey::Certificate(&certificate)] {
        let good = body(&signing_key);
        checked(&good, &signing_key).unwrap();
        let record = "/spec/hashedRekordV002";
        let field = match signing_key {
            SigningKey::Key(_) => "publicKey",
            SigningKey::Certificate(_) => "x509Certificate",
        };
        let der = format!("{record}/signature/verifier/{field}/rawBytes");
        for (place, value, expected) in [
            ("/kind".to_owned(), "dsse", "it is a dsse 0.0.2"),
            (
                "/apiVersion".to_owned(),
                "0.0.1",
                "it is a hashedrekord 0.0.1",
            ),
            (
                format!("{record}/data/algorithm"),
                "SHA2_256",
                "not the one of its key",
            ),
            (
                format!("{record}/data/digest"),
                "AAAA",
                "about other content",
            ),
            (format!("{record}/data/digest"), "!!!!", "Invalid symbol"),
            (
                format!("{record}/signature/content"),
                "AAAA",
                "about another signature",
            ),
            (der, "AAAA", "about another signer"),
            (
                format!("{record}/signature/verifier/keyDetails"),
                "PKIX_ED25519",
                "of kind PKIX_ED25519",
            ),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(&place).unwrap() = value.into();
            let reason = checked(&bad, &signing_key)
                .unwrap_err()
                .reject("x", None)
                .reason;
            assert!(reason.contains(expected), "{place}: {reason}");
        }
        // Two signers, the other kind of signer, and none.
        let verifier = format!("{record}/signature/verifier");
        for other in ["publicKey", "x509Certificate"] {
            let mut bad = good.clone();
            let verifier = bad.pointer_mut(&verifier).unwrap();
            let raw = verifier[field].clone();
            verifier[other] = if other == field { Value::Null } else { raw };
            let reason = checked(&bad, &signing_key)
                .unwrap_err()
                .reject("x", None)
                .reason;
            assert!(reason.contains("names no signer of this kind"), "{reason}");
        }
    }
}

/// SIG-01: a key of one kind is not logged as one of another, whose hash would be another.
#[test]
fn the_kind_of_the_key_is_the_keys_own() {
    let key = key();
    let signing_key = SigningKey::Key(&key);
    let mut bad = body(&signing_key);
    let record = bad.pointer_mut("/spec/hashedRekordV002").unwrap();
    record["data"] = json!({
        "algorithm": "SHA2_256",
        "digest": STANDARD.encode(sha256(MESSAGE).as_slice()),
    });
    record["signature"]["verifier"]["keyDetails"] = "PKIX_RSA_PKCS1V15_4096_SHA256".into();
    let reason = checked(&bad, &signing_key)
        .unwrap_err()
        .reject("x", None)
        .reason;
    assert!(reason.contains("names another kind of key"), "{reason}");
}

/// Where the digest alone is known it must be the one that the entry hashed with.
#[test]
fn a_digest_stands_for_its_content() {
    let known = Content::Sha256(sha256(MESSAGE).as_slice().to_vec());
    assert_eq!(
        known.digest(Hash::Sha256).unwrap(),
        Content::Bytes(MESSAGE).digest(Hash::Sha256).unwrap()
    );
    assert!(known.digest(Hash::Sha384).is_err());
}
