//! A registry in memory, and a private Sigstore with short names for what the tests say often.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::manifest::{OCI_MANIFEST, Referrers};
use qmt_oci_ref::{
    BlobStream, Descriptor, Digest, Digester, MediaType, PinnedReference, RawManifest, Reference,
    Registry, RegistryError, RegistryErrorKind, Repository, Tag,
};
use qmt_testkit::{
    Identity, PrivateSigstore, SignatureImage, SignedBundle, SignedSubject, SimpleAttestation,
    SimpleSigning,
};
use qmt_verify::policy::{Authority, IdentityRule, Policy, PolicySet, Scope};
use qmt_verify::trust::{PemTrust, TrustRoot};
use qmt_verify::{
    DiscoveryOptions, Evidence, SigstoreVerifier, Verification, Verifier, VerifyError, discover,
};
use serde_json::Value;

pub const EMAIL: &str = "dev@example.com";
pub const ISSUER: &str = "https://accounts.example.com";

/// What is signed in most tests.
pub fn subject() -> PinnedReference {
    pin("the image")
}

/// The image whose manifest is `content`.
pub fn pin(content: &str) -> PinnedReference {
    let repository: Repository = "registry.example/acme/echo".parse().unwrap();
    PinnedReference::new(repository, Digest::sha256(content))
}

pub fn signed_subject(subject: &PinnedReference) -> SignedSubject {
    SignedSubject::new(OCI_MANIFEST, &subject.digest().to_string(), 100)
}

pub fn dev() -> Identity {
    Identity::email(EMAIL, ISSUER)
}

pub fn authority(issuer: &str, identity: &str) -> Authority {
    Authority::certificate(issuer, IdentityRule::exact(identity).unwrap()).unwrap()
}

pub fn dev_authority() -> Authority {
    authority(ISSUER, EMAIL)
}

pub fn any_of(authorities: Vec<Authority>) -> Policy {
    Policy::any_of(authorities, 1).unwrap()
}

pub fn everything(policy: Policy) -> PolicySet {
    PolicySet::new(vec![(Scope::everything(), policy)]).unwrap()
}

/// The trust root of `sigstore`, from its JSON.
pub fn trust(sigstore: &PrivateSigstore) -> TrustRoot {
    trust_json(&sigstore.trusted_root_json()).unwrap()
}

pub fn trust_json(json: &str) -> Result<TrustRoot, VerifyError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json).unwrap();
    TrustRoot::from_json_file(file.path())
}

pub fn key_authority(sigstore: &PrivateSigstore, name: &str) -> Authority {
    Authority::key(format!("{name}.pub"), sigstore.key_pem(name).as_bytes()).unwrap()
}

pub fn verifier(sigstore: &PrivateSigstore, policy: Policy) -> SigstoreVerifier {
    SigstoreVerifier::new(trust(sigstore), everything(policy)).unwrap()
}

/// Checks now, with nothing pinned.
pub fn check(
    verifier: &SigstoreVerifier,
    subject: &PinnedReference,
    evidence: &Evidence,
) -> Result<Verification, VerifyError> {
    verifier.check(subject, evidence, None, SystemTime::now())
}

/// The code of the first rejection.
pub fn code(outcome: Result<Verification, VerifyError>) -> String {
    match outcome {
        Ok(verified) => panic!("accepted: {:?}", verified.report()),
        Err(error) => match error.rejections().first() {
            Some(rejection) => {
                assert!(!rejection.hint.is_empty() && !rejection.found.is_empty());
                rejection.code.to_string()
            }
            None => error.to_string(),
        },
    }
}

/// A registry in memory that serves what was put into it, and records the requests.
#[derive(Default)]
pub struct Memory {
    pub tags: BTreeMap<String, Bytes>,
    pub referrers: Vec<Descriptor>,
    /// What is remarked about the list of referrers.
    pub remarks: Vec<&'static str>,
    /// Blobs and manifests by the digest that they are requested by.
    pub blobs: HashMap<Digest, Bytes>,
    pub requests: Mutex<Vec<String>>,
    /// Whether a request for referrers never ends.
    pub listing_hangs: bool,
    /// How long a request for a tag takes.
    pub tags_take: Duration,
    /// What is remarked about each tag that does not exist.
    pub tags_remark: Option<&'static str>,
    /// The end of the tags for which a request never ends.
    pub hanging_tags: Option<&'static str>,
    /// The blobs for which a request never ends.
    pub hanging_blobs: Vec<Digest>,
    /// How long the thread is blocked by each request by digest.
    pub computing: Duration,
}

impl Memory {
    pub fn put(&mut self, image: &SignatureImage) {
        let media_type = MediaType::from(&*image.manifest_media_type);
        for (_, blob) in &image.blobs {
            self.blobs.insert(Digest::sha256(blob), blob.clone());
        }
        self.blobs
            .insert(Digest::sha256(&image.manifest), image.manifest.clone());
        match &image.tag {
            Some(tag) => {
                self.tags.insert(tag.clone(), image.manifest.clone());
            }
            None => self
                .referrers
                .push(Descriptor::of(media_type, &image.manifest)),
        }
    }

    pub fn requests(&self) -> Vec<String> {
        let mut requests = self.requests.lock().unwrap().clone();
        requests.sort();
        requests
    }

