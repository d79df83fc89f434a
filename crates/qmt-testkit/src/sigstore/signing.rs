//! What to sign with, and the one place where a signature, its certificate, its log entry and its
//! timestamps come to be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::ca::LEAF_LIFETIME;
use super::entry::{self, Signed, SignerProof};
use super::identity::Identity;
use super::key::{KeyKind, KeyPair};
use super::malleate::other_of_two;
use super::rekor::{Log, LogEntry, LogVersion};
use super::tampered::{Tampered, altered, entry_defect, leaf_defect};
use super::tsa::TokenDefect;
use super::{PrivateSigstore, kind_of};

/// From the certificate's first second to the log's and the timestamp authority's answer.
const SIGNING_DELAY: Duration = Duration::from_secs(2);

/// Who makes a signature.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Signer {
    /// A fresh key with a certificate for this identity.
    Keyless(Identity),
    /// The key of that name; see [`PrivateSigstore::key`].
    Key(String),
}

/// Where a signature is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogKind {
    /// Rekor v1: with a signed entry timestamp, which vouches for the time.
    RekorV1,
    /// Rekor v1, with an entry of kind `intoto` 0.0.2, as cosign 2.0 logged attestations.
    RekorV1Intoto,
    /// Rekor v2: a proof of inclusion and no time; a timestamp is required next to it.
    RekorV2,
    /// Nowhere.
    None,
}

/// How one signature is made.
#[derive(Clone, Debug)]
pub struct Signing {
    pub(super) signer: Signer,
    pub(super) log: LogKind,
    pub(super) timestamp: bool,
    pub(super) docker_reference: Option<String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) witnessed: bool,
    pub(super) more_subjects: usize,
    pub(super) earlier: Duration,
    pub(super) tampered: Option<Tampered>,
}

impl Signing {
    /// Signs keyless, into Rekor v1, with no timestamp: what cosign 2 does by default.
    pub fn keyless(identity: Identity) -> Self {
        Self::by(Signer::Keyless(identity))
    }

    /// Signs with the key of that name, into Rekor v1; see [`PrivateSigstore::key`].
    pub fn key(name: &str) -> Self {
        Self::by(Signer::Key(name.to_owned()))
    }

    /// Chooses the log.
    #[must_use]
    pub fn log(mut self, log: LogKind) -> Self {
        self.log = log;
        self
    }

    /// Asks the timestamp authority as well, or not.
    #[must_use]
    pub fn timestamp(mut self, wanted: bool) -> Self {
        self.timestamp = wanted;
        self
    }

    /// The name in the payload of a `.sig`; without it the payload names `localhost/plugin`.
    #[must_use]
    pub fn docker_reference(mut self, name: &str) -> Self {
        self.docker_reference = Some(name.to_owned());
        self
    }

    /// Adds what `cosign sign -a key=value` adds.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Has the checkpoint signed by a witness as well, and by a key that shares the log's key ID
    /// by chance. A good signature stays good.
    #[must_use]
    pub fn witnessed(mut self) -> Self {
        self.witnessed = true;
        self
    }

    /// Names `count` other subjects in a bundle's statement, before the image itself.
    #[must_use]
    pub fn more_subjects(mut self, count: usize) -> Self {
        self.more_subjects = count;
        self
    }

    /// Signs that long before [the Sigstore's time](PrivateSigstore::time).
    #[must_use]
    pub fn earlier(mut self, by: Duration) -> Self {
        self.earlier = by;
        self
    }

    /// Makes a tampered signature: everything as requested, and this one thing wrong.
    #[must_use]
    pub fn tampered(mut self, tampered: Tampered) -> Self {
        self.tampered = Some(tampered);
        self
    }

    /// Whether the key is of P-256, as keyless ones are.
    pub(super) fn signs_with_p256(&self) -> bool {
        match &self.signer {
            Signer::Keyless(_) => true,
            Signer::Key(name) => kind_of(name) == KeyKind::P256,
        }
    }

