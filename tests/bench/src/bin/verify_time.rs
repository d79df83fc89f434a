//! Times one check of stored evidence, in both of cosign's formats.
//!
//! Prints a line per format: its name and the nanoseconds of the median.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use async_trait::async_trait;
use qmt_oci_ref::manifest::{OCI_MANIFEST, Referrers};
use qmt_oci_ref::{
    BlobStream, Descriptor, Digest, Digester, MediaType, PinnedReference, RawManifest, Reference,
    Registry, RegistryError, RegistryErrorKind, Repository,
};
use qmt_testkit::{
    Identity, PrivateSigstore, SignatureImage, SignedSubject, Signing, SimpleSigning,
};
use qmt_verify::policy::{Authority, IdentityRule, Policy, PolicySet, Scope};
use qmt_verify::trust::TrustRoot;
use qmt_verify::{DiscoveryOptions, Evidence, SigstoreVerifier, Verifier, discover};

const IDENTITY: &str = "signer@example.com";
const ISSUER: &str = "https://accounts.example.com";
/// How many checks are timed.
const ROUNDS: usize = 501;

fn main() -> anyhow::Result<()> {
    let sigstore = PrivateSigstore::new();
    let repository: Repository = "registry.example/acme/echo".parse()?;
    let subject = PinnedReference::new(repository, Digest::sha256("the image"));
    let digest = subject.digest().to_string();
    let signing = Signing::keyless(Identity::email(IDENTITY, ISSUER));
    let simple = sigstore.sign_simple(&digest, &signing);
    let bundle = sigstore.sign_bundle(&digest, &signing);
    let signed = SignedSubject::new(OCI_MANIFEST, &digest, 100);
    let images = [
        ("`.sig` tag", SimpleSigning::image(&digest, &[simple])),
        ("bundle", bundle.referrer(&signed)),
    ];
    let verifier = verifier(&sigstore)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut out = std::io::stdout();
    for (name, image) in images {
        let (source, options) = (One(image), DiscoveryOptions::default());
        // As the cache keeps it.
        let kept = runtime
            .block_on(discover(&source, &subject, &options))?
            .to_json()?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let evidence = Evidence::from_json(&kept)?;
            verifier.check(&subject, &evidence, None, SystemTime::now())?;
            times.push(start.elapsed().as_nanos());
        }
        times.sort_unstable();
        let median = times.get(ROUNDS / 2).context("nothing was timed")?;
        writeln!(out, "{name} {median}")?;
    }
    Ok(())
}

fn verifier(sigstore: &PrivateSigstore) -> anyhow::Result<SigstoreVerifier> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), sigstore.trusted_root_json())?;
    let trust = TrustRoot::from_json_file(file.path())?;
    let authority = Authority::certificate(ISSUER, IdentityRule::exact(IDENTITY)?)?;
    let policy = Policy::any_of(vec![authority], 1)?;
    let policies = PolicySet::new(vec![(Scope::everything(), policy)])?;
    Ok(SigstoreVerifier::new(trust, policies)?)
}

/// A registry that holds one signature.
struct One(SignatureImage);

impl One {
    fn manifest(&self, is_it: bool) -> Result<RawManifest, RegistryError> {
        let bytes = is_it.then(|| self.0.manifest.clone()).ok_or_else(missing)?;
        Ok(RawManifest::new(MediaType::ImageManifest, bytes))
    }
}

fn missing() -> RegistryError {
    RegistryError::new(RegistryErrorKind::NotFound, "404")
}

#[async_trait]
impl Registry for One {
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        self.manifest(reference.tag().map(ToString::to_string) == self.0.tag)
    }

    async fn manifest(&self, pin: &PinnedReference, _: u64) -> Result<RawManifest, RegistryError> {
        self.manifest(*pin.digest() == Digest::sha256(&self.0.manifest))
    }

    async fn blob(
        &self,
        _: &Repository,
        blob: &Descriptor,
        _: Digester,
    ) -> Result<BlobStream, RegistryError> {
        let mut blobs = self.0.blobs.iter().map(|(_, bytes)| bytes);
        let found = blobs.find(|bytes| Digest::sha256(bytes) == *blob.digest());
        let content = found.ok_or_else(missing)?.clone();
        Ok(Box::pin(futures_util::stream::iter([Ok(content)])))
    }

    async fn referrers(&self, _: &PinnedReference) -> Result<Referrers, RegistryError> {
        if self.0.tag.is_some() {
            return Ok(Referrers::default());
        }
        let referrer = Descriptor::of(MediaType::ImageManifest, &self.0.manifest);
        Ok(vec![referrer].into())
    }
}
