//! Parts of different good signatures never make a good one.

use std::collections::BTreeMap;

use qmt_testkit::{Identity, LogKind, Part, PrivateSigstore, SignedBundle, Signing, SimpleSigning};

use super::verify::{DIGEST, Judge};

/// Eight orders, so different that every part of every two of them differs.
fn orders() -> Vec<Signing> {
    let email = |name: &str| Identity::email(name, "https://accounts.example.com");
    let orders = [
        Signing::keyless(email("one@example.com")),
        Signing::keyless(email("one@example.com")),
        Signing::keyless(email("two@example.com")),
        Signing::keyless(Identity::github("a/b", "c.yml", "refs/heads/main")),
        Signing::key("p256"),
        Signing::key("p256"),
        Signing::keyless(email("three@example.com")),
        Signing::keyless(email("four@example.com")),
    ];
    orders
        .into_iter()
        .enumerate()
        .map(|(number, order)| {
            order
                .timestamp(true)
                .annotation("number", &number.to_string())
                .docker_reference(&format!("localhost/plugin-{number}"))
        })
        .collect()
}

/// SIG-01: all swaps of all parts of eight signatures; CVE-2022-23649, CVE-2022-36056,
/// CVE-2026-22703.
#[test]
fn no_part_of_a_bundle_fits_into_another() {
    let sigstore = PrivateSigstore::new();
    let bundles: Vec<(SignedBundle, bool)> = orders()
        .into_iter()
        .enumerate()
        .map(|(number, order)| {
            let v2 = number >= 6;
            let order = if v2 {
                order.log(LogKind::RekorV2)
            } else {
                order
            };
            let by_key = number == 4 || number == 5;
            (sigstore.sign_bundle(DIGEST, &order), by_key)
        })
        .collect();
    let judge = |bundle: &SignedBundle, by_key: bool| {
        let judge = Judge::of(&sigstore);
        let judge = if by_key {
            judge.key(sigstore.key_pem("p256"))
        } else {
            judge
        };
        judge.bundle(bundle).map(drop)
    };
    for (bundle, by_key) in &bundles {
        judge(bundle, *by_key).unwrap();
    }
    let mut tried = BTreeMap::new();
    for (ours, by_key) in &bundles {
        for (theirs, _) in &bundles {
            for part in Part::ALL {
                if let Some(chimera) = ours.transplant(theirs, part) {
                    *tried.entry(format!("{part:?}")).or_insert(0) += 1;
                    assert!(judge(&chimera, *by_key).is_err(), "{part:?} was accepted");
                }
            }
        }
    }
    for part in Part::ALL {
        // The integrated time is the same second, or absent in Rekor v2.
        if part != Part::IntegratedTime {
            assert!(tried[&format!("{part:?}")] >= 30, "{tried:?}");
        }
    }
    assert!(tried.values().sum::<i32>() >= 400, "{tried:?}");
}

/// SIG-01.
#[test]
fn no_part_of_a_simple_signing_fits_into_another() {
    let sigstore = PrivateSigstore::new();
    let made: Vec<(SimpleSigning, bool)> = orders()
        .into_iter()
        .enumerate()
        .map(|(number, order)| {
            (
                sigstore.sign_simple(DIGEST, &order),
                number == 4 || number == 5,
            )
        })
        .collect();
    let judge = |signature: &SimpleSigning, by_key: bool| {
        let judge = Judge::of(&sigstore);
        let judge = if by_key {
            judge.key(sigstore.key_pem("p256"))
        } else {
            judge
        };
        judge.simple(signature).map(drop)
    };
    let mut tried = 0;
    for (ours, by_key) in &made {
        judge(ours, *by_key).unwrap();
        for (theirs, _) in &made {
            for part in Part::ALL {
                if let Some(chimera) = ours.transplant(theirs, part) {
                    tried += 1;
                    assert!(judge(&chimera, *by_key).is_err(), "{part:?} was accepted");
                }
            }
        }
    }
    assert!(tried >= 300, "{tried}");
}
