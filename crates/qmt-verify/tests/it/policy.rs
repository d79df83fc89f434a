//! Policies: which signers are enough, and that everything an authority requires holds on one
//! signature.

use std::time::{Duration, SystemTime};

use qmt_oci_ref::{PinnedReference, Repository};
use qmt_testkit::{
    Format, GITHUB_ISSUER, Identity, LogKind, PrivateSigstore, Signing, SubjectName, Tampered,
};
use qmt_verify::policy::{Authority, IdentityRule, Policy, PolicySet, Scope, WorkflowClaims};
use qmt_verify::{SignerId, SigstoreVerifier, Verifier as _, VerifyError};

use crate::support::{
    EMAIL, ISSUER, Item, any_of, authority, check, code, dev, dev_authority, everything, evidence,
    key_authority, pin, subject, trust, verifier,
};
use crate::tampered::sign;

fn regex(pattern: &str) -> Authority {
    Authority::certificate(ISSUER, IdentityRule::regex(pattern).unwrap()).unwrap()
}

fn eve() -> Identity {
    Identity::email("eve@example.com", ISSUER)
}

/// SIG-03: all kinds of subject alternative names are identities.
#[tokio::test]
async fn every_kind_of_name_is_an_identity() {
    let sigstore = PrivateSigstore::new();
    for (identity, name) in [
        (dev(), EMAIL),
        (
            Identity::uri("https://ci.example/job", ISSUER),
            "https://ci.example/job",
        ),
        (
            Identity::dns("build.example.com", ISSUER),
            "build.example.com",
        ),
        (
            Identity::username("jane!example.com", ISSUER),
            "jane!example.com",
        ),
    ] {
        let item = sigstore.sign_bundle(subject().digest(), &Signing::keyless(identity));
        let evidence = evidence(&subject(), [item]).await;
        let right = verifier(&sigstore, any_of(vec![authority(ISSUER, name)]));
        assert_eq!(
            check(&right, &subject(), &evidence)
                .unwrap()
                .report()
                .identities,
            [name]
        );
        let wrong = verifier(&sigstore, any_of(vec![authority(ISSUER, "somebody")]));
        assert_eq!(code(check(&wrong, &subject(), &evidence)), "other-identity");
    }
}

/// SIG-03: expressions are anchored by us, at both ends, over line ends too.
#[tokio::test]
async fn an_expression_covers_the_whole_identity() {
    let sigstore = PrivateSigstore::new();
    let pattern = "https://github.com/acme/x";
    let verifier = verifier(&sigstore, any_of(vec![regex(pattern)]));
    for (identity, accepted) in [
        ("https://github.com/acme/x", true),
        ("https://github.com/acme/x-evil", false),
        ("https://evil.example/?https://github.com/acme/x", false),
        ("https://github.com/acme/x\n", false),
        ("evil\nhttps://github.com/acme/x", false),
        ("https://github.com/acme/X", false),
    ] {
        let identity = Identity::uri(identity, ISSUER);
        let item = sigstore.sign_simple(subject().digest(), &Signing::keyless(identity.clone()));
        let evidence = evidence(&subject(), [item]).await;
        let outcome = check(&verifier, &subject(), &evidence);
        assert_eq!(outcome.is_ok(), accepted, "{identity:?}");
        if let Err(error) = outcome {
            // A line end in a name does not reach the terminal.
            assert!(!error.rejections()[0].reason.contains('\n'));
        }
    }
}

