//! The trusted root decides which logs and authorities count, and when.

use std::time::{Duration, SystemTime};

use qmt_testkit::{Identity, LogKind, PrivateSigstore, Signing, Tampered, TrustPart};
use sigstore_trust_root::TrustedRoot;
use sigstore_verify::Verifier;

use super::verify::{DIGEST, Judge};

const DAY: Duration = Duration::from_hours(24);

fn keyless() -> Signing {
    Signing::keyless(Identity::email(
        "dev@example.com",
        "https://accounts.example.com",
    ))
}

/// SIG-09, SIG-11: a part that is left out, or trusted at another time only, does not count.
#[test]
fn parts_count_only_while_they_are_trusted() {
    let sigstore = PrivateSigstore::new();
    let at = sigstore.time();
    let v1 = sigstore.sign_bundle(DIGEST, &keyless().timestamp(true));
    let v2 = sigstore.sign_bundle(DIGEST, &keyless().log(LogKind::RekorV2).timestamp(true));
    for (part, bundle) in [
        (TrustPart::RekorV1, &v1),
        (TrustPart::RekorV2, &v2),
        (TrustPart::Fulcio, &v1),
        (TrustPart::Ctfe, &v1),
        (TrustPart::Tsa, &v1),
    ] {
        let root = || sigstore.trusted_root();
        let holds = root().valid(part, at - DAY, Some(at + DAY)).json();
        Judge::new(&holds)
            .bundle(bundle)
            .unwrap_or_else(|e| panic!("{part:?}: {e}"));
        Judge::new(&root().without(part).json())
            .bundle(bundle)
            .expect_err(&format!("without {part:?}"));
        let ended = root().valid(part, at - 2 * DAY, Some(at - DAY)).json();
        let verdict = Judge::new(&ended).bundle(bundle);
        if part == TrustPart::RekorV2 {
            // Nothing in such an entry says when it was logged.
            verdict.unwrap();
        } else {
            verdict.expect_err(&format!("{part:?} ended"));
        }
    }
}

/// SIG-09, CVE-2026-24122: with no end in the trusted root the library does not look at the dates
/// in the authority's own certificates. Its caller has to.
#[test]
fn an_expired_authority_is_ended_by_the_trusted_root_alone() {
    let sigstore = PrivateSigstore::new();
    let bad = sigstore.sign_bundle(DIGEST, &keyless().tampered(Tampered::ExpiredCa));
    Judge::of(&sigstore).bundle(&bad).unwrap_err();
    let began = sigstore.time() - 4 * 365 * DAY;
    let endless = sigstore
        .trusted_root()
        .valid(TrustPart::Retired, began, None)
        .json();
    Judge::new(&endless).bundle(&bad).unwrap();
}

#[test]
fn a_key_of_an_unknown_kind_can_be_in_the_root() {
    let sigstore = PrivateSigstore::new();
    let json = sigstore.trusted_root().with_unknown_key().json();
    let root = TrustedRoot::from_json(&json).unwrap();
    assert_eq!(root.tlogs.len(), 3);
    assert!(
        Verifier::new(&root).is_err(),
        "the library refuses such a root as a whole"
    );
}

/// SIG-10, SIG-11: the library refuses roots that list a log twice, or an authority of nothing.
#[test]
fn malformed_roots_are_refused_as_a_whole() {
    let sigstore = PrivateSigstore::new();
    let root = || sigstore.trusted_root();
    for bad in [
        root().twice(TrustPart::RekorV1),
        root().twice(TrustPart::RekorV2),
        root().twice(TrustPart::Ctfe),
        root().with_empty_chain(TrustPart::Tsa),
        root().with_empty_chain(TrustPart::Fulcio),
    ] {
        let root = TrustedRoot::from_json(&bad.json()).unwrap();
        assert!(Verifier::new(&root).is_err(), "{}", bad.json());
    }
}

/// SIG-10: the window of one timestamp authority does not serve another's tokens.
#[test]
fn the_window_of_another_authority_does_not_count() {
    let (ours, theirs) = (PrivateSigstore::new(), PrivateSigstore::new());
    let at = ours.time();
    let bundle = ours.sign_bundle(DIGEST, &keyless().timestamp(true));
    let ended = ours
        .trusted_root()
        .valid(TrustPart::Tsa, at - 2 * DAY, Some(at - DAY));
    let both = ended.with_all_of(&theirs).json();
    Judge::new(&both).bundle(&bundle).unwrap_err();
    let both = ours.trusted_root().with_all_of(&theirs).json();
    Judge::new(&both).bundle(&bundle).unwrap();
}

#[test]
fn pem_files_hold_the_same_trust() {
    let sigstore = PrivateSigstore::new();
    let root: serde_json::Value = serde_json::from_str(&sigstore.trusted_root_json()).unwrap();
    let body = |pem: &str| -> Vec<String> {
        pem.split("-----BEGIN")
            .skip(1)
            .map(|block| block.lines().filter(|l| !l.contains("---")).collect())
            .collect()
    };
    let at = |pointer: &str| vec![root.pointer(pointer).unwrap().as_str().unwrap().to_owned()];
    assert_eq!(
        body(&sigstore.rekor_pem()),
        at("/tlogs/0/publicKey/rawBytes")
    );
    assert_eq!(
        body(&sigstore.rekor_v2_pem()),
        at("/tlogs/1/publicKey/rawBytes")
    );
    assert_eq!(
        body(&sigstore.ctfe_pem()),
        at("/ctlogs/0/publicKey/rawBytes")
    );
    let mut fulcio = body(&sigstore.fulcio_pem());
    fulcio.reverse();
    let chain = "/certificateAuthorities/0/certChain/certificates";
    assert_eq!(fulcio[..1], at(&format!("{chain}/0/rawBytes")));
    assert_eq!(fulcio[1..], at(&format!("{chain}/1/rawBytes")));
    let chain = "/timestampAuthorities/0/certChain/certificates";
    assert_eq!(
        body(&sigstore.tsa_pem())[..1],
        at(&format!("{chain}/0/rawBytes"))
    );
    assert_eq!(
        body(&sigstore.tsa_pem())[1..],
        at(&format!("{chain}/1/rawBytes"))
    );
}

#[test]
fn a_signature_of_long_ago_still_verifies() {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let sigstore = PrivateSigstore::at(then);
    assert_eq!(sigstore.time(), then);
    let bundle = sigstore.sign_bundle(DIGEST, &keyless().timestamp(true));
    let result = Judge::of(&sigstore).bundle(&bundle).unwrap();
    assert_eq!(result.integrated_time().unwrap().as_second(), 1_700_000_002);
    assert_eq!(bundle.created, "2023-11-14T22:13:20Z");
}