    fn record(&self, request: String) {
        self.requests.lock().unwrap().push(request);
    }
}

/// A manifest as a registry serves it.
pub fn served(manifest: Option<&Bytes>) -> Result<RawManifest, RegistryError> {
    let bytes = manifest.ok_or_else(missing)?.clone();
    Ok(RawManifest::new(MediaType::ImageManifest, bytes))
}

pub fn missing() -> RegistryError {
    RegistryError::new(RegistryErrorKind::NotFound, "404")
}

pub fn stream(content: Bytes) -> BlobStream {
    Box::pin(futures_util::stream::iter([Ok(content)]))
}

#[async_trait]
impl Registry for Memory {
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        self.record(format!("manifest {reference}"));
        tokio::time::sleep(self.tags_take).await;
        let tag = reference.tag().map(Tag::as_str);
        if let (Some(tag), Some(end)) = (tag, self.hanging_tags)
            && tag.ends_with(end)
        {
            return std::future::pending().await;
        }
        let found = served(tag.and_then(|tag| self.tags.get(tag)));
        found.map_err(|absent| match self.tags_remark {
            Some(remark) => absent.with_remark(remark),
            None => absent,
        })
    }

    async fn manifest(&self, pin: &PinnedReference, _: u64) -> Result<RawManifest, RegistryError> {
        self.record(format!("manifest {pin}"));
        std::thread::sleep(self.computing);
        served(self.blobs.get(pin.digest()))
    }

    async fn blob(
        &self,
        _: &Repository,
        blob: &Descriptor,
        _: Digester,
    ) -> Result<BlobStream, RegistryError> {
        self.record(format!("blob {}", blob.digest()));
        if self.hanging_blobs.contains(blob.digest()) {
            return std::future::pending().await;
        }
        std::thread::sleep(self.computing);
        let content = self.blobs.get(blob.digest()).ok_or_else(missing)?;
        Ok(stream(content.clone()))
    }

    async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError> {
        self.record(format!("referrers {subject}"));
        if self.listing_hangs {
            return std::future::pending().await;
        }
        let mut listed = Referrers::from(self.referrers.clone());
        self.remarks.iter().for_each(|line| listed.remark(*line));
        Ok(listed)
    }
}

/// Discovers in `registry` with default options.
pub async fn look(registry: &dyn Registry, subject: &PinnedReference) -> Evidence {
    discover(registry, subject, &DiscoveryOptions::default())
        .await
        .unwrap()
}

/// One signature, or attestation, in one of its forms.
#[derive(Clone)]
pub enum Item {
    Simple(SimpleSigning),
    Bundle(SignedBundle),
    Attestation(SimpleAttestation),
}

impl From<SimpleSigning> for Item {
    fn from(signing: SimpleSigning) -> Self {
        Self::Simple(signing)
    }
}

impl From<SignedBundle> for Item {
    fn from(bundle: SignedBundle) -> Self {
        Self::Bundle(bundle)
    }
}

impl From<SimpleAttestation> for Item {
    fn from(attestation: SimpleAttestation) -> Self {
        Self::Attestation(attestation)
    }
}

/// Evidence as it is discovered where `subject` has all of `items`.
pub async fn evidence(
    subject: &PinnedReference,
    items: impl IntoIterator<Item = impl Into<Item>>,
) -> Evidence {
    let mut memory = Memory::default();
    let (mut simple, mut attestations) = (Vec::new(), Vec::new());
    for item in items {
        match item.into() {
            Item::Simple(one) => simple.push(one),
            Item::Bundle(one) => memory.put(&one.referrer(&signed_subject(subject))),
            Item::Attestation(one) => attestations.push(one),
        }
    }
    if !simple.is_empty() {
        memory.put(&SimpleSigning::image(subject.digest(), &simple));
    }
    if !attestations.is_empty() {
        memory.put(&SimpleAttestation::image(subject.digest(), &attestations));
    }
    look(&memory, subject).await
}

/// Names PEM files one by one.
pub trait PemFiles {
    fn with_fulcio(self, path: impl Into<PathBuf>) -> Self;
    fn with_rekor(self, path: impl Into<PathBuf>) -> Self;
    fn with_ctfe(self, path: impl Into<PathBuf>) -> Self;
    fn with_tsa(self, path: impl Into<PathBuf>) -> Self;
}

impl PemFiles for PemTrust {
    fn with_fulcio(mut self, path: impl Into<PathBuf>) -> Self {
        self.fulcio.push(path.into());
        self
    }

    fn with_rekor(mut self, path: impl Into<PathBuf>) -> Self {
        self.rekor.push(path.into());
        self
    }

    fn with_ctfe(mut self, path: impl Into<PathBuf>) -> Self {
        self.ctfe.push(path.into());
        self
    }

    fn with_tsa(mut self, path: impl Into<PathBuf>) -> Self {
        self.tsa.push(path.into());
        self
    }
}

/// A copy of `bundle` with other JSON.
pub fn changed(bundle: &SignedBundle, change: impl Fn(&mut Value)) -> SignedBundle {
    let mut value: Value = serde_json::from_slice(&bundle.json).unwrap();
    change(&mut value);
    let mut changed = bundle.clone();
    changed.json = value.to_string().into();
    changed
}
