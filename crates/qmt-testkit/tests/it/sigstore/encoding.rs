//! Other encodings of good signatures: SIG-15.

use qmt_testkit::{Encoding, Identity, PrivateSigstore, Signing};

use super::verify::{DIGEST, Judge};

fn order() -> Signing {
    Signing::keyless(Identity::email(
        "dev@example.com",
        "https://accounts.example.com",
    ))
}

/// SIG-15: what the library says to each encoding in a bundle. Protobuf's JSON allows the URL-safe
/// alphabet and no padding, and both say the same bytes.
#[test]
fn other_encodings_of_a_bundle_are_refused_but_for_those_of_protobuf() {
    let sigstore = PrivateSigstore::new();
    let mut tried = Vec::new();
    // Not each signature has padding, or a character outside both alphabets.
    for _ in 0..40 {
        let bundle = sigstore.sign_bundle(DIGEST, &order());
        for encoding in Encoding::ALL {
            if let Some(encoded) = bundle.encoded(encoding) {
                let verdict = Judge::of(&sigstore).bundle(&encoded);
                let protobuf = matches!(encoding, Encoding::UrlSafe | Encoding::Unpadded);
                assert_eq!(verdict.is_ok(), protobuf, "{encoding:?}");
                tried.push(encoding);
            }
        }
    }
    for encoding in Encoding::ALL {
        let annotations_only = matches!(
            encoding,
            Encoding::TextAroundCertificate | Encoding::TwoCertificates
        );
        assert_eq!(tried.contains(&encoding), !annotations_only, "{encoding:?}");
    }
}

#[test]
fn every_encoding_changes_a_simple_signing() {
    let sigstore = PrivateSigstore::new();
    let mut seen = Vec::new();
    for _ in 0..40 {
        let good = sigstore.sign_simple(DIGEST, &order());
        for encoding in Encoding::ALL {
            if let Some(encoded) = good.encoded(encoding) {
                assert_eq!(good.payload, encoded.payload);
                assert_ne!(good.annotations, encoded.annotations);
                seen.push(encoding);
            }
        }
    }
    assert!(Encoding::ALL.iter().all(|encoding| seen.contains(encoding)));
    let by_key = sigstore.sign_simple(DIGEST, &Signing::key("p256"));
    assert!(by_key.encoded(Encoding::TwoCertificates).is_none());
}
