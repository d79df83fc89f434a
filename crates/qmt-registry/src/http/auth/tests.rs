//! Scopes that are asked for, and headers.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::Repository;
use secrecy::SecretString;

use super::scope::{Access, AuthScope};
use super::{basic, bearer};
use crate::events::Events;
use crate::http::HostOptions;
use crate::http::transport::{Context, Endpoint, Proxies, system_lookup};
use crate::limits::Limits;

fn scopes(access: Access, demanded: Option<&str>, mount_from: Option<&str>) -> Vec<String> {
    let host = "r.example".parse().unwrap();
    let context = Context {
        limits: Limits::default(),
        events: Events::default(),
        lookup: system_lookup(),
        proxies: Arc::new(Proxies::default()),
        authorities: Arc::default(),
    };
    let endpoint = Endpoint::new(host, HostOptions::new(), context).unwrap();
    let repository: Repository = "r.example/acme/echo".parse().unwrap();
    let from: Option<Repository> = mount_from.map(|from| from.parse().unwrap());
    let scope = AuthScope {
        endpoint: Arc::new(endpoint),
        repository: Some(&repository),
        access,
        mount_from: from.as_ref(),
    };
    scope.tokens(demanded)
}

/// AUTH-11: never more is asked for than is needed, whatever the registry demands.
#[test]
fn scopes_are_no_wider_than_the_request() {
    let own = ["repository:acme/echo:pull"];
    assert_eq!(scopes(Access::Pull, None, None), own);
    assert_eq!(scopes(Access::Pull, Some(own[0]), None), own);
    for wider in [
        "repository:acme/echo:pull,push",
        "repository:acme/echo:*",
        "registry:catalog:*",
        "repository:acme/echo:pull repository:acme/other:pull",
        "nonsense",
        "",
    ] {
        assert_eq!(scopes(Access::Pull, Some(wider), None), own, "{wider}");
    }
    // Some registries store a repository under another name.
    let mapped = "repository:virtual/acme/echo:pull";
    assert_eq!(scopes(Access::Pull, Some(mapped), None), [mapped]);
    assert_eq!(
        scopes(Access::Push, Some(own[0]), Some("r.example/acme/base")),
        [
            "repository:acme/echo:pull,push",
            "repository:acme/base:pull"
        ]
    );
    assert!(scopes(Access::Check, Some(own[0]), None).is_empty());
}

/// CFG-01, AUTH-15: what basic authentication does not allow, and that nothing is shown.
#[test]
fn passwords_become_headers() {
    let secret = SecretString::from("canary".to_owned());
    let header = basic("alice", &secret).unwrap();
    assert!(header.is_sensitive());
    assert_eq!(format!("{header:?}"), "Sensitive");
    assert_eq!(
        header.as_bytes(),
        format!("Basic {}", STANDARD.encode("alice:canary")).as_bytes()
    );
    assert!(basic("ali:ce", &secret).is_err());
    assert!(bearer(&SecretString::from("a.b-c_d~e+f/g=".to_owned())).is_some());
    for malformed in ["", "a b", "a\r\nb", "ä"] {
        assert!(
            bearer(&SecretString::from(malformed.to_owned())).is_none(),
            "{malformed:?}"
        );
    }
}
