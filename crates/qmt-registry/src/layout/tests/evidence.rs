//! Signatures in layouts: those of `cosign save`, and several under one name.

use super::*;

const NAME: &str = "ghcr.io/acme/echo:v1";

fn saved(manifest: &RawManifest, kind: &str, name: Option<&str>) -> String {
    let kind = format!("dev.cosignproject.cosign/{kind}");
    let entry = manifest.descriptor().with_annotation("kind", kind);
    let entry = match name {
        Some(name) => entry.with_annotation(REF_NAME, name),
        None => entry,
    };
    serde_json::to_string(&entry).unwrap()
}

fn tag_of(manifest: &RawManifest, suffix: &str) -> Tag {
    let tag = format!("sha256-{}{suffix}", manifest.digest().hex());
    tag.parse().unwrap()
}

async fn all(bed: &Bed, tag: &Tag) -> Vec<Result<RawManifest, RegistryError>> {
    let reference = bed.layout.reference(Some(tag), None);
    bed.layout.resolve_all(&reference).await
}

async fn digests(bed: &Bed, tag: &Tag) -> Vec<Digest> {
    let read = all(bed, tag).await.into_iter();
    let mut digests: Vec<_> = read
        .filter_map(|one| Some(one.ok()?.digest().clone()))
        .collect();
    digests.sort();
    digests
}

