//! Tests of options.

use super::*;

/// CFG-01: a proxy's password is not shown.
#[test]
fn debug_hides_the_proxys_password() {
    let options = HostOptions::new().proxy("http://user:canary@proxy.example:3128");
    let shown = format!("{options:?}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("proxy.example"), "{shown}");
}

/// AUTH-15: one registry has one entry, whatever its notation; a longer name is another one.
#[test]
fn spellings_of_one_origin_are_one_key() {
    let key = |host: &str| origin_key(&host.parse().unwrap(), false);
    assert_eq!(key("registry.example.com"), key("registry.example.com:443"));
    assert_eq!(key("registry.example.com"), key("REGISTRY.example.com"));
    assert_ne!(key("registry.example.com"), key("registry.example.com:444"));
    assert_ne!(
        key("registry.example.com"),
        key("evil-registry.example.com")
    );
    assert_ne!(
        key("registry.example.com"),
        key("registry.example.com.evil.com")
    );
}