/// SIG-03: old and new issuer claims that disagree are refused; either alone is enough.
#[tokio::test]
async fn conflicting_issuers_are_refused() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    for identity in [dev(), dev().without_claim(1), dev().without_claim(8)] {
        let item = sigstore.sign_bundle(subject().digest(), &Signing::keyless(identity));
        check(&verifier, &subject(), &evidence(&subject(), [item]).await).unwrap();
    }
    for identity in [
        dev().with_claim(1, "https://evil.example"),
        dev().with_claim(8, "https://evil.example"),
    ] {
        let item = sigstore.sign_bundle(subject().digest(), &Signing::keyless(identity));
        let evidence = evidence(&subject(), [item]).await;
        assert_eq!(
            code(check(&verifier, &subject(), &evidence)),
            "issuer-conflict"
        );
    }
    let nobody = dev().without_claim(1).without_claim(8);
    let item = sigstore.sign_bundle(subject().digest(), &Signing::keyless(nobody));
    let evidence = evidence(&subject(), [item]).await;
    assert_eq!(
        code(check(&verifier, &subject(), &evidence)),
        "other-issuer"
    );
}

/// A certificate with two names would meet a rule by the one and be shown by the other.
#[tokio::test]
async fn a_certificate_names_one_identity() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let two = dev().with_name(SubjectName::Email("eve@example.com".to_owned()));
    let item = sigstore.sign_bundle(subject().digest(), &Signing::keyless(two));
    let outcome = check(&verifier, &subject(), &evidence(&subject(), [item]).await);
    assert_eq!(code(outcome), "certificate");
}

/// GitHub workflow claims: each is asked of the certificate, old and current extensions alike.
#[tokio::test]
async fn workflow_claims_are_checked() {
    let sigstore = PrivateSigstore::new();
    let git_ref = "refs/tags/v1.0.0";
    let good = Identity::github("acme/echo", "release.yml", git_ref);
    let name = format!("https://github.com/acme/echo/.github/workflows/release.yml@{git_ref}");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let all = |change: &dyn Fn(&mut WorkflowClaims)| {
        let mut wanted = WorkflowClaims::repository("acme/echo");
        wanted.git_ref = Some(git_ref.to_owned());
        wanted.trigger = Some("push".to_owned());
        wanted.name = Some("release".to_owned());
        wanted.sha = Some(commit.to_owned());
        change(&mut wanted);
        wanted
    };
    let check_claims = async |identity: &Identity, wanted: WorkflowClaims| {
        let authority = authority(GITHUB_ISSUER, &name).with_claims(wanted).unwrap();
        let verifier = verifier(&sigstore, any_of(vec![authority]));
        let item = sigstore.sign_bundle(subject().digest(), &Signing::keyless(identity.clone()));
        check(&verifier, &subject(), &evidence(&subject(), [item]).await)
    };
    check_claims(&good, all(&|_| {})).await.unwrap();
    let whole = "https://github.com/acme/echo";
    check_claims(&good, all(&|one| one.repository = Some(whole.to_owned())))
        .await
        .unwrap();
    let wrong = |claim: &str, value: &str| {
        let value = Some(value.to_owned());
        all(&|wanted| match claim {
            "repository" => wanted.repository.clone_from(&value),
            "ref" => wanted.git_ref.clone_from(&value),
            "trigger" => wanted.trigger.clone_from(&value),
            "name" => wanted.name.clone_from(&value),
            _ => wanted.sha.clone_from(&value),
        })
    };
    for (claim, value) in [
        ("repository", "acme/other"),
        ("repository", "https://ghe.example/acme/echo"),
        ("repository", "echo"),
        ("ref", "refs/heads/main"),
        ("trigger", "pull_request"),
        ("name", "other"),
        ("sha", "ffffffffffffffffffffffffffffffffffffffff"),
    ] {
        let error = check_claims(&good, wrong(claim, value)).await.unwrap_err();
        assert_eq!(
            error.rejections()[0].code.to_string(),
            "other-claim",
            "{claim}: {error}"
        );
        assert!(error.to_string().contains(claim), "{error}");
    }
    // Where the certificate says it twice, both must be right; where it does not say it, neither is.
    for (number, value) in [
        (5, "evil/echo"),
        (12, "https://github.com/evil/echo"),
        (14, "x"),
        (6, "x"),
    ] {
        let identity = good.clone().with_claim(number, value);
        assert_eq!(
            code(check_claims(&identity, all(&|_| {})).await),
            "other-claim",
            "{number}"
        );
    }
    for (number, accepted) in [(5, true), (12, true), (6, true), (14, true), (4, false)] {
        let identity = good.clone().without_claim(number);
        assert_eq!(
            check_claims(&identity, all(&|_| {})).await.is_ok(),
            accepted,
            "{number}"
        );
    }
    let identity = good.clone().without_claim(5).without_claim(12);
    assert_eq!(
        code(check_claims(&identity, all(&|_| {})).await),
        "other-claim"
    );
    // Keys say nothing about workflows, and an empty claim would say nothing at all.
    assert!(
        key_authority(&sigstore, "p256")
            .with_claims(all(&|_| {}))
            .is_err()
    );
    assert!(
        dev_authority()
            .with_claims(WorkflowClaims::repository(" "))
            .is_err()
    );
}

