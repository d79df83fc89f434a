//! What every registry must do for us, one function per rule.

use crate::support::Detail as _;
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt as _;
use qmt_oci_ref::{
    Descriptor, Digest, Digester, MediaType, PinnedReference, RawManifest, Reference,
    RegistryError, Repository, Tag, manifest,
};
use qmt_registry::ClientError;
use qmt_registry::limits::MANIFEST_MAX;

use super::{CHUNK, Place};
use crate::support::noise;

const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Tries all of them; gives their number. A failure panics with the name of the rule.
pub(super) async fn all(place: &Place) -> usize {
    let mut count = 0;
    macro_rules! hold {
        ($($rule:ident)*) => { $(
            let repository = place.repository(&stringify!($rule).replace('_', "-"));
            let start = Instant::now();
            $rule(place, &repository).await;
            println!("suite: {} {:?}", stringify!($rule), start.elapsed());
            count += 1;
        )* };
    }
    hold! {
        blobs_of_all_sizes_come_back
        a_blob_that_is_there_is_pushed_again
        a_blob_is_mounted_from_another_repository
        a_large_blob_goes_up_in_parts
        a_blob_is_resumed_from_any_byte
        what_is_missing_is_not_found
        a_blob_under_a_wrong_digest_is_refused
        a_manifest_under_a_wrong_digest_is_refused
        a_tag_resolves_and_moves
        a_digest_resolves_whatever_the_tag_says
        an_index_keeps_its_type
        a_manifest_over_the_limit_is_refused
        referrers_are_listed_for_their_subject
    }
    count
}

async fn blobs_of_all_sizes_come_back(place: &Place, repository: &Repository) {
    for size in [0, 1, 2, 1000, 65_536, 70_001] {
        let content = noise(size);
        let blob = push(place, repository, &content).await;
        assert!(
            pull(place, repository, &blob).await.unwrap() == content,
            "{size}"
        );
    }
}

async fn a_blob_that_is_there_is_pushed_again(place: &Place, repository: &Repository) {
    let content = noise(501);
    let first = push(place, repository, &content).await;
    let second = push(place, repository, &content).await;
    assert_eq!(first, second);
    assert!(pull(place, repository, &first).await.unwrap() == content);
}

async fn a_blob_is_mounted_from_another_repository(place: &Place, repository: &Repository) {
    let from = place.repository("mounted-from");
    let content = noise(5003);
    let blob = push(place, &from, &content).await;
    let (registry, to) = (&place.registry, repository);
    let pushed = registry.push_blob(to, &blob, &content, Some(&from)).await;
    pushed.unwrap();
    assert!(pull(place, repository, &blob).await.unwrap() == content);
    // A repository that has it not, or is not there, is no reason to fail.
    let nowhere = place.repository("never-pushed-to");
    let content = noise(5007);
    let blob = descriptor(&content);
    let pushed = registry
        .push_blob(to, &blob, &content, Some(&nowhere))
        .await;
    pushed.unwrap();
    assert!(pull(place, repository, &blob).await.unwrap() == content);
}

async fn a_large_blob_goes_up_in_parts(place: &Place, repository: &Repository) {
    let chunk = usize::try_from(CHUNK).unwrap();
    for size in [chunk, chunk + 1, 3 * chunk, 3 * chunk + 17] {
        let content = noise(size);
        let blob = push(place, repository, &content).await;
        assert!(
            pull(place, repository, &blob).await.unwrap() == content,
            "{size}"
        );
    }
}

async fn a_blob_is_resumed_from_any_byte(place: &Place, repository: &Repository) {
    let content = noise(40_009);
    let blob = push(place, repository, &content).await;
    for at in [0, 1, 1000, 20_000, 40_008, 40_009] {
        let (head, rest) = content.split_at(at);
        let got = pull_rest(place, repository, &blob, head).await.unwrap();
        assert!(got == rest, "{at}");
    }
    // DIG-08: the bytes before count in the digest of the whole.
    let mut head = content[..1000].to_vec();
    head[500] ^= 1;
    let error = pull_rest(place, repository, &blob, &head)
        .await
        .unwrap_err();
    assert!(
        matches!(error.detail(), Some(ClientError::DigestMismatch { .. })),
        "{error:?}"
    );
}

