//! Which times prove how old a signature is. SIG-08, SIG-09.

use std::time::{Duration, SystemTime};

use qmt_testkit::{Format, LogKind, PrivateSigstore, Signing};
use qmt_verify::policy::{Authority, Policy};

use crate::support::{
    any_of, check, code, dev, dev_authority, evidence, key_authority, subject, verifier,
};
use crate::tampered::sign;

const FORMATS: [Format; 2] = [Format::Simple, Format::Bundle];

/// The signing time of a signature, and whether `signed_after` of a day before now accepts it.
async fn age(
    sigstore: &PrivateSigstore,
    authority: Authority,
    signing: &Signing,
    format: Format,
) -> (Option<SystemTime>, bool) {
    let yesterday = sigstore.time() - Duration::from_hours(24);
    let evidence = evidence(&subject(), [sign(sigstore, format, signing)]).await;
    let plain = verifier(sigstore, any_of(vec![authority.clone()]));
    let verified = check(&plain, &subject(), &evidence).unwrap();
    let dated = verifier(sigstore, any_of(vec![authority.signed_after(yesterday)]));
    let outcome = check(&dated, &subject(), &evidence);
    let accepted = outcome.is_ok();
    if !accepted {
        assert_eq!(code(outcome), "too-old");
    }
    (verified.signed_at(), accepted)
}

/// A timestamp proves only "not later than": one made today for an old signature proves nothing
/// about its age. The time that a log recorded does.
#[tokio::test]
async fn a_timestamp_dates_no_signature_with_a_key() {
    let sigstore = PrivateSigstore::new();
    for format in FORMATS {
        for (log, timestamp, is_dated) in [
            (LogKind::RekorV1, false, true),
            (LogKind::RekorV1, true, true),
            // Rekor v2 records no time.
            (LogKind::RekorV2, false, false),
            (LogKind::RekorV2, true, false),
        ] {
            if format == Format::Simple && log == LogKind::RekorV2 {
                continue; // `.sig` layers have no form for it.
            }
            let authority = key_authority(&sigstore, "p256");
            let signing = Signing::key("p256").log(log).timestamp(timestamp);
            let (signed_at, accepted) = age(&sigstore, authority, &signing, format).await;
            assert_eq!(
                signed_at.is_some(),
                is_dated,
                "{format:?} {log:?} {timestamp}"
            );
            assert_eq!(accepted, is_dated, "{format:?} {log:?} {timestamp}");
        }
    }
}

/// A certificate is valid for minutes, so its time of issue is the signing time.
#[tokio::test]
async fn a_certificate_dates_its_signature() {
    let sigstore = PrivateSigstore::new();
    for format in FORMATS {
        for (log, timestamp) in [
            (LogKind::RekorV1, false),
            (LogKind::RekorV2, true),
            (LogKind::None, true),
        ] {
            if format == Format::Simple && log == LogKind::RekorV2 {
                continue;
            }
            let signing = Signing::keyless(dev()).log(log).timestamp(timestamp);
            let authority = || dev_authority().without_log();
            let (now, accepted) = age(&sigstore, authority(), &signing, format).await;
            assert!(accepted, "{format:?} {log:?}");
            let earlier = signing.earlier(Duration::from_hours(48));
            let (before, accepted) = age(&sigstore, authority(), &earlier, format).await;
            assert!(!accepted && before < now, "{format:?} {log:?}");
        }
    }
}

/// Versions are ordered by signing times, so the order in which a registry lists signatures has no
/// influence on them.
#[tokio::test]
async fn the_order_of_signatures_does_not_change_the_signing_time() {
    let sigstore = PrivateSigstore::new();
    let days = |days: u64| Duration::from_hours(24 * days);
    for format in FORMATS {
        let signed = |earlier: Duration| {
            let signing = Signing::key("p256").log(LogKind::RekorV1).earlier(earlier);
            sign(&sigstore, format, &signing)
        };
        let (old, new) = (days(30), days(1));
        let plain = verifier(&sigstore, any_of(vec![key_authority(&sigstore, "p256")]));
        let mut times = Vec::new();
        for items in [[old, new], [new, old], [new, new]] {
            let evidence = evidence(&subject(), items.map(signed)).await;
            let verified = check(&plain, &subject(), &evidence).unwrap();
            times.push(verified.signed_at().unwrap());
        }
        assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
    }
}

/// A policy that no signature can satisfy is refused when it is made.
#[test]
fn a_minimum_time_and_a_key_without_a_log_contradict_each_other() {
    let sigstore = PrivateSigstore::new();
    let dated = |authority: Authority| authority.signed_after(SystemTime::UNIX_EPOCH);
    let key = || dated(key_authority(&sigstore, "p256"));
    Policy::any_of(vec![key()], 1).unwrap();
    Policy::any_of(vec![dated(dev_authority().without_log())], 1).unwrap();
    for authorities in [
        vec![key().without_log()],
        vec![
            dev_authority(),
            dated(key_authority(&sigstore, "p256").without_log()),
        ],
    ] {
        let error = Policy::any_of(authorities, 1).unwrap_err().to_string();
        assert!(
            error.contains("`signed_after`") && error.contains("p256.pub"),
            "{error}"
        );
    }
}