/// SIG-04: identity from one signature and annotation from another make no good one.
#[tokio::test]
async fn all_constraints_hold_on_one_signature() {
    let sigstore = PrivateSigstore::new();
    let wanted = dev_authority().with_annotation("channel", "stable");
    let verifier = verifier(&sigstore, any_of(vec![wanted]));
    for format in [Format::Simple, Format::Bundle] {
        let right = sign(
            &sigstore,
            format,
            &Signing::keyless(dev()).annotation("channel", "stable"),
        );
        let other_value = sign(
            &sigstore,
            format,
            &Signing::keyless(dev()).annotation("channel", "beta"),
        );
        let other_signer = sign(
            &sigstore,
            format,
            &Signing::keyless(eve()).annotation("channel", "stable"),
        );
        let halves = evidence(&subject(), [other_value.clone(), other_signer.clone()]).await;
        let error = check(&verifier, &subject(), &halves).unwrap_err();
        let mut codes: Vec<_> = error
            .rejections()
            .iter()
            .map(|one| one.code.to_string())
            .collect();
        codes.sort_unstable();
        assert_eq!(codes, ["other-annotation", "other-identity"]);
        let whole = evidence(&subject(), [other_value, other_signer, right]).await;
        let verified = check(&verifier, &subject(), &whole).unwrap();
        assert_eq!(verified.report().annotations["channel"], "stable");
        assert_eq!(verified.report().rejected.len(), 2);
    }
}

/// SIG-07: the name in a `.sig` payload is shown, and compared where the policy says so.
#[tokio::test]
async fn the_signed_name_is_compared_where_the_policy_says_so() {
    let sigstore = PrivateSigstore::new();
    let any = verifier(&sigstore, any_of(vec![dev_authority()]));
    let matching = verifier(
        &sigstore,
        any_of(vec![dev_authority()]).with_matching_name(),
    );
    let hub: Repository = "docker.io/acme/echo".parse().unwrap();
    let hub = PinnedReference::new(hub, subject().digest().clone());
    for (asked, name, same) in [
        (&subject(), "registry.example/acme/echo", true),
        (&subject(), "registry.example/acme/echo:1.2", true),
        (&subject(), "registry.example/acme/other", false),
        (&subject(), "registry.example/acme/echo-evil", false),
        (&subject(), "not a name!", false),
        (&hub, "index.docker.io/acme/echo", true),
        (&hub, "acme/echo", true),
    ] {
        let signing = Signing::keyless(dev()).docker_reference(name);
        let item = sigstore.sign_simple(asked.digest(), &signing);
        let evidence = evidence(asked, [item]).await;
        let verified = check(&any, asked, &evidence).unwrap();
        assert_eq!(verified.report().signed_name.as_deref(), Some(name));
        let outcome = check(&matching, asked, &evidence);
        if same {
            outcome.unwrap();
        } else {
            assert_eq!(code(outcome), "other-name", "{name}");
        }
    }
    // Bundles carry no name.
    let bundle = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    check(&matching, &subject(), &evidence(&subject(), [bundle]).await).unwrap();
}

