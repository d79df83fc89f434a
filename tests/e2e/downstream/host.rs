//! A host that uses a registry and a verifier through their traits, and is tested with their mocks
//! alone. No HTTP client, no Sigstore and no Wasm runtime is compiled for that.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::SystemTime;

use qmt_oci_ref::{Reference, Registry, RegistryError};
use qmt_verify::{SignerId, Verification, Verifier, VerifyError};

/// Decides which images this host accepts.
pub struct Gate {
    registry: Arc<dyn Registry>,
    verifier: Arc<dyn Verifier>,
}

/// Why an image is not accepted.
#[derive(Debug)]
pub enum Refusal {
    /// It can't be resolved.
    Registry(RegistryError),
    /// Its signature is not accepted.
    Verify(VerifyError),
    /// It has another signer than the known one.
    OtherSigner(Option<SignerId>),
}

impl Gate {
    /// Makes a gate of a registry and a verifier.
    pub fn new(registry: Arc<dyn Registry>, verifier: Arc<dyn Verifier>) -> Self {
        Self { registry, verifier }
    }

    /// Resolves `name` once, and verifies its digest.
    pub async fn admit(&self, name: &Reference, known: &SignerId) -> Result<Verification, Refusal> {
        let manifest = self.registry.resolve(name).await;
        let manifest = manifest.map_err(Refusal::Registry)?;
        let pin = name.with_digest(manifest.digest().clone());
        let evidence = self.verifier.discover(&*self.registry, &pin).await;
        let evidence = evidence.map_err(Refusal::Verify)?;
        let now = SystemTime::now();
        let verified = self.verifier.check(&pin, &evidence, Some(known), now);
        let verified = verified.map_err(Refusal::Verify)?;
        match verified.signer() {
            Some(signer) if signer == known => Ok(verified),
            other => Err(Refusal::OtherSigner(other.cloned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use qmt_oci_ref::{Digest, MediaType, MockRegistry, RawManifest, RegistryErrorKind};
    use qmt_verify::{DiscoveryOptions, Evidence, MockVerifier, danger, discover};

    use super::*;

    fn name() -> Reference {
        "ghcr.io/acme/echo:1".parse().unwrap()
    }

    fn manifest() -> RawManifest {
        RawManifest::new(MediaType::ImageManifest, "{}".into())
    }

    fn acme() -> SignerId {
        SignerId::certificate("https://issuer.example", "dev@acme.example")
    }

    fn registry() -> MockRegistry {
        let mut registry = MockRegistry::new();
        registry
            .expect_resolve()
            .times(1)
            .returning(|_| Ok(manifest()));
        registry.expect_blob().never();
        registry
    }

    fn verifier(signer: SignerId) -> MockVerifier {
        let mut verifier = MockVerifier::new();
        verifier
            .expect_discover()
            .returning(|_, subject| Ok(Evidence::empty(subject)));
        verifier
            .expect_check()
            .withf(|_, _, expected, _| *expected == Some(acme()))
            .returning(move |subject, _, _, _| {
                Ok(danger::dangerous_verification_for_tests(
                    subject,
                    signer.clone(),
                ))
            });
        verifier
    }

    #[tokio::test]
    async fn the_known_signer_is_admitted() {
        let gate = Gate::new(Arc::new(registry()), Arc::new(verifier(acme())));
        let verified = gate.admit(&name(), &acme()).await.unwrap();
        assert_eq!(verified.digest(), &Digest::sha256("{}"));
        assert_eq!(verified.signer(), Some(&acme()));
    }

    #[tokio::test]
    async fn another_signer_is_not() {
        let mallory = SignerId::certificate("https://issuer.example", "mallory@evil.example");
        let gate = Gate::new(Arc::new(registry()), Arc::new(verifier(mallory.clone())));
        let refusal = gate.admit(&name(), &acme()).await.unwrap_err();
        assert!(matches!(refusal, Refusal::OtherSigner(Some(signer)) if signer == mallory));
    }

    #[tokio::test]
    async fn an_unsigned_image_is_not() {
        let mut verifier = MockVerifier::new();
        verifier
            .expect_discover()
            .returning(|_, subject| Ok(Evidence::empty(subject)));
        verifier.expect_check().returning(|subject, _, _, _| {
            Err(VerifyError::no_signature(subject))
        });
        let gate = Gate::new(Arc::new(registry()), Arc::new(verifier));
        let refusal = gate.admit(&name(), &acme()).await.unwrap_err();
        assert!(matches!(
            refusal,
            Refusal::Verify(VerifyError::NoSignature { .. })
        ));
    }

    fn no_answer<T>() -> Result<T, RegistryError> {
        let kind = RegistryErrorKind::Network { retryable: true };
        Err(RegistryError::new(kind, "no answer"))
    }

    fn not_found<T>() -> Result<T, RegistryError> {
        Err(RegistryError::new(RegistryErrorKind::NotFound, "not found"))
    }

    /// Discovery requires no Sigstore library, and works with every registry.
    #[tokio::test]
    async fn an_error_during_discovery_is_not_unsigned() {
        let subject = name().with_digest(Digest::sha256("{}"));
        let mut empty = MockRegistry::new();
        empty.expect_referrers().returning(|_| Ok(Vec::new().into()));
        empty.expect_resolve().returning(|_| not_found());
        // Whether a manifest that an index lists is signed instead.
        empty.expect_manifest().returning(|_, _| not_found());
        let options = DiscoveryOptions::default();
        let found = discover(&empty, &subject, &options).await.unwrap();
        assert!(found.is_empty());

        let mut broken = MockRegistry::new();
        broken.expect_referrers().returning(|_| no_answer());
        broken.expect_resolve().returning(|_| no_answer());
        let error = discover(&broken, &subject, &options).await.unwrap_err();
        assert!(matches!(error, VerifyError::Source { .. }), "{error}");
    }
}
