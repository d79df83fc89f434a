//! Tests of mirrors.

use qmt_oci_ref::MockRegistry;

use super::*;

fn source(name: &str, is_authoritative: bool, given_up: Option<Instant>) -> Arc<Source> {
    let host = format!("{name}.example").parse().unwrap();
    let mirror = MirrorOptions::new(host).authoritative(is_authoritative);
    Arc::new(Source {
        registry: Arc::new(MockRegistry::new()),
        mirror: Some(mirror),
        given_up: Mutex::new(given_up),
    })
}

#[test]
fn the_order_depends_on_what_is_asked_for() {
    let now = Instant::now();
    let mirrors = [
        source("plain", false, None),
        source("wrong", true, Some(now)),
        source("trusted", true, None),
    ];
    let hosts_at = |now, subject| -> Vec<String> {
        let sources = order(subject, &mirrors, source("origin", true, None), now);
        let hosts = sources.iter().filter_map(|source| source.mirror.as_ref());
        hosts.map(|mirror| mirror.host.to_string()).collect()
    };
    let hosts = |subject| hosts_at(now, subject);
    let (plain, trusted, origin) = ("plain.example", "trusted.example", "origin.example");
    assert_eq!(hosts(Subject::Content), [plain, trusted, origin]);
    assert_eq!(hosts(Subject::Tag), [trusted, origin]);
    assert_eq!(hosts(Subject::Referrers), [trusted, origin, plain]);
    // A mirror that failed may work again later.
    let later = hosts_at(now + GIVEN_UP, Subject::Tag);
    assert_eq!(later, ["wrong.example", trusted, origin]);
}

#[test]
fn mirrors_are_read_from_text() {
    let mirror: MirrorOptions = "http://127.0.0.1:5000/proxy/hub".parse().unwrap();
    assert_eq!(mirror.host.as_str(), "127.0.0.1:5000");
    assert_eq!(mirror.prefix.as_deref(), Some("proxy/hub"));
    assert!(mirror.options.plain_http);
    let mirror: MirrorOptions = "mirror.example.com".parse().unwrap();
    assert_eq!((mirror.prefix, mirror.options.plain_http), (None, false));
    assert!(
        !"https://mirror.example.com/"
            .parse::<MirrorOptions>()
            .unwrap()
            .options
            .plain_http
    );
    for wrong in [
        "",
        "http://",
        "mirror.example.com/UPPER",
        "ftp://mirror.example.com",
        "a b",
    ] {
        assert!(wrong.parse::<MirrorOptions>().is_err(), "{wrong:?}");
    }
    // References begin with `oci://`, and containerd's mirrors are URLs of the API.
    for (text, prefix) in [
        ("oci://mirror.example.com:5000", None),
        ("oci://mirror.example.com/hub", Some("hub")),
        ("https://mirror.example.com/v2", None),
        ("https://mirror.example.com/v2/hub/", Some("hub")),
        ("https://mirror.example.com/v2hub", Some("v2hub")),
        ("mirror.example.com/v2/hub", Some("v2/hub")),
    ] {
        let mirror: MirrorOptions = text.parse().unwrap();
        assert_eq!(mirror.prefix.as_deref(), prefix, "{text}");
        assert!(mirror.host.as_str().starts_with("mirror.example.com"));
    }
}
