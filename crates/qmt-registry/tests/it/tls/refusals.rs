//! Why there is no TLS connection: alerts of servers, and certificates that are not accepted.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use qmt_oci_ref::RegistryHost;
use qmt_testkit::Cut;

use super::*;

/// Writes the client's certificate and key of `server` into `folder`.
fn client_certificate(server: &FakeRegistry, folder: &tempfile::TempDir) -> (PathBuf, PathBuf) {
    let certificates = server.certificates().unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&cert, certificates.client_certificate_pem()).unwrap();
    std::fs::write(&key, certificates.client_key_pem()).unwrap();
    (cert, key)
}

/// A server that requires a client certificate is reported with the options for it, at once.
#[tokio::test]
async fn a_required_client_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = tls(TlsOptions::new().require_client_certificate()).await;
    let trusted = HostOptions::new().ca_file(ca_of(&server, &folder));
    let other = tls(TlsOptions::new()).await;
    let (cert, key) = client_certificate(&other, &folder);
    let foreign = trusted.clone().client_certificate(&cert, &key);
    for (options, words) in [
        (trusted.clone(), "requires a client certificate"),
        (foreign, "does not accept the client certificate"),
    ] {
        let started = Instant::now();
        let error = resolves(&with(&server, options), &server).await;
        let error = error.unwrap_err();
        let text = full_text(&error);
        assert!(text.contains(words), "{text}");
        let Some(ClientError::Tls(refused @ TlsError::Refused { .. })) = error.detail() else {
            panic!("{text}");
        };
        assert!(!error.is_retryable(), "{refused}");
        let hint = error.detail().unwrap().hint().unwrap();
        assert!(hint.contains("`client_cert`"), "{hint}");
        assert!(hint.contains(server.host().as_str()), "{hint}");
        assert!(started.elapsed().as_secs() < 5, "no pauses");
    }
    let (cert, key) = client_certificate(&server, &folder);
    let own = trusted.client_certificate(&cert, &key);
    resolves(&with(&server, own), &server).await.unwrap();
}

/// A server that ends the handshake with the alert `protocol_version` is not asked again.
#[tokio::test]
async fn an_alert_ends_the_attempts() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 8192]).unwrap() > 5);
        stream.write_all(&[21, 3, 3, 0, 2, 2, 70]).unwrap();
        // However the client ends it.
        let _ = stream.read_to_end(&mut Vec::new());
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let client = HttpRegistry::builder().limits(quick()).build().unwrap();
    let reference = format!("{host}/acme/echo:1").parse().unwrap();
    let error = client.resolve(&reference).await.unwrap_err();
    let listener = server.join().unwrap();
    assert!(error.to_string().contains("TLS 1.2"), "{error}");
    assert!(!error.is_retryable(), "{}", full_text(&error));
    assert!(listener.accept().is_err(), "it was asked again");
}

/// Dates and names of certificates are written for readers.
#[tokio::test]
async fn a_bad_certificate_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    for (options, words) in [
        (
            TlsOptions::new().expired(),
            "expired on 2021-01-01T00:00:00Z",
        ),
        (
            TlsOptions::new().names(["*.localhost", "127.0.0.9"]),
            "it is for `*.localhost`, `127.0.0.9`, not for `127.0.0.1`",
        ),
    ] {
        let server = tls(options).await;
        let options = HostOptions::new().ca_file(ca_of(&server, &folder));
        let error = resolves(&with(&server, options), &server).await;
        let text = full_text(&error.unwrap_err());
        assert!(text.contains(words), "{text}");
    }
}

/// Where `ca_file` is set, the help does not say to set it.
#[tokio::test]
async fn an_unknown_issuer_is_explained_by_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let server = tls(TlsOptions::new()).await;
    let other = tls(TlsOptions::new().self_signed()).await;
    let options = HostOptions::new().ca_file(ca_of(&other, &folder));
    let error = resolves(&with(&server, options), &server).await;
    let hint = error.unwrap_err().detail().unwrap().hint().unwrap();
    assert!(
        hint.contains("ca.pem`, which `ca_file` names, does not contain the issuer"),
        "{hint}"
    );
    let command = format!("`openssl s_client -connect {} -showcerts`", server.host());
    assert!(hint.contains(&command), "{hint}");
}

