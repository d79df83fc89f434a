//! Proxies, by an option or the environment.

use super::*;

/// AUTH-19: a proxy gets its own password and not the registry's, the registry not the proxy's.
#[tokio::test]
async fn a_proxy_is_used_and_kept_apart() {
    let proxy = PlainServer::start().unwrap();
    let url = proxy
        .url()
        .replacen("http://", "http://user:canary-proxy@", 1);
    let host: qmt_oci_ref::RegistryHost = "registry.invalid:5000".parse().unwrap();
    let client = HttpRegistry::builder()
        .host(host, plain().proxy(url))
        .credentials(password())
        .limits(quick())
        .build()
        .unwrap();
    let error = client
        .resolve(&"registry.invalid:5000/acme/echo:1".parse().unwrap())
        .await
        .unwrap_err();
    assert!(error.is_not_found(), "the proxy has nothing: {error:?}");
    let requests = proxy.requests();
    // The image, and the challenge that the registry may have left out.
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert!(
            request
                .header("proxy-authorization")
                .is_some_and(|v| v.starts_with("Basic"))
        );
        assert!(request.header("authorization").is_none());
    }

    let server = image_behind(Auth::basic("alice", CANARY)).await;
    resolve(&client_with_password(&server), &server)
        .await
        .unwrap();
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.header("proxy-authorization").is_none())
    );
}

/// AUTH-19: the environment's proxy and `NO_PROXY`, in a separate process, whose environment can
/// be set. A registry on this machine is reached without it.
#[test]
fn the_environments_proxy_is_used() {
    const ASKED: &str = "QMT_REGISTRY_PROXY_TEST";
    if let Ok(host) = std::env::var(ASKED) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (client, reference) = plain_client(&host);
        let outcome = runtime.block_on(client.resolve(&reference));
        println!("\noutcome: {}", outcome.is_ok());
        return;
    }
    let servers = tokio::runtime::Runtime::new().unwrap();
    let server = servers.block_on(image_behind(Auth::None));
    let (own, port) = (server.host().to_string(), server.address().port());
    for (host, no_proxy, expected) in [
        ("registry.invalid:5000", "elsewhere.example", "proxy"),
        ("registry.invalid:5000", "registry.invalid", "neither"),
        ("registry.invalid:5000", "foo, *.invalid:5000", "neither"),
        ("registry.invalid:5000", "registry.invalid:5001", "proxy"),
        (own.as_str(), "elsewhere.example", "registry"),
        (&format!("localhost:{port}"), "", "registry"),
        (&format!("localhost.example:{port}"), "", "proxy"),
    ] {
        let proxy = PlainServer::start().unwrap();
        server.clear_requests();
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tls::proxies::the_environments_proxy_is_used"])
            .arg("--nocapture")
            .env(ASKED, host)
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("http_proxy", proxy.address().to_string())
            .env("NO_PROXY", no_proxy)
            .env("no_proxy", no_proxy)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_ok = text.contains("outcome: true");
        assert!(is_ok || text.contains("outcome: false"), "{text}");
        assert_eq!(is_ok, expected == "registry", "{host}: {text}");
        assert_eq!(!proxy.requests().is_empty(), expected == "proxy", "{host}");
        assert_eq!(!server.requests().is_empty(), is_ok, "{host}");
    }
}
