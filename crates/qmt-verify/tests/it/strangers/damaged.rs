//! Signatures that exist in the registry and cannot be used as they are there.

use super::*;

/// The error says that a `.sig` exists, what is wrong with it, and how to get it back.
#[tokio::test]
async fn a_damaged_signature_is_not_called_missing() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let simple = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    let image = SimpleSigning::image(subject().digest(), std::slice::from_ref(&simple));
    let tag = image.tag.clone().unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
        change(&mut manifest);
        let mut memory = Memory::default();
        memory.put(&image);
        memory.tags.insert(tag.clone(), manifest.to_string().into());
        memory
    };
    let mut gone = with(&|_| {});
    gone.blobs.remove(&Digest::sha256(&simple.payload));
    for (memory, problem) in [
        (
            gone,
            "layer 1: it cannot be used: its content is missing in the registry",
        ),
        (
            with(&|manifest| manifest["layers"][0]["size"] = json!(7)),
            "bytes, expected 7",
        ),
        (
            with(&|manifest| {
                *manifest = json!({ "schemaVersion": 2, "mediaType":
                    "application/vnd.oci.image.index.v1+json", "manifests": [] });
            }),
            "it cannot be used: it is an index, not a manifest of signatures",
        ),
        (
            with(&|manifest| {
                manifest["layers"][0]["mediaType"] = json!("text/plain");
                manifest["layers"][0]["annotations"] = json!({});
            }),
            "layer 1: it cannot be used: its type is `text/plain`",
        ),
    ] {
        let error = check(&verifier, &subject(), &look(&memory, &subject()).await).unwrap_err();
        assert!(matches!(error, VerifyError::NoSignature { .. }), "{error}");
        let text = error.to_string();
        let head = format!("`{}` has no usable signature: tag {tag}", subject());
        assert!(text.starts_with(&head) && text.ends_with(problem), "{text}");
        let hint = &error.rejections()[0].hint;
        assert!(hint.contains("`cosign copy`"), "{hint}");
    }
    // Two of them, and one that is whole.
    let mut memory = with(&|manifest| {
        let mut layer = manifest["layers"][0].clone();
        layer["size"] = json!(7);
        manifest["layers"] = json!([layer, layer]);
    });
    let error = check(&verifier, &subject(), &look(&memory, &subject()).await).unwrap_err();
    let more = "expected 7; 1 more cannot be used either";
    assert!(error.to_string().ends_with(more), "{error}");
    memory = with(&|manifest| {
        let good = manifest["layers"][0].clone();
        manifest["layers"][0]["size"] = json!(7);
        manifest["layers"].as_array_mut().unwrap().push(good);
    });
    check(&verifier, &subject(), &look(&memory, &subject()).await).unwrap();
}

/// Other tools give the layers of signatures other types: the content decides.
#[tokio::test]
async fn layers_of_generic_types_are_read() {
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let simple = sigstore.sign_simple(subject().digest(), &Signing::keyless(dev()));
    for (image, is_bundle) in [
        (
            good_bundle(&sigstore).referrer(&signed_subject(&subject())),
            true,
        ),
        (SimpleSigning::image(subject().digest(), &[simple]), false),
    ] {
        for media_type in [
            "application/vnd.oci.image.layer.v1.tar",
            "application/octet-stream",
            "application/json",
        ] {
            let of = |named: &str, layer: &str| {
                let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
                manifest["layers"][0]["mediaType"] = json!(layer);
                if is_bundle {
                    manifest["artifactType"] = json!(named);
                }
                let mut image = image.clone();
                image.manifest = manifest.to_string().into();
                let mut memory = Memory::default();
                memory.put(&image);
                memory
            };
            let evidence = look(&of(BUNDLE, media_type), &subject()).await;
            check(&verifier, &subject(), &evidence)
                .unwrap_or_else(|error| panic!("{media_type}: {error}"));
            // Where nothing says what it is, it is not read.
            if is_bundle {
                let memory = of("application/spdx+json", media_type);
                assert!(look(&memory, &subject()).await.is_empty());
            }
        }
    }
    // Content that is no bundle is reported.
    let manifest = referrer(0, &|manifest| {
        manifest["layers"] = json!([{
            "mediaType": "application/json", "digest": Digest::sha256("{}"), "size": 2,
        }]);
    });
    let mut memory = Memory::default();
    memory.referrers.push(listed(&manifest));
    memory.blobs.insert(Digest::sha256("{}"), "{}".into());
    memory.blobs.insert(Digest::sha256(&manifest), manifest);
    let error = check(&verifier, &subject(), &look(&memory, &subject()).await).unwrap_err();
    assert_eq!(error.rejections()[0].code.to_string(), "unreadable");
}
