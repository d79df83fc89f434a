//! Every bad twin is refused where cryptography can tell, and accepted by cryptography where only
//! a rule about content can: so that each twin has exactly the flaw that it is named after.

use qmt_testkit::{Flaw, Format, Identity, LogKind, PrivateSigstore, Signing, Twin};

use super::verify::{DIGEST, Judge};

fn orders(format: Format) -> Vec<Signing> {
    let keyless = || {
        Signing::keyless(Identity::email(
            "dev@example.com",
            "https://accounts.example.com",
        ))
    };
    let mut orders = vec![
        keyless(),
        keyless().timestamp(true),
        keyless().log(LogKind::None).timestamp(true),
        Signing::key("p256"),
        Signing::key("p256").timestamp(true),
    ];
    if format == Format::Bundle {
        orders.push(keyless().log(LogKind::RekorV2).timestamp(true));
        orders.push(Signing::key("p256").log(LogKind::RekorV2).timestamp(true));
    }
    orders
}

/// SIG-01, SIG-09, SIG-10, SIG-11, SIG-12, SIG-13.
fn check(format: Format) {
    let sigstore = PrivateSigstore::new();
    let mut failures = Vec::new();
    let mut placed = std::collections::BTreeMap::new();
    for &twin in Twin::ALL {
        placed.insert(twin, 0);
        for order in orders(format) {
            if !twin.applies(format, &order) {
                continue;
            }
            *placed.get_mut(&twin).unwrap() += 1;
            let by_key = format!("{order:?}").contains("Key(");
            let mut judge = Judge::of(&sigstore);
            if by_key {
                judge = judge.key(sigstore.key_pem("p256"));
            }
            if format!("{order:?}").contains("log: None") {
                judge = judge.without_log();
            }
            let verify = |order: &Signing| match format {
                Format::Bundle => judge.bundle(&sigstore.sign_bundle(DIGEST, order)),
                _ => judge.simple(&sigstore.sign_simple(DIGEST, order)),
            };
            if let Err(error) = verify(&order) {
                failures.push(format!("the good twin of {order:?}: {error}"));
            }
            let bad = order.twin(twin);
            match (verify(&bad), twin.flaw(format)) {
                (Ok(_), Flaw::Cryptography) => failures.push(format!("accepted: {bad:?}")),
                (Err(error), Flaw::Policy) => failures.push(format!("{bad:?}: {error}")),
                (Err(error), _) => println!("{twin:?}: {error}"),
                (Ok(_), _) => {}
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let unplaced: Vec<_> = placed
        .iter()
        .filter(|(_, n)| **n == 0)
        .map(|(t, _)| *t)
        .collect();
    let expected: &[Twin] = match format {
        Format::Bundle => &[],
        _ => &[
            Twin::MissingProof,
            Twin::WrongProofIndex,
            Twin::BrokenProof,
            Twin::CheckpointByWrongKey,
            Twin::CheckpointOfOtherTree,
            Twin::OtherDigestAlgorithm,
            Twin::WrongPayloadType,
            Twin::TwoSignatures,
            Twin::OldBundle,
        ],
    };
    assert_eq!(unplaced, expected, "twins that no order has a place for");
}

#[test]
fn simple_signings_with_a_flaw_are_refused() {
    check(Format::Simple);
}

#[test]
fn bundles_with_a_flaw_are_refused() {
    check(Format::Bundle);
}

#[test]
fn a_twin_without_a_place_is_no_silent_good_signature() {
    let order = Signing::key("p256").twin(Twin::ExpiredCertificate);
    assert!(!Twin::ExpiredCertificate.applies(Format::Bundle, &order));
    let made = std::panic::catch_unwind(|| PrivateSigstore::new().sign_bundle(DIGEST, &order));
    let message = made.unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(
        message.contains("the twin `expired certificate` has no place"),
        "{message}"
    );
}
