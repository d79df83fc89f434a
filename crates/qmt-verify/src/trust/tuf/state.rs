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
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error as TufError, FileStore, MetadataStore, Repository};

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

/// Where verified roots are kept, each by its version.
const ROOTS: &str = "root_history/";

/// Verified metadata, and when it was verified last. All of it is one file, written when a refresh
/// has come to its end: a refresh that fails halfway changes nothing of what is good, so the last
/// good state stays. Only the roots that it met are kept, for the next refresh: keys that a root
/// took away are not believed again where somebody hides that root.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) refreshed: Option<SystemTime>,
    /// When a refresh last found nobody there.
    pub(super) missed: Option<SystemTime>,
    files: BTreeMap<String, Vec<u8>>,
    /// Roots that a refresh met which failed later.
    roots_ahead: BTreeMap<String, Vec<u8>>,
}

/// The form of the state on disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    schema: u32,
    refreshed: u64,
    #[serde(default)]
    missed: u64,
    files: BTreeMap<String, String>,
    #[serde(default)]
    roots_ahead: BTreeMap<String, String>,
}

impl State {
    /// The state that a refresh starts from: with all roots that were ever met.
    pub(super) fn with_roots_ahead(mut self) -> Self {
        self.files.append(&mut self.roots_ahead);
        self
    }

    /// Remembers the roots of a refresh that failed; whether there are any that are not known yet.
    pub(super) fn remember_roots(&mut self, failed: &Self) -> bool {
        let known = self.roots_ahead.len();
        for (name, bytes) in &failed.files {
            if name.starts_with(ROOTS) && !self.files.contains_key(name) {
                self.roots_ahead.insert(name.clone(), bytes.clone());
            }
        }
        self.roots_ahead.len() > known
    }

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
        let decoded = |files: BTreeMap<_, _>| files.into_iter().filter_map(decode).collect();
        Self {
            refreshed: UNIX_EPOCH.checked_add(Duration::from_secs(stored.refreshed)),
            missed: UNIX_EPOCH.checked_add(Duration::from_secs(stored.missed)),
            files: decoded(stored.files),
            roots_ahead: decoded(stored.roots_ahead),
        }
    }

    fn to_json(&self) -> Vec<u8> {
        let seconds = |time: Option<SystemTime>| {
            let since = time.unwrap_or(UNIX_EPOCH).duration_since(UNIX_EPOCH);
            since.unwrap_or_default().as_secs()
        };
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
            roots_ahead: encoded(&self.roots_ahead),
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

/// A repository that holds what is cached, for a refresh without a network. The library caches the
/// metadata of a role without its version and asks for it with one; what comes is checked against
/// the version that is pinned.
impl Repository for Kept {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let found = match name.split_once('.') {
            Some((version, "root.json")) => self.load(&format!("{ROOTS}{version}.root.json")),
            Some((version, file)) if version.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.load(file)
            }
            _ => self.load(name),
        };
        let fits = |bytes: &Vec<u8>| bytes.len() as u64 <= max_length;
        let found = found.map(|bytes| bytes.filter(fits));
        Box::pin(async move { found })
    }

    /// Targets are looked for in the store, by their own names; there are no others.
    fn fetch_target<'a>(&'a self, _: &'a str, _: u64) -> FetchFuture<'a> {
        Box::pin(async { Ok(None) })
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
