//! The transparency logs: Rekor v1 with its signed entry timestamp, and Rekor v2 without.
//!
//! Rekor v1: <https://github.com/sigstore/rekor/blob/main/openapi.yaml>;
//! Rekor v2: <https://github.com/sigstore/rekor-tiles/blob/main/CLIENTS.md>;
//! checkpoints: <https://github.com/C2SP/C2SP/blob/main/tlog-checkpoint.md>.

use std::sync::Mutex;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::codec::{Canonical, base64, canonical_json, unix};
use super::entry::Body;
use super::key::{KeyKind, KeyPair, sha256};
use super::merkle::{self, Hash};

/// Leaves that each log holds before the first signature, so that proofs are not empty.
const EARLIER_LEAVES: u8 = 5;

/// What the public Rekor v1 has in older shards: the global index runs ahead of the tree's.
const V1_INDEX_OFFSET: u64 = 4_163_431;

/// The algorithm byte of Ed25519 in a signed note's key ID.
const NOTE_ED25519: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogVersion {
    V1,
    V2,
}

/// What is wrong with an entry's proof of inclusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryDefect {
    SetByWrongKey,
    TamperedTime,
    NoSet,
    NoProof,
    WrongIndex,
    BrokenProof,
    CheckpointByWrongKey,
    CheckpointOfOtherTree,
}

/// One log.
pub(super) struct Log {
    version: LogVersion,
    origin: String,
    pub(super) key: KeyPair,
    leaves: Mutex<Vec<Hash>>,
}

/// An entry as the log hands it back.
#[derive(Clone)]
pub(super) struct LogEntry {
    pub(super) body: Body,
    pub(super) log_id: Hash,
    pub(super) index: u64,
    pub(super) integrated: Option<u64>,
    pub(super) set: Option<Vec<u8>>,
    pub(super) proof: Option<Proof>,
}

#[derive(Clone)]
pub(super) struct Proof {
    index: u64,
    size: usize,
    root: Hash,
    hashes: Vec<Hash>,
    checkpoint: String,
}

impl Log {
    pub(super) fn new(version: LogVersion, host: &str, kind: KeyKind) -> Self {
        let origin = match version {
            LogVersion::V1 => format!("{host} - 5342322972786764300"),
            LogVersion::V2 => host.to_owned(),
        };
        Self {
            version,
            origin,
            key: KeyPair::generate(kind),
            leaves: Mutex::new((0..EARLIER_LEAVES).map(|n| merkle::leaf(&[n])).collect()),
        }
    }

    /// The log's name: SHA-256 of its key, or for Ed25519 the key ID of its signed notes.
    pub(super) fn id(&self) -> Hash {
        match self.key.kind() {
            KeyKind::Ed25519 => {
                let mut note = self.origin.clone().into_bytes();
                note.extend_from_slice(&[b'\n', NOTE_ED25519]);
                note.extend_from_slice(self.key.public_bits());
                sha256(&note)
            }
            _ => self.key.id(),
        }
    }

    /// Takes `body` into the log at `time`.
    pub(super) fn append(
        &self,
        body: Body,
        time: SystemTime,
        witnessed: bool,
        defect: Option<EntryDefect>,
    ) -> LogEntry {
        let leaves = {
            let mut leaves = self
                .leaves
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            leaves.push(merkle::leaf(&body.bytes));
            leaves.clone()
        };
        let position = leaves.len() - 1;
        let mut proof = Proof {
            index: position as u64,
            size: leaves.len(),
            root: merkle::root(&leaves),
            hashes: merkle::path(&leaves, position),
            checkpoint: String::new(),
        };
        let stranger = KeyPair::generate(self.key.kind());
        let checkpoint_key = match defect {
            Some(EntryDefect::CheckpointByWrongKey) => &stranger,
            _ => &self.key,
        };
        let checkpoint_root = match defect {
            Some(EntryDefect::CheckpointOfOtherTree) => sha256(&proof.root),
            _ => proof.root,
        };
        proof.checkpoint = self.checkpoint(checkpoint_key, proof.size, &checkpoint_root);
        if witnessed {
            proof.checkpoint = self.witnessed(&proof.checkpoint, &stranger);
        }
        if defect == Some(EntryDefect::BrokenProof) {
            for hash in &mut proof.hashes {
                *hash = sha256(hash);
            }
        }
        let (mut index, integrated, set) = match self.version {
            LogVersion::V1 => {
                let index = V1_INDEX_OFFSET + proof.index;
                let time = unix(time);
                let key = match defect {
                    Some(EntryDefect::SetByWrongKey) => &stranger,
                    _ => &self.key,
                };
                let set = key.sign(&self.promise(&body.bytes, time, index));
                let set = (defect != Some(EntryDefect::NoSet)).then_some(set);
                let tampered = u64::from(defect == Some(EntryDefect::TamperedTime));
                (index, Some(time + tampered), set)
            }
            LogVersion::V2 => (proof.index, None, None),
        };
        if defect == Some(EntryDefect::WrongIndex) {
            // The leaf before is there in the tree, so only the hashes can tell. Rekor v2 reads the
            // entry's own index; in Rekor v1 that one is under the promise and stays.
            proof.index -= 1;
            if self.version == LogVersion::V2 {
                index -= 1;
            }
        }
        LogEntry {
            body,
            log_id: self.id(),
            index,
            integrated,
            set,
            proof: (defect != Some(EntryDefect::NoProof)).then_some(proof),
        }
    }

