//! Every good form of a signature is accepted; every tampered form of it is refused.

use qmt_testkit::{Format, LogKind, PrivateSigstore, Signing, Tampered};
use qmt_verify::policy::{Authority, IdentityRule, Policy};

use crate::support::{
    EMAIL, Item, any_of, check, dev, dev_authority, evidence, key_authority, subject, verifier,
};

/// All forms that cosign gives a signature which a log recorded.
pub fn forms() -> Vec<(String, Format, Signing)> {
    let mut forms = Vec::new();
    let mut add =
        |name: &str, format, signing: Signing| forms.push((name.to_owned(), format, signing));
    let keyless = || Signing::keyless(dev());
    add("cosign 2 keyless", Format::Simple, keyless());
    add(
        "cosign 2 keyless, timestamp",
        Format::Simple,
        keyless().timestamp(true),
    );
    add("cosign 3 keyless, Rekor v1", Format::Bundle, keyless());
    add(
        "cosign 3 keyless, Rekor v1, timestamp",
        Format::Bundle,
        keyless().timestamp(true),
    );
    add(
        "cosign 3 keyless, Rekor v2",
        Format::Bundle,
        keyless().log(LogKind::RekorV2).timestamp(true),
    );
    for key in ["p256", "rsa2048", "p384"] {
        add(
            &format!("cosign 2 {key}"),
            Format::Simple,
            Signing::key(key),
        );
        add(
            &format!("cosign 3 {key}, Rekor v1"),
            Format::Bundle,
            Signing::key(key),
        );
        let v2 = Signing::key(key).log(LogKind::RekorV2);
        add(
            &format!("cosign 3 {key}, Rekor v2"),
            Format::Bundle,
            v2.clone(),
        );
        add(
            &format!("cosign 3 {key}, Rekor v2, timestamp"),
            Format::Bundle,
            v2.timestamp(true),
        );
    }
    forms
}

pub fn sign(sigstore: &PrivateSigstore, format: Format, signing: &Signing) -> Item {
    match format {
        Format::Simple => sigstore.sign_simple(subject().digest(), signing).into(),
        _ => sigstore.sign_bundle(subject().digest(), signing).into(),
    }
}

/// Accepts every signer and every key, so that only the cryptography can refuse.
pub fn any_signer(sigstore: &PrivateSigstore) -> Policy {
    let all = IdentityRule::regex("(?s).*").unwrap();
    let mut authorities = vec![Authority::identity_of_any_issuer(all)];
    for key in ["p256", "rsa2048", "p384"] {
        authorities.push(key_authority(sigstore, key));
    }
    any_of(authorities)
}

/// SIG-16: every form is accepted when it is genuine.
#[tokio::test]
async fn every_good_form_is_accepted() {
    let sigstore = PrivateSigstore::new();
    let mut authorities = vec![dev_authority()];
    authorities.extend(["p256", "rsa2048", "p384"].map(|key| key_authority(&sigstore, key)));
    let verifier = verifier(&sigstore, any_of(authorities));
    for (name, format, signing) in forms() {
        let evidence = evidence(&subject(), [sign(&sigstore, format, &signing)]).await;
        let verified = check(&verifier, &subject(), &evidence)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = verified.report();
        assert_eq!(verified.digest(), subject().digest(), "{name}");
        assert!(
            report.checks.contains(&"transparency log".to_owned()),
            "{name}: {report:?}"
        );
        assert_eq!(report.log_entries.len(), 1, "{name}");
        if name.contains("keyless") {
            assert_eq!(report.identities, [EMAIL], "{name}");
            assert!(
                report.checks.contains(&"certificate log".to_owned()),
                "{name}"
            );
            assert!(verified.signed_at().is_some(), "{name}");
        }
    }
}

/// SIG-09, SIG-10, SIG-11, SIG-13, SIG-15: a signature with any one defect is refused, also by a
/// policy that accepts any signer.
#[tokio::test]
async fn every_tampered_signature_is_refused() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_signer(&sigstore));
    let (mut count, mut accepted) = (0, Vec::new());
    for (name, format, signing) in forms() {
        for tampered in Tampered::ALL
            .iter()
            .copied()
            .filter(|tampered| tampered.applies(format, &signing))
        {
            // RSA gives equal content equal signatures, and so equal leaves next to each other in
            // the log: the annotation keeps them apart.
            let bad = signing
                .clone()
                .annotation("tampered", &tampered.name())
                .tampered(tampered);
            let evidence = evidence(&subject(), [sign(&sigstore, format, &bad)]).await;
            count += 1;
            match check(&verifier, &subject(), &evidence) {
                Ok(_) => accepted.push(format!("{name}: {}", tampered.name())),
                Err(error) => {
                    let rejected = error.rejections();
                    assert!(!rejected.is_empty(), "{name}: {}: {error}", tampered.name());
                    assert!(!rejected[0].hint.is_empty(), "{error}");
                }
            }
        }
    }
    println!("{count} tampered signatures");
    assert!(count > 250, "{count}");
    assert!(accepted.is_empty(), "accepted: {accepted:#?}");
}
