//! What is pushed into the fake registry is found where clients look.

use qmt_testkit::{
    FakeRegistry, Identity, PrivateSigstore, SignedSubject, Signing, SimpleSigning, attach_bundle,
    attach_simple,
};
use serde_json::Value;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[test]
fn signatures_lie_under_the_tags_that_cosign_uses() {
    let registry = FakeRegistry::builder().start().unwrap();
    let image = registry.put_manifest("acme/echo", "1", MANIFEST, "{}");
    let sigstore = PrivateSigstore::new();
    let signing = Signing::keyless(Identity::email("dev@example.com", "https://i.example.com"));

    let simple = sigstore.sign_simple(image.digest(), &signing);
    attach_simple(
        &registry,
        "acme/echo",
        image.digest(),
        std::slice::from_ref(&simple),
    );
    let tag = image.digest().to_string().replace(':', "-");
    let (_, manifest) = registry
        .manifest("acme/echo", &format!("{tag}.sig"))
        .unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    for descriptor in [&manifest["config"], &manifest["layers"][0]] {
        let digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
        let blob = registry.blob("acme/echo", &digest).unwrap();
        assert_eq!(descriptor["size"], blob.len());
    }

    let bundle = sigstore.sign_bundle(image.digest(), &signing);
    let first = attach_bundle(&registry, "acme/echo", &image, &bundle);
    let subject = SignedSubject::from(&image);
    let second =
        SimpleSigning::referrer(&subject, &[simple]).push_listed_by_tag(&registry, "acme/echo");
    let third = bundle
        .referrer(&subject)
        .push_listed_by_tag(&registry, "acme/echo");
    assert_eq!(first, third, "the same content has the same digest");
    let (_, index) = registry.manifest("acme/echo", &tag).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let listed: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["digest"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        listed,
        [second.digest().to_string(), third.digest().to_string()]
    );
    assert_eq!(
        index["manifests"][1]["annotations"]["dev.sigstore.bundle.predicateType"],
        "https://sigstore.dev/cosign/sign/v1"
    );
}
