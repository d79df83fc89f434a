//! A verifier that trusts one public key for everything, and discovery and check in one call.

use std::time::SystemTime;

use qmt_testkit::{LogKind, PrivateSigstore, Signing};
use qmt_verify::{SigstoreVerifier, Verifier as _, VerifyError};

use crate::support::{Memory, signed_subject, subject};

/// As `cosign verify --key`: a log entry is required, unless the caller says otherwise.
#[tokio::test]
async fn one_key_verifies_and_no_other() {
    let sigstore = PrivateSigstore::new();
    let signing = Signing::key("p256").log(LogKind::None);
    let bundle = sigstore.sign_bundle(subject().digest(), &signing);
    let mut signed = Memory::default();
    signed.put(&bundle.referrer(&signed_subject(&subject())));
    let key = sigstore.key_pem("p256");
    let other = sigstore.key_pem("p256-other");
    for (verifier, expected) in [
        (SigstoreVerifier::with_key_without_log(key.as_bytes()), None),
        (
            SigstoreVerifier::with_key_without_log(other.as_bytes()),
            Some("other-key"),
        ),
        (SigstoreVerifier::with_key(key.as_bytes()), Some("no-log")),
        (
            SigstoreVerifier::with_key(other.as_bytes()),
            Some("other-key"),
        ),
    ] {
        let outcome = verifier
            .unwrap()
            .verify(&signed, &subject(), SystemTime::now())
            .await;
        match outcome {
            Ok(verified) => {
                assert_eq!(verified.digest(), subject().digest());
                assert_eq!(expected, None);
            }
            Err(error) => {
                let code = error.rejections()[0].code.to_string();
                assert_eq!(Some(code.as_str()), expected);
            }
        }
    }
    let verifier = SigstoreVerifier::with_key_without_log(key.as_bytes()).unwrap();
    let unsigned = verifier
        .verify(&Memory::default(), &subject(), SystemTime::now())
        .await;
    assert!(matches!(unsigned, Err(VerifyError::NoSignature { .. })));
    assert!(SigstoreVerifier::with_key(b"").is_err());
}
