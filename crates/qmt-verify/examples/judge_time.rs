//! Times one verdict over signature material that is at hand, in both of cosign's formats.
//!
//! Prints a line per format: its name and the nanoseconds of the median.

use std::error::Error;
use std::io::Write as _;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, MediaType, PinnedReference, Reference, Repository};
use qmt_testkit::{
    Identity, PrivateSigstore, SignatureImage, SignedSubject, Signing, SimpleSigning,
};
use qmt_verify::{
    Authority, BoxError, DiscoveryOptions, Evidence, EvidenceSource, IdentityRule, Policy,
    PolicySet, Scope, SigstoreVerifier, TrustRoot, Verifier, collect,
};

const IDENTITY: &str = "signer@example.com";
const ISSUER: &str = "https://accounts.example.com";
/// How many verdicts are timed.
const ROUNDS: usize = 501;

fn main() -> Result<(), Box<dyn Error>> {
    let sigstore = PrivateSigstore::new();
    let repository: Repository = "registry.example/acme/echo".parse()?;
    let subject = PinnedReference::new(repository, Digest::sha256("the image"));
    let digest = subject.digest().to_string();
    let signing = Signing::keyless(Identity::email(IDENTITY, ISSUER));
    let simple = sigstore.sign_simple(&digest, &signing);
    let bundle = sigstore.sign_bundle(&digest, &signing);
    let signed = SignedSubject::new(MediaType::OCI_MANIFEST, &digest, 100);
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
            .block_on(collect(&source, &subject, &options))?
            .to_json()?;
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let evidence = Evidence::from_json(&kept)?;
            verifier.judge(&subject, &evidence, None, SystemTime::now())?;
            times.push(start.elapsed().as_nanos());
        }
        times.sort_unstable();
        let median = times.get(ROUNDS / 2).ok_or("nothing was timed")?;
        writeln!(out, "{name} {median}")?;
    }
    Ok(())
}

fn verifier(sigstore: &PrivateSigstore) -> Result<SigstoreVerifier, Box<dyn Error>> {
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

#[async_trait]
impl EvidenceSource for One {
    async fn referrers(&self, _: &PinnedReference) -> Result<Vec<Descriptor>, BoxError> {
        if self.0.tag.is_some() {
            return Ok(Vec::new());
        }
        let media_type = MediaType::new(&self.0.manifest_media_type);
        Ok(vec![Descriptor::of(media_type, &self.0.manifest)])
    }

    async fn manifest(&self, reference: &Reference, _: u64) -> Result<Option<Bytes>, BoxError> {
        let is_it = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => *digest == Digest::sha256(&self.0.manifest),
            (None, tag) => tag.map(ToString::to_string) == self.0.tag,
        };
        Ok(is_it.then(|| self.0.manifest.clone()))
    }

    async fn blob(&self, _: &Repository, blob: &Descriptor, _: u64) -> Result<Bytes, BoxError> {
        let found = self
            .0
            .blobs
            .iter()
            .map(|(_, bytes)| bytes)
            .find(|bytes| Digest::sha256(bytes) == *blob.digest());
        Ok(found.cloned().ok_or("no such blob")?)
    }
}
