//! Proxies: their answers are not those of the registry.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use qmt_oci_ref::{Registry as _, RegistryError, RegistryHost};
use qmt_registry::error::{ProxyError, TlsError, TokenServerError};
use qmt_registry::limits::Limits;
use qmt_registry::{ClientError, HostOptions, HttpRegistry};
use qmt_testkit::{FakeRegistry, TlsOptions};

use crate::support::{Detail as _, full_text, quick};

/// A proxy that gives `answer` to every request; its address.
fn proxy(answer: &'static str) -> String {
    serve(move |stream| {
        read_head(stream);
        let _ = stream.write_all(answer.as_bytes());
    })
}

/// A server that lets `answer` serve each connection; its address.
fn serve(answer: impl Fn(&mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            answer(&mut stream);
        }
    });
    address.to_string()
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// What a server of plain HTTP does with the first message of TLS.
fn answer_hello(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
}

/// Limits with one attempt that does not wait for long.
fn brief() -> Limits {
    let second = Duration::from_secs(1);
    quick()
        .tries(1)
        .connect_timeout(second)
        .header_timeout(second)
}

/// Resolves an image of `registry.invalid` through `proxy`.
async fn through(proxy: &str, plain_http: bool) -> RegistryError {
    through_url(&format!("user:canary@{proxy}"), plain_http).await
}

async fn through_url(proxy: &str, plain_http: bool) -> RegistryError {
    let host: RegistryHost = "registry.invalid".parse().unwrap();
    let options = HostOptions::new().plain_http(plain_http);
    let client = HttpRegistry::builder()
        .host(host, options.proxy(proxy))
        .limits(brief())
        .build()
        .unwrap();
    let reference = "registry.invalid/acme/echo:1".parse().unwrap();
    let error = client.resolve(&reference).await.unwrap_err();
    assert!(
        !full_text(&error).contains("canary"),
        "{}",
        full_text(&error)
    );
    error
}

#[tokio::test]
async fn an_answer_of_a_proxy_is_reported_as_its_own() {
    for (head, status) in [
        ("407 Proxy Authentication Required", 407),
        ("403 Forbidden", 403),
        ("502 Bad Gateway", 502),
        ("503 Service Unavailable", 503),
        ("504 Gateway Timeout", 504),
    ] {
        for body in ["", "<html>squid</html>", "{\"errors\":7}"] {
            let length = body.len();
            let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
            let address = proxy(answer.leak());
            let error = through(&address, true).await;
            assert!(
                matches!(error.detail(), Some(ClientError::Proxy(ProxyError::Answer { status: actual, .. })) if *actual == status),
                "{error:?}"
            );
            assert!(error.to_string().contains(&address), "{error}");
            assert!(error.is_network());
            assert_eq!(error.is_retryable(), status > 500);

            // In a tunnel, the proxy answers to `CONNECT`.
            let error = through(&address, false).await;
            match error.detail() {
                Some(detail @ ClientError::Proxy(ProxyError::Answer { status: 407, .. }))
                    if status == 407 =>
                {
                    let hint = detail.hint().unwrap();
                    assert!(hint.contains("USER:PASSWORD"), "{hint}");
                }
                Some(ClientError::Proxy(ProxyError::Failed { reason, .. })) if status != 407 => {
                    assert!(reason.contains("`CONNECT`"), "{reason}");
                    let text = full_text(&error);
                    assert!(text.contains("the log of the proxy has it"), "{text}");
                }
                other => panic!("{other:?}"),
            }
            assert!(error.to_string().contains(&address), "{error}");
            assert!(error.is_network() && !error.is_retryable());
        }
    }
}

/// CFG-01: the password of a proxy is not shown, also where the proxy repeats it.
#[tokio::test]
async fn cfg_01_a_proxy_that_repeats_its_password_is_not_quoted() {
    const BASIC: &str = "dXNlcjpjYW5hcnk=";
    for body in [
        "denied: canary".to_owned(),
        "<html><title>user:canary is denied</title></html>".to_owned(),
        format!("denied: Basic {BASIC}"),
    ] {
        for head in ["407 Proxy Authentication Required", "502 Bad Gateway"] {
            let length = body.len();
            let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
            let error = full_text(&through(&proxy(answer.leak()), true).await);
            assert!(!error.contains(BASIC), "{error}");
            assert!(error.contains("is not shown"), "{error}");
        }
    }
}