    fn by(signer: Signer) -> Self {
        Self {
            signer,
            log: LogKind::RekorV1,
            timestamp: false,
            docker_reference: None,
            annotations: BTreeMap::new(),
            witnessed: false,
            more_subjects: 0,
            earlier: Duration::ZERO,
            tampered: None,
        }
    }
}

/// Whose habits are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Timestamps carry the authority's certificate, and those of envelopes are over the envelope.
    Cosign2,
    /// Timestamps carry no certificate, and are over the signature.
    Cosign3,
}

/// Everything that belongs to one signature, before it gets a format.
pub(super) struct Material {
    pub(super) signature: Vec<u8>,
    pub(super) proof: SignerProof,
    /// Intermediate and root, where there is a certificate.
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) entry: Option<LogEntry>,
    pub(super) timestamps: Vec<Vec<u8>>,
}

impl PrivateSigstore {
    pub(super) fn material(&self, signed: &Signed, signing: &Signing, style: Style) -> Material {
        let tampered = signing.tampered;
        let Credential {
            key,
            claimed,
            proof,
            chain,
        } = self.credential(signing);
        let message = signed.message();
        let other = signed.other();
        let signature = match tampered {
            Some(Tampered::GarbageSignature) => vec![0x2a; key.sign(&message).len()],
            Some(Tampered::ForeignSignature) => key.sign(&other.message()),
            Some(Tampered::TrailingByte) => [key.sign(&message), vec![0]].concat(),
            _ => key.sign(&message),
        };
        let begins = self.begins(signing);
        let at = begins + SIGNING_DELAY;
        let logged_at = match tampered {
            Some(Tampered::LoggedAfterExpiry) => begins + LEAF_LIFETIME + SIGNING_DELAY,
            _ => at,
        };

        let (logged, logged_signature, logged_proof) = match tampered {
            Some(Tampered::ForeignEntry) => (&other, key.sign(&other.message()), proof.clone()),
            Some(Tampered::EntryOfOtherPayload) => (&other, signature.clone(), proof.clone()),
            Some(Tampered::EntryOfOtherSignature) => {
                (signed, key.sign(&other.message()), proof.clone())
            }
            Some(Tampered::MalleatedSignature) => (signed, other_of_two(&signature), proof.clone()),
            Some(Tampered::EntryOfOtherSigner) => {
                (signed, signature.clone(), self.other_proof(signing))
            }
            _ => (signed, signature.clone(), proof.clone()),
        };
        let foreign_log;
        let log: Option<(&Log, LogVersion)> = match (signing.log, tampered) {
            (LogKind::None, _) | (_, Some(Tampered::MissingEntry)) => None,
            (LogKind::RekorV1 | LogKind::RekorV1Intoto, Some(Tampered::UnknownLog)) => {
                foreign_log = Log::new(LogVersion::V1, "rekor.stranger.test", KeyKind::P256);
                Some((&foreign_log, LogVersion::V1))
            }
            (LogKind::RekorV2, Some(Tampered::UnknownLog)) => {
                foreign_log = Log::new(LogVersion::V2, "log.stranger.test", KeyKind::Ed25519);
                Some((&foreign_log, LogVersion::V2))
            }
            (LogKind::RekorV1 | LogKind::RekorV1Intoto, _) => Some((&self.rekor, LogVersion::V1)),
            (LogKind::RekorV2, _) => Some((&self.rekor_v2, LogVersion::V2)),
        };
        let entry = log.map(|(log, version)| {
            let body = match version {
                LogVersion::V1 if signing.log == LogKind::RekorV1Intoto => {
                    entry::v1_intoto(logged, &logged_signature, &logged_proof)
                }
                LogVersion::V1 => entry::v1(logged, &logged_signature, &logged_proof),
                LogVersion::V2 => {
                    entry::v2(logged, &logged_signature, &logged_proof, claimed.kind())
                }
            };
            log.append(body, logged_at, signing.witnessed, entry_defect(tampered))
        });
        let timestamps = if signing.timestamp {
            let stamped = match (style, signed) {
                (Style::Cosign2, Signed::Envelope { .. }) => {
                    signed.envelope(&signature).to_string().into_bytes()
                }
                _ => signature.clone(),
            };
            vec![self.timestamp(&stamped, at, style == Style::Cosign2, tampered)]
        } else {
            Vec::new()
        };
        Material {
            signature,
            proof,
            chain,
            entry,
            timestamps,
        }
    }