/// SIG-11: m of n counts distinct authorities, each by another signer.
#[tokio::test]
async fn m_of_n_counts_distinct_signers() {
    let sigstore = PrivateSigstore::new();
    let two_of = |authorities| {
        SigstoreVerifier::new(
            trust(&sigstore),
            everything(Policy::any_of(authorities, 2).unwrap()),
        )
        .unwrap()
    };
    let by = |identity| -> Item {
        sigstore
            .sign_bundle(subject().digest(), &Signing::keyless(identity))
            .into()
    };
    let key: Item = sigstore
        .sign_simple(subject().digest(), &Signing::key("p256"))
        .into();
    let named = two_of(vec![
        dev_authority(),
        authority(ISSUER, "eve@example.com"),
        key_authority(&sigstore, "p256"),
    ]);
    for (pieces, enough) in [
        (vec![by(dev())], false),
        (vec![by(dev()), by(dev())], false),
        (vec![by(dev()), by(eve())], true),
        (vec![by(dev()), key.clone()], true),
        (
            vec![
                by(Identity::email("mallory@example.com", ISSUER)),
                key.clone(),
            ],
            false,
        ),
    ] {
        let count = pieces.len();
        let evidence = evidence(&subject(), pieces).await;
        let outcome = check(&named, &subject(), &evidence);
        assert_eq!(outcome.is_ok(), enough, "{count}");
        match outcome {
            Ok(verified) => assert_eq!(verified.report().cosigners.len(), 1),
            Err(error) => {
                assert!(
                    error
                        .rejections()
                        .iter()
                        .any(|one| one.code.to_string() == "not-enough"),
                    "{error}"
                );
            }
        }
    }
    // One signer that matches two entries is still one signer.
    let overlapping = two_of(vec![dev_authority(), regex(".*@example.com")]);
    let once = evidence(&subject(), [by(dev()), by(dev())]).await;
    assert!(check(&overlapping, &subject(), &once).is_err());
    let twice = evidence(&subject(), [by(dev()), by(eve())]).await;
    check(&overlapping, &subject(), &twice).unwrap();
}

/// The most specific scope decides, even if a wider one would accept.
#[tokio::test]
async fn the_most_specific_scope_decides() {
    let sigstore = PrivateSigstore::new();
    let policies = PolicySet::new(vec![
        (Scope::everything(), any_of(vec![dev_authority()])),
        (
            "registry.example/acme/**".parse().unwrap(),
            any_of(vec![authority(ISSUER, "eve@example.com")]),
        ),
    ])
    .unwrap();
    let verifier = SigstoreVerifier::new(trust(&sigstore), policies).unwrap();
    let item = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let inside = evidence(&subject(), [item]).await;
    assert_eq!(
        code(check(&verifier, &subject(), &inside)),
        "other-identity"
    );
    let repository: Repository = "registry.example/acme-evil/echo".parse().unwrap();
    let outside = PinnedReference::new(repository, subject().digest().clone());
    let verified = check(&verifier, &outside, &inside).unwrap();
    assert_eq!(verified.report().scope, "**");
    // Nothing covers it: refused, not accepted.
    let policies = PolicySet::new(vec![(
        "ghcr.io/**".parse().unwrap(),
        any_of(vec![dev_authority()]),
    )])
    .unwrap();
    let verifier = SigstoreVerifier::new(trust(&sigstore), policies).unwrap();
    let error = check(&verifier, &subject(), &inside).unwrap_err();
    assert!(matches!(error, VerifyError::Policy { .. }), "{error}");
}

