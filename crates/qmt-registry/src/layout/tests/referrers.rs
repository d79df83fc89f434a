//! Referrers in a layout.

use super::*;

#[tokio::test]
async fn referrers_come_from_the_index_and_from_the_tag_schema() {
    let bed = Bed::new();
    let subject = bed.push("v1", "").await;
    bed.push("unrelated", r#","annotations":{"n":"2"}"#).await;
    let claim = serde_json::to_string(&subject.descriptor()).unwrap();
    let listed = image(&format!(
        r#","artifactType":"a/sig","subject":{claim},"annotations":{{"k":"v"}}"#
    ));
    let by_digest = bed.layout.reference(None, Some(listed.digest()));
    bed.layout.push_manifest(&by_digest, &listed).await.unwrap();
    let in_list = Descriptor::of(MediaType::ImageManifest, b"elsewhere");
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{},{}]}}"#,
        MediaType::ImageIndex,
        serde_json::to_string(&in_list).unwrap(),
        serde_json::to_string(&listed.descriptor()).unwrap(),
    );
    let index = RawManifest::new(MediaType::ImageIndex, index.into());
    let tag = format!("sha256-{}", subject.digest().hex());
    bed.layout
        .push_manifest(&bed.tagged(&tag), &index)
        .await
        .unwrap();

    let pin = bed.tagged("v1").with_digest(subject.digest().clone());
    let found = bed.layout.referrers(&pin).await.unwrap();
    assert_eq!(found.len(), 2, "each digest once: {found:?}");
    assert_eq!(found[0].digest(), listed.digest());
    assert_eq!(found[0].artifact_type(), Some(&MediaType::from("a/sig")));
    assert_eq!(found[0].annotations()["k"], "v");
    assert_eq!(found[1].digest(), in_list.digest());
    let other = bed.tagged("v1").with_digest(Digest::sha256("other"));
    assert!(bed.layout.referrers(&other).await.unwrap().is_empty());
}

