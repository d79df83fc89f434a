//! The first signer is pinned.

use super::*;

/// Pin on first use: accepted once, pinned afterwards, and a change is reported with both names.
#[tokio::test]
async fn the_first_signer_is_pinned_and_another_is_refused() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, Policy::pin_on_first_use());
    let now = SystemTime::now();
    let sign = |identity| sigstore.sign_bundle(subject().digest(), &Signing::keyless(identity));
    let by_dev = evidence(&subject(), [sign(dev())]).await;
    let first = verifier.check(&subject(), &by_dev, None, now).unwrap();
    assert!(first.first_use());
    let pinned = first.signer().unwrap().clone();
    assert_eq!(pinned, SignerId::certificate(ISSUER, EMAIL));
    // Through the lockfile and back.
    let pinned: SignerId = serde_json::from_str(&serde_json::to_string(&pinned).unwrap()).unwrap();
    let again = verifier
        .check(&subject(), &by_dev, Some(&pinned), now)
        .unwrap();
    assert!(!again.first_use() && !again.differs_from_pin());
    let by_eve = evidence(&subject(), [sign(eve())]).await;
    let error = verifier
        .check(&subject(), &by_eve, Some(&pinned), now)
        .unwrap_err();
    let rejection = &error.rejections()[0];
    assert_eq!(rejection.code.to_string(), "other-signer");
    assert!(rejection.reason.contains(EMAIL) && rejection.reason.contains("eve@example.com"));
    // The same address vouched for by another issuer is another signer.
    let other = Identity::email(EMAIL, "https://evil.example");
    let by_other = evidence(&subject(), [sign(other)]).await;
    assert_eq!(
        code(verifier.check(&subject(), &by_other, Some(&pinned), now)),
        "other-signer"
    );
    // The pinned signer is found among others.
    let both = evidence(&subject(), [sign(eve()), sign(dev())]).await;
    let found = verifier
        .check(&subject(), &both, Some(&pinned), now)
        .unwrap();
    assert_eq!(found.signer(), Some(&pinned));
    // A key cannot be taken on first use: nothing proves whose it is.
    let by_key = sigstore.sign_bundle(subject().digest(), &Signing::key("p256"));
    let by_key = evidence(&subject(), [by_key]).await;
    assert_eq!(
        code(verifier.check(&subject(), &by_key, None, now)),
        "no-key"
    );
    // Invalid signatures are not pinned either.
    let bad = sigstore.sign_bundle(
        subject().digest(),
        &Signing::keyless(dev()).tampered(Tampered::UnknownCa),
    );
    let bad = evidence(&subject(), [bad]).await;
    assert_eq!(
        code(verifier.check(&subject(), &bad, None, now)),
        "certificate"
    );
}

/// Where the policy names signers, the policy decides; a change of signer is reported.
#[tokio::test]
async fn a_named_signer_overrides_the_pin_and_says_so() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(
        &sigstore,
        any_of(vec![dev_authority(), authority(ISSUER, "eve@example.com")]),
    );
    let pinned = SignerId::certificate(ISSUER, "eve@example.com");
    let sign = |identity| sigstore.sign_bundle(subject().digest(), &Signing::keyless(identity));
    let by_dev = evidence(&subject(), [sign(dev())]).await;
    let verified = verifier
        .check(&subject(), &by_dev, Some(&pinned), SystemTime::now())
        .unwrap();
    assert!(verified.differs_from_pin());
    assert!(!verified.report().warnings.is_empty());
    let both = evidence(&subject(), [sign(dev()), sign(eve())]).await;
    let verified = verifier
        .check(&subject(), &both, Some(&pinned), SystemTime::now())
        .unwrap();
    assert_eq!(verified.signer(), Some(&pinned));
    assert!(!verified.differs_from_pin());
}

/// The order in which a registry lists signatures decides nothing, nor does the latest signature.
#[tokio::test]
async fn of_several_signers_the_one_that_signed_first_is_pinned() {
    let day = Duration::from_hours(24);
    let (new, now) = (PrivateSigstore::new(), SystemTime::now());
    let old = PrivateSigstore::at(now - 10 * day);
    let root = trust(&old).joined_with(trust(&new));
    let verifier = SigstoreVerifier::new(root, everything(Policy::pin_on_first_use())).unwrap();
    let sign = |sigstore: &PrivateSigstore, identity| {
        sigstore.sign_bundle(subject().digest(), &Signing::keyless(identity))
    };
    let items = || [sign(&new, eve()), sign(&old, dev()), sign(&new, dev())];
    let mut reversed = items();
    reversed.reverse();
    for items in [items(), reversed] {
        let evidence = evidence(&subject(), items).await;
        let verified = verifier.check(&subject(), &evidence, None, now).unwrap();
        assert_eq!(
            verified.signer(),
            Some(&SignerId::certificate(ISSUER, EMAIL))
        );
        // The latest of this signer.
        assert!(verified.signed_at().unwrap() > now - day);
        let warnings = verified.report().warnings.join("\n");
        let words = "eve@example.com (issuer https://accounts.example.com) signed it as well";
        assert!(warnings.contains(words), "{warnings}");
    }
}

