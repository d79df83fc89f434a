//! Files that options name, and what is said about those that can't be used.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_registry::{MirrorOptions, Mirrors};

use super::*;

/// Options that can't be used are errors when the client is made, and name option and file.
#[tokio::test]
async fn unusable_options_are_reported_early() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, empty, odd) = (
        folder.path().join("missing"),
        folder.path().join("empty"),
        folder.path().join("odd"),
    );
    std::fs::write(&empty, "").unwrap();
    std::fs::write(
        &odd,
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let server = tls(TlsOptions::new()).await;
    let cert = write(
        "cert",
        server.certificates().unwrap().client_certificate_pem(),
    );
    let encrypted = write(
        "encrypted",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\ncanary\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let old_encrypted = write(
        "old",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
         canary\n-----END RSA PRIVATE KEY-----\n",
    );
    let other = tls(TlsOptions::new()).await;
    let other_key = write("other", other.certificates().unwrap().client_key_pem());
    let is_encrypted = |path: &std::path::PathBuf| path == &encrypted || path == &old_encrypted;
    for (options, option) in [
        (HostOptions::new().ca_file(&missing), "ca_file"),
        (HostOptions::new().ca_file(&empty), "ca_file"),
        (HostOptions::new().ca_file(&odd), "ca_file"),
        (
            HostOptions::new().client_certificate(&missing, &empty),
            "client_cert",
        ),
        (
            HostOptions::new().client_certificate(&odd, &odd),
            "client_cert",
        ),
        (
            HostOptions::new().client_certificate(&cert, &empty),
            "client_key",
        ),
        (
            HostOptions::new().client_certificate(&cert, &encrypted),
            "client_key",
        ),
        (
            HostOptions::new().client_certificate(&cert, &old_encrypted),
            "client_key",
        ),
        (
            HostOptions::new().client_certificate(&cert, &other_key),
            "client_key",
        ),
        (HostOptions::new().proxy("ftp://user:canary@p"), "proxy"),
        (HostOptions::new().proxy("http://user:canary@"), "proxy"),
        (HostOptions::new().proxy("canary canary"), "proxy"),
    ] {
        let built = HttpRegistry::builder()
            .host("r.example".parse().unwrap(), options)
            .build()
            .map(|_| ());
        let error = built.unwrap_err();
        assert!(
            matches!(error.detail(), Some(ClientError::Options { option: named, .. }) if *named == option),
            "{error:?}"
        );
        let text = full_text(&error);
        assert!(!text.contains("canary"), "CFG-01: {text}");
        assert!(!text.contains("KeyMismatch"), "{text}");
        if let Some(ClientError::Options {
            path: Some(path), ..
        }) = error.detail()
        {
            let is_named = error.to_string().contains("encrypted");
            assert_eq!(is_named, is_encrypted(path), "{error}");
        }
    }
}

/// Files in other forms, and keys for other uses, are called by name, with the command that converts
/// them.
#[tokio::test]
async fn other_files_are_called_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = tls(TlsOptions::new()).await;
    let certificates = server.certificates().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let message = |options: HostOptions| {
        let host = "r.example".parse().unwrap();
        let built = HttpRegistry::builder().host(host, options).build();
        let text = full_text(&built.map(|_| ()).unwrap_err());
        assert!(!text.contains("canary") && !text.contains('['), "{text}");
        text
    };
    let pem = certificates.ca_pem();
    let cut = write("cut", &pem.as_bytes()[..pem.len() / 2]);
    let der = write("der", &[0x30, 0x82, 1, 2, 3]);
    let short_der = write("short", &[0x30, 3, 2, 1, 1]);
    let pkcs12 = write("p12", &[0x30, 0x82, 1, 2, 2, 1, 3, 0x30]);
    let wide: Vec<u8> = "\u{feff}canary"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let wide = write("wide", &wide);
    let utf_16 = "it is text in UTF-16; save it as UTF-8";
    // As `openssl x509 -trustout` writes it.
    let trusted = write(
        "trusted",
        pem.replace(" CERTIFICATE", " TRUSTED CERTIFICATE")
            .as_bytes(),
    );
    // As Windows exports chains, and `openssl crl2pkcs7` writes them.
    let pkcs7 = pem.replace(" CERTIFICATE", " PKCS7");
    let pkcs7 = write("p7b", pkcs7.as_bytes());
    let signed_data = b"\x30\x82\x01\x02\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    let pkcs7_der = write("p7b-der", signed_data);
    let indented = write(
        "indented",
        format!("  {}", pem.replace('\n', "\n  ")).as_bytes(),
    );
    for (file, words) in [
        (pkcs7, "`openssl pkcs7 -print_certs -in FILE -out NEW`"),
        (
            pkcs7_der,
            "`openssl pkcs7 -inform der -print_certs -in FILE -out NEW`",
        ),
        (indented, "`awk '{$1=$1}1' FILE > NEW`"),
        (cut, "it is cut off"),
        (der.clone(), "`openssl x509 -inform der"),
        (pkcs12.clone(), "`openssl pkcs12"),
        (wide.clone(), utf_16),
        (trusted, "`openssl x509 -in FILE -out NEW`"),
    ] {
        let text = message(HostOptions::new().ca_file(&file));
        assert!(text.contains(words), "{text}");
    }
    let cert = write("cert", certificates.client_certificate_pem().as_bytes());
    let block = |label: &str| {
        let text = format!("-----BEGIN {label}-----\ncanary\n-----END {label}-----\n");
        write(label, text.as_bytes())
    };
    let key = write("key", certificates.client_key_pem().as_bytes());
    for (file, words) in [
        (
            block("PRIVATE KEY"),
            "it has a private key, not a certificate",
        ),
        (
            block("EC PRIVATE KEY"),
            "it has a private key, not a certificate",
        ),
        (
            short_der.clone(),
            "it is a private key in DER, not a certificate",
        ),
        (block("CERTIFICATE REQUEST"), "certificate request (CSR)"),
        (
            block("NEW CERTIFICATE REQUEST"),
            "certificate request (CSR)",
        ),
        (
            block("X509 CRL"),
            "it has a revocation list (CRL), not a certificate",
        ),
        (
            block("PUBLIC KEY"),
            "it has a public key, not a certificate",
        ),
        (
            block("X509 CERTIFICATE"),
            "`openssl x509 -in FILE -out NEW`",
        ),
        (write("empty", b"\n"), "it is empty"),
        (
            write("text", b"canary"),
            "it has no line `-----BEGIN CERTIFICATE-----`",
        ),
    ] {
        let client = HostOptions::new().client_certificate(&file, &key);
        for text in [message(HostOptions::new().ca_file(&file)), message(client)] {
            assert!(text.contains(words), "{file:?}: {text}");
            let is_converted = words.contains("openssl");
            assert_eq!(text.contains("openssl"), is_converted, "{file:?}: {text}");
        }
    }
    // Both files, but each for the other option.
    let swapped = message(HostOptions::new().client_certificate(&key, &cert));
    let words = "`client_cert` of registry `r.example` can't be used (`";
    assert!(swapped.contains(words), "{swapped}");
    assert!(
        swapped.contains("it has a private key, not a certificate"),
        "{swapped}"
    );
    for (key, words) in [
        (block("ENCRYPTED SIGSTORE PRIVATE KEY"), "cosign"),
        (block("ENCRYPTED COSIGN PRIVATE KEY"), "cosign"),
        (block("OPENSSH PRIVATE KEY"), "OpenSSH"),
        (block("PUBLIC KEY"), "public key"),
        (block("CERTIFICATE REQUEST"), "certificate request (CSR)"),
        (write("empty", b""), "it is empty"),
        (cert.clone(), "certificate"),
        (der, "`openssl pkey -inform der"),
        (short_der, "`openssl pkey -inform der"),
        (pkcs12, "`openssl pkcs12"),
        (wide.clone(), utf_16),
    ] {
        let text = message(HostOptions::new().client_certificate(&cert, &key));
        assert!(text.contains(words), "{text}");
    }
    // In DER: the identifiers of a key on an elliptic curve, and of secp256k1 or P-256.
    let kind = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
    let in_pem = |label: &str, curve: &[u8]| {
        let content = STANDARD.encode([kind, curve].concat());
        let text = format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n");
        write("curve", text.as_bytes())
    };
    for (label, curve, words) in [
        (
            "PRIVATE KEY",
            &b"\x06\x05\x2b\x81\x04\x00\x0a"[..],
            "the curve of its key is not supported; P-256",
        ),
        (
            "EC PRIVATE KEY",
            b"\x06\x05\x2b\x81\x04\x00\x0a",
            "the curve of its key is not supported; P-256",
        ),
        (
            "PRIVATE KEY",
            b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
            "its key is malformed",
        ),
    ] {
        let options = HostOptions::new().client_certificate(&cert, in_pem(label, curve));
        let text = message(options);
        assert!(
            text.contains(words) && !text.contains("unexpected"),
            "{text}"
        );
    }
    let text = message(HostOptions::new().client_certificate(&wide, &cert));
    assert!(text.contains(utf_16), "{text}");
    // A key next to its certificate.
    let both = format!(
        "{}{}",
        certificates.client_certificate_pem(),
        certificates.client_key_pem()
    );
    let both = write("both", both.as_bytes());
    let options = HostOptions::new().client_certificate(&both, &both);
    let host = "r.example".parse().unwrap();
    HttpRegistry::builder().host(host, options).build().unwrap();
}

