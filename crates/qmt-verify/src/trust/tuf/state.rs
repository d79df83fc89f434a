//! What is cached of a TUF repository, and the lock under which one process refreshes it.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigstore_tuf::{Error as TufError, FileStore, MetadataStore};

use super::chain;

/// The file in the cache that holds everything.
pub(super) const STATE: &str = "metadata.json";
/// The form in which it is stored; another number is not read.
const SCHEMA: u32 = 1;
/// Most bytes of it that are read.
const STATE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long another process may hold the lock before we go on without it.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often the lock is tried.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Verified metadata, and when it was verified last. All of it is one file, written when a refresh
/// has come to its end: a refresh that fails halfway changes nothing, so the last good state stays.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) refreshed: Option<SystemTime>,
    files: BTreeMap<String, Vec<u8>>,
}

/// The form of the state on disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    schema: u32,
    refreshed: u64,
    files: BTreeMap<String, String>,
}

impl State {
    /// Reads the state. What cannot be read is as if it were not there.
    fn read(path: &Path) -> Self {
        let mut json = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(STATE_BYTES_MAX + 1).read_to_end(&mut json));
        if read.is_err() || json.len() as u64 > STATE_BYTES_MAX {
            return Self::default();
        }
        let Ok(stored) = serde_json::from_slice::<Stored>(&json) else {
            return Self::default();
        };
        if stored.schema != SCHEMA {
            return Self::default();
        }
        let decode = |(name, text): (String, String)| Some((name, STANDARD.decode(text).ok()?));
        Self {
            refreshed: UNIX_EPOCH.checked_add(Duration::from_secs(stored.refreshed)),
            files: stored.files.into_iter().filter_map(decode).collect(),
        }
    }

    fn to_json(&self) -> Vec<u8> {
        let refreshed = self.refreshed.unwrap_or(UNIX_EPOCH);
        let stored = Stored {
            schema: SCHEMA,
            refreshed: refreshed
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
            files: self
                .files
                .iter()
                .map(|(name, bytes)| (name.clone(), STANDARD.encode(bytes)))
                .collect(),
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }
}

/// The library's store: a state in memory.
#[derive(Clone)]
pub(super) struct Kept(Arc<Mutex<State>>);

impl Kept {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetadataStore for Kept {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, TufError> {
        let found = self.state().files.get(name).cloned();
        if let Some(bytes) = &found {
            distinct_keys(name, bytes)?;
        }
        Ok(found)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        self.state().files.insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }
}

/// Refuses metadata in which a role has one key under two names, so that its one signature would
/// count twice towards a threshold. The library takes names as they are (CVE-2020-15093).
pub(super) fn distinct_keys(name: &str, bytes: &[u8]) -> Result<(), TufError> {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
        return Ok(()); // The library says what is wrong with it.
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
            let ids = role
                .get("keyids")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let mut seen = HashSet::new();
            for id in ids.filter_map(Value::as_str) {
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
pub(super) struct Cache {
    pub(super) folder: PathBuf,
}

impl Cache {
    pub(super) fn state(&self) -> State {
        State::read(&self.folder.join(STATE))
    }

    /// Keeps a state. A cache that cannot be written costs a refresh each time, and no trust.
    pub(super) fn keep(&self, state: &State) {
        // The library's store writes beside the file and renames.
        if let Err(error) = FileStore::new(&self.folder).store(STATE, &state.to_json()) {
            tracing::warn!(error = %chain(&error), "the TUF cache cannot be written");
        }
    }

    /// Waits for other processes. `None` where that is not possible or takes too long: writes are
    /// atomic, so the lock saves work and is not needed for safety.
    pub(super) async fn lock(&self) -> Option<File> {
        create_private(&self.folder).ok()?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.join("lock"))
            .ok()?;
        let waiting = async {
            loop {
                match file.try_lock() {
                    Ok(()) => return true,
                    Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
                    Err(std::fs::TryLockError::Error(_)) => return false,
                }
            }
        };
        let locked = tokio::time::timeout(LOCK_WAIT_MAX, waiting)
            .await
            .unwrap_or(false);
        locked.then_some(file)
    }
}

/// Creates a folder that nobody else may read or write.
fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}