/// `cosign save` lists image and signatures under one name: the name means the image, and the tags
/// of evidence mean the rest.
#[tokio::test]
async fn what_cosign_saved_is_found() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    let signatures = bed.push("y", r#","annotations":{"n":"sigs"}"#).await;
    let attestations = bed.push("z", r#","annotations":{"n":"atts"}"#).await;
    let other = bed.push("o", r#","annotations":{"n":"other"}"#).await;
    for name in [Some(NAME), None] {
        bed.set_index(&[
            saved(&signatures, "sigs", name),
            saved(&one, "image", name),
            saved(&attestations, "atts", name),
        ]);
        let tag = if name.is_some() { "v1" } else { "latest" };
        let resolved = bed.layout.resolve(&bed.tagged(tag)).await.unwrap();
        assert_eq!(resolved, one);
        let found = digests(&bed, &tag_of(&one, ".sig")).await;
        assert_eq!(found, [signatures.digest().clone()]);
        let found = digests(&bed, &tag_of(&one, ".att")).await;
        assert_eq!(found, [attestations.digest().clone()]);
        let absent = all(&bed, &tag_of(&one, ".sbom")).await;
        assert!(matches!(&*absent, [Err(error)] if error.is_not_found()));
    }
    // Those of another image are not taken for those of this one.
    bed.set_index(&[
        saved(&one, "image", Some(NAME)),
        saved(&other, "image", Some("ghcr.io/acme/other:v1")),
        saved(&signatures, "sigs", Some("ghcr.io/acme/other:v1")),
    ]);
    let absent = all(&bed, &tag_of(&one, ".sig")).await;
    assert!(matches!(&*absent, [Err(error)] if error.is_not_found()));
    assert_eq!(digests(&bed, &tag_of(&other, ".sig")).await.len(), 1);
}

/// Several entries under one `.sig` name are all read; one that can't be read hides no other.
#[tokio::test]
async fn no_entry_hides_another_signature() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    let good = bed.push("y", r#","annotations":{"n":"good"}"#).await;
    let strange = bed.push("z", r#","annotations":{"n":"strange"}"#).await;
    let tag = tag_of(&one, ".sig");
    let absent = Descriptor::of(MediaType::ImageManifest, b"absent");
    let absent = absent.with_annotation(REF_NAME, tag.as_str());
    bed.set_index(&[
        entry(&strange, Some(tag.as_str())),
        serde_json::to_string(&absent).unwrap(),
        entry(&good, Some(tag.as_str())),
    ]);
    let found = all(&bed, &tag).await;
    assert_eq!(found.len(), 3);
    let mut expected = [good.digest().clone(), strange.digest().clone()];
    expected.sort();
    assert_eq!(digests(&bed, &tag).await, expected);
    // As an image, the name remains ambiguous.
    bed.layout
        .resolve(&bed.tagged(tag.as_str()))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn the_entries_of_one_name_are_bounded() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    let tag = tag_of(&one, ".sig");
    let entries = vec![entry(&one, Some(tag.as_str())); 70];
    bed.set_index(&entries);
    let found = all(&bed, &tag).await;
    assert_eq!(found.iter().filter(|one| one.is_ok()).count(), 64);
    assert!(matches!(found.last(), Some(Err(_))));
}

/// Names that were given to entries of `cosign save` afterwards hide no signature.
#[tokio::test]
async fn what_cosign_saved_is_found_where_names_were_given() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    let sigs = bed.push("y", r#","annotations":{"n":"sigs"}"#).await;
    let other = bed.push("o", r#","annotations":{"n":"other"}"#).await;
    let tag = tag_of(&one, ".sig");
    let long = format!("ghcr.io/acme/echo:{tag}");
    let of_other = format!("ghcr.io/acme/echo:{}", tag_of(&other, ".sig"));
    let of_hauler =
        saved(&sigs, "sigs", Some("v1")).replace("dev.cosignproject.cosign", "dev.hauler");
    for (image, signatures) in [
        (Some("v1"), saved(&sigs, "sigs", None)),
        (Some(NAME), saved(&sigs, "sigs", None)),
        (Some("v1"), saved(&sigs, "sigs", Some(NAME))),
        (Some(NAME), saved(&sigs, "sigs", Some(&long))),
        (Some("v1"), saved(&sigs, "sigs", Some(tag.as_str()))),
        (Some("v1"), of_hauler),
    ] {
        let other = saved(&other, "image", Some("other"));
        bed.set_index(&[saved(&one, "image", image), signatures.clone(), other]);
        let resolved = bed.layout.resolve(&bed.tagged("v1")).await.unwrap();
        assert_eq!(resolved, one, "{signatures}");
        let found = digests(&bed, &tag).await;
        assert_eq!(found, [sigs.digest().clone()], "{signatures}");
    }
    for theirs in ["other", of_other.as_str()] {
        bed.set_index(&[
            saved(&one, "image", Some("v1")),
            saved(&other, "image", Some("other")),
            saved(&sigs, "sigs", Some(theirs)),
        ]);
        assert_eq!(digests(&bed, &tag).await, [], "{theirs}");
    }
}

/// A damaged entry of a signature's tag is reported, and hides no other.
#[tokio::test]
async fn a_damaged_entry_of_signatures_is_reported() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    let good = bed.push("y", r#","annotations":{"n":"good"}"#).await;
    let tag = tag_of(&one, ".sig");
    let damaged = entry(&good, Some(tag.as_str())).replacen("sha256:", "", 1);
    bed.set_index(&[damaged.clone(), entry(&good, Some(tag.as_str()))]);
    assert_eq!(all(&bed, &tag).await.len(), 2);
    assert_eq!(digests(&bed, &tag).await, [good.digest().clone()]);
    bed.set_index(&[damaged]);
    let found = all(&bed, &tag).await;
    assert!(matches!(&*found, [Err(error)] if !error.is_not_found()));
}

const CONTAINERD: &str = "io.containerd.image.name";

/// hauler stores the name of the image as containerd's name of its signatures and referrers.
#[tokio::test]
async fn signatures_do_not_compete_for_the_name_of_their_image() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    let sigs = bed.push("y", r#","annotations":{"n":"sigs"}"#).await;
    let claim = serde_json::to_string(&one.descriptor()).unwrap();
    let referrer = bed.push("z", &format!(r#","subject":{claim}"#)).await;
    let two = bed.push("o", r#","annotations":{"n":"2"}"#).await;
    let named = |manifest: &RawManifest, name: &str| {
        let entry = manifest.descriptor().with_annotation(CONTAINERD, NAME);
        let entry = entry.with_annotation(REF_NAME, name);
        serde_json::to_string(&entry).unwrap()
    };
    let tag = tag_of(&one, ".sig");
    let short_tag = format!("acme/echo:{tag}");
    let by_digest = format!("acme/echo@{}", referrer.digest());
    for own in ["acme/echo:v1", "v1", NAME, ""] {
        bed.set_index(&[
            named(&sigs, &short_tag),
            named(&referrer, &by_digest),
            named(&one, own),
        ]);
        let resolved = bed.layout.resolve(&bed.tagged("v1")).await.unwrap();
        assert_eq!(resolved, one, "{own}");
        let whole = bed.layout.resolve(&NAME.parse().unwrap()).await.unwrap();
        assert_eq!(whole, one, "{own}");
        assert_eq!(digests(&bed, &tag).await, [sigs.digest().clone()]);
    }
    // A referrer without a name of its own.
    bed.set_index(&[named(&referrer, ""), named(&one, "acme/echo:v1")]);
    let resolved = bed.layout.resolve(&bed.tagged("v1")).await.unwrap();
    assert_eq!(resolved, one);
    // An image with another tag of its own does not compete either, and is found where it is alone.
    bed.set_index(&[named(&two, "edge"), named(&one, "acme/echo:v1")]);
    let resolved = bed.layout.resolve(&bed.tagged("v1")).await.unwrap();
    assert_eq!(resolved, one);
    bed.set_index(&[named(&two, "edge")]);
    let resolved = bed.layout.resolve(&bed.tagged("v1")).await.unwrap();
    assert_eq!(resolved, two);
    // Two images remain ambiguous.
    for (one, two) in [
        (named(&one, ""), named(&two, "")),
        (named(&one, "acme/echo:v1"), named(&two, "v1x/echo:v1")),
        (named(&one, "v1"), named(&two, "v1")),
        (named(&one, "edge"), named(&two, "latest")),
    ] {
        bed.set_index(&[one, two]);
        let refused = bed.layout.resolve(&bed.tagged("v1")).await;
        let rule = "two of its images have the same name";
        assert_eq!(reason_of(refused), rule);
    }
}

/// An image with a tag of its own is not about another one, even if it has a `subject`.
#[tokio::test]
async fn an_image_with_a_tag_is_not_about_its_subject() {
    let bed = Bed::new();
    let one = bed.push("x", "").await;
    let claim = serde_json::to_string(&one.descriptor()).unwrap();
    let two = bed.push("y", &format!(r#","subject":{claim}"#)).await;
    let by_digest = format!("acme/echo@{}", two.digest());
    let signatures = tag_of(&one, ".sig");
    for (name, is_about_another) in [
        (None, true),
        (Some(by_digest.as_str()), true),
        (Some(signatures.as_str()), true),
        (Some("v2"), false),
        (Some("ghcr.io/acme/other:v2"), false),
    ] {
        bed.set_index(&[entry(&one, Some("v1")), entry(&two, name)]);
        let layout = Layout::open(bed.folder.path()).unwrap();
        let index = layout.index().unwrap();
        let entry = index.by_digest(two.digest()).unwrap();
        let is_about = layout.is_about_another(&index, entry);
        assert_eq!(is_about, is_about_another, "{name:?}");
    }
}
