// The registry of the example in README.md: one image, and one bundle that refers to it.

use qmt_oci_ref::{
    Descriptor, Digest, MediaType, MockRegistry, RawManifest, RegistryError, RegistryErrorKind,
};
use qmt_testkit::{LogKind, PrivateSigstore, SignedSubject, Signing};

/// The registry, and the public key that verifies the image in it.
pub fn with_one_signed_image() -> (MockRegistry, String) {
    let image = RawManifest::new(MediaType::ImageManifest, "{}".into());
    let digest = image.digest().to_string();
    let sigstore = PrivateSigstore::new();
    let signing = Signing::key("p256").log(LogKind::None);
    let bundle = sigstore.sign_bundle(&digest, &signing);
    let subject = SignedSubject::new(image.media_type().as_ref(), &digest, 2);
    let signature = bundle.referrer(&subject);
    let manifest = RawManifest::new(MediaType::ImageManifest, signature.manifest);
    let listed = manifest.descriptor();

    let mut registry = MockRegistry::new();
    registry.expect_resolve().returning(move |reference| {
        // The tags that cosign 2 uses do not exist.
        let is_image = reference.tag().is_some_and(|tag| tag.as_str() == "1");
        let missing = || RegistryError::new(RegistryErrorKind::NotFound, "404");
        is_image.then(|| image.clone()).ok_or_else(missing)
    });
    registry.expect_referrers().returning(move |_| Ok(vec![listed.clone()].into()));
    registry.expect_manifest().returning(move |_, _| Ok(manifest.clone()));
    let blobs = signature.blobs;
    registry.expect_blob().returning(move |_, blob: &Descriptor, _| {
        let mut blobs = blobs.iter().map(|(_, content)| content.clone());
        let content = blobs.find(|content| Digest::sha256(content) == *blob.digest());
        Ok(Box::pin(futures_util::stream::iter(content.map(Ok))))
    });
    (registry, sigstore.key_pem("p256").to_string())
}
