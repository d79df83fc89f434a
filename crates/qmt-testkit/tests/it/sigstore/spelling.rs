//! Other spellings of good signatures: SIG-15.

use qmt_testkit::{Identity, PrivateSigstore, Signing, Spelling};

use super::verify::{DIGEST, Judge};

fn order() -> Signing {
    Signing::keyless(Identity::email(
        "dev@example.com",
        "https://accounts.example.com",
    ))
}

/// SIG-15: what the library says to each spelling in a bundle. Protobuf's JSON allows the URL-safe
/// alphabet and no padding, and both say the same bytes.
#[test]
fn other_spellings_of_a_bundle_are_refused_but_for_those_of_protobuf() {
    let sigstore = PrivateSigstore::new();
    let mut tried = Vec::new();
    // Not each signature has padding, or a character outside both alphabets.
    for _ in 0..40 {
        let bundle = sigstore.sign_bundle(DIGEST, &order());
        for spelling in Spelling::ALL {
            if let Some(spelled) = bundle.spelled(spelling) {
                let verdict = Judge::of(&sigstore).bundle(&spelled);
                let protobuf = matches!(spelling, Spelling::UrlSafe | Spelling::Unpadded);
                assert_eq!(verdict.is_ok(), protobuf, "{spelling:?}");
                tried.push(spelling);
            }
        }
    }
    for spelling in Spelling::ALL {
        let annotations_only = matches!(
            spelling,
            Spelling::TextAroundCertificate | Spelling::TwoCertificates
        );
        assert_eq!(tried.contains(&spelling), !annotations_only, "{spelling:?}");
    }
}

#[test]
fn every_spelling_changes_a_simple_signing() {
    let sigstore = PrivateSigstore::new();
    let mut seen = Vec::new();
    for _ in 0..40 {
        let good = sigstore.sign_simple(DIGEST, &order());
        for spelling in Spelling::ALL {
            if let Some(spelled) = good.spelled(spelling) {
                assert_eq!(good.payload, spelled.payload);
                assert_ne!(good.annotations, spelled.annotations);
                seen.push(spelling);
            }
        }
    }
    assert!(Spelling::ALL.iter().all(|spelling| seen.contains(spelling)));
    let by_key = sigstore.sign_simple(DIGEST, &Signing::key("p256"));
    assert!(by_key.spelled(Spelling::TwoCertificates).is_none());
}
