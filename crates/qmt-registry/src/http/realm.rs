//! Whether a token server that a registry names may be asked, and with what.
//!
//! A registry that could name any server could collect passwords (CVE-2026-48978, CVE-2026-33540)
//! or make us knock at doors of our own network. So a credential goes to the registry's own host,
//! to the known pairs, and to what the operator lists in `allow_realms`. Nothing but an anonymous
//! request goes to another host, and no request at all to an address that is spelled out.

use std::net::IpAddr;

use qmt_oci_ref::RegistryHost;
use url::Url;

use super::resolver::{AddressKind, literal};
use crate::error::RegistryError;
use crate::redact::RedactedUrl;

/// Registries whose token server is known to be another host.
const KNOWN_PAIRS: [(&str, &str); 2] = [
    ("docker.io", "auth.docker.io"),
    ("registry.gitlab.com", "gitlab.com"),
];

/// A token server that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Realm {
    pub(crate) url: Url,
    /// Who vouches for it.
    pub(crate) trust: RealmTrust,
}

/// Who vouches for a token server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RealmTrust {
    /// The operator, in `allow_realms`: any address, and the credential.
    Operator,
    /// It is the registry's host, or a known pair: the credential.
    Known,
    /// Nobody: an anonymous request, to an address of the registry's kind.
    Nobody,
}

/// Judges the `realm` that `host`, reached at `base`, names.
///
/// # Errors
///
/// [`RegistryError::RealmRefused`].
pub(crate) fn judge(
    host: &RegistryHost,
    base: &Url,
    allow_realms: &[String],
    realm: &str,
) -> Result<Realm, RegistryError> {
    let refuse = |fault, allow: Option<&Url>| RegistryError::RealmRefused {
        host: host.clone(),
        realm: RedactedUrl::from_text(realm),
        fault,
        allow: allow.map(authority),
    };
    if realm.chars().any(|c| c.is_control() || c == ' ') {
        return Err(refuse("it has spaces or control characters", None));
    }
    let mut url = Url::parse(realm).map_err(|_| refuse("it is not an absolute URL", None))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(refuse("it is neither HTTPS nor HTTP", None));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it carries a user name or password", None));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("it names no host", None));
    }
    url.set_fragment(None);
    if url.scheme() == "http" && base.scheme() == "https" {
        return Err(refuse("it would leave HTTPS", None));
    }
    if allow_realms.iter().any(|entry| allows(entry, &url)) {
        return Ok(Realm {
            url,
            trust: RealmTrust::Operator,
        });
    }
    if url.host() == base.host() {
        return Ok(Realm {
            url,
            trust: RealmTrust::Known,
        });
    }
    if let Some(address) = literal(&url) {
        let kind = AddressKind::of(address);
        let registry: Option<IpAddr> = literal(base);
        if registry.map(AddressKind::of) != Some(kind) || kind == AddressKind::Metadata {
            return Err(refuse("it is an address, not a name", Some(&url)));
        }
    }
    let known = KNOWN_PAIRS.iter().any(|(registry, realm)| {
        host.as_str() == *registry && url.host_str() == Some(realm) && is_default_port(&url)
    });
    let trust = if known {
        RealmTrust::Known
    } else {
        RealmTrust::Nobody
    };
    Ok(Realm { url, trust })
}

/// The error for a credential that would go to a realm that nobody vouches for.
pub(crate) fn untrusted(host: &RegistryHost, realm: &Url) -> RegistryError {
    RegistryError::RealmRefused {
        host: host.clone(),
        realm: RedactedUrl::from(realm),
        fault: "it is another host, so it is not given your credential",
        allow: Some(authority(realm)),
    }
}

/// Whether an entry of `allow_realms` (`host`, `host:port` or a URL's origin) covers `url`. Without
/// a port it means the scheme's own.
fn allows(entry: &str, url: &Url) -> bool {
    let absolute = if entry.contains("://") {
        entry.to_owned()
    } else {
        format!("{}://{entry}", url.scheme())
    };
    Url::parse(&absolute).is_ok_and(|entry| super::redirect::same_origin(&entry, url))
}

fn is_default_port(url: &Url) -> bool {
    url.port().is_none()
}