/// A certificate may be older than the signature made with it: the times of logs and timestamps
/// decide.
#[tokio::test]
async fn a_certificate_from_before_the_first_signature_is_no_first_signature() {
    let now = SystemTime::now();
    let first = PrivateSigstore::at(now - Duration::from_hours(1));
    let second = PrivateSigstore::at(first.time() + Duration::from_secs(1));
    let root = trust(&first).joined_with(trust(&second));
    let verifier = SigstoreVerifier::new(root, everything(Policy::pin_on_first_use())).unwrap();
    // In the log two seconds after the certificate began, and one second after the other one did.
    let by_dev = first.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    let signing = Signing::keyless(eve())
        .log(LogKind::RekorV2)
        .timestamp(true);
    let by_eve = second.sign_bundle(subject().digest(), &signing);
    let alone = evidence(&subject(), [by_eve.clone()]).await;
    let alone = verifier.check(&subject(), &alone, None, now).unwrap();
    let both = evidence(&subject(), [by_eve, by_dev]).await;
    let both = verifier.check(&subject(), &both, None, now).unwrap();
    assert!(alone.signed_at() < both.signed_at());
    assert_eq!(both.signer(), Some(&SignerId::certificate(ISSUER, EMAIL)));
}

/// The identity of a release workflow ends in the tag, so a line with it would hold for one
/// release.
#[tokio::test]
async fn a_release_workflow_is_accepted_on_every_tag() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, Policy::pin_on_first_use());
    let now = SystemTime::now();
    let line = "any_of = [{ issuer = \"https://token.actions.githubusercontent.com\", \
                identity_regex = \"https://github\\\\.com/acme/echo/\\\\.github/workflows/\
                release\\\\.yml@refs/tags/.+\" }]";
    let release = |tag: &str| Identity::github("acme/echo", "release.yml", tag);
    let signed = async |identity: Identity| {
        let signing = Signing::keyless(identity);
        let bundle = sigstore.sign_bundle(subject().digest(), &signing);
        evidence(&subject(), [bundle]).await
    };
    let first = signed(release("refs/tags/v1.0.0")).await;
    let first = verifier.check(&subject(), &first, None, now).unwrap();
    assert_eq!(first.report().config_line, Some(line.to_owned()));
    let next = signed(release("refs/tags/v1.0.1")).await;
    let refused = verifier.check(&subject(), &next, first.signer(), now);
    let error = refused.unwrap_err();
    assert_eq!(error.rejections()[0].config_line, Some(line.to_owned()));
    let branch = signed(release("refs/heads/main")).await;
    let branch = verifier.check(&subject(), &branch, None, now).unwrap();
    let shown = branch.report().config_line.as_deref().unwrap();
    assert!(shown.contains("@refs/heads/main"), "{shown}");
    // Another repository's claim does not name the workflow's own repository.
    let reused = release("refs/tags/v1.0.0");
    let reused = reused.without_claim(5).without_claim(12);
    let reused = reused.with_claim(12, "https://github.com/other/app");
    let reused = verifier.check(&subject(), &signed(reused).await, None, now);
    let shown = reused.unwrap().report().config_line.clone().unwrap();
    assert!(shown.contains("@refs/tags/v1.0.0"), "{shown}");
}

/// The config cannot name a signer without an issuer.
#[tokio::test]
async fn no_line_is_proposed_for_a_certificate_without_an_issuer() {
    let sigstore = PrivateSigstore::new();
    let identity = dev().without_claim(1).without_claim(8);
    let bundle = sigstore.sign_bundle(subject().digest(), &Signing::keyless(identity));
    let found = evidence(&subject(), [bundle]).await;
    let free = verifier(&sigstore, Policy::pin_on_first_use());
    let verified = check(&free, &subject(), &found).unwrap();
    assert_eq!(verified.report().config_line, None);
    let signer = verified.signer().unwrap().to_string();
    assert_eq!(signer, format!("{EMAIL} (its certificate names no issuer)"));
    let strict = verifier(&sigstore, any_of(vec![dev_authority()]));
    let error = check(&strict, &subject(), &found).unwrap_err();
    let rejection = &error.rejections()[0];
    assert_eq!(rejection.config_line, None);
    assert!(rejection.hint.contains("names no issuer"), "{rejection:?}");
}
