//! A host of somebody else: it asks a registry and a verifier through their seams, and is tested
//! with their mocks alone. No HTTP client, no Sigstore and no Wasm runtime is compiled for that.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digester, PinnedReference, Reference, Repository};
use qmt_registry::{Registry, RegistryError};
use qmt_verify::{
    BoxError, Evidence, EvidenceSource, SignerId, Verification, Verifier, VerifyError,
};

/// Decides which images this host takes.
pub struct Gate {
    registry: Arc<dyn Registry>,
    verifier: Arc<dyn Verifier>,
}

/// Why an image is not taken.
#[derive(Debug)]
pub enum Refusal {
    /// It can't be found.
    Registry(RegistryError),
    /// Nobody whom we trust signed it.
    Verify(VerifyError),
    /// Somebody else signed it than the one whom we know.
    Stranger(Option<SignerId>),
}

impl Gate {
    /// Joins a registry and a verifier.
    pub fn new(registry: Arc<dyn Registry>, verifier: Arc<dyn Verifier>) -> Self {
        Self { registry, verifier }
    }

    /// Resolves `name` once, and judges the digest that came out.
    pub async fn admit(&self, name: &Reference, known: &SignerId) -> Result<Verification, Refusal> {
        let resolved = self
            .registry
            .resolve(name)
            .await
            .map_err(Refusal::Registry)?;
        let subject = resolved.pin();
        let source = Signatures(Arc::clone(&self.registry));
        let evidence: Evidence = self
            .verifier
            .collect(&source, subject)
            .await
            .map_err(Refusal::Verify)?;
        let verified = self
            .verifier
            .judge(subject, &evidence, Some(known), SystemTime::now())
            .map_err(Refusal::Verify)?;
        match verified.signer() {
            Some(signer) if signer == known => Ok(verified),
            other => Err(Refusal::Stranger(other.cloned())),
        }
    }
}

/// The adapter from one seam to the other.
struct Signatures(Arc<dyn Registry>);

#[async_trait]
impl EvidenceSource for Signatures {
    async fn referrers(&self, subject: &PinnedReference) -> Result<Vec<Descriptor>, BoxError> {
        Ok(self.0.referrers(subject).await?)
    }

    async fn manifest(&self, reference: &Reference, _: u64) -> Result<Option<Bytes>, BoxError> {
        match self.0.resolve(reference).await {
            Ok(resolved) => Ok(Some(resolved.manifest().bytes().clone())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn blob(&self, from: &Repository, blob: &Descriptor, _: u64) -> Result<Bytes, BoxError> {
        self.0
            .blob(from, blob, Digester::new(blob.digest().algorithm()))
            .await?;
        Err("this host's registry keeps no blobs".into())
    }
}

#[cfg(test)]
mod tests {
    use qmt_oci_ref::{Digest, MediaType};
    use qmt_registry::{MockRegistry, RawManifest, Resolved};
    use qmt_verify::{DiscoveryOptions, MockEvidenceSource, MockVerifier, collect, danger};

    use super::*;

    fn name() -> Reference {
        "ghcr.io/acme/echo:1".parse().unwrap()
    }

    fn manifest() -> RawManifest {
        RawManifest::new(MediaType::new(MediaType::OCI_MANIFEST), Bytes::from("{}"))
    }

    fn acme() -> SignerId {
        SignerId::certificate("https://issuer.example", "dev@acme.example")
    }

    fn registry() -> MockRegistry {
        let mut registry = MockRegistry::new();
        registry
            .expect_resolve()
            .times(1)
            .returning(|name| Resolved::new(name, manifest()));
        registry.expect_blob().never();
        registry
    }

    fn verifier(signer: SignerId) -> MockVerifier {
        let mut verifier = MockVerifier::new();
        verifier
            .expect_collect()
            .returning(|_, subject| Ok(Evidence::empty(subject)));
        verifier
            .expect_judge()
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
    async fn the_signer_we_know_is_admitted() {
        let gate = Gate::new(Arc::new(registry()), Arc::new(verifier(acme())));
        let verified = gate.admit(&name(), &acme()).await.unwrap();
        assert_eq!(verified.digest(), &Digest::sha256("{}"));
        assert_eq!(verified.signer(), Some(&acme()));
    }

    #[tokio::test]
    async fn a_stranger_is_not() {
        let mallory = SignerId::certificate("https://issuer.example", "mallory@evil.example");
        let gate = Gate::new(Arc::new(registry()), Arc::new(verifier(mallory.clone())));
        let refusal = gate.admit(&name(), &acme()).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Stranger(Some(signer)) if signer == mallory));
    }

    #[tokio::test]
    async fn what_is_not_signed_is_not_either() {
        let mut verifier = MockVerifier::new();
        verifier
            .expect_collect()
            .returning(|_, subject| Ok(Evidence::empty(subject)));
        verifier.expect_judge().returning(|subject, _, _, _| {
            Err(VerifyError::NoSignature {
                subject: Box::new(subject.clone()),
                rejected: Vec::new(),
            })
        });
        let gate = Gate::new(Arc::new(registry()), Arc::new(verifier));
        let refusal = gate.admit(&name(), &acme()).await.unwrap_err();
        assert!(matches!(
            refusal,
            Refusal::Verify(VerifyError::NoSignature { .. })
        ));
    }

    /// Discovery itself is there without any Sigstore, over a source of one's own.
    #[tokio::test]
    async fn an_error_while_looking_is_not_unsigned() {
        let subject = name().with_digest(Digest::sha256("{}"));
        let mut empty = MockEvidenceSource::new();
        empty.expect_referrers().returning(|_| Ok(Vec::new()));
        empty.expect_manifest().returning(|_, _| Ok(None));
        let found = collect(&empty, &subject, &DiscoveryOptions::default())
            .await
            .unwrap();
        assert!(found.is_empty());

        let mut broken = MockEvidenceSource::new();
        broken
            .expect_referrers()
            .returning(|_| Err("no answer".into()));
        broken.expect_manifest().returning(|_, _| Ok(None));
        let error = collect(&broken, &subject, &DiscoveryOptions::default())
            .await
            .unwrap_err();
        assert!(matches!(error, VerifyError::Source { .. }), "{error}");
    }
}
