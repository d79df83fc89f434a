//! A TUF repository that serves a trusted root: signed metadata in memory, with every way to be
//! wrong that the update framework guards against.
//!
//! Spec: <https://theupdateframework.github.io/specification/v1.0.33/>, with the names and the
//! extras that tuf-on-ci writes, which Sigstore's own repository is made with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use qmt_oci_ref::time::rfc3339;
use serde_json::{Map, Value, json};

use super::codec::{Canonical, Must, canonical_json};
use super::image::bytes;
use super::key::{KeyPair, sha256};

mod defect;
mod files;
mod role;

pub use self::defect::TufDefect;
pub use self::files::TufFiles;
pub use self::role::TufRole;

use self::role::TufKey;

/// The target that clients of Sigstore ask for.
pub const TRUSTED_ROOT_TARGET: &str = "trusted_root.json";

const SPEC_VERSION: &str = "1.0.31";
/// Another name for a key that has one.
const SECOND_ID: &str = "2222222222222222222222222222222222222222222222222222222222222222";

const DAY: Duration = Duration::from_hours(24);

struct RoleState {
    keys: Vec<TufKey>,
    version: u64,
    expires: SystemTime,
}

/// A repository, and the keys of all its roles.
pub struct TufRepository {
    time: SystemTime,
    roles: BTreeMap<TufRole, RoleState>,
    targets: BTreeMap<String, Bytes>,
    files: TufFiles,
}

