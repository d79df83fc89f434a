//! Which names of a certificate, and which claims of a workflow, fit an identity.

use super::*;

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
        let wrong = verifier(&sigstore, any_of(vec![authority(ISSUER, "other-signer")]));
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
    let unnamed = dev().without_claim(1).without_claim(8);
    let item = sigstore.sign_bundle(subject().digest(), &Signing::keyless(unnamed));
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
        // The operator names an enterprise that has its own issuer.
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
