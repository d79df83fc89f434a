//! The top-level roles and their keys.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::DAY;
use crate::sigstore::codec::{Canonical, canonical_json};
use crate::sigstore::key::{KeyKind, KeyPair, sha256};

/// A top-level role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TufRole {
    /// Says which keys speak for every role; threshold 2 of 3, valid for 180 days.
    Root,
    /// Lists the targets; threshold 2 of 3, valid for 180 days.
    Targets,
    /// Pins the version of the targets' metadata; valid for 14 days.
    Snapshot,
    /// Pins the snapshot; valid for 7 days.
    Timestamp,
}

impl TufRole {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    pub(super) fn lifetime(self) -> Duration {
        match self {
            Self::Root | Self::Targets => 180 * DAY,
            Self::Snapshot => 14 * DAY,
            Self::Timestamp => 7 * DAY,
        }
    }

    pub(super) fn threshold(self) -> usize {
        match self {
            Self::Root | Self::Targets => 2,
            Self::Snapshot | Self::Timestamp => 1,
        }
    }

    pub(super) fn fresh_keys(self) -> Vec<TufKey> {
        let kinds: &[KeyKind] = match self {
            Self::Root | Self::Targets => &[KeyKind::P256, KeyKind::Ed25519, KeyKind::P384],
            Self::Snapshot | Self::Timestamp => &[KeyKind::P256],
        };
        kinds.iter().map(|kind| TufKey::new(*kind)).collect()
    }
}

#[derive(Clone)]
pub(super) struct TufKey {
    pub(super) pair: Arc<KeyPair>,
    pub(super) id: String,
}

impl TufKey {
    fn new(kind: KeyKind) -> Self {
        let pair = Arc::new(KeyPair::generate(kind));
        let canonical = canonical_json(&public(&pair), Canonical::Olpc);
        Self {
            id: hex::encode(sha256(&canonical)),
            pair,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut key = public(&self.pair);
        key["x-tuf-on-ci-keyowner"] = "@keeper".into();
        key
    }
}

fn public(pair: &KeyPair) -> Value {
    let (keytype, scheme, value) = match pair.kind() {
        KeyKind::Ed25519 => ("ed25519", "ed25519", hex::encode(pair.public_bits())),
        KeyKind::P384 => ("ecdsa", "ecdsa-sha2-nistp384", pair.public_pem()),
        _ => ("ecdsa", "ecdsa-sha2-nistp256", pair.public_pem()),
    };
    json!({ "keytype": keytype, "scheme": scheme, "keyval": { "public": value } })
}
