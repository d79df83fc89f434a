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

async fn resolves(addresses: &[&str], allowed: Option<Kinds>, exempt: Option<&str>) -> bool {
    let exempt = exempt.map(str::to_owned);
    let resolver = CheckedResolver {
        lookup: fixed(addresses),
        allowed,
        exempt,
    };
    resolver
        .resolve("auth.example.com".parse().unwrap())
        .await
        .is_ok()
}

/// AUTH-06: a name that leads to another kind of network is refused where it is connected to.
#[tokio::test]
async fn a_name_leads_only_where_it_may() {
    let public = || Some(Kinds::from([AddressKind::Public]));
    assert!(resolves(&["8.8.8.8"], public(), None).await);
    assert!(!resolves(&["127.0.0.1"], public(), None).await);
    assert!(
        !resolves(&["8.8.8.8", "169.254.0.1"], public(), None).await,
        "one of two"
    );
    assert!(
        resolves(
            &["127.0.0.1"],
            Some(Kinds::from([AddressKind::Loopback])),
            None
        )
        .await
    );
    assert!(
        resolves(&["127.0.0.1"], None, None).await,
        "named by the operator"
    );
    assert!(
        resolves(&["127.0.0.1"], public(), Some("auth.example.com")).await,
        "a proxy"
    );
    let all = Kinds::from([AddressKind::Metadata, AddressKind::LinkLocal]);
    assert!(
        !resolves(&["169.254.169.254"], Some(all), None).await,
        "metadata never"
    );
}

/// AUTH-06: a public name with an internal address as well must not lead inside.
#[tokio::test]
async fn a_public_address_decides_the_kind_of_a_name() {
    let url = Url::parse("https://r.example/").unwrap();
    let public = Kinds::from([AddressKind::Public]);
    for addresses in [
        &["8.8.8.8"][..],
        &["8.8.8.8", "10.0.0.1"],
        &["127.0.0.1", "8.8.8.8"],
        &["169.254.169.254", "8.8.8.8", "fd00::1"],
    ] {
        let kinds = kinds_of(&url, &fixed(addresses)).await;
        assert_eq!(kinds, public, "{addresses:?}");
    }
    let inside = kinds_of(&url, &fixed(&["10.0.0.1", "127.0.0.1"])).await;
    assert_eq!(inside.len(), 2);
}
