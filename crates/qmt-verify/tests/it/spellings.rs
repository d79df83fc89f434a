//! Other ways to write the same thing: what each is taken for. None makes anything else of it.

use qmt_testkit::{Format, PrivateSigstore, Signing, Spelling};

use crate::support::{Piece, any_of, dev, dev_authority, evidence, judge, subject, verifier};

/// SIG-15: the documented verdict on each encoding.
#[tokio::test]
async fn unusual_encodings_have_a_documented_verdict() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let (mut tried, mut accepted) = (0, Vec::new());
    for format in [Format::Simple, Format::Bundle] {
        for spelling in Spelling::ALL {
            // Some spellings need a signature that has room for them: more than one is tried.
            for number in 0..64 {
                let signing = Signing::keyless(dev()).annotation("n", &number.to_string());
                let spelled: Option<(Piece, Piece)> = if format == Format::Simple {
                    let good = sigstore.sign_simple(subject().digest(), &signing);
                    good.spelled(spelling).map(|bad| (good.into(), bad.into()))
                } else {
                    let good = sigstore.sign_bundle(subject().digest(), &signing);
                    good.spelled(spelling).map(|bad| (good.into(), bad.into()))
                };
                let Some((good, bad)) = spelled else { continue };
                judge(&verifier, &subject(), &evidence(&subject(), [good]).await).unwrap();
                let outcome = judge(&verifier, &subject(), &evidence(&subject(), [bad]).await);
                if outcome.is_ok() {
                    accepted.push((format, spelling));
                }
                tried += 1;
                break;
            }
        }
    }
    assert_eq!(tried, 14);
    let expected = [
        // Text around a PEM block is nobody's.
        (Format::Simple, Spelling::TextAroundCertificate),
        // The JSON of protocol buffers allows both alphabets, with padding and without:
        // <https://protobuf.dev/programming-guides/json/>.
        (Format::Bundle, Spelling::UrlSafe),
        (Format::Bundle, Spelling::Unpadded),
    ];
    assert_eq!(accepted, expected);
}
