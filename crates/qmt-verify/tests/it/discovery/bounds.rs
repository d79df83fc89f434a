//! Floods of referrers and layers, lowered caps and the deadline.

use super::*;

/// SIG-14, LIM-07: a flood of referrers costs 256 requests, and cannot push out what says it is
/// a signature.
#[tokio::test]
async fn a_flood_of_referrers_is_bounded() {
    let sigstore = PrivateSigstore::new();
    let mut memory = Memory::default();
    for number in 0..900_u32 {
        let other = serde_json::json!({
            "schemaVersion": 2, "artifactType": "application/spdx+json", "layers": [], "config": config(),
            "subject": { "mediaType": OCI_MANIFEST, "digest": subject().digest(), "size": 100 },
            "annotations": { "number": number.to_string() },
        });
        let bytes = Bytes::from(other.to_string());
        let kind = MediaType::from("application/spdx+json");
        let descriptor = Descriptor::of(MediaType::ImageManifest, &bytes);
        memory.referrers.push(descriptor.with_artifact_type(kind));
        memory.blobs.insert(Digest::sha256(&bytes), bytes);
    }
    let bundle = sigstore.sign_bundle(subject().digest(), &Signing::keyless(dev()));
    memory.put(&bundle.referrer(&signed_subject(&subject())));
    let evidence = look(&memory, &subject()).await;
    assert_eq!(evidence.len(), 1);
    assert!(
        memory.requests().len() <= 1 + 256 + 1 + 2,
        "{}",
        memory.requests().len()
    );
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    check(&verifier, &subject(), &evidence).unwrap();
    // Of a hundred thousand, no more are fetched, and the error says so.
    let one = memory.referrers[0].clone();
    memory.referrers = (0..100_000_u32)
        .map(|number| {
            Descriptor::new(
                one.media_type().clone(),
                Digest::sha256(number.to_le_bytes()),
                9,
            )
        })
        .collect();
    memory.requests.lock().unwrap().clear();
    let evidence = look(&memory, &subject()).await;
    assert!(memory.requests().len() <= 1 + 256 + 2 + 1);
    let error = check(&verifier, &subject(), &evidence).unwrap_err();
    assert!(
        error
            .rejections()
            .iter()
            .any(|one| one.reason.contains("256 of 100000")),
        "{error:?}"
    );
    let unread = "; 99744 more were not looked at";
    assert!(error.to_string().ends_with(unread), "{error}");
}

/// SIG-14, LIM-07: ten thousand layers, a gigabyte, a megabyte of annotations.
#[tokio::test]
async fn a_flood_of_layers_is_bounded() {
    let sigstore = PrivateSigstore::new();
    let signature = simple(&sigstore);
    let payload = signature.payload.clone();
    let layer = |size: u64| {
        let mut layer = Descriptor::new(
            MediaType::from(SIMPLE_SIGNING),
            Digest::sha256(&payload),
            size,
        );
        for (name, value) in &signature.annotations {
            layer = layer.with_annotation(name, value);
        }
        layer
    };
    let look_at = async |layers: Vec<Descriptor>| {
        let mut memory = Memory::default();
        let manifest = serde_json::json!({
            "schemaVersion": 2, "config": config(), "layers": layers,
        });
        let manifest = manifest.to_string();
        let tag = format!("sha256-{}.sig", subject().digest().hex());
        memory.tags.insert(tag, manifest.into());
        memory
            .blobs
            .insert(Digest::sha256(&payload), payload.clone());
        (look(&memory, &subject()).await, memory.requests().len())
    };
    let good = layer(payload.len() as u64);
    for (count, taken) in [(256, 256), (257, 256), (600, 256)] {
        let (evidence, requests) = look_at(vec![good.clone(); count]).await;
        assert_eq!(evidence.len(), taken);
        assert!(requests <= 256 + 3);
    }
    let (evidence, requests) = look_at(vec![layer(1 << 30), good.clone()]).await;
    assert_eq!((evidence.len(), requests), (1, 4));
    let chain = "dev.sigstore.cosign/chain";
    let heavy = good.clone().with_annotation(chain, "y".repeat(1024 * 1024));
    let (evidence, _) = look_at(vec![heavy, good.clone()]).await;
    assert_eq!(evidence.len(), 1);
    // Annotations that are not read cost nothing.
    let odd = good.clone().with_annotation("x", "y".repeat(1024 * 1024));
    let (evidence, _) = look_at(vec![odd, good]).await;
    assert_eq!(evidence.len(), 2);
}

