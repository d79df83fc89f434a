//! Crowds of lookalikes, and tags with many signatures: what is the right one is read, and what is
//! not read is counted.

use super::*;

/// Manifest number `number` of a referrer whose content is `bundle`.
fn lookalike(number: usize, bundle: &[u8]) -> Bytes {
    referrer(number, &|manifest| {
        manifest["layers"][0]["digest"] = json!(Digest::sha256(bundle));
        manifest["layers"][0]["size"] = json!(bundle.len());
    })
}

/// Lookalikes with the type and the annotation of the good one, before it, after it, or around it.
#[tokio::test]
async fn lookalikes_hide_no_signature() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let image = good_bundle(&sigstore).referrer(&signed_subject(&subject()));
    let sign = "https://sigstore.dev/cosign/sign/v1";
    let other = sigstore.sign_bundle(subject().digest(), &Signing::key("p256"));
    let annotated = |of: &Bytes| listed(of).with_annotation(PREDICATE, sign);
    let mut crowd = Memory::default();
    crowd.put(&other.referrer(&signed_subject(&subject())));
    crowd.referrers.clear();
    for number in 0..5_000 {
        let manifest = lookalike(number, &other.json);
        crowd.referrers.push(annotated(&manifest));
        crowd.blobs.insert(Digest::sha256(&manifest), manifest);
    }
    for (before, after) in [(100, 0), (0, 100), (100, 100), (5_000, 0), (0, 5_000)] {
        let mut memory = Memory {
            blobs: crowd.blobs.clone(),
            ..Memory::default()
        };
        let others = &crowd.referrers[..before + after];
        memory.referrers.extend_from_slice(&others[..before]);
        let unsigned = look(&memory, &subject()).await;
        memory.put(&image);
        let good = memory
            .referrers
            .pop()
            .unwrap()
            .with_artifact_type(MediaType::from(BUNDLE));
        memory.referrers.push(good.with_annotation(PREDICATE, sign));
        memory.referrers.extend_from_slice(&others[before..]);
        let evidence = look(&memory, &subject()).await;
        check(&verifier, &subject(), &evidence)
            .unwrap_or_else(|error| panic!("{before}, {after}: {error}"));
        // Without the good one, the error says what was not read, also from stored evidence.
        let stored = unsigned.to_json().unwrap();
        let stored = qmt_verify::Evidence::from_json(&stored).unwrap();
        for evidence in [unsigned, stored] {
            let text = check(&verifier, &subject(), &evidence)
                .unwrap_err()
                .to_string();
            let unread = format!("; {} more were not looked at", before.saturating_sub(256));
            assert_eq!(text.ends_with(&unread), before > 256, "{text}");
        }
    }
}

/// Small lookalikes in one place, as many as are read of it, hide no signature in another place,
/// whichever of its signatures is the right one.
#[tokio::test]
async fn lookalikes_in_one_place_hide_no_signature_in_another() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let other = sigstore.sign_simple(subject().digest(), &Signing::key("p256"));
    let good = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let other_bundle = sigstore.sign_bundle(subject().digest(), &Signing::key("p256"));
    let mut crowded = Memory::default();
    crowded.put(&other_bundle.referrer(&signed_subject(&subject())));
    crowded.referrers.clear();
    for number in 0..256 {
        let manifest = lookalike(number, &other_bundle.json);
        crowded.referrers.push(listed(&manifest));
        crowded.blobs.insert(Digest::sha256(&manifest), manifest);
    }
    for after in [0, 1, 100] {
        let mut memory = Memory {
            referrers: crowded.referrers.clone(),
            blobs: crowded.blobs.clone(),
            ..Memory::default()
        };
        let layers = [vec![good.clone()], vec![other.clone(); after]].concat();
        memory.put(&SimpleSigning::image(subject().digest(), &layers));
        let evidence = look(&memory, &subject()).await;
        assert_eq!(evidence.len(), 256);
        check(&verifier, &subject(), &evidence)
            .unwrap_or_else(|error| panic!("{after} after it: {error}"));
    }
    let bundle = good_bundle(&sigstore).referrer(&signed_subject(&subject()));
    for before in [0, 1, 100] {
        let mut memory = Memory {
            referrers: crowded.referrers[..before].to_vec(),
            blobs: crowded.blobs.clone(),
            ..Memory::default()
        };
        memory.put(&bundle);
        let layers = vec![other.clone(); 256];
        memory.put(&SimpleSigning::image(subject().digest(), &layers));
        let evidence = look(&memory, &subject()).await;
        assert_eq!(evidence.len(), 256);
        check(&verifier, &subject(), &evidence)
            .unwrap_or_else(|error| panic!("{before} before it: {error}"));
    }
}

