//! What is cached of a TUF repository, and the lock under which one process refreshes it.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qmt_oci_ref::json;
use qmt_storage::files::{create_private_folder, open_regular, read_at_most};
use qmt_storage::{FileLock, ReplaceOptions, replace};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error as TufError, Metadata, MetadataStore, Repository, Root, Snapshot};

/// The file in the cache that holds everything.
pub(super) const STATE: &str = "metadata.json";
/// The form in which it is stored; another number is not read.
const SCHEMA: u32 = 1;
/// Most bytes of it that are read.
const STATE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The file that is locked during a refresh.
const LOCK: &str = "refresh.lock";
/// How long to wait for the lock before going on without it.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(30);

/// Where verified roots are stored, each by its version.
const ROOTS: &str = "root_history/";
/// Where target files are stored.
const TARGETS: &str = "targets/";
const SNAPSHOT: &str = "snapshot.json";

/// Verified metadata, and when it was verified last, stored in one file. `files` holds what the
/// last complete refresh verified, and is used until it expires. `ahead` holds what later refreshes
/// verified before they failed, and the next refresh starts from there: keys that a root revoked
/// stay revoked, and no role is rolled back to before a version that was seen.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) refreshed: Option<SystemTime>,
    /// When the repository last could not be reached.
    pub(super) missed: Option<SystemTime>,
    files: BTreeMap<String, Vec<u8>>,
    /// Metadata from refreshes that failed later.
    ahead: BTreeMap<String, Vec<u8>>,
}

/// The form of the state on disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    schema: u32,
    refreshed: u64,
    #[serde(default)]
    missed: u64,
    files: BTreeMap<String, String>,
    /// Earlier versions stored only roots, under this name.
    #[serde(default, alias = "roots_ahead")]
    ahead: BTreeMap<String, String>,
}

impl State {
    /// The state that a refresh starts from: the newest metadata that was ever verified.
    pub(super) fn with_ahead(mut self) -> Self {
        self.files.append(&mut self.ahead);
        self
    }

    /// Stores what a failed refresh verified. Returns whether any of it is new.
    pub(super) fn remember(&mut self, failed: &Self) -> bool {
        let mut is_new = false;
        for (name, bytes) in &failed.files {
            if !name.starts_with(TARGETS) && self.files.get(name) != Some(bytes) {
                let known = self.ahead.insert(name.clone(), bytes.clone());
                is_new |= known.as_ref() != Some(bytes);
            }
        }
        is_new
    }

    /// The verified snapshots, each signed with the keys of the root at that time.
    pub(super) fn snapshots(&self) -> Vec<Vec<u8>> {
        let all = [&self.files, &self.ahead].into_iter();
        all.filter_map(|files| files.get(SNAPSHOT).cloned())
            .collect()
    }

    /// The newest verified metadata of each role, by file name.
    #[cfg(feature = "test-util")]
    pub(super) fn metadata(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = self.clone().with_ahead().files;
        all.retain(|name, _| !name.contains('/'));
        all
    }

    fn of(stored: Stored) -> Self {
        let decode = |(name, text): (String, String)| Some((name, STANDARD.decode(text).ok()?));
        let decoded = |files: BTreeMap<_, _>| files.into_iter().filter_map(decode).collect();
        Self {
            refreshed: UNIX_EPOCH.checked_add(Duration::from_secs(stored.refreshed)),
            missed: UNIX_EPOCH.checked_add(Duration::from_secs(stored.missed)),
            files: decoded(stored.files),
            ahead: decoded(stored.ahead),
        }
    }

    fn to_json(&self) -> Vec<u8> {
        let seconds =
            |time: Option<SystemTime>| qmt_oci_ref::time::seconds(time.unwrap_or(UNIX_EPOCH));
        let encoded = |files: &BTreeMap<String, Vec<u8>>| {
            let files = files.iter();
            files
                .map(|(name, bytes)| (name.clone(), STANDARD.encode(bytes)))
                .collect()
        };
        let stored = Stored {
            schema: SCHEMA,
            refreshed: seconds(self.refreshed),
            missed: seconds(self.missed),
            files: encoded(&self.files),
            ahead: encoded(&self.ahead),
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }
}

/// The library's store: a state in memory.
#[derive(Clone)]
pub(super) struct StateStore(Arc<Mutex<State>>);

impl StateStore {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetadataStore for StateStore {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, TufError> {
        let found = self.state().files.get(name).cloned();
        if let Some(bytes) = &found {
            distinct_keys(name, bytes)?;
        }
        Ok(found)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        if is_versioned_snapshot(name) {
            return Ok(()); // The library stores it under the name without a version as well.
        }
        self.state().files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }
}

/// A repository that serves the cache, for a refresh without a network. The library stores the
/// metadata of a role without its version and requests it with one; it checks the version of what
/// it gets.
impl Repository for StateStore {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = match without_version(name) {
            Some("root.json") => self.load(&format!("{ROOTS}{name}")),
            Some(file) => self.load(file),
            None => self.load(name),
        };
        let fits = |bytes: &Vec<u8>| bytes.len() as u64 <= max_length;
        let found = found.map(|bytes| bytes.filter(fits));
        Box::pin(async move { found })
    }