/// The server decides about the certificate of a client, so one that is not valid is a warning.
#[tokio::test]
async fn a_client_certificate_that_is_not_valid_now_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let server = tls(TlsOptions::new()).await;
    let certificates = server.certificates().unwrap();
    let [cert, key] = ["cert", "key"].map(|name| folder.path().join(name));
    std::fs::write(&cert, certificates.client_certificate_pem()).unwrap();
    std::fs::write(&key, certificates.client_key_pem()).unwrap();
    let client = with(&server, HostOptions::new().client_certificate(&cert, &key));
    assert_eq!(client.warnings(SystemTime::now()), Vec::<String>::new());
    let long = Duration::from_secs(1 << 37);
    for (now, words) in [
        (SystemTime::now() + long, "expired on "),
        (SystemTime::UNIX_EPOCH, "is not valid before "),
    ] {
        let warnings = client.warnings(now);
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        let option = format!(
            "`client_cert` of registry `{}` names, {words}",
            server.host()
        );
        assert!(warning.contains(&option), "{warning}");
        assert!(warning.contains(cert.to_str().unwrap()), "{warning}");
    }
}

/// Of a bundle, the certificate that can't be used is named.
#[tokio::test]
async fn a_damaged_certificate_of_a_bundle_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = tls(TlsOptions::new()).await;
    let good = std::fs::read_to_string(ca_of(&server, &folder)).unwrap();
    let path = folder.path().join("bundle");
    for content in ["MAMCAQE=", "%%"] {
        let damaged =
            format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n");
        std::fs::write(&path, format!("{good}{damaged}{good}")).unwrap();
        let options = HostOptions::new().ca_file(&path);
        let built = HttpRegistry::builder().host(server.host(), options).build();
        let text = full_text(&built.map(|_| ()).unwrap_err());
        assert!(text.contains("certificate number 2 of the file"), "{text}");
    }
}

