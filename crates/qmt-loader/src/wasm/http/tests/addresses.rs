//! Which spelling of a host is which host, and which addresses it opens.

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::dns::Resolve as _;
use url::Url;

use super::super::public::{Addresses, Lookup, is_public};
use super::*;

/// Resolves every name to these addresses.
fn lookup(addresses: &[&str]) -> Lookup {
    let addresses: Vec<SocketAddr> = addresses
        .iter()
        .map(|address| SocketAddr::new(address.parse().unwrap(), 0))
        .collect();
    Arc::new(move |_| {
        let addresses = addresses.clone();
        Box::pin(async move { Ok(addresses) })
    })
}

fn is(entry: &str, url: &str) -> bool {
    let origin = Origin::of(&Url::parse(url).unwrap()).unwrap();
    AllowedHost::parse(entry).unwrap().is(&origin)
}

/// WASM-06: an entry is an exact host and port.
#[test]
fn hosts_are_exact() {
    assert!(is("example.com", "https://example.com/x"));
    assert!(is("example.com", "http://EXAMPLE.com./x"));
    assert!(is("example.com.", "http://example.com/x"));
    assert!(is("Example.com:8080", "http://example.com:8080"));
    assert!(is("example.com:443", "https://example.com"));
    assert!(is("[::1]:80", "http://[::1]/"));
    assert!(!is("example.com", "https://example.com:8443/"));
    assert!(!is("example.com:443", "http://example.com/"));
    assert!(!is("example.com:80", "https://example.com/"));
    assert!(!is("example.com", "https://www.example.com/"));
    assert!(!is("example.com", "https://example.com.evil.org/"));
    for entry in [
        "",
        ".",
        "*",
        "*.example.com",
        "https://example.com",
        "example.com/",
        "example.com\\",
        "user@example.com",
        "example.com:",
        "example.com:x",
        "example.com:+80",
        "example.com:99999",
        "example..com",
        "example.com..",
        "a b",
        "a\tb",
        "a\nb",
        "a,b",
        "a%2eb",
        "${API}",
        "$API",
        "a.{TLD}:443",
        "example.com?x",
        "example.com#x",
        "::1",
        "[::1",
        "[127.0.0.1]",
        "256.0.0.1",
        "1.2.3.4.5",
    ] {
        assert!(AllowedHost::parse(entry).is_err(), "{entry}");
    }
    assert!(Origin::of(&Url::parse("http://example..com/").unwrap()).is_err());
}