    /// The library finds targets in its store; there are no others.
    fn fetch_target<'a>(&'a self, _: &'a str, _: u64) -> FetchFuture<'a> {
        Box::pin(async { Ok(None) })
    }
}

/// Whether `name` is `snapshot.json` or that with a version.
pub(super) fn is_snapshot(name: &str) -> bool {
    name == SNAPSHOT || is_versioned_snapshot(name)
}

fn is_versioned_snapshot(name: &str) -> bool {
    without_version(name) == Some(SNAPSHOT)
}

/// The name of a file without its version, if it has one.
fn without_version(name: &str) -> Option<&str> {
    let (version, file) = name.split_once('.')?;
    let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(file)
}

/// Refuses a snapshot that removes or rolls back what one of `known`, verified before, names. The
/// library compares with the stored snapshot only if the stored timestamp names it, which it does
/// not after a refresh that broke off between the two. A snapshot whose keys `root` has revoked is
/// not compared: that is how a repository recovers.
pub(super) fn no_rollback(new: &[u8], known: &[Vec<u8>], root: &[u8]) -> Result<(), TufError> {
    let (Ok(new), Ok(root)) = (
        Metadata::<Snapshot>::from_slice(new),
        Metadata::<Root>::from_slice(root),
    ) else {
        return Ok(()); // The library reports the error.
    };
    let root = root.signed();
    let Some(role) = root.role("snapshot") else {
        return Ok(());
    };
    let known = known.iter().filter_map(|before| {
        let before = Metadata::<Snapshot>::from_slice(before).ok()?;
        let verified = before.verify_threshold(&root.keys, role, "snapshot");
        verified.is_ok().then_some(before)
    });
    for before in known {
        for (name, pinned) in &before.signed().meta {
            let version = new.signed().meta.get(name).map(|meta| meta.version);
            if version.is_none_or(|version| version < pinned.version) {
                let problem = format!(
                    "the snapshot removes `{name}` or names an older version than {}",
                    pinned.version
                );
                return Err(TufError::Malformed(problem));
            }
        }
    }
    Ok(())
}

/// Refuses metadata in which a role has one key under two names, so that its one signature would
/// count twice towards a threshold. The library does not compare keys (CVE-2020-15093).
pub(super) fn distinct_keys(name: &str, bytes: &[u8]) -> Result<(), TufError> {
    if json::has_many_values(bytes) {
        let problem = format!("`{name}` has more than {} values", json::VALUES_MAX);
        return Err(TufError::Malformed(problem));
    }
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
        return Ok(()); // The library reports the error.
    };
    let signed = document.get("signed").unwrap_or(&Value::Null);
    let delegations = signed.get("delegations").unwrap_or(&Value::Null);
    for part in [signed, delegations] {
        let keys = part.get("keys").unwrap_or(&Value::Null);
        let roles: Vec<&Value> = match part.get("roles") {
            Some(Value::Object(roles)) => roles.values().collect(),
            Some(Value::Array(roles)) => roles.iter().collect(),
            _ => Vec::new(),
        };
        for role in roles {
            let ids = role.get("keyids").and_then(Value::as_array);
            let mut seen = HashSet::new();
            for id in ids.into_iter().flatten().filter_map(Value::as_str) {
                let public = keys.get(id).and_then(|key| key.pointer("/keyval/public"));
                if let Some(public) = public
                    && !seen.insert(public.to_string())
                {
                    return Err(TufError::Malformed(format!("`{name}` names one key twice")));
                }
            }
        }
    }
    Ok(())
}

/// The folder with the state and the lock.
pub(super) struct Cache(pub(super) PathBuf);

impl Cache {
    /// Reads the state. An unreadable one counts as missing.
    pub(super) fn state(&self) -> State {
        let file = open_regular(&self.0.join(STATE));
        let json = file.and_then(|file| read_at_most(file, STATE_BYTES_MAX));
        let stored = serde_json::from_slice::<Stored>(&json.ok().flatten().unwrap_or_default());
        let stored = stored.ok().filter(|stored| stored.schema == SCHEMA);
        stored.map(State::of).unwrap_or_default()
    }

    /// Stores a state. A cache that cannot be written costs a refresh each time, and no trust.
    pub(super) fn store(&self, state: &State) {
        let file = self.0.join(STATE);
        if let Err(error) = replace(&file, &state.to_json(), ReplaceOptions::PRIVATE) {
            tracing::warn!(%error, "the TUF cache cannot be written");
        }
    }

    /// Waits for other processes. `None` where that is not possible or takes too long: writes are
    /// atomic, so the lock saves work and is not required for safety.
    pub(super) async fn lock(&self) -> Option<FileLock> {
        create_private_folder(&self.0).ok()?;
        let path = self.0.join(LOCK);
        let acquire = move || FileLock::acquire(&path, LOCK_WAIT_MAX, || {});
        tokio::task::spawn_blocking(acquire).await.ok()?.ok()
    }
}