async fn what_is_missing_is_not_found(place: &Place, repository: &Repository) {
    // The repository itself is there, another is not.
    push(place, repository, &noise(7)).await;
    let missing = Digest::sha256(b"nothing has this digest");
    for repository in [repository.clone(), place.repository("never-there")] {
        let by_tag = named(&repository, "nobodys-tag");
        let by_digest = PinnedReference::new(repository.clone(), missing.clone());
        let blob = Descriptor::new(MediaType::from("a/b"), missing.clone(), 3);
        let registry = &place.registry;
        for error in [
            registry.resolve(&by_tag).await.unwrap_err(),
            registry
                .resolve(&by_digest.clone().into())
                .await
                .unwrap_err(),
            registry
                .manifest(&by_digest, MANIFEST_MAX)
                .await
                .unwrap_err(),
            pull(place, &repository, &blob).await.unwrap_err(),
        ] {
            assert!(error.is_not_found(), "{error:?}");
        }
        assert!(registry.referrers(&by_digest).await.unwrap().is_empty());
    }
}

/// DIG-02: what is pushed under another's digest is not kept.
async fn a_blob_under_a_wrong_digest_is_refused(place: &Place, repository: &Repository) {
    let chunk = usize::try_from(CHUNK).unwrap();
    for size in [100, 2 * chunk + 1] {
        let blob = descriptor(&noise(size));
        let mut other = noise(size).to_vec();
        other[size / 2] ^= 1;
        for content in [Bytes::from(other), noise(size - 1)] {
            let pushed = place
                .registry
                .push_blob(repository, &blob, &content, None)
                .await;
            pushed.unwrap_err();
            let error = pull(place, repository, &blob).await.unwrap_err();
            assert!(error.is_not_found(), "{error:?}");
        }
    }
}

async fn a_manifest_under_a_wrong_digest_is_refused(place: &Place, repository: &Repository) {
    let manifest = image(place, repository, "wrong").await;
    let wrong = PinnedReference::new(repository.clone(), Digest::sha256(b"another"));
    let error = place
        .registry
        .push_manifest(&wrong.clone().into(), &manifest)
        .await
        .unwrap_err();
    assert!(
        matches!(error.detail(), Some(ClientError::DigestMismatch { .. })),
        "{error:?}"
    );
    assert!(
        place
            .registry
            .resolve(&wrong.into())
            .await
            .unwrap_err()
            .is_not_found()
    );
}

async fn a_tag_resolves_and_moves(place: &Place, repository: &Repository) {
    let tag = named(repository, "moving");
    let first = image(place, repository, "first").await;
    let second = image(place, repository, "second").await;
    for manifest in [&first, &second, &first] {
        let pin = place.registry.push_manifest(&tag, manifest).await.unwrap();
        assert_eq!(pin.digest(), manifest.digest());
        let resolved = place.registry.resolve(&tag).await.unwrap();
        assert_eq!(&resolved, manifest);
    }
    // P1: the pin of what the tag left behind still names the same bytes.
    let pin = PinnedReference::new(repository.clone(), second.digest().clone());
    let got = place.registry.manifest(&pin, MANIFEST_MAX).await.unwrap();
    assert_eq!(got.bytes(), second.bytes());
}

/// REF-04: in `name:tag@digest` the digest wins.
async fn a_digest_resolves_whatever_the_tag_says(place: &Place, repository: &Repository) {
    let tag = named(repository, "elsewhere");
    let first = image(place, repository, "one").await;
    let second = image(place, repository, "two").await;
    place.registry.push_manifest(&tag, &first).await.unwrap();
    place.registry.push_manifest(&tag, &second).await.unwrap();
    let both = Reference::new(
        repository.clone(),
        tag.tag().cloned(),
        Some(first.digest().clone()),
    );
    let resolved = place.registry.resolve(&both).await.unwrap();
    assert_eq!(resolved.bytes(), first.bytes());
}

async fn an_index_keeps_its_type(place: &Place, repository: &Repository) {
    let child = image(place, repository, "child").await;
    let by_digest = PinnedReference::new(repository.clone(), child.digest().clone());
    place
        .registry
        .push_manifest(&by_digest.into(), &child)
        .await
        .unwrap();
    for media_type in [manifest::OCI_INDEX, manifest::DOCKER_INDEX] {
        let content = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [{
                "mediaType": child.media_type(),
                "digest": child.digest(),
                "size": child.bytes().len(),
                "platform": {"os": "linux", "architecture": "amd64"},
            }],
        });
        let index = RawManifest::new(MediaType::from(media_type), content.to_string().into());
        let tag = named(repository, "index");
        place.registry.push_manifest(&tag, &index).await.unwrap();
        let resolved = place.registry.resolve(&tag).await.unwrap();
        assert_eq!(resolved, index);
    }
}

/// DIG-09: at the limit it comes, one below it does not.
async fn a_manifest_over_the_limit_is_refused(place: &Place, repository: &Repository) {
    let manifest = image(place, repository, "limit").await;
    let tag = named(repository, "limit");
    let pin = place.registry.push_manifest(&tag, &manifest).await.unwrap();
    let size = u64::try_from(manifest.bytes().len()).unwrap();
    place.registry.manifest(&pin, size).await.unwrap();
    let error = place.registry.manifest(&pin, size - 1).await.unwrap_err();
    // A server's answer has a URL, a layout's a file.
    let refused = matches!(
        error.detail(),
        Some(ClientError::TooLarge { .. } | ClientError::Layout(_))
    );
    assert!(refused, "{error:?}");
}

