//! Other ways to write the same thing: what each is taken for. None makes anything else of it.

use qmt_testkit::{Encoding, Format, PrivateSigstore, Signing};

use crate::support::{Item, any_of, check, dev, dev_authority, evidence, subject, verifier};

/// SIG-15: the documented outcome for each encoding.
#[tokio::test]
async fn unusual_encodings_have_a_documented_verdict() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let (mut tried, mut accepted) = (0, Vec::new());
    for format in [Format::Simple, Format::Bundle] {
        for encoding in Encoding::ALL {
            // Some encodings need a signature that has room for them: more than one is tried.
            for number in 0..64 {
                let signing = Signing::keyless(dev()).annotation("n", &number.to_string());
                let encoded: Option<(Item, Item)> = if format == Format::Simple {
                    let good = sigstore.sign_simple(subject().digest(), &signing);
                    good.encoded(encoding).map(|bad| (good.into(), bad.into()))
                } else {
                    let good = sigstore.sign_bundle(subject().digest(), &signing);
                    good.encoded(encoding).map(|bad| (good.into(), bad.into()))
                };
                let Some((good, bad)) = encoded else { continue };
                check(&verifier, &subject(), &evidence(&subject(), [good]).await).unwrap();
                let outcome = check(&verifier, &subject(), &evidence(&subject(), [bad]).await);
                if outcome.is_ok() {
                    accepted.push((format, encoding));
                }
                tried += 1;
                break;
            }
        }
    }
    assert_eq!(tried, 14);
    let expected = [
        // White space in base64 counts as absent, as cosign's decoder skips line breaks.
        (Format::Simple, Encoding::Broken),
        (Format::Simple, Encoding::Spaced),
        // Text around a PEM block is ignored.
        (Format::Simple, Encoding::TextAroundCertificate),
        // The JSON of protocol buffers allows both alphabets, with padding and without:
        // <https://protobuf.dev/programming-guides/json/>.
        (Format::Bundle, Encoding::UrlSafe),
        (Format::Bundle, Encoding::Broken),
        (Format::Bundle, Encoding::Unpadded),
        (Format::Bundle, Encoding::Spaced),
    ];
    assert_eq!(accepted, expected);
}