impl fmt::Debug for TufRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TufRepository")
            .field("files", &self.files.names().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl TufRepository {
    /// A repository of version 1 of everything, made at `time`, with this trusted root as target.
    pub fn new(time: SystemTime, trusted_root: impl Into<Bytes>) -> Self {
        let roles = TufRole::ALL
            .into_iter()
            .map(|role| {
                let state = RoleState {
                    keys: role.fresh_keys(),
                    version: u64::from(role == TufRole::Root),
                    expires: time + role.lifetime(),
                };
                (role, state)
            })
            .collect();
        let mut repository = Self {
            time,
            roles,
            targets: BTreeMap::new(),
            files: TufFiles::default(),
        };
        let keys = repository.state(TufRole::Root).keys.clone();
        repository.write_root(&keys, None);
        repository.set_target(TRUSTED_ROOT_TARGET, trusted_root);
        repository.publish();
        repository
    }

    /// The first root: what a client is born with.
    pub fn initial_root(&self) -> Bytes {
        self.files
            .get("1.root.json")
            .must("find its own first root")
            .clone()
    }

    /// What the repository serves now.
    pub fn files(&self) -> &TufFiles {
        &self.files
    }

    /// Puts a target in, to be listed from the next [`publish`](Self::publish) on.
    pub fn set_target(&mut self, path: &str, content: impl Into<Bytes>) {
        self.targets.insert(path.to_owned(), content.into());
    }

    /// Lets a role's metadata end at `time`, from the next time that it is written on.
    pub fn set_expiry(&mut self, role: TufRole, time: SystemTime) {
        self.state_mut(role).expires = time;
    }

    /// Writes new versions of targets, snapshot and timestamp.
    pub fn publish(&mut self) {
        self.write_lower(None);
    }

    /// The same with one thing wrong, which a client must notice.
    ///
    /// # Panics
    ///
    /// Where the defect is one of a rotation.
    pub fn publish_bad(&mut self, defect: TufDefect) {
        assert!(
            !defect.is_of_rotation(),
            "{defect:?} is a defect of a rotation"
        );
        self.write_lower(Some(defect));
    }

    /// Gives a role new keys: a new root, signed with the old root's keys and the new one's, then
    /// everything else again.
    pub fn rotate(&mut self, role: TufRole) {
        self.rotate_to(role, None);
    }

    /// The same with one thing wrong with the new root.
    ///
    /// # Panics
    ///
    /// Where the defect is not one of a rotation.
    pub fn rotate_bad(&mut self, role: TufRole, defect: TufDefect) {
        assert!(
            defect.is_of_rotation(),
            "{defect:?} is not a defect of a rotation"
        );
        self.rotate_to(role, Some(defect));
    }

    /// Writes a new version of the root with the same keys, and nothing else.
    pub fn renew_root(&mut self) {
        self.state_mut(TufRole::Root).version += 1;
        let keys = self.state(TufRole::Root).keys.clone();
        self.write_root(&keys, None);
    }

    fn rotate_to(&mut self, role: TufRole, defect: Option<TufDefect>) {
        let old = self.state(TufRole::Root).keys.clone();
        self.state_mut(role).keys = role.fresh_keys();
        let new = self.state(TufRole::Root).keys.clone();
        self.state_mut(TufRole::Root).version += 1;
        let signers: Vec<TufKey> = match defect {
            Some(TufDefect::RootNotSignedByOld) => new,
            Some(TufDefect::RootNotSignedByNew) => old,
            _ => {
                let mut signers = old;
                for key in new {
                    if signers.iter().all(|signer| signer.id != key.id) {
                        signers.push(key);
                    }
                }
                signers
            }
        };
        self.write_root(&signers, defect);
        self.write_lower(defect);
    }

    fn write_root(&mut self, signers: &[TufKey], defect: Option<TufDefect>) {
        let mut keys = Map::new();
        let mut roles = Map::new();
        for (role, state) in &self.roles {
            for key in &state.keys {
                keys.insert(key.id.clone(), key.to_json());
            }
            let threshold = match defect {
                Some(TufDefect::ThresholdZero) => 0,
                _ => role.threshold(),
            };
            let mut ids: Vec<&str> = state.keys.iter().map(|key| key.id.as_str()).collect();
            if let (Some(TufDefect::OneKeyTwoIds), TufRole::Targets) = (defect, *role) {
                let first = state.keys.first().must("find a key of its own");
                keys.insert(SECOND_ID.to_owned(), first.to_json());
                ids.push(SECOND_ID);
            }
            roles.insert(
                role.name().to_owned(),
                json!({ "keyids": ids, "threshold": threshold }),
            );
        }
        let mut signed = self.signed(TufRole::Root, None);
        signed["consistent_snapshot"] = true.into();
        signed["keys"] = keys.into();
        signed["roles"] = roles.into();
        signed["x-tuf-on-ci-expiry-period"] = 182.into();
        signed["x-tuf-on-ci-signing-period"] = 31.into();
        let version = self.state(TufRole::Root).version;
        if defect == Some(TufDefect::RootSkipsVersion) {
            signed["version"] = (version + 1).into();
        }
        let content = bytes(&sign(&signed, signers));
        self.files.insert(&format!("{version}.root.json"), content);
    }

    fn write_lower(&mut self, defect: Option<TufDefect>) {
        for role in [TufRole::Targets, TufRole::Snapshot, TufRole::Timestamp] {
            let state = self.state_mut(role);
            state.version = match defect {
                Some(TufDefect::Rollback(back)) if back == role => state.version.saturating_sub(1),
                _ => state.version + 1,
            };
        }
        let targets = self.write_targets(defect);
        let snapshot = self.write_snapshot(&targets, defect);
        self.write_timestamp(&snapshot, defect);
    }

    fn write_targets(&mut self, defect: Option<TufDefect>) -> Bytes {
        let mut listed = Map::new();
        for (path, content) in &self.targets {
            let hash = hex::encode(sha256(content));
            listed.insert(
                path.clone(),
                json!({ "length": content.len(), "hashes": { "sha256": hash } }),
            );
            let (folder, file) = path
                .rsplit_once('/')
                .map_or((String::new(), path.as_str()), |(folder, file)| {
                    (format!("{folder}/"), file)
                });
            let served = match defect {
                Some(TufDefect::TamperedTarget) => defect::tampered(content),
                Some(TufDefect::LongTarget) => [content, &b" "[..]].concat().into(),
                _ => content.clone(),
            };
            self.files
                .insert(&format!("targets/{folder}{hash}.{file}"), served);
        }
        let mut signed = self.signed(TufRole::Targets, defect);
        signed["targets"] = listed.into();
        let content = self.seal(TufRole::Targets, &signed, defect);
        let version = self.state(TufRole::Targets).version;
        let served = match (defect, version.checked_sub(1)) {
            // Under the new name lies the old file, which was signed just as well.
            (Some(TufDefect::MixAndMatch), Some(before)) => self
                .files
                .get(&format!("{before}.targets.json"))
                .must("find the targets' metadata before this one")
                .clone(),
            _ => content.clone(),
        };
        self.files
            .insert(&format!("{version}.targets.json"), served);
        content
    }

    fn write_snapshot(&mut self, targets: &Bytes, defect: Option<TufDefect>) -> Bytes {
        let mut signed = self.signed(TufRole::Snapshot, defect);
        signed["meta"] = match defect {
            Some(TufDefect::SnapshotForgetsTargets) => json!({}),
            // The mix-up is to be found by version, not by hash.
            Some(TufDefect::MixAndMatch) => {
                json!({ "targets.json": { "version": self.state(TufRole::Targets).version } })
            }
            _ => json!({ "targets.json": self.pin(TufRole::Targets, targets) }),
        };
        let content = self.seal(TufRole::Snapshot, &signed, defect);
        let version = self.state(TufRole::Snapshot).version;
        self.files
            .insert(&format!("{version}.snapshot.json"), content.clone());
        content
    }

    fn write_timestamp(&mut self, snapshot: &Bytes, defect: Option<TufDefect>) {
        let mut signed = self.signed(TufRole::Timestamp, defect);
        signed["meta"] = match defect {
            // Its own defects are to be found in the snapshot, not by the pin on it.
            Some(TufDefect::Tampered(TufRole::Snapshot)) => {
                json!({ "snapshot.json": { "version": self.state(TufRole::Snapshot).version } })
            }
            _ => json!({ "snapshot.json": self.pin(TufRole::Snapshot, snapshot) }),
        };
        let content = self.seal(TufRole::Timestamp, &signed, defect);
        self.files.insert("timestamp.json", content);
    }

    fn pin(&self, role: TufRole, content: &Bytes) -> Value {
        json!({
            "version": self.state(role).version,
            "length": content.len(),
            "hashes": { "sha256": hex::encode(sha256(content)) },
        })
    }

    /// What all roles' metadata begins with.
    fn signed(&self, role: TufRole, defect: Option<TufDefect>) -> Value {
        let state = self.state(role);
        let r#type = match (defect, role) {
            (Some(TufDefect::OtherType), TufRole::Timestamp) => TufRole::Snapshot.name(),
            _ => role.name(),
        };
        let spec_version = match (defect, role) {
            (Some(TufDefect::FutureSpec), TufRole::Timestamp) => "2.0.0",
            _ => SPEC_VERSION,
        };
        let expires = match defect {
            Some(TufDefect::Expired(expired)) if expired == role => self.time - DAY,
            _ => state.expires,
        };
        json!({
            "_type": r#type,
            "spec_version": spec_version,
            "version": state.version,
            "expires": rfc3339(expires),
        })
    }

    /// Signs a role's metadata with its keys, or as the defect has it.
    fn seal(&self, role: TufRole, signed: &Value, defect: Option<TufDefect>) -> Bytes {
        let keys = &self.state(role).keys;
        let envelope = match defect {
            Some(TufDefect::Unsigned(flawed)) if flawed == role => sign(signed, &[]),
            Some(TufDefect::BelowThreshold) if role == TufRole::Targets => {
                sign(signed, keys.get(..1).unwrap_or_default())
            }
            Some(TufDefect::SameKeyTwice) if role == TufRole::Targets => {
                let first = keys.first().must("find a key of its own").clone();
                sign(signed, &[first.clone(), first])
            }
            Some(TufDefect::OneKeyTwoIds) if role == TufRole::Targets => {
                let first = keys.first().must("find a key of its own").clone();
                let id = SECOND_ID.to_owned();
                let again = TufKey {
                    id,
                    ..first.clone()
                };
                sign(signed, &[first, again])
            }
            Some(TufDefect::WrongKey(flawed)) if flawed == role => {
                let strangers: Vec<TufKey> = keys
                    .iter()
                    .map(|key| TufKey {
                        pair: Arc::new(KeyPair::generate(key.pair.kind())),
                        id: key.id.clone(),
                    })
                    .collect();
                sign(signed, &strangers)
            }
            Some(TufDefect::Tampered(flawed)) if flawed == role => {
                let mut envelope = sign(signed, keys);
                envelope["signed"]["expires"] = rfc3339(self.time + 3650 * DAY).into();
                envelope
            }
            _ => sign(signed, keys),
        };
        bytes(&envelope)
    }

    fn state(&self, role: TufRole) -> &RoleState {
        self.roles.get(&role).must("find its own role")
    }

    fn state_mut(&mut self, role: TufRole) -> &mut RoleState {
        self.roles.get_mut(&role).must("find its own role")
    }
}

fn sign(signed: &Value, keys: &[TufKey]) -> Value {
    let message = canonical_json(signed, Canonical::Olpc);
    let signatures: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "keyid": key.id, "sig": hex::encode(key.pair.sign(&message)) }))
        .collect();
    json!({ "signed": signed, "signatures": signatures })
}
