//! Places that answer in an unexpected way: that is noted, whatever the decision.

use super::places::Refusing;
use super::*;

fn verified(
    verifier: &qmt_verify::SigstoreVerifier,
    evidence: &qmt_verify::Evidence,
) -> Vec<qmt_verify::report::Rejection> {
    let verified = check(verifier, &subject(), evidence).unwrap();
    // What `why` shows of an image in the cache is stored.
    let stored = qmt_verify::Evidence::from_json(&evidence.to_json().unwrap()).unwrap();
    let again = check(verifier, &subject(), &stored).unwrap();
    assert_eq!(again.report().rejected, verified.report().rejected);
    verified.report().rejected.clone()
}

/// GitLab takes a tag for the digest that it is made of, and sends the image itself.
#[tokio::test]
async fn the_image_under_the_tags_of_its_signatures_is_noted() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let with = |signed: bool| {
        let mut memory = Memory::default();
        for suffix in ["sig", "att"] {
            let tag = format!("sha256-{}.{suffix}", subject().digest().hex());
            memory.tags.insert(tag, "the image".into());
        }
        if signed {
            memory.put(&good_bundle(&sigstore).referrer(&signed_subject(&subject())));
        }
        memory
    };
    let evidence = look(&with(true), &subject()).await;
    let rejected = verified(&verifier, &evidence);
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    for one in rejected {
        assert_eq!(one.code.to_string(), "unexpected-answer");
        let text = one.to_string();
        assert!(
            text.ends_with(": the registry sends the image itself"),
            "{text}"
        );
    }
    // That is no signature, and not a damaged one either.
    let evidence = look(&with(false), &subject()).await;
    let error = check(&verifier, &subject(), &evidence).unwrap_err();
    assert!(
        error.to_string().contains("is not signed: no bundle"),
        "{error}"
    );
    assert_eq!(error.rejections().len(), 2);
}

/// More pages than are read, or entries that can't be read: the hint says how the signature is found.
#[tokio::test]
async fn a_list_that_is_read_in_part_is_noted() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let image = good_bundle(&sigstore).referrer(&signed_subject(&subject()));
    let with = |listed: Vec<Descriptor>| {
        let mut memory = Memory::default();
        memory.put(&image);
        Refusing {
            memory,
            place: "referrers",
            kind: RegistryErrorKind::Content,
            listed: Some(listed),
        }
    };
    let evidence = look(&with(vec![listed(&image.manifest)]), &subject()).await;
    let rejected = verified(&verifier, &evidence);
    let error = look(&with(Vec::new()), &subject()).await;
    let error = check(&verifier, &subject(), &error).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("has no usable signature: the referrers of"),
        "{text}"
    );
    for one in [&rejected[0], &error.rejections()[0]] {
        assert_eq!(one.code.to_string(), "left-aside");
        let reason = "only a part of this list was read: refused (status 403)";
        assert_eq!(one.reason, reason);
        assert!(one.hint.contains("`signature_repository`"), "{}", one.hint);
        assert!(one.hint.contains("delete"), "{}", one.hint);
    }
}

/// What is listed and can't be used is noted next to the signature that is accepted.
#[tokio::test]
async fn what_is_listed_in_vain_is_noted_next_to_a_good_signature() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let mut memory = Memory::default();
    memory.put(&good_bundle(&sigstore).referrer(&signed_subject(&subject())));
    memory.put(&good_bundle(&sigstore).referrer(&signed_subject(&pin("another image"))));
    memory.referrers.push(listed(&Bytes::from_static(b"gone")));
    let evidence = look(&memory, &subject()).await;
    let rejected = verified(&verifier, &evidence);
    for reason in [
        "its subject is another digest",
        "is missing in the registry",
    ] {
        let mut noted = rejected.iter();
        assert!(noted.any(|one| one.reason.contains(reason)), "{rejected:?}");
    }
}

/// What a registry remarks about a list that it could read is noted next to the good signature.
#[tokio::test]
async fn a_remark_about_the_list_is_noted() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let mut memory = Memory {
        remarks: vec!["`manifests` is absent or null in the list"],
        ..Memory::default()
    };
    let unsigned = look(&memory, &subject()).await;
    memory.put(&good_bundle(&sigstore).referrer(&signed_subject(&subject())));
    let evidence = look(&memory, &subject()).await;
    let noted = verified(&verifier, &evidence);
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert_eq!(noted[0].code.to_string(), "unexpected-answer");
    let error = check(&verifier, &subject(), &unsigned).unwrap_err();
    assert!(error.to_string().contains("is not signed"), "{error}");
}

/// A tag for signatures that the registry refuses is absent, which is noted with and without a good
/// signature.
#[tokio::test]
async fn a_refused_tag_is_noted() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let mut memory = Memory {
        tags_remark: Some("the registry answers with status 422"),
        ..Memory::default()
    };
    let unsigned = look(&memory, &subject()).await;
    let error = check(&verifier, &subject(), &unsigned).unwrap_err();
    assert!(matches!(error, VerifyError::NoSignature { .. }), "{error}");
    memory.put(&good_bundle(&sigstore).referrer(&signed_subject(&subject())));
    let evidence = look(&memory, &subject()).await;
    for noted in [&verified(&verifier, &evidence), error.rejections()] {
        let codes = noted.iter().map(|one| one.code.to_string());
        assert_eq!(codes.collect::<Vec<_>>(), ["unexpected-answer"; 2]);
        assert!(
            noted.iter().all(|one| one.reason.contains("422")),
            "{noted:?}"
        );
    }
}
