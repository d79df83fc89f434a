//! Tests of the discovery options.

use super::*;

#[test]
fn the_deadline_is_never_over_ten_seconds() {
    let options = DiscoveryOptions::default();
    assert_eq!(options.deadline, Duration::from_secs(10));
    let longer = options.clone().with_deadline(Duration::MAX);
    assert_eq!(longer.deadline, Duration::from_secs(10));
    let shorter = options.with_deadline(Duration::ZERO);
    assert_eq!(shorter.deadline, Duration::ZERO);
}

/// LIM-07: caps are lowered and never raised.
#[test]
fn lim_07_caps_go_downwards_only() {
    let caps = |options: &DiscoveryOptions| {
        let caps = options.caps;
        (caps.signatures, caps.envelopes, caps.item_bytes)
    };
    let raised = DiscoveryOptions::default()
        .with_most_signatures(usize::MAX)
        .with_most_bytes_each(u64::MAX);
    assert_eq!(caps(&raised), (256, 32, 1_048_576));
    let lowered = raised.with_most_signatures(40).with_most_bytes_each(7);
    assert_eq!(caps(&lowered), (40, 32, 7));
}