/// The annotations of referrers use up no limit of the tag.
#[tokio::test]
async fn heavy_referrers_hide_no_signature_of_a_tag() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let good = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let mut memory = Memory {
        tags_take: Duration::from_millis(300),
        ..Memory::default()
    };
    let heavy = "x".repeat(500_000);
    for number in 0..30 {
        let manifest = referrer(number, &|manifest| {
            manifest["artifactType"] = json!("application/vnd.dev.cosign.artifact.sig.v1+json");
            manifest["layers"][0]["mediaType"] = json!(SIMPLE_SIGNING);
            manifest["layers"][0]["annotations"] =
                json!({ "dev.cosignproject.cosign/signature": heavy });
        });
        memory.referrers.push(listed(&manifest));
        memory.blobs.insert(Digest::sha256(&manifest), manifest);
    }
    memory.put(&SimpleSigning::image(subject().digest(), &[good]));
    let evidence = look(&memory, &subject()).await;
    let verified = check(&verifier, &subject(), &evidence).unwrap();
    let skipped = &verified.report().rejected;
    let over = |one: &&qmt_verify::report::Rejection| {
        one.reason.ends_with("annotations are over the limit")
    };
    assert!(skipped.iter().any(|one| over(&one)), "{skipped:?}");
}

/// cosign appends signatures to a tag, so that the newest one is the last.
#[tokio::test]
async fn the_newest_signatures_of_a_tag_are_read() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let good = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let older = sigstore.sign_simple(subject().digest(), &Signing::key("p256"));
    for (count, unread) in [
        (80, None),
        (255, None),
        (256, Some("; 1 more was not looked at")),
        (400, Some("; 145 more were not looked at")),
    ] {
        let mut layers = vec![older.clone(); count];
        layers.push(older.clone());
        let mut memory = Memory::default();
        memory.put(&SimpleSigning::image(subject().digest(), &layers));
        let error = check(&verifier, &subject(), &look(&memory, &subject()).await).unwrap_err();
        let text = error.to_string();
        match unread {
            Some(unread) => assert!(text.ends_with(unread), "{text}"),
            None => assert!(!text.contains("looked at"), "{text}"),
        }
        layers.pop();
        layers.push(good.clone());
        memory.put(&SimpleSigning::image(subject().digest(), &layers));
        let evidence = look(&memory, &subject()).await;
        let verified = check(&verifier, &subject(), &evidence)
            .unwrap_or_else(|error| panic!("{count}: {error}"));
        let place = format!(".sig, layer {}", count + 1);
        assert!(verified.report().found.ends_with(&place), "{place}");
    }
}

/// What is listed as another artifact is no signature, whether it is there or not.
#[tokio::test]
async fn other_artifacts_are_no_missing_signatures() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let mut memory = Memory::default();
    for number in 0..1_000 {
        let gone = listed(&referrer(number, &|_| {}));
        let gone = gone.with_artifact_type(MediaType::from("application/spdx+json"));
        memory.referrers.push(gone);
    }
    let error = check(&verifier, &subject(), &look(&memory, &subject()).await).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("is not signed: no bundle"), "{text}");
    assert!(!text.contains("not looked at"), "{text}");
    assert!(error.rejections().is_empty(), "{error:?}");
    memory.put(&good_bundle(&sigstore).referrer(&signed_subject(&subject())));
    let evidence = look(&memory, &subject()).await;
    check(&verifier, &subject(), &evidence).unwrap();
}
