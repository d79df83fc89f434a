//! Places that answer with errors for a while: what they answer is reported, and not that time is up.

use super::*;

const STATUS: &str = "the registry answers with status 500";
const PAUSE: Duration = Duration::from_millis(60);

tokio::task_local! {
    /// When the caller gives up, as a client of registries keeps it.
    static END: Instant;
}

/// A registry that answers requests for one place with an error, and repeats them itself.
struct Busy {
    memory: Memory,
    place: &'static str,
}

impl Busy {
    async fn answer(&self, place: &str) -> Result<(), RegistryError> {
        if !place.contains(self.place) {
            return Ok(());
        }
        loop {
            let end = END.try_with(|end| *end);
            if end.is_ok_and(|end| Instant::now() + PAUSE >= end) {
                let kind = RegistryErrorKind::Network { retryable: true };
                return Err(RegistryError::new(kind, STATUS));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[async_trait]
impl Registry for Busy {
    async fn referrers(&self, pin: &PinnedReference) -> Result<Referrers, RegistryError> {
        self.answer("referrers").await?;
        self.memory.referrers(pin).await
    }

    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        self.answer(reference.tag().unwrap().as_str()).await?;
        self.memory.resolve(reference).await
    }

    async fn manifest(&self, pin: &PinnedReference, n: u64) -> Result<RawManifest, RegistryError> {
        self.answer("manifest").await?;
        self.memory.manifest(pin, n).await
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        start: Digester,
    ) -> Result<BlobStream, RegistryError> {
        self.answer("blob").await?;
        self.memory.blob(from, blob, start).await
    }

    async fn until(&self, end: Instant, reads: BoxFuture<'_, ()>) {
        let end = END.try_with(|outer| end.min(*outer)).unwrap_or(end);
        END.scope(end, reads).await;
    }
}

#[tokio::test]
async fn what_a_busy_place_answers_is_reported() {
    let sigstore = PrivateSigstore::new();
    let options = DiscoveryOptions::default().with_deadline(Duration::from_secs(1));
    let verifier = verifier(&sigstore, any_of(vec![dev_authority()])).with_discovery(options);
    let statement = Attestation::new("https://example.com/other", "{}");
    let attestation =
        sigstore.attest_simple(subject().digest(), &statement, &Signing::keyless(dev()));
    for place in ["referrers", ".sig", ".att", "manifest", "blob"] {
        let mut memory = Memory::default();
        let bundle = good_bundle(&sigstore).referrer(&signed_subject(&subject()));
        memory.put(&bundle);
        memory.put(&SimpleAttestation::image(
            subject().digest(),
            std::slice::from_ref(&attestation),
        ));
        let registry = Busy { memory, place };
        let evidence = verifier.discover(&registry, &subject()).await.unwrap();
        let outcome = check(&verifier, &subject(), &evidence);
        let rejected = match &outcome {
            Ok(verified) => &verified.report().rejected,
            Err(error) => error.rejections(),
        };
        assert_eq!(
            outcome.is_ok(),
            [".sig", ".att"].contains(&place),
            "{place}"
        );
        let mut failed = rejected.iter();
        let failed = failed
            .all(|one| one.code.to_string() != "lookup-failed" || one.reason.ends_with(STATUS));
        assert!(failed && !rejected.is_empty(), "{place}: {rejected:?}");
    }
}