/// Signatures older than the policy allows are refused, and so are those of unproven age (SIG-08).
#[tokio::test]
async fn a_minimum_time_of_signing_is_kept() {
    let sigstore = PrivateSigstore::new();
    let after = |authority: Authority, time| {
        verifier(&sigstore, any_of(vec![authority.signed_after(time)]))
    };
    for format in [Format::Simple, Format::Bundle] {
        let evidence = evidence(
            &subject(),
            [sign(&sigstore, format, &Signing::keyless(dev()))],
        )
        .await;
        let plain = verifier(&sigstore, any_of(vec![dev_authority()]));
        let signed = check(&plain, &subject(), &evidence)
            .unwrap()
            .signed_at()
            .unwrap();
        check(&after(dev_authority(), signed), &subject(), &evidence).unwrap();
        let late = after(dev_authority(), signed + Duration::from_secs(1));
        assert_eq!(code(check(&late, &subject(), &evidence)), "too-old");
    }
    let untimed = sigstore.sign_bundle(
        subject().digest(),
        &Signing::key("p256").log(LogKind::RekorV2),
    );
    let untimed = evidence(&subject(), [untimed]).await;
    let plain = verifier(&sigstore, any_of(vec![key_authority(&sigstore, "p256")]));
    check(&plain, &subject(), &untimed).unwrap();
    let timed = after(key_authority(&sigstore, "p256"), SystemTime::UNIX_EPOCH);
    assert_eq!(code(check(&timed, &subject(), &untimed)), "too-old");
}

/// `transparency_log = "optional"` per key: without a log only where that key's entry says so.
#[tokio::test]
async fn a_log_is_required_unless_the_key_does_without() {
    let sigstore = PrivateSigstore::new();
    for key in ["p256", "p384", "ed25519", "rsa2048"] {
        let strict = verifier(&sigstore, any_of(vec![key_authority(&sigstore, key)]));
        let lax = key_authority(&sigstore, key).without_log();
        let lax = verifier(&sigstore, any_of(vec![lax]));
        for format in [Format::Simple, Format::Bundle] {
            for timestamp in [false, true] {
                let signing = Signing::key(key).log(LogKind::None).timestamp(timestamp);
                let unlogged = evidence(&subject(), [sign(&sigstore, format, &signing)]).await;
                assert_eq!(
                    code(check(&strict, &subject(), &unlogged)),
                    "no-log",
                    "{key}"
                );
                let verified = check(&lax, &subject(), &unlogged)
                    .unwrap_or_else(|error| panic!("{key} {format:?} {timestamp}: {error}"));
                assert_eq!(verified.times().is_empty(), !timestamp);
                assert_eq!(verified.signed_at(), None);
                // The operator chose this, so there is nothing to warn of.
                let report = verified.report();
                assert!(report.warnings.is_empty(), "{:?}", report.warnings);
                assert!(
                    !report
                        .checks
                        .iter()
                        .any(|check| check == "transparency log")
                );
                // Without a log the signature itself is what there is: it must hold.
                for tampered in [
                    Tampered::GarbageSignature,
                    Tampered::ForeignSignature,
                    Tampered::OtherKey,
                    Tampered::WrongSubject,
                ] {
                    let bad = sign(&sigstore, format, &signing.clone().tampered(tampered));
                    let bad = evidence(&subject(), [bad]).await;
                    assert!(
                        check(&lax, &subject(), &bad).is_err(),
                        "{key}: {}",
                        tampered.name()
                    );
                }
            }
            // An entry that is there must hold, even though none is needed.
            if key == "p256" {
                let logged = Signing::key(key);
                let good = evidence(&subject(), [sign(&sigstore, format, &logged)]).await;
                check(&lax, &subject(), &good).unwrap();
                let bad = sign(&sigstore, format, &logged.tampered(Tampered::ForeignEntry));
                assert!(check(&lax, &subject(), &evidence(&subject(), [bad]).await).is_err());
            }
        }
    }
}