/// WASM-06: a spelling of an address counts as the address, in the entry and in the URL.
#[test]
fn spellings_are_compared_as_what_they_stand_for() {
    for (spelling, host) in [
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
        ("[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("[::0001]", "[::1]"),
        ("LOCALHOST", "localhost"),
        ("localhost.", "localhost"),
        ("ｌｏｃａｌｈｏｓｔ", "localhost"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
    ] {
        let (of_spelling, of_host) = (format!("http://{spelling}/"), format!("http://{host}/"));
        assert!(is(spelling, &of_host), "{spelling}");
        assert!(is(host, &of_spelling), "{spelling}");
        assert!(is(spelling, &of_spelling), "{spelling}");
        assert!(!is("example.com", &of_spelling), "{spelling}");
        let names_an_address = |text| AllowedHost::parse(text).unwrap().names_an_address();
        assert_eq!(names_an_address(spelling), names_an_address(host));
        assert_eq!(names_an_address(host), !host.contains("xn--"), "{host}");
    }
    // The same machine, and yet another literal.
    assert!(!is("127.0.0.1", "http://[::ffff:127.0.0.1]/"));
    assert!(!is("[::ffff:127.0.0.1]", "http://127.0.0.1/"));
    assert!(!is("127.0.0.1", "http://127.0.0.2/"));
    assert!(!is("localhost", "http://127.0.0.1/"));
    assert!(!is("127.0.0.1", "http://localhost/"));
    assert!(!is("localhost", "http://a.localhost/"));
}

/// WASM-06: a literal address in any spelling is refused without a connection, unless that address
/// is granted.
#[test]
fn literals_are_reached_only_where_they_are_granted() {
    let spellings = ["127.0.0.1", "127.1", "0x7f.1", "2130706433"];
    for spelling in spellings {
        let (address, server) = serve(vec![ok("in")]);
        let port = address.port();
        let url = format!("http://{spelling}:{port}/");
        let mut by_name = state(&[format!("example.com:{port}"), format!("localhost:{port}")]);
        assert!(words(send(&mut by_name, &url)).contains("not granted"));
        for granted in spellings {
            assert!(is(&format!("{granted}:{port}"), &url));
        }
        let mut by_literal = state(&[format!("127.1:{port}")]);
        assert_eq!(send(&mut by_literal, &url).unwrap(), b"in");
        assert_eq!(server.join().unwrap().len(), 1);
    }
    let (address, server) = serve(vec![redirect("http://0x7f.1:1/"), redirect("/x"), ok("")]);
    let mut state = state(&[address.to_string()]);
    let url = format!("http://{address}/");
    assert!(words(send(&mut state, &url)).contains("`127.0.0.1` on port 1 is not granted"));
    send(&mut state, &url).unwrap();
    server.join().unwrap();
}

/// WASM-06: a name that leads into a private network is refused, an address that the operator
/// wrote down is not.
#[test]
fn names_do_not_lead_into_private_networks() {
    let resolve = |private, lookup| {
        let name = "localhost".parse().unwrap();
        let resolving = Addresses { private, lookup }.resolve(name);
        let found = pollster::block_on(client::run(async { Ok(resolving.await) })).unwrap();
        found.map(|addresses| {
            addresses
                .map(|address| address.ip().to_string())
                .collect::<Vec<_>>()
        })
    };
    let system = public::system_lookup;
    assert!(resolve(false, system()).is_err());
    assert!(!resolve(true, system()).unwrap().is_empty());
    let mixed = resolve(false, lookup(&["10.0.0.1", "1.1.1.1", "::1"])).unwrap();
    assert_eq!(mixed, ["1.1.1.1"]);
    for address in ["10.0.0.1", "[::1]", "localhost:80", "[::1]:80"] {
        assert!(
            AllowedHost::parse(address).unwrap().names_an_address(),
            "{address}"
        );
    }
    assert!(
        !AllowedHost::parse("internal.example")
            .unwrap()
            .names_an_address()
    );
}

/// WASM-06: of names that resolve to this machine, only `localhost` is connected to.
#[test]
fn names_of_this_machine_are_refused_except_localhost() {
    for name in [
        "internal.example",
        "a.localhost",
        "localhost.localdomain",
        "localhost.example.",
    ] {
        let (address, server) = serve(vec![ok("in")]);
        let port = address.port();
        let mut state = state(&[format!("{name}:{port}"), format!("localhost:{port}")]);
        state.exchange.clients = Arc::new(Clients::new(lookup(&["127.0.0.1"])));
        let sent = send(&mut state, &format!("http://{name}:{port}/"));
        assert!(
            matches!(sent, Err(HttpError::NoPublicAddress)),
            "{name}: {sent:?}"
        );
        // The first connection that the server sees is this one.
        for localhost in ["localhost", "LocalHost."] {
            let url = format!("http://{localhost}:{port}/{localhost}");
            if localhost == "localhost" {
                assert_eq!(send(&mut state, &url).unwrap(), b"in");
            } else {
                // Granted as well, but the server has answered once and is gone.
                let sent = send(&mut state, &url);
                assert!(matches!(sent, Err(HttpError::Connection(_))), "{sent:?}");
            }
        }
        let seen = server.join().unwrap();
        assert!(seen[0].starts_with("GET /localhost "), "{seen:?}");
    }
}

/// A name that does not resolve is another error than one that resolves to private addresses.
#[test]
fn names_that_do_not_resolve_are_reported() {
    let mut state = state(&["example.com".to_owned()]);
    state.exchange.clients = Arc::new(Clients::new(Arc::new(|_| {
        Box::pin(async { Err(std::io::Error::other("no such name")) })
    })));
    let sent = send(&mut state, "http://example.com/");
    assert!(matches!(sent, Err(HttpError::Unresolved(_))), "{sent:?}");
}

/// WASM-06: ranges that are not the public network, however they are written.
#[test]
fn private_ranges_are_known() {
    for address in [
        "127.0.0.1",
        "127.255.255.254",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "192.0.0.8",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "fec0::1",
    ] {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "100.128.0.1",
        "172.32.0.1",
        "::ffff:1.1.1.1",
        "2606:4700::1111",
    ] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
    assert!(!is_public(Ipv4Addr::LOCALHOST.into()));
}
