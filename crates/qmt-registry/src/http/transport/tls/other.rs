//! What is said about files that hold something else than certificates, or than a private key.

use rustls::pki_types::PrivateKeyDer;

/// What is said about a certificate under another label, such as `TRUSTED CERTIFICATE`.
const OTHER_LABEL: &str = "it has no line `-----BEGIN CERTIFICATE-----`; a certificate under another \
                           label is converted by `openssl x509 -in FILE -out NEW`";
/// What is said about the lists of certificates that Windows exports.
const PKCS7: &str = "it is PKCS #7; write its certificates as PEM with `openssl pkcs7 -print_certs -in \
                     FILE -out NEW`";
const PKCS7_DER: &str = "it is PKCS #7; write its certificates as PEM with `openssl pkcs7 -inform der \
                         -print_certs -in FILE -out NEW`";
/// The identifier of signed data, with which PKCS #7 begins: <https://www.rfc-editor.org/rfc/rfc2315>
const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
/// What is said about a file whose lines begin with spaces.
const INDENTED: &str = "its lines begin with spaces; remove them with `awk '{$1=$1}1' FILE > NEW`";
/// What is said about a file that holds certificate and key together.
const PKCS12: &str =
    "it is PKCS #12; write it as PEM with `openssl pkcs12 -in FILE -nodes -out NEW`";
/// The identifiers of keys on elliptic curves, and of the curves that TLS supports.
/// <https://www.rfc-editor.org/rfc/rfc5480#section-2.1.1>
const EC_KEY: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
const CURVES: [&[u8]; 3] = [
    b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    b"\x06\x05\x2b\x81\x04\x00\x22",
    b"\x06\x05\x2b\x81\x04\x00\x23",
];
const EMPTY: &str = "it is empty";

/// How a PEM file of an encrypted key is recognised: PKCS #8, and the older form of OpenSSL.
const ENCRYPTED: [&str; 2] = [
    "-----BEGIN ENCRYPTED PRIVATE KEY-----",
    "Proc-Type: 4,ENCRYPTED",
];

/// How PEM files without a usable certificate are recognised, and what is said about them.
const OTHER_CERTIFICATES: [(&str, &str); 8] = [
    ("-----BEGIN PKCS7-----", PKCS7),
    ("-----BEGIN CMS-----", PKCS7),
    ("-----BEGIN CERTIFICATE-----", INDENTED),
    (" CERTIFICATE-----", OTHER_LABEL),
    (
        "PRIVATE KEY-----",
        "it has a private key, not a certificate",
    ),
    (
        "CERTIFICATE REQUEST-----",
        "it has a certificate request (CSR), not the certificate that an authority issues for it",
    ),
    (
        "X509 CRL-----",
        "it has a revocation list (CRL), not a certificate",
    ),
    ("PUBLIC KEY-----", "it has a public key, not a certificate"),
];

/// How files without a usable private key are recognised, and what is said about them.
const OTHER_KEYS: [(&str, &str); 6] = [
    (
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "it is a key of OpenSSH; convert a copy of it with `ssh-keygen -p -m PKCS8 -f COPY`",
    ),
    (
        "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----",
        "it is cosign's key for signatures, not the key of the client's certificate",
    ),
    (
        "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----",
        "it is cosign's key for signatures, not the key of the client's certificate",
    ),
    ("PUBLIC KEY-----", "it has a public key, not a private key"),
    (
        "-----BEGIN CERTIFICATE-----",
        "it has a certificate, not its private key",
    ),
    (
        "CERTIFICATE REQUEST-----",
        "it has a certificate request (CSR), not a private key",
    ),
];

/// What to say of a file without certificates in PEM.
pub(super) fn than_certificates(content: &[u8]) -> &'static str {
    const DER: &str =
        "it is in DER; write it as PEM with `openssl x509 -inform der -in FILE -out NEW`";
    const KEY: &str = "it is a private key in DER, not a certificate";
    // A certificate begins with a sequence, a private key with its version, which is 0 or 1.
    let is_key = matches!(
        content,
        [0x30, 0x82, _, _, 0x02, 0x01, 0x00 | 0x01, ..]
            | [0x30, 0x81, _, 0x02, 0x01, 0x00 | 0x01, ..]
            | [0x30, 0x00..=0x7f, 0x02, 0x01, 0x00 | 0x01, ..]
    );
    other_form(content, if is_key { KEY } else { DER })
        .or_else(|| found(content, &OTHER_CERTIFICATES))
        .unwrap_or("it has no line `-----BEGIN CERTIFICATE-----`")
}

/// What to say of a file with an encrypted private key.
pub(super) fn encryption(content: &[u8]) -> Option<&'static str> {
    let has = |mark: &&str| has(content, mark);
    ENCRYPTED.iter().any(has).then_some(
        "its key is encrypted, and there is no way to give the password; write it unencrypted with \
         `openssl pkey -in FILE -out NEW`",
    )
}

/// What to say of a file without a private key in PEM.
pub(super) fn than_private_key(content: &[u8]) -> &'static str {
    const DER: &str =
        "it is in DER; write it as PEM with `openssl pkey -inform der -in FILE -out NEW`";
    found(content, &OTHER_KEYS)
        .or_else(|| other_form(content, DER))
        .unwrap_or("it has no private key in PEM")
}

/// What to say of a private key that is in PEM and can't be used.
pub(super) fn than_supported_key(key: &PrivateKeyDer<'_>) -> &'static str {
    let is_on_curve = match key {
        PrivateKeyDer::Sec1(_) => true,
        key => has_part(key.secret_der(), EC_KEY),
    };
    let mut curves = CURVES.iter();
    if is_on_curve && !curves.any(|curve| has_part(key.secret_der(), curve)) {
        "the curve of its key is not supported; P-256, P-384 and P-521 are"
    } else {
        "its key is malformed, or of a kind that is not supported: RSA, ECDSA and Ed25519 are"
    }
}

/// What to say of a file that has a line with one of the marks.
fn found(content: &[u8], marks: &[(&str, &'static str)]) -> Option<&'static str> {
    let found = marks.iter().find(|(mark, _)| has(content, mark));
    found.map(|(_, reason)| *reason)
}

fn has(content: &[u8], mark: &str) -> bool {
    has_part(content, mark.as_bytes())
}

fn has_part(content: &[u8], sought: &[u8]) -> bool {
    let mut parts = content.windows(sought.len());
    parts.any(|part| part == sought)
}

/// What to say of a file that is empty, or not PEM: `der` if it begins with the sequence that
/// certificates and keys are in DER. PKCS #12 is a sequence with the version 3.
/// <https://www.rfc-editor.org/rfc/rfc7292#section-4>
fn other_form(content: &[u8], der: &'static str) -> Option<&'static str> {
    match content {
        _ if content.trim_ascii().is_empty() => Some(EMPTY),
        [0x30, 0x82, _, _, 0x02, 0x01, 0x03, ..] => Some(PKCS12),
        [0x30, 0x82, _, _, rest @ ..] if rest.starts_with(SIGNED_DATA) => Some(PKCS7_DER),
        [0x30, 0x81 | 0x82, ..] => Some(der),
        [0x30, length, ..] if usize::from(*length) + 2 == content.len() => Some(der),
        _ => None,
    }
}