    /// What a signed entry timestamp signs.
    fn promise(&self, body: &[u8], time: u64, index: u64) -> Vec<u8> {
        let payload = json!({
            "body": base64(body),
            "integratedTime": time,
            "logID": hex::encode(self.id()),
            "logIndex": index,
        });
        canonical_json(&payload, Canonical::Jcs)
    }

    fn checkpoint(&self, key: &KeyPair, size: usize, root: &Hash) -> String {
        let text = format!("{}\n{size}\n{}\n", self.origin, base64(root));
        let mut signature = self.id()[..4].to_vec();
        signature.extend_from_slice(&key.sign(text.as_bytes()));
        let signer = self.origin.split(' ').next().unwrap_or(&self.origin);
        format!("{text}\n\u{2014} {signer} {}\n", base64(signature))
    }

    /// The checkpoint with two more signatures around the log's own: before it one that has the
    /// log's key ID by chance and does not hold, after it a witness's.
    fn witnessed(&self, checkpoint: &str, witness: &KeyPair) -> String {
        let (text, own) = checkpoint.split_once("\n\n").unwrap_or((checkpoint, ""));
        let signed = witness.sign(format!("{text}\n").as_bytes());
        let line =
            |name: &str, id: &[u8]| format!("\u{2014} {name} {}\n", base64([id, &signed].concat()));
        let collision = line("other.private.test", &self.id()[..4]);
        let witness = line("witness.private.test", &witness.id()[..4]);
        format!("{text}\n\n{collision}{own}{witness}")
    }
}

impl LogEntry {
    /// As a bundle's `tlogEntries` hold it.
    pub(super) fn to_bundle_json(&self) -> Value {
        let mut entry = json!({
            "logIndex": self.index.to_string(),
            "logId": { "keyId": base64(self.log_id) },
            "kindVersion": { "kind": self.body.kind, "version": self.body.version },
            "canonicalizedBody": base64(&self.body.bytes),
        });
        if let Some(time) = self.integrated {
            entry["integratedTime"] = time.to_string().into();
        }
        if let Some(set) = &self.set {
            entry["inclusionPromise"] = json!({ "signedEntryTimestamp": base64(set) });
        }
        if let Some(proof) = &self.proof {
            entry["inclusionProof"] = json!({
                "logIndex": proof.index.to_string(),
                "rootHash": base64(proof.root),
                "treeSize": proof.size.to_string(),
                "hashes": proof.hashes.iter().map(base64).collect::<Vec<_>>(),
                "checkpoint": { "envelope": proof.checkpoint },
            });
        }
        entry
    }

    /// As cosign 2 writes the annotation `dev.sigstore.cosign/bundle`, which knows Rekor v1 only.
    pub(super) fn to_annotation(&self) -> String {
        json!({
            "SignedEntryTimestamp": base64(self.set.clone().unwrap_or_default()),
            "Payload": {
                "body": base64(&self.body.bytes),
                "integratedTime": self.integrated,
                "logIndex": self.index,
                "logID": hex::encode(self.log_id),
            },
        })
        .to_string()
    }
}