/// What concerns one registry does not block another one, nor does a mirror.
#[tokio::test]
async fn the_files_of_a_registry_are_read_when_it_is_connected_to() {
    let server = tls(TlsOptions::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, server.certificates().unwrap().ca_pem()).unwrap();
    let good = HostOptions::new().ca_file(&ca);
    let absent = || HostOptions::new().ca_file("absent.pem");
    let other = "other.example:5000".parse().unwrap();
    let client = HttpRegistry::builder()
        .host(server.host(), good)
        .host(other, absent())
        .deferred()
        .build()
        .unwrap();
    let mirror: MirrorOptions = "mirror.example:5000".parse().unwrap();
    let mirrors = Mirrors::new(client.clone())
        .mirror(&server.host(), mirror.options(absent()))
        .unwrap();
    assert!(!client.check_host(&server.host()).await.unwrap());
    let missing = format!("{}/a/b:1", server.host()).parse().unwrap();
    let error = mirrors.resolve(&missing).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    for error in [
        client.check_options().unwrap_err(),
        client
            .check_host(&"other.example:5000".parse().unwrap())
            .await
            .unwrap_err(),
    ] {
        assert!(
            matches!(
                error.detail(),
                Some(ClientError::Options {
                    option: "ca_file",
                    ..
                })
            ),
            "{error:?}"
        );
    }
}