/// What is about an image can't be run, and is no name to try.
#[tokio::test]
async fn signatures_are_not_listed_as_images() {
    let bed = Bed::new();
    let subject = bed.push("v1", "").await;
    let unnamed = image(r#","annotations":{"n":"3"}"#);
    let claim = serde_json::to_string(&subject.descriptor()).unwrap();
    let bundle = image(&format!(r#","artifactType":"a/sig","subject":{claim}"#));
    for manifest in [&unnamed, &bundle] {
        let by_digest = bed.layout.reference(None, Some(manifest.digest()));
        bed.layout
            .push_manifest(&by_digest, manifest)
            .await
            .unwrap();
    }
    let hex = subject.digest().hex();
    for tag in [format!("sha256-{hex}"), format!("sha256-{hex}.sig")] {
        bed.push(&tag, r#","annotations":{"n":"4"}"#).await;
    }
    let text = bed.refusal("v2").await.to_string();
    let listed = format!("it has `v1`, `@{}`", unnamed.digest());
    let listed = [listed, format!("it has `@{}`, `v1`", unnamed.digest())];
    assert!(listed.iter().any(|listed| text.ends_with(listed)), "{text}");
}

#[tokio::test]
async fn referrers_have_a_limit() {
    let bed = Bed::new();
    let subject = bed.push("v1", "").await;
    let list = |count: usize| {
        let entries: Vec<_> = (0..count)
            .map(|n| Descriptor::of(MediaType::ImageManifest, &n.to_le_bytes()))
            .collect();
        let entries = serde_json::to_string(&entries).unwrap();
        let text = format!(r#"{{"schemaVersion":2,"manifests":{entries}}}"#);
        RawManifest::new(MediaType::ImageIndex, text.into())
    };
    let tag = bed.tagged(&format!("sha256-{}", subject.digest().hex()));
    let pin = bed.tagged("v1").with_digest(subject.digest().clone());
    bed.layout
        .push_manifest(&tag, &list(REFERRERS_MAX))
        .await
        .unwrap();
    assert_eq!(
        bed.layout.referrers(&pin).await.unwrap().len(),
        REFERRERS_MAX
    );
    bed.layout
        .push_manifest(&tag, &list(REFERRERS_MAX + 1))
        .await
        .unwrap();
    let mut error = bed.layout.referrers(&pin).await.unwrap_err();
    assert!(
        matches!(client(&error), ClientError::TooMany { .. }),
        "{error:?}"
    );
    assert_eq!(error.take_listed().unwrap().len(), REFERRERS_MAX);
}

/// Pushes `list` under the tag of the tag schema.
async fn tag(bed: &Bed, subject: &Digest, list: &RawManifest) {
    let tag = bed.tagged(&format!("sha256-{}", subject.hex()));
    bed.layout.push_manifest(&tag, list).await.unwrap();
}

#[tokio::test]
async fn an_odd_list_hides_no_referrer() {
    let bed = Bed::new();
    let subject = bed.push("v1", "").await;
    let pin = bed.tagged("v1").with_digest(subject.digest().clone());
    let claim = serde_json::to_string(&subject.descriptor()).unwrap();
    let referrer = image(&format!(r#","artifactType":"a/sig","subject":{claim}"#));
    let by_digest = bed.layout.reference(None, Some(referrer.digest()));
    bed.layout
        .push_manifest(&by_digest, &referrer)
        .await
        .unwrap();
    // The subject itself, an image, and an empty list.
    let list = |text: &str| RawManifest::new(MediaType::ImageIndex, text.to_owned().into());
    for other in [
        subject.clone(),
        bed.push("other", r#","annotations":{"n":"2"}"#).await,
        list(r#"{"schemaVersion":2,"manifests":[]}"#),
    ] {
        tag(&bed, subject.digest(), &other).await;
        assert_eq!(bed.layout.referrers(&pin).await.unwrap().len(), 1);
    }
    // An entry that cannot be read is reported, with the others.
    let odd = list(&format!(
        r#"{{"schemaVersion":2,"manifests":[{{"digest":"md5:00"}},{}]}}"#,
        serde_json::to_string(&Descriptor::of(MediaType::ImageManifest, b"x")).unwrap()
    ));
    std::fs::write(bed.blob_path(odd.digest()), odd.bytes()).unwrap();
    let path = bed.path("index.json");
    let index = std::fs::read_to_string(&path).unwrap();
    let empty = Digest::sha256(r#"{"schemaVersion":2,"manifests":[]}"#);
    assert!(index.contains(empty.hex()));
    std::fs::write(&path, index.replace(empty.hex(), odd.digest().hex())).unwrap();
    let mut error = bed.layout.referrers(&pin).await.unwrap_err();
    assert!(matches!(
        client(&error),
        ClientError::UnreadableEntries { count: 1, .. }
    ));
    assert_eq!(error.take_listed().unwrap().len(), 2);
    // So is a referrer that was damaged.
    std::fs::write(bed.blob_path(referrer.digest()), "damaged").unwrap();
    let mut error = bed.layout.referrers(&pin).await.unwrap_err();
    assert!(
        matches!(client(&error), ClientError::DigestMismatch { .. }),
        "{error:?}"
    );
    assert_eq!(error.take_listed().unwrap().len(), 1);
}

/// skopeo copies the list of the tag schema under its whole name. Each list is read.
#[tokio::test]
async fn lists_of_referrers_are_found_under_any_name() {
    let bed = Bed::new();
    let subject = bed.push("v1", "").await;
    let pin = bed.tagged("v1").with_digest(subject.digest().clone());
    let list = |content: &[u8]| {
        let entry = Descriptor::of(MediaType::ImageManifest, content);
        let entry = serde_json::to_string(&entry).unwrap();
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
        RawManifest::new(MediaType::ImageIndex, text.into())
    };
    let (one, two) = (list(b"one"), list(b"two"));
    for list in [&one, &two] {
        let by_digest = bed.layout.reference(None, Some(list.digest()));
        bed.layout.push_manifest(&by_digest, list).await.unwrap();
    }
    let short = format!("sha256-{}", subject.digest().hex());
    let long = format!("ghcr.io/acme/echo:{short}");
    let image = entry(&subject, Some("ghcr.io/acme/echo:v1"));
    let of_containerd = one.descriptor();
    let of_containerd = of_containerd.with_annotation("io.containerd.image.name", long.as_str());
    let of_containerd = serde_json::to_string(&of_containerd).unwrap();
    for (lists, count) in [
        (vec![entry(&one, Some(&short))], 1),
        (vec![entry(&one, Some(&long))], 1),
        (vec![of_containerd], 1),
        (vec![entry(&one, Some(&short)), entry(&two, Some(&long))], 2),
        (vec![entry(&one, Some(&long)), entry(&two, Some(&long))], 2),
        (
            vec![entry(&subject, Some(&short)), entry(&two, Some(&long))],
            1,
        ),
    ] {
        bed.set_index(&[std::slice::from_ref(&image), &lists[..]].concat());
        let found = bed.layout.referrers(&pin).await.unwrap();
        assert_eq!(found.len(), count, "{lists:?}");
    }
    // One that is damaged is reported.
    let damaged = entry(&one, Some(&long)).replacen("sha256:", "", 1);
    bed.set_index(&[image.clone(), damaged, entry(&two, Some(&short))]);
    let mut error = bed.layout.referrers(&pin).await.unwrap_err();
    assert_eq!(error.take_listed().unwrap().len(), 1);
    // More than are read.
    let lists = vec![entry(&one, Some(&long)); 65];
    bed.set_index(&[&[image], &lists[..]].concat());
    let error = bed.layout.referrers(&pin).await.unwrap_err();
    assert!(
        matches!(client(&error), ClientError::TooMany { .. }),
        "{error:?}"
    );
}