/// A machine without CA certificates, in a separate process, whose environment can be set.
#[test]
fn missing_authorities_are_reported_with_the_variable() {
    const ASKED: &str = "QMT_REGISTRY_AUTHORITIES_TEST";
    if let Ok(host) = std::env::var(ASKED) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = HttpRegistry::builder().limits(quick()).build().unwrap();
        let reference = format!("{host}/acme/echo:1").parse().unwrap();
        let error = runtime.block_on(client.resolve(&reference)).unwrap_err();
        let hint = error.detail().unwrap().hint().unwrap();
        println!("\noutcome: {error}; {:?}; {hint}", error.kind());
        return;
    }
    let outcome = |file: Option<&Path>| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "tls::refusals::missing_authorities_are_reported_with_the_variable",
        ]);
        command.arg("--nocapture").env(ASKED, "127.0.0.1:9");
        command
            .env_remove("SSL_CERT_FILE")
            .env_remove("SSL_CERT_DIR");
        if let Some(file) = file {
            command.env("SSL_CERT_FILE", file);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let outcome = text.lines().find(|line| line.starts_with("outcome: "));
        outcome.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    // An empty variable names no file.
    assert_eq!(outcome(Some(Path::new(""))), outcome(None));
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let text = outcome(Some(Path::new("-----BEGIN PRIVATE KEY-----\ncanary\n")));
    for words in [
        "`SSL_CERT_FILE` holds PEM, not a path",
        "Configuration",
        "`ca_file`",
    ] {
        assert!(
            text.contains(words) && !text.contains("canary"),
            "{words}: {text}"
        );
    }
    let wide = folder.path().join("wide.pem");
    std::fs::write(&wide, b"\xff\xfe-\0").unwrap();
    let text = outcome(Some(&wide));
    assert!(
        text.contains("it is text in UTF-16; save it as UTF-8"),
        "{text}"
    );
    for (file, part) in [("~/ca.pem", "`~`"), ("$HOME/ca.pem", "the variable")] {
        let text = outcome(Some(Path::new(file)));
        let words = format!("`{file}`, which the variable `SSL_CERT_FILE` names: only shells");
        assert!(text.contains(&words) && text.contains(part), "{text}");
    }
    for file in [empty, folder.path().join("missing.pem")] {
        let text = outcome(Some(&file));
        for words in [
            "outcome: there are no CA certificates in",
            file.to_str().unwrap(),
            "`SSL_CERT_FILE`",
            "Configuration",
            "`ca_file`",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}

/// A byte order mark, also of a file that others were added to, hides no certificate.
#[test]
fn certificates_after_byte_order_marks_are_trusted() {
    const ASKED: &str = "QMT_REGISTRY_MARKS_TEST";
    if let Ok(host) = std::env::var(ASKED) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let host: RegistryHost = host.parse().unwrap();
        let ca_file = std::env::var_os("CA_FILE");
        let options = ca_file
            .iter()
            .fold(HostOptions::new(), HostOptions::ca_file);
        let client = HttpRegistry::builder()
            .host(host.clone(), options)
            .limits(quick())
            .build()
            .unwrap();
        let reference = format!("{host}/acme/echo:1").parse().unwrap();
        let outcome = runtime.block_on(client.resolve(&reference));
        println!("\noutcome: {}", outcome.is_ok());
        return;
    }
    let servers = tokio::runtime::Runtime::new().unwrap();
    let server = servers.block_on(tls(TlsOptions::new()));
    let other = servers.block_on(tls(TlsOptions::new()));
    let own = server.certificates().unwrap().ca_pem();
    let other = other.certificates().unwrap().ca_pem();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for (content, is_trusted) in [
        (format!("{own}{other}"), true),
        (format!("\u{feff}{own}{other}"), true),
        (format!("\u{feff}{other}\u{feff}{own}"), true),
        (format!("{other}\u{feff}{own}"), true),
        (format!("\u{feff}{other}"), false),
    ] {
        std::fs::write(&file, &content).unwrap();
        for (variable, path) in [
            ("SSL_CERT_FILE", file.as_path()),
            ("SSL_CERT_DIR", folder.path()),
            ("CA_FILE", file.as_path()),
        ] {
            let name = "tls::refusals::certificates_after_byte_order_marks_are_trusted";
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture"])
                .env_remove("SSL_CERT_FILE")
                .env_remove("SSL_CERT_DIR")
                .env(ASKED, server.host().to_string())
                .env(variable, path)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let outcome = format!("outcome: {is_trusted}");
            assert!(text.contains(&outcome), "{variable} {content}: {text}");
        }
    }
}

/// Plain HTTP at a port of HTTPS: an error as nginx or Go sends it, or a reset.
#[tokio::test]
async fn plain_http_at_a_port_of_https_is_explained() {
    let page =
        "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head>";
    let apache = "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>400 Bad \
                  Request</title>\n</head><body>\n<p>Reason: You're speaking plain HTTP to an \
                  SSL-enabled server port.<br />";
    for fault in [
        Fault::on("*", "*")
            .respond(400)
            .header("content-type", "text/html; charset=iso-8859-1")
            .body(apache),
        Fault::on("*", "*")
            .respond(400)
            .header("content-type", "text/html")
            .body(page),
        Fault::on("*", "*")
            .respond(400)
            .body("Client sent an HTTP request to an HTTPS server.\n"),
        Fault::on("*", "*").drop_connection(Cut::Reset),
    ] {
        let server = image_behind(Auth::None).await;
        server.fault(fault);
        let client = HttpRegistry::builder()
            .host(server.host(), plain())
            .limits(quick().tries(1))
            .build()
            .unwrap();
        let error = resolves(&client, &server).await.unwrap_err();
        let hint = error.detail().unwrap().hint().unwrap();
        assert!(hint.contains("remove `plain_http`"), "{hint}");
        if let Some(ClientError::Status { message, .. }) = error.detail() {
            let words = [
                "400 The plain HTTP request was sent to HTTPS port",
                "Client sent an HTTP request to an HTTPS server",
                "speaking plain HTTP to an SSL-enabled server port",
            ];
            let has_words = words.iter().any(|words| message.contains(words));
            assert!(has_words, "{message}");
        }
    }
}

/// A registry that was reached over plain HTTP does not serve HTTPS there.
#[tokio::test]
async fn plain_http_that_worked_before_is_not_the_reason() {
    let server = image_behind(Auth::None).await;
    let client = HttpRegistry::builder()
        .host(server.host(), plain())
        .limits(quick().tries(1))
        .build()
        .unwrap();
    resolves(&client, &server).await.unwrap();
    for cut in [Cut::Fin, Cut::Reset] {
        server.fault(Fault::on("*", "*").drop_connection(cut));
        let error = resolves(&client, &server).await.unwrap_err();
        assert_eq!(
            error.detail().unwrap().hint(),
            None,
            "{}",
            full_text(&error)
        );
        server.clear_faults();
    }
}

/// nginx checks client certificates after the handshake, and answers with a page.
#[tokio::test]
async fn a_page_about_client_certificates_names_the_options() {
    let page = |title: &str| format!("<html><head><title>{title}</title></head></html>");
    for (status, body) in [
        (400, page("400 No required SSL certificate was sent")),
        (400, page("400 The SSL certificate error")),
        (495, String::new()),
        (496, page("a page of the operator")),
    ] {
        let server = tls(TlsOptions::new()).await;
        let folder = tempfile::tempdir().unwrap();
        let options = HostOptions::new().ca_file(ca_of(&server, &folder));
        let fault = Fault::on("*", "*").respond(status).body(body.clone());
        server.fault(fault.header("content-type", "text/html"));
        let error = resolves(&with(&server, options), &server).await;
        let hint = error.unwrap_err().detail().unwrap().hint();
        let hint = hint.unwrap_or_else(|| panic!("no hint for {status}: {body}"));
        let table = format!("`[registries.\"{}\"]`", server.host());
        for words in ["`client_cert` and `client_key`", &table] {
            assert!(hint.contains(words), "{hint}");
        }
    }
}

/// The token server of a registry may be behind the same nginx.
#[tokio::test]
async fn a_token_server_that_requires_a_client_certificate_is_no_refused_login() {
    let server = image_behind(Auth::token("alice", "canary-password")).await;
    let page = "<html><head><title>400 No required SSL certificate was sent</title></head></html>";
    let fault = Fault::on("*", "/token").respond(400).body(page);
    server.fault(fault.header("content-type", "text/html"));
    let error = resolves(&with(&server, plain()), &server).await;
    let hint = error.unwrap_err().detail().unwrap().hint().unwrap();
    assert!(hint.contains("`client_cert`"), "{hint}");
    assert!(!hint.contains("login"), "{hint}");
}

/// A server that closes the connection in place of the handshake, in order or with a reset.
#[tokio::test]
async fn a_connection_closed_during_the_handshake_is_explained() {
    for reads in [true, false] {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut hello = [0; 8192];
                // What is not read makes it a reset.
                let read = if reads {
                    stream.read(&mut hello)
                } else {
                    stream.peek(&mut hello)
                };
                assert!(read.unwrap() > 5);
            }
        });
        let limits = quick().tries(1);
        let client = HttpRegistry::builder().limits(limits).build().unwrap();
        let reference = format!("{host}/acme/echo:1").parse().unwrap();
        let error = client.resolve(&reference).await.unwrap_err();
        let text = full_text(&error);
        let words = format!("`{host}` closes the connection during the TLS handshake");
        assert!(text.contains(&words), "{text}");
        // A reset may be of the network.
        assert_eq!(error.is_retryable(), !reads, "{text}");
        let hint = error.detail().unwrap().hint().unwrap();
        let table = format!("`plain_http = true` in `[registries.\"{host}\"]`");
        assert!(hint.contains(&table), "{hint}");
    }
}

