//! Every tampered signature is refused where cryptography can tell, and accepted by
//! cryptography where only a rule about content can: so each has exactly the defect that it is
//! named after.

use qmt_testkit::{Defect, Format, Identity, LogKind, PrivateSigstore, Signing, Tampered};

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
    for &tampered in Tampered::ALL {
        placed.insert(tampered, 0);
        for order in orders(format) {
            if !tampered.applies(format, &order) {
                continue;
            }
            *placed.get_mut(&tampered).unwrap() += 1;
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
                failures.push(format!("the good counterpart of {order:?}: {error}"));
            }
            let bad = order.tampered(tampered);
            match (verify(&bad), tampered.defect(format)) {
                (Ok(_), Defect::Cryptography) => failures.push(format!("accepted: {bad:?}")),
                (Err(error), Defect::Policy) => failures.push(format!("{bad:?}: {error}")),
                (Err(error), _) => println!("{tampered:?}: {error}"),
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
    let expected: &[Tampered] = match format {
        Format::Bundle => &[],
        _ => &[
            Tampered::MissingProof,
            Tampered::WrongProofIndex,
            Tampered::BrokenProof,
            Tampered::CheckpointByWrongKey,
            Tampered::CheckpointOfOtherTree,
            Tampered::OtherDigestAlgorithm,
            Tampered::WrongPayloadType,
            Tampered::TwoSignatures,
            Tampered::OldBundle,
        ],
    };
    assert_eq!(
        unplaced, expected,
        "kinds of tampering that apply to no form"
    );
}

#[test]
fn simple_signings_with_a_defect_are_refused() {
    check(Format::Simple);
}

#[test]
fn bundles_with_a_defect_are_refused() {
    check(Format::Bundle);
}

#[test]
fn a_defect_that_does_not_apply_panics() {
    let order = Signing::key("p256").tampered(Tampered::ExpiredCertificate);
    assert!(!Tampered::ExpiredCertificate.applies(Format::Bundle, &order));
    let made = std::panic::catch_unwind(|| PrivateSigstore::new().sign_bundle(DIGEST, &order));
    let message = made.unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(
        message.contains("the defect `expired certificate` does not apply"),
        "{message}"
    );
}
