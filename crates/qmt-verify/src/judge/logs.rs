//! The transparency logs of the trust root: which of them vouches for an entry, and what is known
//! about the entry thereby.

use std::time::SystemTime;

use sigstore_trust_root::{TimeRange, TrustedRoot};
use sigstore_verify::crypto::{Checkpoint, Keyring};
use sigstore_verify::types::{KindVersion, Sha256Hash, TransparencyLogEntry};

use crate::report::{LogEntry, rfc3339};

/// The transparency logs that are trusted.
pub(super) struct Logs {
    keyring: Keyring,
    known: Vec<Log>,
}

/// One of them.
struct Log {
    id: Sha256Hash,
    /// The ID as it is shown.
    name: String,
    window: Option<TimeRange>,
}

impl Logs {
    pub(super) fn new(root: &TrustedRoot) -> Result<Self, sigstore_verify::Error> {
        let keyring = root.rekor_keys()?;
        let known = root
            .tlogs
            .iter()
            .filter_map(|log| {
                let id = Sha256Hash::try_from(log.log_id.key_id.as_bytes()).ok()?;
                // Without its key, which may be of a kind that the library cannot use, it vouches
                // for nothing.
                keyring.key(&id)?;
                Some(Log {
                    id,
                    name: log.log_id.key_id.to_string(),
                    window: log.public_key.valid_for,
                })
            })
            .collect();
        Ok(Self { keyring, known })
    }

    pub(super) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Whether a log that proves the inclusion of `entry` was in use at all proven times; where no
    /// time is proven, whether it is in use `now`, for times can be taken away. True where nothing
    /// proves inclusion: a promise is checked with its own time.
    ///
    /// The library takes a key that has retired since, and does not ask when.
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
                let in_use = |&time: &SystemTime| {
                    let time = time.try_into();
                    time.is_ok_and(|time| window.contains(time))
                };
                times.iter().all(in_use)
            })
        })
    }

    /// What is known about `entry`, which was verified, by those of its parts that its log signed.
    pub(super) fn describe(&self, entry: &TransparencyLogEntry) -> LogEntry {
        let version = entry.kind_version;
        let kind = format!("{} {}", version.kind(), version.version());
        let is_v2 = version == KindVersion::HashedRekordV002;
        // A promise of Rekor v1 is over index, ID and time.
        if !is_v2 && entry.inclusion_promise.is_some() {
            let time = entry.integrated_time.map(|time| rfc3339(time.into()));
            let log = entry.log_id.key_id.to_string();
            return LogEntry::new(entry.log_index.get(), log, kind, time);
        }
        let signers = checkpoint(entry).map(|checkpoint| self.signers(checkpoint));
        let signer = signers.and_then(|signers| signers.first().map(|log| log.name.clone()));
        // A proof of Rekor v1 has an index of its own, in the log's current tree.
        let index = match &entry.inclusion_proof {
            Some(proof) if !is_v2 => proof.log_index.get(),
            _ => entry.log_index.get(),
        };
        LogEntry::new(index, signer.unwrap_or_default(), kind, None)
    }

    /// The logs that signed `checkpoint`, of which one did, as was proven before. The hints say
    /// little about which: they are four bytes, and anybody can add a line with another.
    fn signers(&self, checkpoint: &Checkpoint) -> Vec<&Log> {
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
                let held = self.keyring.verify_with_key_id(&log.id, data, signature);
                held.is_ok()
            });
        }
        claims.into_iter().map(|(log, _)| log).collect()
    }
}

/// The checkpoint that proves the inclusion of `entry`.
fn checkpoint(entry: &TransparencyLogEntry) -> Option<&Checkpoint> {
    entry.inclusion_proof.as_ref()?.checkpoint.checkpoint()
}