/// DIG-14: by the API if the registry has it, otherwise by the list of the tag schema.
async fn referrers_are_listed_for_their_subject(place: &Place, repository: &Repository) {
    let subject = image(place, repository, "subject").await;
    let other = image(place, repository, "bystander").await;
    let mut pins = Vec::new();
    for (tag, manifest) in [("subject", &subject), ("bystander", &other)] {
        let pushed = place
            .registry
            .push_manifest(&named(repository, tag), manifest)
            .await;
        pins.push(pushed.unwrap());
    }
    assert!(place.registry.referrers(&pins[0]).await.unwrap().is_empty());
    let mut expected = Vec::new();
    for (number, artifact_type) in ["a/one", "a/two", "a/one"].iter().enumerate() {
        let manifest = referring(&subject, artifact_type, number);
        let by_digest = PinnedReference::new(repository.clone(), manifest.digest().clone());
        // Twice is once.
        for _ in 0..2 {
            let name = by_digest.clone().into();
            let pushed = place.registry.push_manifest(&name, &manifest).await;
            pushed.unwrap();
        }
        expected.push((manifest.digest().to_string(), *artifact_type));
        expected.sort_unstable();
        let found = place.registry.referrers(&pins[0]).await.unwrap();
        let mut found = found.into_entries();
        found.sort_by_key(|entry| entry.digest().to_string());
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (entry, (digest, artifact_type)) in found.iter().zip(&expected) {
            assert_eq!(entry.digest().to_string(), *digest);
            // go-containerregistry's registry gives the config's type instead: a list is a claim of
            // the registry, and the manifest decides.
            let listed = entry.artifact_type().map(AsRef::as_ref);
            let fits = [Some(*artifact_type), Some(EMPTY)].contains(&listed);
            assert!(fits, "{listed:?} for {artifact_type}");
        }
    }
    assert!(place.registry.referrers(&pins[1]).await.unwrap().is_empty());
}

fn named(repository: &Repository, tag: &str) -> Reference {
    let tag: Tag = tag.parse().unwrap();
    Reference::new(repository.clone(), Some(tag), None)
}

fn descriptor(content: &Bytes) -> Descriptor {
    Descriptor::of(MediaType::from("application/octet-stream"), content)
}

async fn push(place: &Place, to: &Repository, content: &Bytes) -> Descriptor {
    let blob = descriptor(content);
    let pushed = place.registry.push_blob(to, &blob, content, None).await;
    pushed.unwrap();
    blob
}

async fn pull(place: &Place, from: &Repository, blob: &Descriptor) -> Result<Bytes, RegistryError> {
    pull_rest(place, from, blob, &[]).await
}

async fn pull_rest(
    place: &Place,
    from: &Repository,
    blob: &Descriptor,
    known: &[u8],
) -> Result<Bytes, RegistryError> {
    let mut digester = Digester::new(blob.digest().algorithm());
    digester.update(known);
    let mut stream = place.registry.blob(from, blob, digester).await?;
    let mut content = Vec::new();
    while let Some(chunk) = stream.next().await {
        content.extend_from_slice(&chunk?);
    }
    Ok(content.into())
}

/// An image manifest with one layer, whose blobs are there; servers check that.
async fn image(place: &Place, to: &Repository, layer: &str) -> RawManifest {
    let layer = push(place, to, &Bytes::copy_from_slice(layer.as_bytes())).await;
    let config = push(place, to, &Bytes::from_static(b"{}")).await;
    let content = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": manifest::OCI_MANIFEST,
        "config": {
            "mediaType": EMPTY,
            "digest": config.digest(),
            "size": config.size(),
        },
        "layers": [layer],
    });
    RawManifest::new(
        MediaType::from(manifest::OCI_MANIFEST),
        content.to_string().into(),
    )
}

/// Manifest `number` of a type, which refers to `subject`.
fn referring(subject: &RawManifest, artifact_type: &str, number: usize) -> RawManifest {
    let empty = serde_json::json!({
        "mediaType": EMPTY,
        "digest": Digest::sha256(b"{}"),
        "size": 2,
    });
    let content = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": manifest::OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": empty,
        "layers": [empty],
        "subject": subject.descriptor(),
        "annotations": {"number": number.to_string()},
    });
    RawManifest::new(
        MediaType::from(manifest::OCI_MANIFEST),
        content.to_string().into(),
    )
}