/// The same for certificates, which then need a signed timestamp: they live for minutes. What is
/// asked of one authority is not taken from another.
#[tokio::test]
async fn a_certificate_does_without_a_log_where_its_entry_says_so() {
    let sigstore = PrivateSigstore::new();
    let strict = verifier(&sigstore, any_of(vec![dev_authority()]));
    let lax = verifier(&sigstore, any_of(vec![dev_authority().without_log()]));
    let other = authority(ISSUER, "eve@example.com").without_log();
    let mixed = vec![other, dev_authority()];
    let mixed = verifier(&sigstore, any_of(mixed));
    for format in [Format::Simple, Format::Bundle] {
        let unlogged = Signing::keyless(dev()).log(LogKind::None);
        let timed = unlogged.clone().timestamp(true);
        let sigstore = &sigstore;
        let signed = |signing: Signing| async move {
            let item = sign(sigstore, format, &signing);
            evidence(&subject(), [item]).await
        };
        let good = signed(timed.clone()).await;
        let verified = check(&lax, &subject(), &good).unwrap();
        let report = verified.report();
        assert!(
            !report
                .checks
                .iter()
                .any(|check| check == "transparency log")
        );
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
        assert_eq!(code(check(&strict, &subject(), &good)), "no-log");
        assert_eq!(code(check(&mixed, &subject(), &good)), "no-log");

        assert_eq!(
            code(check(&lax, &subject(), &signed(unlogged).await)),
            "time"
        );
        for (tampered, fault) in [
            (Tampered::TimestampOutsideCertificate, "certificate"),
            (Tampered::ForeignTimestamp, "time"),
            (Tampered::UnknownCa, "certificate"),
            (Tampered::MissingSct, "certificate"),
        ] {
            let bad = signed(timed.clone().tampered(tampered)).await;
            assert_eq!(code(check(&lax, &subject(), &bad)), fault, "{tampered:?}");
        }
        // An entry that is there must hold.
        let logged = Signing::keyless(dev()).timestamp(true);
        check(&lax, &subject(), &signed(logged.clone()).await).unwrap();
        let bad = signed(logged.tampered(Tampered::ForeignEntry)).await;
        assert!(check(&lax, &subject(), &bad).is_err());
    }
}

/// SIG-17: bad signatures next to a good one are reported, and decide nothing.
#[tokio::test]
async fn one_good_signature_among_bad_ones_is_enough() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let bad = sigstore.sign_simple(
        subject().digest(),
        &Signing::keyless(dev()).tampered(Tampered::GarbageSignature),
    );
    let good = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    // Before and after, up to the limit of layers.
    let mut layers = vec![bad.clone(); 63];
    layers.insert(62, good.clone());
    let verified = check(&verifier, &subject(), &evidence(&subject(), layers).await).unwrap();
    assert_eq!(verified.report().rejected.len(), 63);
    // Beyond the limit it is not seen, and the error says that there was more.
    let mut layers = vec![bad; 64];
    layers.push(good);
    let error = check(&verifier, &subject(), &evidence(&subject(), layers).await).unwrap_err();
    assert!(
        error
            .rejections()
            .iter()
            .any(|one| one.code.to_string() == "left-aside"),
        "{error}"
    );
}

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

/// A signature of a kind that the policy does not name is distinguished from a bad one.
#[tokio::test]
async fn keys_and_certificates_are_not_mixed_up() {
    let sigstore = PrivateSigstore::new();
    let keys = verifier(&sigstore, any_of(vec![key_authority(&sigstore, "p256")]));
    let people = verifier(&sigstore, any_of(vec![dev_authority()]));
    for format in [Format::Simple, Format::Bundle] {
        let keyless = evidence(
            &subject(),
            [sign(&sigstore, format, &Signing::keyless(dev()))],
        )
        .await;
        assert_eq!(code(check(&keys, &subject(), &keyless)), "only-keys");
        let keyed = evidence(&subject(), [sign(&sigstore, format, &Signing::key("p256"))]).await;
        assert_eq!(code(check(&people, &subject(), &keyed)), "no-key");
    }
}

