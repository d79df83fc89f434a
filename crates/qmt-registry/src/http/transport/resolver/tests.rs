//! Tests of address resolution.

use super::*;

/// AUTH-05: decimal, octal, hexadecimal and short forms are the addresses that they mean.
#[test]
fn other_notations_are_read_as_addresses() {
    for host in [
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "127.1",
    ] {
        let url = Url::parse(&format!("http://{host}/token")).unwrap();
        assert_eq!(literal(&url), Some("127.0.0.1".parse().unwrap()), "{host}");
    }
}

fn fixed(addresses: &[&str]) -> LookupFn {
    let addresses: Vec<SocketAddr> = addresses
        .iter()
        .map(|a| SocketAddr::new(a.parse().unwrap(), 0))
        .collect();
    Arc::new(move |_| {
        let addresses = addresses.clone();
        Box::pin(async move { Ok(addresses) })
    })
}

/// How many of the addresses of `name` the registry `r.example` may reach; `None` if it is refused.
async fn reached(
    name: &str,
    addresses: &[&str],
    named_by: Option<AddressKind>,
    exempt: Option<&str>,
) -> Option<usize> {
    let resolver = CheckedResolver {
        lookup: fixed(addresses),
        registry: RegistryKind::of(&Url::parse("https://r.example/").unwrap()),
        named_by,
        exempt: exempt.map(str::to_owned),
    };
    let addresses = resolver.resolve(name.parse().unwrap()).await;
    Some(addresses.ok()?.count())
}

async fn resolves(addresses: &[&str], named_by: Option<AddressKind>, exempt: Option<&str>) -> bool {
    let reached = reached("auth.example.com", addresses, named_by, exempt).await;
    reached == Some(addresses.len())
}

/// AUTH-06: a name that leads to another kind of network is refused where it is connected to.
#[tokio::test]
async fn a_name_leads_only_where_it_may() {
    use AddressKind::{Loopback, Metadata, Public};
    assert!(resolves(&["8.8.8.8"], Some(Public), None).await);
    assert!(!resolves(&["127.0.0.1"], Some(Public), None).await);
    assert!(
        !resolves(&["8.8.8.8", "169.254.0.1"], Some(Public), None).await,
        "one of two"
    );
    assert!(resolves(&["127.0.0.1"], Some(Loopback), None).await);
    assert!(
        resolves(&["127.0.0.1"], None, None).await,
        "named by the operator"
    );
    assert!(
        resolves(&["127.0.0.1"], Some(Public), Some("auth.example.com")).await,
        "a proxy"
    );
    assert!(
        !resolves(&["169.254.169.254"], Some(Metadata), None).await,
        "metadata never"
    );
    let own = async |addresses| reached("r.example", addresses, Some(Public), None).await;
    assert_eq!(own(&["10.0.0.1"]).await, None);
    assert_eq!(
        own(&["10.0.0.1", "8.8.8.8"]).await,
        Some(1),
        "the name is the operator's"
    );
}

/// AUTH-06: of all addresses for connections to the registry, the outermost decides its kind, so
/// that a name can't lead inside by one more address, at the same time or later.
#[tokio::test]
async fn the_outermost_address_decides_the_kind_of_a_registry() {
    use AddressKind::{Benchmarking, Loopback, Private, Public};
    for (lookups, expected) in [
        (&[&["8.8.8.8"][..]][..], Public),
        (&[&["8.8.8.8", "10.0.0.1"]], Public),
        (&[&["127.0.0.1", "8.8.8.8"]], Public),
        (&[&["169.254.169.254", "8.8.8.8", "fd00::1"]], Public),
        (&[&["10.0.0.1", "127.0.0.1"]], Private),
        (&[&["10.0.0.1", "198.18.0.1"]], Benchmarking),
        (&[&["127.0.0.1"], &["127.0.0.1", "::1"]], Loopback),
        (&[&["8.8.8.8"], &["127.0.0.1"]], Public),
        (&[&["127.0.0.1"], &["8.8.8.8"]], Public),
        (&[&["10.0.0.1"], &["127.0.0.1"]], Private),
        (&[], Public),
    ] {
        let registry = RegistryKind::of(&Url::parse("https://r.example:5000/").unwrap());
        for addresses in lookups {
            for (name, lookup) in [
                ("r.example", fixed(addresses)),
                ("store.example", fixed(&["224.0.0.1"])),
            ] {
                let resolver = CheckedResolver {
                    lookup,
                    registry: registry.clone(),
                    named_by: None,
                    exempt: None,
                };
                drop(resolver.resolve(name.parse().unwrap()).await.unwrap());
            }
        }
        assert_eq!(registry.get(), expected, "{lookups:?}");
    }
    let literal = |url: &str| RegistryKind::of(&Url::parse(url).unwrap()).get();
    assert_eq!(literal("http://[::1]:5000/"), Loopback);
    assert_eq!(literal("http://10.1.2.3/"), Private);
}

/// The same name is reported in the same way on every system.
#[test]
fn a_name_that_does_not_exist_is_recognised() {
    let other = |text: &str| io::Error::other(format!("failed to lookup address: {text}"));
    for (cause, expected) in [
        (other("Name or service not known"), true),
        (other("nodename nor servname provided, or not known"), true),
        (other("Name does not resolve"), true),
        (io::Error::from_raw_os_error(11_001), true),
        (other("Temporary failure in name resolution"), false),
        (other("Try again"), false),
    ] {
        let text = cause.to_string();
        assert_eq!(name_error(cause).is::<NoSuchName>(), expected, "{text}");
    }
}

/// The error names the registry, and the next step.
#[test]
fn a_forbidden_address_is_explained() {
    let text = |kind, own| {
        let (name, registry) = ("inside.example".to_owned(), "r.example".to_owned());
        ForbiddenAddress {
            name,
            kind,
            registry,
            own,
            named_by: AddressKind::Public,
        }
        .to_string()
    };
    let known = text(AddressKind::Private, Some(AddressKind::Public));
    let words = "`inside.example` resolves to a private address, to which the registry `r.example` may \
                 not lead: its own address is public; if";
    assert!(known.starts_with(words), "{known}");
    let unknown = text(AddressKind::Private, None);
    assert!(unknown.contains("is not known; name"), "{unknown}");
    let led = text(AddressKind::Private, Some(AddressKind::Private));
    let words = "its own address is private, but it redirected to a server with a public address";
    assert!(led.contains(words), "{led}");
    let metadata = text(AddressKind::Metadata, Some(AddressKind::Private));
    assert!(
        metadata.ends_with("no registry may lead there"),
        "{metadata}"
    );
}
