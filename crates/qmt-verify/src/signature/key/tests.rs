//! What is said about files that are not a public key in PEM form.

use super::*;

const P256: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
    6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
    -----END PUBLIC KEY-----\n";

fn problem(file: &[u8]) -> String {
    PublicKey::from_pem("k.pub".to_owned(), file).unwrap_err()
}

#[test]
fn each_other_file_is_called_by_its_kind() {
    let utf_16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(P256.bytes().flat_map(|byte| [byte, 0]))
        .collect();
    let der = pem::blocks(P256.as_bytes()).unwrap().remove(0).der;
    let named = |label: &str| P256.replace("PUBLIC KEY", label);
    // A P-521 key, by its curve.
    let p521 =
        "-----BEGIN PUBLIC KEY-----\nMBAwEAYHKoZIzj0CAQYFK4EEACMDAgAE\n-----END PUBLIC KEY-----\n";
    for (file, says) in [
        (utf_16.as_slice(), "UTF-16; save it as UTF-8"),
        (&der, "`openssl pkey -pubin -inform DER -in FILE -out NEW`"),
        (&[0xc3, 0x28], "it is not text"),
        (STANDARD.encode(P256).as_bytes(), "`base64 -d`"),
        (
            b"ssh-ed25519 AAAA dev@example.com\n",
            "an SSH key that cannot be converted",
        ),
        (
            b"ecdsa-sha2-nistp256 AAAA dev@example.com\n",
            "`ssh-keygen -e -m PKCS8",
        ),
        (b"# to do\n", "it holds no key in PEM form"),
        (P256.repeat(2).as_bytes(), "2 keys"),
        (
            named("PGP PUBLIC KEY BLOCK").as_bytes(),
            "does not use; use a key that `cosign",
        ),
        (
            named("CERTIFICATE").as_bytes(),
            "`openssl x509 -pubkey -noout -in FILE`",
        ),
        (
            named("RSA PUBLIC KEY").as_bytes(),
            "-in FILE -pubout -out NEW_FILE`",
        ),
        (p521.as_bytes(), "P-256 or P-384, Ed25519, or RSA"),
    ] {
        let problem = problem(file);
        assert!(problem.contains(says), "{says}: {problem}");
    }
}

/// `openssl ecparam -genkey` and its like write the curve as a block of its own.
#[test]
fn the_parameters_of_a_key_are_not_a_key() {
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let key = |file: &str| PublicKey::from_pem("k.pub".to_owned(), file.as_bytes());
    let plain = key(P256).unwrap();
    assert_eq!(key(&format!("{parameters}{P256}")).unwrap().der, plain.der);
    assert!(problem(parameters.as_bytes()).contains("no key"));
}