/// `host` or `host:port`, as `allow_realms` takes it.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(host: &str, base: &str, allow: &[&str], realm: &str) -> Result<RealmTrust, String> {
        let allow: Vec<String> = allow.iter().map(|&entry| entry.to_owned()).collect();
        judge(
            &host.parse().unwrap(),
            &Url::parse(base).unwrap(),
            &allow,
            realm,
        )
        .map(|realm| realm.trust)
        .map_err(|error| error.to_string())
    }

    fn at_example(allow: &[&str], realm: &str) -> Result<RealmTrust, String> {
        judged("r.example", "https://r.example/", allow, realm)
    }

    /// AUTH-04: the own host, the known pairs and the operator's list; nobody else.
    #[test]
    fn credentials_go_to_known_realms() {
        use RealmTrust::{Known, Nobody, Operator};
        assert_eq!(at_example(&[], "https://r.example/token"), Ok(Known));
        assert_eq!(at_example(&[], "https://R.example:8443/token"), Ok(Known));
        assert_eq!(at_example(&[], "https://auth.example/token"), Ok(Nobody));
        assert_eq!(at_example(&[], "https://r.example.evil/token"), Ok(Nobody));
        assert_eq!(
            at_example(&["auth.example"], "https://auth.example/token"),
            Ok(Operator)
        );
        assert_eq!(
            at_example(&["https://auth.example"], "https://auth.example/t"),
            Ok(Operator)
        );
        assert_eq!(
            at_example(&["auth.example"], "https://auth.example:444/token"),
            Ok(Nobody)
        );
        assert_eq!(
            at_example(&["auth.example:444"], "https://auth.example:444/t"),
            Ok(Operator)
        );
        let hub = |realm| judged("docker.io", "https://registry-1.docker.io/", &[], realm);
        assert_eq!(hub("https://auth.docker.io/token"), Ok(Known));
        assert_eq!(hub("https://auth.docker.io:1/token"), Ok(Nobody));
        assert_eq!(
            at_example(&[], "https://auth.docker.io/token"),
            Ok(Nobody),
            "not its pair"
        );
        let gitlab = judged(
            "registry.gitlab.com",
            "https://registry.gitlab.com/",
            &[],
            "https://gitlab.com/jwt/auth",
        );
        assert_eq!(gitlab, Ok(Known));
    }

    /// AUTH-04: the refusal names the config line that would allow it.
    #[test]
    fn the_refusal_says_how_to_allow_it() {
        let realm = Url::parse("https://auth.example:8443/token").unwrap();
        let text = untrusted(&"r.example".parse().unwrap(), &realm).to_string();
        assert!(
            text.contains(r#"allow_realms = ["auth.example:8443"]"#),
            "{text}"
        );
    }

    /// AUTH-05: an address in any spelling is no token server.
    #[test]
    fn addresses_are_refused() {
        for host in [
            "169.254.169.254",
            "127.0.0.1",
            "10.1.2.3",
            "[::1]",
            "[fd00:ec2::254]",
            "0.0.0.0",
            "[::ffff:127.0.0.1]",
            "2130706433",
            "0177.0.0.1",
            "0x7f000001",
            "203.0.113.1",
        ] {
            let realm = format!("https://{host}/token");
            assert!(at_example(&[], &realm).is_err(), "{host}");
            let metadata = judged(
                "169.254.169.254",
                "https://169.254.169.254/",
                &[],
                "https://[fd00:ec2::254]/",
            );
            assert!(metadata.is_err());
        }
        // A registry that is such an address itself may name a neighbour, without the credential.
        let local = |realm| judged("127.0.0.1:5000", "http://127.0.0.1:5000/", &[], realm);
        assert_eq!(local("http://127.0.0.1:5001/token"), Ok(RealmTrust::Known));
        assert_eq!(local("http://127.0.0.2/token"), Ok(RealmTrust::Nobody));
        assert!(local("http://10.0.0.1/token").is_err());
        assert_eq!(
            at_example(&["10.0.0.1"], "https://10.0.0.1/t"),
            Ok(RealmTrust::Operator)
        );
    }

    /// AUTH-03, AUTH-07: no downgrade, no other scheme, nothing relative, no userinfo, no CR or LF.
    #[test]
    fn odd_realms_are_refused() {
        for realm in [
            "http://r.example/token",
            "file:///etc/passwd",
            "ftp://r.example/",
            "data:text/plain,x",
            "unix:/run/x",
            "",
            "/token",
            "r.example/token",
            "https://r.example/\r\nX: y",
            "https://user@r.example/",
            "https://user:password@r.example/",
            "https://",
        ] {
            assert!(at_example(&[], realm).is_err(), "{realm:?}");
        }
        let plain = judged(
            "r.example",
            "http://r.example/",
            &[],
            "http://r.example/token",
        );
        assert_eq!(
            plain,
            Ok(RealmTrust::Known),
            "where the registry itself is plain"
        );
    }
}
