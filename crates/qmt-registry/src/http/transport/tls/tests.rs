//! Tests of the client's certificate.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::der::{Decode as _, Encode as _};

use super::*;

/// A certificate of version 1, and its key. Nothing here verifies its signature.
fn version_1() -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(Vec::new()).unwrap();
    let made = params.self_signed(&key).unwrap();
    let mut certificate = Certificate::from_der(made.der()).unwrap();
    certificate.tbs_certificate.version = Version::V1;
    certificate.tbs_certificate.extensions = None;
    let content = STANDARD.encode(certificate.to_der().unwrap());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n");
    (pem, key)
}

fn read(folder: &Path, certificate: &str, key: &KeyPair) -> Result<TlsFiles, String> {
    let paths = ["cert", "key"].map(|name| folder.join(name));
    std::fs::write(&paths[0], certificate).unwrap();
    std::fs::write(&paths[1], key.serialize_pem()).unwrap();
    let options = HostOptions::new().client_certificate(&paths[0], &paths[1]);
    let read = TlsFiles::read(&"r.example".parse().unwrap(), &options);
    read.map_err(|error| error.to_string())
}

/// As by curl: the server decides.
#[test]
fn a_client_certificate_of_version_1_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = version_1();
    let files = read(folder.path(), &certificate, &key).unwrap();
    files
        .config(&"r.example".parse().unwrap(), false, true)
        .unwrap();
    let other = KeyPair::generate().unwrap();
    let text = read(folder.path(), &certificate, &other).err().unwrap();
    assert!(text.contains("`client_key`"), "{text}");
    assert!(
        text.contains("it is not the key of the certificate"),
        "{text}"
    );
    // In DER, and not a certificate.
    let odd = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    let text = read(folder.path(), odd, &key).err().unwrap();
    assert!(text.contains("`client_cert`"), "{text}");
    assert!(
        text.contains("its first certificate is malformed"),
        "{text}"
    );
}
