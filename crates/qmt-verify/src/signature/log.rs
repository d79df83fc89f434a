//! The transparency logs of the trust root: which of them signed an entry, and what is known about
//! the entry by that.

use std::time::SystemTime;

use qmt_oci_ref::time::rfc3339;
use sigstore_trust_root::{TimeRange, TrustedRoot};
use sigstore_verify::crypto::{Checkpoint, Keyring};
use sigstore_verify::types::{KindVersion, Sha256Hash, TransparencyLogEntry};

use crate::report::LogEntry;

/// The transparency logs that are trusted.
pub(super) struct TransparencyLogs {
    pub(super) keyring: Keyring,
    known: Vec<TransparencyLog>,
}

struct TransparencyLog {
    id: Sha256Hash,
    /// The ID as it is shown.
    name: String,
    window: Option<TimeRange>,
}

impl TransparencyLogs {
    pub(super) fn new(root: &TrustedRoot) -> Result<Self, sigstore_verify::Error> {
        let keyring = root.rekor_keys()?;
        let known = root.tlogs.iter().filter_map(|log| {
            let id = Sha256Hash::try_from(log.log_id.key_id.as_bytes()).ok()?;
            // The key may be of a kind that the library cannot use.
            keyring.key(&id)?;
            Some(TransparencyLog {
                id,
                name: log.log_id.key_id.to_string(),
                window: log.public_key.valid_for,
            })
        });
        let known = known.collect();
        Ok(Self { keyring, known })
    }

    pub(super) fn are_known(&self) -> bool {
        !self.known.is_empty()
    }

    /// Whether `entry` names a log of the trust root: by its ID, or in its checkpoint.
    pub(super) fn know(&self, entry: &TransparencyLogEntry) -> bool {
        let lines = checkpoint(entry).map_or(&[][..], Checkpoint::signatures);
        self.known.iter().any(|log| {
            let id = log.id.as_bytes();
            let mut lines = lines.iter();
            id == entry.log_id.key_id.as_bytes()
                || lines.any(|line| id.starts_with(line.key_id.as_bytes()))
        })
    }

    /// Whether the trust root has the key that must have signed each part of `entry`.
    pub(super) fn have_keys_of(&self, entry: &TransparencyLogEntry) -> bool {
        let promised = entry
            .integrated_time
            .filter(|_| entry.inclusion_promise.is_some());
        let is_signer = promised.is_none_or(|time| {
            let id = Sha256Hash::try_from(entry.log_id.key_id.as_bytes());
            id.is_ok_and(|id| self.keyring.key_at(&id, time).is_some())
        });
        is_signer && self.know(entry)
    }

    /// Whether a log that proves the inclusion of `entry` was in use at all proven times, or is
    /// `now` where none is proven; the library accepts a retired key for any time. True where
    /// nothing proves inclusion: a promise is checked with its own time.
    pub(super) fn were_in_use(
        &self,
        entry: &TransparencyLogEntry,
        proven: &[SystemTime],
        now: SystemTime,
    ) -> bool {
        let Some(checkpoint) = checkpoint(entry) else {
            return true;
        };
        self.signers(checkpoint).iter().any(|log| {
            log.window.is_none_or(|window| {
                let times = if proven.is_empty() { &[now] } else { proven };
                let mut times = times.iter().map(|&time| time.try_into());
                times.all(|time| time.is_ok_and(|time| window.contains(time)))
            })
        })
    }

    /// What is known about the verified `entry`, from those of its parts that its log signed.
    pub(super) fn describe(&self, entry: &TransparencyLogEntry) -> LogEntry {
        let version = entry.kind_version;
        let kind = format!("{} {}", version.kind(), version.version());
        let is_v2 = version == KindVersion::HashedRekordV002;
        // A promise of Rekor v1 is over index, ID and time.
        if !is_v2 && entry.inclusion_promise.is_some() {
            return LogEntry {
                index: entry.log_index.get(),
                log: entry.log_id.key_id.to_string(),
                kind,
                integrated_at: entry.integrated_time.map(|time| rfc3339(time.into())),
            };
        }
        let signers = checkpoint(entry).map(|checkpoint| self.signers(checkpoint));
        let signer = signers.and_then(|signers| Some(signers.first()?.name.clone()));
        // A proof of Rekor v1 has another index, in the log's current tree.
        let index = match &entry.inclusion_proof {
            Some(proof) if !is_v2 => proof.log_index.get(),
            _ => entry.log_index.get(),
        };
        LogEntry {
            index,
            log: signer.unwrap_or_default(),
            kind,
            integrated_at: None,
        }
    }

    /// The logs that signed `checkpoint`; that one did is proven. Hints are not enough to tell
    /// which: they are four bytes, and lines with other hints can be added.
    fn signers(&self, checkpoint: &Checkpoint) -> Vec<&TransparencyLog> {
        let mut claims = Vec::new();
        for log in &self.known {
            for line in checkpoint.signatures() {
                if log.id.as_bytes().starts_with(line.key_id.as_bytes()) {
                    claims.push((log, &line.signature));
                }
            }
        }
        if claims.len() > 1 {
            let data = checkpoint.signed_data();
            claims.retain(|(log, signature)| {
                let keyring = &self.keyring;
                keyring.verify_with_key_id(&log.id, data, signature).is_ok()
            });
        }
        claims.into_iter().map(|(log, _)| log).collect()
    }
}

/// The checkpoint that proves the inclusion of `entry`.
fn checkpoint(entry: &TransparencyLogEntry) -> Option<&Checkpoint> {
    entry.inclusion_proof.as_ref()?.checkpoint.checkpoint()
}