/// A digest of another algorithm is refused before anything is compared.
#[tokio::test]
async fn only_sha256_digests_are_checked() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let digest = qmt_oci_ref::Digest::of(qmt_oci_ref::DigestAlgorithm::Sha512, "x");
    let long = PinnedReference::new(pin("x").repository().clone(), digest);
    let evidence = qmt_verify::Evidence::empty(&long);
    let error = check(&verifier, &long, &evidence).unwrap_err();
    assert!(
        matches!(error, VerifyError::UnsupportedDigest { .. }),
        "{error}"
    );
}

/// SIG-05: claims are those of the issuer that the operator named or, without one, of GitHub: any
/// other issuer could make the same claim.
#[tokio::test]
async fn workflow_claims_without_an_issuer_are_those_of_github() {
    let sigstore = PrivateSigstore::new();
    let any_identity = IdentityRule::regex("(?s).+").unwrap();
    let authority = Authority::identity_of_any_issuer(any_identity)
        .with_claims(WorkflowClaims::repository("acme/echo"))
        .unwrap();
    let policies = everything(any_of(vec![authority.clone()]));
    assert!(policies.warnings().is_empty(), "{:?}", policies.warnings());
    assert!(policies.identity_required().is_ok());
    let verifier = verifier(&sigstore, any_of(vec![authority]));
    let github = Identity::github("acme/echo", "release.yml", "refs/heads/main");
    for (issuer, accepted) in [
        (GITHUB_ISSUER, true),
        ("https://gitlab.com", false),
        ("https://ci.evil.example", false),
        (
            "https://token.actions.githubusercontent.com.evil.example",
            false,
        ),
        // An enterprise with an issuer of its own is named by the operator.
        ("https://token.actions.githubusercontent.com/evil", false),
    ] {
        let identity = github.clone().with_claim(1, issuer).with_claim(8, issuer);
        let bundle = sigstore.sign_bundle(subject().digest(), &Signing::keyless(identity));
        let outcome = check(&verifier, &subject(), &evidence(&subject(), [bundle]).await);
        assert_eq!(outcome.is_ok(), accepted, "{issuer}");
        if !accepted {
            assert_eq!(code(outcome), "other-issuer");
        }
    }
}

/// SIG-11: a person with two issuers is one signer where the policy accepts any issuer.
#[tokio::test]
async fn a_person_counts_once_where_any_issuer_is_accepted() {
    let sigstore = PrivateSigstore::new();
    let any =
        |pattern: &str| Authority::identity_of_any_issuer(IdentityRule::regex(pattern).unwrap());
    let both = Policy::any_of(
        vec![any("(?i)dev@example\\.com"), any("(?i).*@example\\.com")],
        2,
    )
    .unwrap();
    let verifier = verifier(&sigstore, both);
    let signed = async |names: &[(&str, &str)]| {
        let sign = |(name, issuer): &(&str, &str)| {
            let signing = Signing::keyless(Identity::email(name, issuer));
            sigstore.sign_bundle(subject().digest(), &signing)
        };
        let evidence = evidence(&subject(), names.iter().map(sign)).await;
        check(&verifier, &subject(), &evidence)
    };
    let other = "https://other.example";
    signed(&[(EMAIL, ISSUER), ("eve@example.com", ISSUER)])
        .await
        .unwrap();
    signed(&[(EMAIL, ISSUER), (EMAIL, other), ("eve@example.com", other)])
        .await
        .unwrap();
    for alone in [
        &[(EMAIL, ISSUER), (EMAIL, other)][..],
        &[(EMAIL, ISSUER), ("Dev@example.com", other)],
        &[
            (EMAIL, ISSUER),
            (EMAIL, other),
            ("DEV@EXAMPLE.COM", "https://third.example"),
        ],
    ] {
        assert_eq!(code(signed(alone).await), "not-enough", "{alone:?}");
    }
}