/// What a registry answers through a proxy is still the registry's.
#[tokio::test]
async fn what_a_registry_answers_through_a_proxy_is_its_own() {
    for answer in [
        "HTTP/1.1 403 No\r\nContent-Length: 27\r\n\r\n{\"errors\":[{\"code\":\"NO\"}]}",
        "HTTP/1.1 403 No\r\nDocker-Distribution-Api-Version: registry/2.0\r\nContent-Length: 0\r\n\r\n",
    ] {
        let error = through(&proxy(answer), true).await;
        assert!(
            matches!(error.detail(), Some(ClientError::Unauthorized { .. })),
            "{error:?}"
        );
    }
    let missing = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
    assert!(through(&proxy(missing), true).await.is_not_found());
}

/// The same for the answer to a request for a token: a token server's own errors are JSON.
#[tokio::test]
async fn an_answer_in_place_of_a_token_server_is_of_the_proxy() {
    let challenge = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer \
                     realm=\"http://registry.invalid/token\"\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n";
    for (status, body, is_of_proxy) in [
        (403, "<html>squid</html>", true),
        (502, "", true),
        (407, "{}", true),
        (403, "{\"details\":\"no\"}", false),
        (502, "{\"details\":\"no\"}", false),
        (404, "", false),
    ] {
        let length = body.len();
        let refusal = format!("HTTP/1.1 {status} No\r\nContent-Length: {length}\r\n\r\n{body}");
        let address = serve(move |stream| {
            let head = read_head(stream);
            let answer = if head.contains("/token") {
                &refusal
            } else {
                challenge
            };
            let _ = stream.write_all(answer.as_bytes());
        });
        let error = through(&address, true).await;
        match error.detail() {
            Some(ClientError::Proxy(ProxyError::Answer { proxy, .. })) if is_of_proxy => {
                assert!(proxy.as_str().contains(&address), "{proxy}");
            }
            Some(
                ClientError::TokenRefused { .. }
                | ClientError::TokenServer(TokenServerError::Failed { .. }),
            ) => {
                assert!(!is_of_proxy, "{status} {body}: {error:?}");
            }
            other => panic!("{status} {body}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let address = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().to_string()
    };
    for plain_http in [true, false] {
        for proxy in [address.as_str(), "proxy.invalid:3128"] {
            let error = through(proxy, plain_http).await;
            assert!(
                matches!(
                    error.detail(),
                    Some(ClientError::Proxy(ProxyError::Failed { .. }))
                ),
                "{error:?}"
            );
            assert!(error.to_string().contains(proxy), "{error}");
        }
    }
}

/// SOCKS has other errors than HTTP. Nothing says that the registry may serve HTTPS.
#[tokio::test]
async fn a_socks_proxy_that_does_not_connect_is_named() {
    let absent = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().to_string()
    };
    // Version 5, the method "user name and password", accepted; the target is unreachable.
    let refusing = serve(|stream| {
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(&[5, 2]);
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(&[1, 0]);
        let _ = stream.read(&mut [0; 512]);
        let _ = stream.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
    });
    for (address, expected) in [
        (absent, "can't be reached"),
        (refusing, "refuses to connect to the server"),
    ] {
        for plain_http in [true, false] {
            let error = through_url(&format!("socks5h://user:canary@{address}"), plain_http).await;
            let Some(detail @ ClientError::Proxy(ProxyError::Failed { .. })) = error.detail()
            else {
                panic!("{}", full_text(&error));
            };
            let text = detail.to_string();
            assert!(text.contains(&format!("`socks5h://{address}`")), "{text}");
            assert!(text.contains(expected), "{text}");
            let hint = detail.hint().unwrap();
            assert!(!hint.contains("plain_http"), "{hint}");
        }
    }
}

/// Whether the proxy or the registry behind it is silent, or closes the connection, is not known.
#[tokio::test]
async fn a_silent_proxy_is_named() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = silent.local_addr().map(|address| (silent, address));
    let (_listener, address) = silent.unwrap();
    let closing = serve(|stream| drop(read_head(stream)));
    for address in [address.to_string(), closing] {
        for plain_http in [true, false] {
            let error = through(&address, plain_http).await;
            let text = error.to_string();
            assert!(
                text.contains(&format!("proxy `http://{address}`")),
                "{text}"
            );
            let hint = error.detail().unwrap().hint().unwrap();
            assert!(hint.contains("`HTTPS_PROXY`"), "{hint}");
            assert!(!hint.contains("plain_http"), "{hint}");
        }
    }
    // Without a proxy, none is named.
    let direct = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let host: RegistryHost = direct.local_addr().unwrap().to_string().parse().unwrap();
    let client = HttpRegistry::builder()
        .host(host.clone(), HostOptions::new().plain_http(true))
        .limits(brief())
        .build()
        .unwrap();
    let reference = format!("{host}/acme/echo:1").parse().unwrap();
    let error = client.resolve(&reference).await.unwrap_err();
    assert!(!error.to_string().contains("proxy"), "{error}");
}

