//! How long a check takes. Only an optimised build says anything about it.

use std::time::{Duration, Instant};

use qmt_testkit::{PrivateSigstore, Signing};
use qmt_verify::Evidence;
use qmt_verify::trust::TrustRoot;

use crate::support::{any_of, check, dev, dev_authority, evidence, subject, verifier};

/// One cached keyless signature is read back and checked in at most a millisecond.
#[tokio::test]
async fn a_cached_keyless_signature_is_checked_within_a_millisecond() {
    const ROUNDS: u32 = 200;
    let sigstore = PrivateSigstore::new();
    let start = Instant::now();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    println!("trust root and policy: {:?}", start.elapsed());
    let start = Instant::now();
    TrustRoot::embedded().unwrap();
    println!("embedded trust root: {:?}", start.elapsed());
    for (name, stored) in [
        (
            ".sig",
            evidence(
                &subject(),
                [sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()))],
            )
            .await,
        ),
        (
            "bundle",
            evidence(
                &subject(),
                [sigstore
                    .sign_bundle(subject().digest(), &Signing::keyless(dev()).timestamp(true))],
            )
            .await,
        ),
    ] {
        let json = stored.to_json().unwrap();
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                let stored = Evidence::from_json(&json).unwrap();
                check(&verifier, &subject(), &stored).unwrap();
            }
            best = best.min(start.elapsed() / ROUNDS);
        }
        println!("{name}: {best:?}");
        if cfg!(not(debug_assertions)) {
            assert!(best <= Duration::from_millis(1), "{name}: {best:?}");
        }
    }
}
