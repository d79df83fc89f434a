//! A registry in memory, and a private Sigstore with short names for what the tests say often.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, MediaType, PinnedReference, Reference, Repository};
use qmt_testkit::{
    Identity, PrivateSigstore, SignatureImage, SignedBundle, SignedSubject, SimpleAttestation,
    SimpleSigning,
};
use qmt_verify::{
    Authority, BoxError, DiscoveryOptions, Evidence, EvidenceSource, IdentityRule, Policy,
    PolicySet, Scope, SigstoreVerifier, TrustRoot, Verification, Verifier, VerifyError, collect,
};

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
    SignedSubject::new(MediaType::OCI_MANIFEST, &subject.digest().to_string(), 100)
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

/// Judges now, with nothing pinned.
pub fn judge(
    verifier: &SigstoreVerifier,
    subject: &PinnedReference,
    evidence: &Evidence,
) -> Result<Verification, VerifyError> {
    verifier.judge(subject, evidence, None, SystemTime::now())
}

/// The code of the first rejection.
pub fn code(outcome: Result<Verification, VerifyError>) -> String {
    match outcome {
        Ok(verified) => panic!("accepted: {:?}", verified.report()),
        Err(error) => match error.rejections().first() {
            Some(rejection) => {
                assert!(!rejection.hint.is_empty() && !rejection.found.is_empty());
                rejection.code.clone()
            }
            None => error.to_string(),
        },
    }
}

/// A registry in memory that gives what was put into it, and remembers what it was asked.
#[derive(Default)]
pub struct Memory {
    pub tags: BTreeMap<String, Bytes>,
    pub referrers: Vec<Descriptor>,
    pub blobs: HashMap<Digest, Bytes>,
    pub asked: Mutex<Vec<String>>,
}

impl Memory {
    pub fn put(&mut self, image: &SignatureImage) {
        let media_type = MediaType::new(&image.manifest_media_type);
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

    pub fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }

    fn note(&self, question: String) {
        self.asked.lock().unwrap().push(question);
    }
}

#[async_trait]
impl EvidenceSource for Memory {
    async fn referrers(&self, subject: &PinnedReference) -> Result<Vec<Descriptor>, BoxError> {
        self.note(format!("referrers {subject}"));
        Ok(self.referrers.clone())
    }

    async fn manifest(&self, reference: &Reference, _: u64) -> Result<Option<Bytes>, BoxError> {
        self.note(format!("manifest {reference}"));
        Ok(match (reference.digest(), reference.tag()) {
            (Some(digest), _) => self.blobs.get(digest).cloned(),
            (None, Some(tag)) => self.tags.get(tag.as_str()).cloned(),
            (None, None) => None,
        })
    }

    async fn blob(&self, _: &Repository, blob: &Descriptor, _: u64) -> Result<Bytes, BoxError> {
        self.note(format!("blob {}", blob.digest()));
        self.blobs
            .get(blob.digest())
            .cloned()
            .ok_or_else(|| "no such blob".into())
    }
}

/// Collects from `memory` with no options.
pub async fn look(memory: &Memory, subject: &PinnedReference) -> Evidence {
    collect(memory, subject, &DiscoveryOptions::default())
        .await
        .unwrap()
}

/// One signature, or attestation, in one of its forms.
#[derive(Clone)]
pub enum Piece {
    Simple(SimpleSigning),
    Bundle(SignedBundle),
    Attestation(SimpleAttestation),
}

impl From<SimpleSigning> for Piece {
    fn from(signing: SimpleSigning) -> Self {
        Self::Simple(signing)
    }
}

impl From<SignedBundle> for Piece {
    fn from(bundle: SignedBundle) -> Self {
        Self::Bundle(bundle)
    }
}

impl From<SimpleAttestation> for Piece {
    fn from(attestation: SimpleAttestation) -> Self {
        Self::Attestation(attestation)
    }
}

/// Evidence as it is collected where all of `pieces` lie beside `subject`.
pub async fn evidence(
    subject: &PinnedReference,
    pieces: impl IntoIterator<Item = impl Into<Piece>>,
) -> Evidence {
    let mut memory = Memory::default();
    let (mut simple, mut attestations) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece.into() {
            Piece::Simple(one) => simple.push(one),
            Piece::Bundle(one) => memory.put(&one.referrer(&signed_subject(subject))),
            Piece::Attestation(one) => attestations.push(one),
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
