//! Tests of proxies.

use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn proxies(variables: &[(&str, &str)]) -> Proxies {
    Proxies::read(|name| {
        let variable = variables.iter().find(|(known, _)| *known == name)?;
        Some(variable.1.to_owned())
    })
}

/// The proxy for `url`, `direct`, or the error.
fn route(variables: &[(&str, &str)], target: &str) -> String {
    routed(variables, &HostOptions::new(), target)
}

fn routed(variables: &[(&str, &str)], options: &HostOptions, target: &str) -> String {
    match proxies(variables).route(options, &url(target)) {
        Ok(Route::Proxy(proxy)) => proxy.0.to_string(),
        Ok(Route::Direct | Route::System) => "direct".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_proxy_is_read_with_and_without_scheme() {
    for (text, expected) in [
        ("http://proxy.example:3128", "http://proxy.example:3128/"),
        ("proxy.example:3128", "http://proxy.example:3128/"),
        ("localhost:3128", "http://localhost:3128/"),
        ("127.0.0.1:3128/", "http://127.0.0.1:3128/"),
        ("[::1]:3128", "http://[::1]:3128/"),
        ("proxy", "http://proxy/"),
        ("user:p%40ss@proxy:3128", "http://user:p%40ss@proxy:3128/"),
        (" HTTPS://Proxy.example ", "https://proxy.example/"),
        ("socks5h://proxy:1080", "socks5h://proxy:1080"),
        ("socks://proxy:1080", "socks4://proxy:1080"),
        ("http://DOM\\u:pass@proxy:1", "http://DOM%5Cu:pass@proxy:1/"),
        ("DOM\\u:pass@proxy:1", "http://DOM%5Cu:pass@proxy:1/"),
        (
            "corp/u:p/?#@x@proxy:1",
            "http://corp%2Fu:p%2F%3F%23%40x@proxy:1/",
        ),
        (
            "socks5://DOM\\u:pass@proxy:1",
            "socks5://DOM%5Cu:pass@proxy:1",
        ),
        ("http://user@proxy:1/", "http://user@proxy:1/"),
        ("http://proxy:1/pac", "http://proxy:1/"),
        (
            "http://user:pass@proxy:1/x/?y#z",
            "http://user:pass@proxy:1/",
        ),
        ("proxy:1?x", "http://proxy:1/"),
        ("proxy:1#x", "http://proxy:1/"),
        ("socks5://proxy:1/x", "socks5://proxy:1"),
    ] {
        let proxy = parse(text).unwrap();
        assert_eq!(proxy.0.as_str(), expected, "{text}");
    }
    assert!(option("").unwrap().is_none());
    for text in [
        "ftp://proxy",
        "http://",
        "http://user:canary@",
        "a b",
        "proxy:port",
        "://proxy",
        "http://DOM\\proxy:1",
        "http://proxy:1\\x",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

/// CFG-01: only the scheme, the host and the port of a proxy are shown.
#[test]
fn a_proxy_is_shown_without_its_password() {
    for text in [
        "http://DOM\\u:canary@localhost:1",
        "corp/canary@localhost:1",
    ] {
        let proxy = parse(text).unwrap();
        assert_eq!(format!("{proxy:?}"), "Proxy(http://localhost:1)");
    }
}

#[test]
fn variables_are_read_as_by_curl() {
    let target = "http://r.example/";
    assert_eq!(route(&[], target), "direct");
    assert_eq!(route(&[("http_proxy", "p:1")], target), "http://p:1/");
    assert_eq!(route(&[("HTTP_PROXY", "p:1")], target), "http://p:1/");
    assert_eq!(route(&[("https_proxy", "p:1")], target), "direct");
    assert_eq!(
        route(&[("https_proxy", "p:1")], "https://r.example/"),
        "http://p:1/"
    );
    assert_eq!(
        route(&[("ALL_PROXY", "socks5://p:1")], target),
        "socks5://p:1"
    );
    let both = [
        ("http_proxy", "lower:1"),
        ("HTTP_PROXY", "upper:1"),
        ("all_proxy", "all:1"),
    ];
    assert_eq!(route(&both, target), "http://lower:1/");
    assert_eq!(route(&both, "https://r.example/"), "http://all:1/");
    let empty = [("http_proxy", ""), ("HTTP_PROXY", "upper:1")];
    assert_eq!(route(&empty, target), "http://upper:1/");
    let cgi = [
        ("REQUEST_METHOD", "GET"),
        ("HTTP_PROXY", "evil:1"),
        ("https_proxy", "p:1"),
    ];
    assert_eq!(route(&cgi, target), "direct");
    assert_eq!(route(&cgi, "https://r.example/"), "http://p:1/");
    for local in [
        "http://localhost:5000/",
        "http://a.localhost/",
        "http://127.1.2.3/",
        "http://[::1]/",
        "http://0.0.0.0/",
    ] {
        assert_eq!(route(&[("http_proxy", "p:1")], local), "direct", "{local}");
    }
    for elsewhere in [
        "http://localhost.example/",
        "http://notlocalhost/",
        "http://10.0.0.1/",
    ] {
        assert_eq!(
            route(&[("http_proxy", "p:1")], elsewhere),
            "http://p:1/",
            "{elsewhere}"
        );
    }
    let wrong = route(&[("http_proxy", "ftp://u:canary@p")], target);
    assert!(
        wrong.contains("`http_proxy`") && !wrong.contains("canary"),
        "{wrong}"
    );
    // Where it is not used, it is no error.
    assert_eq!(
        route(&[("http_proxy", "ftp://p")], "http://localhost/"),
        "direct"
    );
}

#[test]
fn a_configured_proxy_comes_first() {
    let variables = [("http_proxy", "p:1"), ("no_proxy", "exempt.example")];
    let options = |proxy: &str| HostOptions::new().proxy(proxy);
    for (proxy, target, expected) in [
        ("own:2", "http://r.example/", "http://own:2/"),
        ("own:2", "http://localhost/", "http://own:2/"),
        ("own:2", "http://exempt.example/", "direct"),
        ("", "http://r.example/", "direct"),
    ] {
        assert_eq!(
            routed(&variables, &options(proxy), target),
            expected,
            "{proxy} {target}"
        );
    }
}

#[test]
fn exempt_hosts_have_many_forms() {
    let covers = |list: &str, target: &str| Exempt::parse(list).covers(&url(target));
    for (list, target) in [
        ("*", "http://r.example/"),
        ("*", "http://10.0.0.1:5000/"),
        ("foo, *", "http://[fd00::1]/"),
        ("r.example", "http://r.example:5000/"),
        ("r.example", "http://a.b.r.example/"),
        (".r.example", "http://r.example/"),
        (".r.example", "http://a.r.example/"),
        ("*.r.example", "http://a.r.example/"),
        ("R.Example.", "http://r.example/"),
        ("r.example", "http://r.example./"),
        ("foo,r.example", "http://r.example/"),
        (" foo , r.example ", "http://r.example/"),
        ("foo r.example\tx", "http://r.example/"),
        ("r.example:5000", "http://r.example:5000/"),
        ("*.r.example:443", "https://a.r.example/"),
        ("r.example:80", "http://r.example/"),
        ("bücher.example", "http://xn--bcher-kva.example/"),
        ("10.1.2.3", "http://10.1.2.3:5000/"),
        ("10.1.2.3:5000", "http://10.1.2.3:5000/"),
        ("10.0.0.0/8", "http://10.1.2.3/"),
        ("10.9.9.9/8", "http://10.1.2.3/"),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/"),
        ("::1", "http://[::1]:5000/"),
        ("[::1]", "http://[0:0::1]/"),
        ("[::1]:5000", "http://[::1]:5000/"),
        ("fd00::/8", "http://[fd00::1]/"),
        ("[fd00::]/8", "http://[fd00::1]/"),
    ] {
        assert!(covers(list, target), "{list} {target}");
    }
    for (list, target) in [
        ("", "http://r.example/"),
        (",, ,", "http://r.example/"),
        (".", "http://r.example/"),
        ("*.", "http://r.example/"),
        ("r.example", "http://other.example/"),
        ("r.example", "http://evilr.example/"),
        ("r.example", "http://r.example.evil/"),
        ("*.r.example", "http://evilr.example/"),
        ("r.example:5000", "http://r.example/"),
        ("r.example:port", "http://r.example/"),
        ("10.0.0.0/8", "http://11.1.2.3/"),
        ("10.1.2.3:5000", "http://10.1.2.3/"),
        ("10.1.2.3", "http://a10.1.2.3.example/"),
        ("10.0.0.0/33", "http://10.1.2.3/"),
        ("[::1]:5000", "http://[::1]/"),
        ("fd00::/8", "http://[fe80::1]/"),
        ("example", "http://10.0.0.1/"),
    ] {
        assert!(!covers(list, target), "{list} {target}");
    }
}

/// A scheme with one `/`, or none, is not the host of the proxy.
#[test]
fn a_scheme_with_one_slash_is_an_error() {
    for value in [
        "http:/127.0.0.1:3128",
        "socks5:/proxy",
        "http:/user:canary@proxy:3128",
    ] {
        let text = route(&[("http_proxy", value)], "http://r.example/");
        assert!(text.contains("the variable `http_proxy`"), "{text}");
        assert!(text.contains("it has `:/` in place of `://`"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}

/// What is set and can't be read never means that there is no proxy: the HTTP client ignores a URL that
/// it does not understand, so requests would go without one.
#[test]
fn an_unreadable_proxy_is_an_error() {
    let long = format!("http://user:{}@proxy:1", "x".repeat(1 << 16));
    let placeholder = "it has a variable or placeholder instead of a host";
    let malformed = "it is not the URL of a proxy";
    for (value, reason) in [
        ("${PROXY}", placeholder),
        ("${PROXY}:3128", placeholder),
        ("http://${PROXY}:3128", placeholder),
        ("http://canary:canary@${PROXY}:3128", placeholder),
        ("https://${PROXY}:1", placeholder),
        ("socks5://${PROXY}:1", placeholder),
        ("socks5h://{PROXY}", placeholder),
        ("$PROXY", placeholder),
        ("http://$PROXY:3128", placeholder),
        ("{{ proxy }}", placeholder),
        ("http://{{proxy}}", placeholder),
        ("<proxy>", placeholder),
        ("%HTTP_PROXY%", placeholder),
        ("~/proxy", placeholder),
        ("http://`proxy`:1", placeholder),
        ("\"http://proxy:3128\"", "it has quotation marks"),
        ("'http://proxy:3128'", "it has quotation marks"),
        ("http://pr\"oxy:1", "it has quotation marks"),
        (" ", "it has only spaces"),
        ("\t\n", "it has only spaces"),
        ("PROXY proxy:3128; DIRECT", malformed),
        ("proxy:3128,other:3128", malformed),
        ("proxy,other", malformed),
        ("pr*xy", malformed),
        ("pr&xy=1", malformed),
        ("http://:3128", malformed),
        ("@", malformed),
        (&long, malformed),
    ] {
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            let text = route(&[(name, value)], "http://r.example/");
            assert!(text.contains(&format!("`{name}`")), "{value:?}: {text}");
            assert!(text.contains(reason), "{value:?}: {text}");
            assert!(!text.contains("canary"), "{text}");
        }
        assert_eq!(option(value), Err(reason), "{value:?}");
        let options = HostOptions::new().proxy(value);
        let text = routed(&[], &options, "http://r.example/");
        assert!(text.contains("can't be set up"), "{text}");
    }
    // These are in names of machines, and are encoded.
    for value in ["my_proxy:1", "pröxy.example", "-p-.example.", "[fd00::1]:1"] {
        assert!(option(value).unwrap().is_some(), "{value}");
    }
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_not_text_is_an_error() {
    use std::os::unix::ffi::OsStringExt as _;
    let value = OsString::from_vec(b"http://pr\xffxy:1".to_vec());
    let proxies = Proxies::read(|name| (name == "https_proxy").then(|| value.clone()));
    let routed = proxies.route(&HostOptions::new(), &url("https://r.example/"));
    let text = routed.unwrap_err().to_string();
    assert!(text.contains("`https_proxy`"), "{text}");
    assert!(text.contains("it is not UTF-8"), "{text}");
}