/// LIM-07: the caps of the search at what they were lowered to, and one past it.
#[tokio::test]
async fn lim_07_lowered_caps_hold() {
    let sigstore = PrivateSigstore::new();
    let signature = simple(&sigstore);
    let bytes = signature.payload.len() as u64;
    let mut memory = Memory::default();
    memory.put(&SimpleSigning::image(
        subject().digest(),
        &vec![signature; 3],
    ));
    for (options, kept) in [
        (DiscoveryOptions::default().with_most_signatures(3), 3),
        (DiscoveryOptions::default().with_most_signatures(2), 2),
        (DiscoveryOptions::default().with_most_bytes_each(bytes), 3),
        (
            DiscoveryOptions::default().with_most_bytes_each(bytes - 1),
            0,
        ),
    ] {
        let evidence = discover(&memory, &subject(), &options).await.unwrap();
        assert_eq!(evidence.len(), kept, "{options:?}");
    }
}

/// SIG-14, LIM-07: many referrers with many layers each cost 256 requests for blobs.
#[tokio::test]
async fn the_product_of_referrers_and_layers_is_bounded() {
    let sigstore = PrivateSigstore::new();
    let mut memory = Memory::default();
    for number in 1..=64_usize {
        let layers = vec![simple(&sigstore); number];
        memory.put(&SimpleSigning::referrer(
            &signed_subject(&subject()),
            &layers,
        ));
    }
    let evidence = look(&memory, &subject()).await;
    assert_eq!(evidence.len(), 256);
    let blobs = memory
        .requests()
        .iter()
        .filter(|one| one.starts_with("blob"))
        .count();
    assert_eq!(blobs, 256);
}

/// SIG-14, LIM-07: what is kept is bounded too, and the evidence that is read back.
#[tokio::test]
async fn stored_evidence_is_bounded() {
    let sigstore = PrivateSigstore::new();
    let signature = simple(&sigstore);
    let mut memory = Memory::default();
    memory.put(&SimpleSigning::image(
        subject().digest(),
        &vec![signature.clone(); 220],
    ));
    let referrer = SimpleSigning::referrer(&signed_subject(&subject()), &vec![signature; 64]);
    memory.put(&referrer);
    let evidence = look(&memory, &subject()).await;
    assert_eq!(evidence.len(), 256);
    let stored = evidence.to_json().unwrap();
    assert_eq!(Evidence::from_json(&stored).unwrap(), evidence);
    let more = |count: usize, change: &dyn Fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = serde_json::from_slice(&stored).unwrap();
        let first = value["pieces"][0].clone();
        let pieces = value["pieces"].as_array_mut().unwrap();
        pieces.resize(count, first);
        change(&mut value);
        Evidence::from_json(value.to_string().as_bytes())
    };
    more(256, &|_| {}).unwrap();
    let long = |length: usize| {
        move |value: &mut serde_json::Value| {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(vec![b'x'; length]);
            value["pieces"][0]["content"]["simple-signing"]["payload"] = text.into();
        }
    };
    more(1, &long(1024 * 1024)).unwrap();
    for (count, change) in [
        (
            257,
            Box::new(|_: &mut serde_json::Value| {}) as Box<dyn Fn(&mut serde_json::Value)>,
        ),
        (1, Box::new(long(1024 * 1024 + 1))),
        (
            1,
            Box::new(|value: &mut serde_json::Value| value["schema"] = 2.into()),
        ),
        (
            1,
            Box::new(|value: &mut serde_json::Value| value["subject"] = "sha256:0".into()),
        ),
        (
            1,
            Box::new(|value: &mut serde_json::Value| {
                value["pieces"][0]["content"]["simple-signing"]["payload"] = "!".into();
            }),
        ),
    ] {
        let error = more(count, &*change).unwrap_err();
        assert!(matches!(error, VerifyError::Evidence { .. }), "{error}");
    }
    assert!(Evidence::from_json(b"").is_err());
    assert!(Evidence::from_json(&vec![b' '; 32 * 1024 * 1024 + 1]).is_err());
}

/// SIG-14: the whole search ends at its deadline.
#[tokio::test]
async fn looking_ends_at_its_deadline() {
    let options = DiscoveryOptions::default().with_deadline(Duration::from_millis(50));
    let sigstore = PrivateSigstore::new();
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()]));
    let mut memory = Memory {
        listing_hangs: true,
        ..Memory::default()
    };
    let evidence = discover(&memory, &subject(), &options).await.unwrap();
    let error = check(&verifier, &subject(), &evidence).unwrap_err();
    assert!(matches!(error, VerifyError::Source { .. }), "{error}");
    assert!(error.is_retryable());
    // The time that the place really had.
    let reason = &error.rejections()[0].reason;
    assert!(reason.ends_with("not read within 40ms"), "{reason}");
    // What was read before that counts.
    memory.put(&SimpleSigning::image(
        subject().digest(),
        &[simple(&sigstore)],
    ));
    let options = DiscoveryOptions::default().with_deadline(Duration::from_secs(2));
    let evidence = discover(&memory, &subject(), &options).await.unwrap();
    check(&verifier, &subject(), &evidence).unwrap();
}