/// A registry that answers with an error of its own does not serve HTTPS there.
#[tokio::test]
async fn an_error_over_plain_http_is_not_about_https() {
    let body = r#"{"errors":[{"code":"TAG_INVALID","message":"no such tag"}]}"#;
    for body in [body, "bad request", ""] {
        let server = image_behind(Auth::None).await;
        server.fault(Fault::on("*", "*").respond(400).body(body));
        let error = resolves(&with(&server, plain()), &server).await;
        let error = error.unwrap_err();
        assert_eq!(error.detail().unwrap().hint(), None, "{body}");
    }
}

/// A redirect to HTTPS at a port without TLS: `plain_http` is set already.
#[tokio::test]
async fn a_redirect_to_missing_tls_is_explained() {
    let server = image_behind(Auth::None).await;
    let to = format!("https://{}/v2/acme/echo/manifests/1", server.host());
    let fault = Fault::on("*", "/v2/*/manifests/*").respond(301);
    server.fault(fault.header("location", &to));
    let error = resolves(&with(&server, plain()), &server).await;
    let error = error.unwrap_err();
    let Some(ClientError::Tls(TlsError::WithoutTls { .. })) = error.detail() else {
        panic!("{}", full_text(&error));
    };
    let hint = error.detail().unwrap().hint().unwrap();
    assert!(hint.contains("redirects to HTTPS"), "{hint}");
    assert!(!hint.contains("plain_http = true"), "{hint}");
}

/// The config does not accept `ca_file` for a registry over plain HTTP, so its help names another way
/// to trust the servers that it redirects to.
#[tokio::test]
async fn the_store_of_a_registry_over_plain_http_is_trusted_by_the_system() {
    let server = image_behind(Auth::None).await;
    for options in [TlsOptions::new(), TlsOptions::new().self_signed()] {
        let store = tls(options).await;
        let fault = Fault::on("*", "/v2/*/manifests/*");
        server.clear_faults();
        server.fault(fault.redirect_to_origin(307, store.url()));
        let error = resolves(&with(&server, plain()), &server).await;
        let error = error.unwrap_err();
        let hint = error.detail().unwrap().hint().unwrap();
        assert!(
            hint.contains("add it to the system's certificates"),
            "{hint}"
        );
        assert!(!hint.contains("with `ca_file`"), "{hint}");
        assert_eq!(error.hint(), Some(&*hint));
    }
}