    /// When the certificate of this order begins.
    pub(super) fn begins(&self, signing: &Signing) -> SystemTime {
        self.time - signing.earlier
    }

    fn credential(&self, signing: &Signing) -> Credential {
        let tampered = signing.tampered;
        match &signing.signer {
            Signer::Key(name) => {
                let claimed = self.key(name);
                let key = match tampered {
                    Some(Tampered::OtherKey) => Arc::new(KeyPair::generate(claimed.kind())),
                    _ => Arc::clone(&claimed),
                };
                Credential {
                    key,
                    proof: SignerProof::PublicKey(claimed.public_der().to_vec()),
                    claimed,
                    chain: Vec::new(),
                }
            }
            Signer::Keyless(identity) => {
                let key = Arc::new(KeyPair::generate(KeyKind::P256));
                let claimed = match tampered {
                    Some(Tampered::OtherKey) => Arc::new(KeyPair::generate(KeyKind::P256)),
                    _ => Arc::clone(&key),
                };
                let authority = match tampered {
                    Some(Tampered::UnknownCa) => &self.stranger,
                    Some(Tampered::ExpiredCa) => &self.retired,
                    _ => &self.fulcio,
                };
                let begins = self.begins(signing);
                let not_before = match tampered {
                    Some(Tampered::ExpiredCertificate) => begins - LEAF_LIFETIME - LEAF_LIFETIME,
                    Some(Tampered::NotYetValidCertificate) => begins + LEAF_LIFETIME,
                    _ => begins,
                };
                let identity = altered(identity, tampered);
                let leaf = authority.issue(
                    &claimed,
                    &identity,
                    &self.ctfe,
                    not_before,
                    leaf_defect(tampered),
                );
                Credential {
                    key,
                    claimed,
                    proof: SignerProof::Certificate(leaf),
                    chain: vec![authority.intermediate.clone(), authority.root.clone()],
                }
            }
        }
    }

    /// The proof of another signer who could have signed the same.
    fn other_proof(&self, signing: &Signing) -> SignerProof {
        match &signing.signer {
            Signer::Key(name) => {
                let other = KeyPair::generate(self.key(name).kind());
                SignerProof::PublicKey(other.public_der().to_vec())
            }
            Signer::Keyless(identity) => {
                let other = KeyPair::generate(KeyKind::P256);
                let leaf =
                    self.fulcio
                        .issue(&other, identity, &self.ctfe, self.begins(signing), None);
                SignerProof::Certificate(leaf)
            }
        }
    }

    fn timestamp(
        &self,
        signature: &[u8],
        at: SystemTime,
        embed: bool,
        tampered: Option<Tampered>,
    ) -> Vec<u8> {
        match tampered {
            Some(Tampered::TimestampOutsideCertificate) => {
                self.tsa.token(signature, at + LEAF_LIFETIME, embed, None)
            }
            Some(Tampered::ForeignTimestamp) => {
                self.tsa.token(b"another signature", at, embed, None)
            }
            Some(Tampered::TimestampByUnknownAuthority) => {
                self.stranger_tsa.token(signature, at, embed, None)
            }
            Some(Tampered::TimestampByOtherKey) => {
                self.tsa
                    .token(signature, at, embed, Some(TokenDefect::OtherSigner))
            }
            Some(Tampered::TamperedTimestamp) => {
                self.tsa
                    .token(signature, at, embed, Some(TokenDefect::Tampered))
            }
            _ => self.tsa.token(signature, at, embed, None),
        }
    }
}

struct Credential {
    /// The key that signs.
    key: Arc<KeyPair>,
    /// The key that is said to have signed: the same except in one tampered signature.
    claimed: Arc<KeyPair>,
    proof: SignerProof,
    chain: Vec<Vec<u8>>,
}