/// A proxy that is named by `https://` and can't be reached so is at fault, and not the registry.
#[tokio::test]
async fn the_tls_of_a_proxy_is_its_own() {
    let plain = serve(answer_hello);
    let secure = FakeRegistry::builder().tls(TlsOptions::new()).serve().await;
    for (address, expected) in [
        (plain, "write `http://`"),
        (secure.host().to_string(), "its certificate is not accepted"),
    ] {
        for plain_http in [true, false] {
            let error = through_url(&format!("https://user:canary@{address}"), plain_http).await;
            let detail = error.detail().unwrap();
            assert!(matches!(detail, ClientError::Proxy(_)) && !error.is_retryable());
            let hint = detail.hint().unwrap();
            let is_certificate =
                matches!(detail, ClientError::Proxy(ProxyError::Certificate { .. }));
            assert_eq!(
                is_certificate,
                hint.contains("system's certificates"),
                "{hint}"
            );
            let has_file = hint.contains("`ca_file` in `[registries.\"registry.invalid\"]`");
            assert_eq!(has_file, is_certificate && !plain_http, "{hint}");
            let text = error.to_string();
            assert!(text.contains(&format!("`https://{address}`")), "{text}");
            assert!(text.contains(expected), "{text}");
            let full = full_text(&error);
            assert!(full.matches("certificate").count() <= 1, "{full}");
        }
    }
}

/// Through a tunnel, it is the registry that does not use TLS.
#[tokio::test]
async fn a_registry_without_tls_behind_a_proxy_is_at_fault() {
    let proxy = serve(|stream| {
        read_head(stream);
        let _ = stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n");
        answer_hello(stream);
    });
    let error = through(&proxy, false).await;
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::Tls(TlsError::WithoutTls { .. }))
        ),
        "{error:?}"
    );
}

/// AUTH-05: behind a proxy, it is not known that a registry is in the network to which it redirects. The
/// error says so, and how that becomes known.
#[tokio::test]
async fn a_redirect_inside_behind_a_proxy_is_explained() {
    let redirect = "HTTP/1.1 307 No\r\nLocation: http://10.0.0.1/x\r\nContent-Length: 0\r\n\r\n";
    let error = through(&proxy(redirect), true).await;
    let text = error.to_string();
    assert!(
        matches!(error.detail(), Some(ClientError::RedirectRefused { .. })),
        "{error:?}"
    );
    for words in ["is reached through a proxy", "by its address", "`NO_PROXY`"] {
        assert!(text.contains(words), "{text}");
    }
    let metadata =
        "HTTP/1.1 307 No\r\nLocation: http://169.254.169.254/x\r\nContent-Length: 0\r\n\r\n";
    let text = through(&proxy(metadata), true).await.to_string();
    assert!(text.contains("to which no registry may lead"), "{text}");
}
