//! Tests of kinds of addresses.

use super::*;

/// AUTH-05: every network has its kind, in every notation.
#[test]
fn addresses_have_their_kind() {
    use AddressKind::{Benchmarking, LinkLocal, Loopback, Metadata, Private, Public, Special};
    for (text, expected) in [
        ("8.8.8.8", Public),
        ("2600::1", Public),
        ("2001:4860::8", Public),
        ("172.15.0.1", Public),
        ("172.16.0.1", Private),
        ("172.31.255.255", Private),
        ("172.32.0.1", Public),
        ("10.1.2.3", Private),
        ("192.168.0.1", Private),
        ("100.64.0.1", Private),
        ("100.128.0.1", Public),
        ("fd12::1", Private),
        ("127.0.0.1", Loopback),
        ("127.255.0.9", Loopback),
        ("::1", Loopback),
        ("::ffff:127.0.0.1", Loopback),
        ("::127.0.0.1", Loopback),
        ("::8.8.8.8", Special),
        ("64:ff9b::7f00:1", Loopback),
        ("64:ff9b::808:808", Public),
        ("64:ff9b:1::1", Special),
        ("2002:7f00:1::", Loopback),
        ("2002:808:808::", Special),
        ("169.254.1.1", LinkLocal),
        ("fe80::1", LinkLocal),
        ("fec0::1", Special),
        ("0.0.0.0", Loopback),
        ("0.1.2.3", Loopback),
        ("::ffff:0.0.0.0", Loopback),
        ("::", Loopback),
        ("224.0.0.1", Special),
        ("255.255.255.255", Special),
        ("192.0.2.1", Special),
        ("198.51.100.1", Special),
        ("203.0.113.1", Special),
        ("198.18.0.1", Benchmarking),
        ("198.19.255.255", Benchmarking),
        ("2001::1", Special),
        ("2001:db8::1", Special),
        ("ff02::1", Special),
        ("169.254.169.254", Metadata),
        ("::ffff:169.254.169.254", Metadata),
        ("fd00:ec2::254", Metadata),
    ] {
        assert_eq!(AddressKind::of(text.parse().unwrap()), expected, "{text}");
    }
}

/// AUTH-05: a server leads to the internet or to its own kind of network, and never to metadata
/// services and addresses where no servers are.
#[test]
fn servers_lead_to_the_internet_and_to_their_own_network() {
    use AddressKind::{Benchmarking, LinkLocal, Loopback, Metadata, Private, Public, Special};
    let all = [
        Public,
        Special,
        Benchmarking,
        Private,
        LinkLocal,
        Loopback,
        Metadata,
    ];
    for from in all {
        for to in all {
            let is_own = from == to && to != Metadata;
            assert_eq!(
                from.may_lead_to(to),
                to == Public || is_own,
                "{from} to {to}"
            );
        }
    }
}
