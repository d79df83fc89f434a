//! Trust roots from a TUF repository: `sigstore-tuf` verifies, the HTTP client of the caller
//! fetches.
//!
//! The cache holds metadata as it was signed. All of it is verified again at each use, from the
//! root that the operator named, so that a corrupted cache costs a refresh and nothing else.
//!
//! Spec: <https://theupdateframework.github.io/specification/v1.0.33/>

mod remote;
mod state;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join;
use qmt_oci_ref::{Digest, text};
use sigstore_tuf::{Error as TufError, Repository, Updater, UpdaterConfig};
use tokio::sync::mpsc;

use self::remote::{Remote, Request};
use self::state::{Cache, STATE, State, StateStore, distinct_keys};
use super::TrustRoot;
use crate::error::{BoxError, VerifyError};
use crate::limits::{
    TRUST_FILE_BYTES_MAX, TUF_LIMITS, TUF_REFRESH_AFTER, TUF_RETRY_AFTER, TufLimits, lower,
};

const TARGET: &str = "trusted_root.json";
const PUBLIC_GOOD_URL: &str = "https://tuf-repo-cdn.sigstore.dev";
const PUBLIC_GOOD_ROOT: &[u8] = include_bytes!("public_good_root.json");
/// How far the clock may have been set back since the last refresh.
const CLOCK_BACK_MAX: Duration = Duration::from_hours(24);

/// Fetches files of a TUF repository. The caller implements it with its HTTP client; this crate
/// never does HTTP.
#[cfg_attr(feature = "test-util", mockall::automock)] // Must stand above `#[async_trait]`.
#[async_trait]
pub trait TufTransport: Send + Sync {
    /// Gets the file at `url`, at most `limit` bytes of it. `None` means 404 and nothing else.
    ///
    /// # Errors
    ///
    /// Any error if the file cannot be read in full, or is longer than `limit`.
    async fn get(&self, url: &str, limit: u64) -> Result<Option<Bytes>, BoxError>;
}

/// A trusted TUF repository, and where its metadata is cached.
#[derive(Clone, Debug)]
pub struct TufOptions {
    url: String,
    root: Vec<u8>,
    cache: PathBuf,
    refresh_after: Duration,
    limits: TufLimits,
}

impl TufOptions {
    /// Trusts the repository at `url` by `root`, the bytes of one of its `root.json`. `cache` is a
    /// folder that several processes may share.
    pub fn new(
        url: impl Into<String>,
        root: impl Into<Vec<u8>>,
        cache: impl Into<PathBuf>,
    ) -> Self {
        Self {
            url: url.into(),
            root: root.into(),
            cache: cache.into(),
            refresh_after: TUF_REFRESH_AFTER,
            limits: TUF_LIMITS,
        }
    }

    /// The public Sigstore instance.
    pub fn public_good(cache: impl Into<PathBuf>) -> Self {
        Self::new(PUBLIC_GOOD_URL, PUBLIC_GOOD_ROOT, cache)
    }

    /// Refreshes when the last refresh is older than `age` (default: one day).
    #[must_use]
    pub fn with_refresh_after(mut self, age: Duration) -> Self {
        self.refresh_after = age;
        self
    }

    lower! {
        /// Lowers the size of a `root.json` in bytes (default 1 MiB).
        with_most_root_bytes: u64 => limits.root_bytes;
        /// Lowers the size of any other metadata in bytes (default 10 MiB).
        with_most_metadata_bytes: u64 => limits.metadata_bytes;
        /// Lowers the number of new roots that one refresh follows (default 1,024).
        with_most_rotations: u32 => limits.rotations;
        /// Lowers the time that one refresh may take (default 1 minute).
        with_deadline: Duration => limits.time;
    }

    /// Checks that `root`, the content of the file `name`, is the `root.json` of a repository.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TrustRoot`] that names the file.
    pub fn check_root(name: &str, root: &[u8]) -> Result<(), VerifyError> {
        if let Some(problem) = text::utf_16(root) {
            return Err(VerifyError::trust(name, problem));
        }
        let checked = distinct_keys("root.json", root)
            .and_then(|()| Updater::new(StateStore::new(State::default()), root));
        checked.map(drop).map_err(|error| VerifyError::TrustRoot {
            origin: name.to_owned(),
            problem: "it is not the `root.json` of a TUF repository".to_owned(),
            source: Some(error.into()),
        })
    }

    /// The folder of this repository: another root is another repository.
    fn folder(&self) -> PathBuf {
        let mut name = self.url.clone().into_bytes();
        name.push(b'\n');
        name.extend_from_slice(&self.root);
        let digest = Digest::sha256(name);
        self.cache.join(digest.hex().get(..32).unwrap_or_default())
    }

    fn origin(&self) -> String {
        format!("TUF repository {}", shown(&self.url))
    }

    fn fail(&self, problem: impl Into<String>, source: Option<BoxError>) -> VerifyError {
        VerifyError::TrustRoot {
            origin: self.origin(),
            problem: problem.into(),
            source,
        }
    }
}

/// The client on its own, for conformance tests: it never falls back to the metadata of an earlier
/// refresh.
#[cfg(feature = "test-util")]
impl TufOptions {
    /// Refreshes the metadata, and returns the target file `name`, or nothing without a name.
    ///
    /// # Errors
    ///
    /// [`VerifyError::TrustRoot`] if any part fails. The metadata verified before that is stored.
    pub async fn refresh(
        &self,
        transport: &dyn TufTransport,
        name: Option<&str>,
        now: SystemTime,
    ) -> Result<Vec<u8>, VerifyError> {
        let client = Client { options: self, now };
        let cache = Cache(self.folder());
        let _lock = cache.lock().await;
        let mut state = cache.state();
        let online = client.online(&cache, &mut state, transport, name, |fetched| {
            Ok(fetched.target)
        });
        online.await.unwrap_or_else(|error| {
            let problem = "it cannot be refreshed, or has no such target";
            Err(self.fail(problem, Some(error.into())))
        })
    }

    /// The newest verified metadata of each role, by file name.
    pub fn metadata(&self) -> std::collections::BTreeMap<String, Vec<u8>> {
        Cache(self.folder()).state().metadata()
    }
}

/// Loads the trusted root: see [`TrustRoot::from_tuf`].
pub(super) async fn load(
    options: &TufOptions,
    transport: Option<&dyn TufTransport>,
    now: SystemTime,
) -> Result<TrustRoot, VerifyError> {
    let client = Client { options, now };
    let cache = Cache(options.folder());
    let state = cache.state();
    let Some(transport) = transport else {
        let fetched = client.offline(&state).await;
        let fetched = fetched.map_err(|error| VerifyError::NotStored {
            origin: options.origin(),
            source: error.into(),
        })?;
        return client.root_of(&fetched, state.refreshed);
    };
    let refreshed = state.refreshed;
    let ahead = refreshed.and_then(|then| then.duration_since(now).ok());
    if ahead.is_some_and(|ahead| ahead > CLOCK_BACK_MAX) {
        // Metadata that has expired since would count as fresh.
        let problem = format!(
            "the clock is before its last refresh; set it, or remove `{STATE}` in its cache"
        );
        return Err(options.fail(problem, None));
    }
    if let Some(root) = client.fresh(&state).await {
        return Ok(root);
    }
    // One process refreshes; the others use its result.
    let lock = cache.lock().await;
    let mut state = cache.state();
    if lock.is_some()
        && let Some(root) = client.fresh(&state).await
    {
        return Ok(root);
    }
    // An unreachable repository is not asked again at once, while its last metadata is valid.
    let missed = state.missed.and_then(|then| now.duration_since(then).ok());
    if missed.is_some_and(|age| age < TUF_RETRY_AFTER.min(options.refresh_after))
        && let Ok(fetched) = client.offline(&state).await
    {
        return client.root_of(&fetched, state.refreshed);
    }
    let root_of = |fetched| client.root_of(&fetched, Some(now));
    let online = client.online(&cache, &mut state, transport, Some(TARGET), root_of);
    let problem = match online.await {
        Ok(root) => return root,
        Err(problem) => problem,
    };
    // Its own answers, such as invalid metadata, have no source.
    let is_unreachable = matches!(&problem, TufError::Transport { source, .. } if source.is_some());
    if !is_unreachable {
        return Err(options.fail("its metadata is not valid", Some(problem.into())));
    }
    // Not a fallback to other trust: the same metadata, verified again, until it expires.
    let Ok(fetched) = client.offline(&state).await else {
        let says = "it cannot be reached, and its cache has no metadata that has not expired";
        return Err(options.fail(says, Some(problem.into())));
    };
    tracing::warn!(
        url = %shown(&options.url),
        error = %text::error_line(&problem, None),
        "the TUF repository cannot be reached; its last metadata has not expired yet"
    );
    state.missed = Some(now);
    cache.store(&state);
    client.root_of(&fetched, state.refreshed)
}

/// The client of one repository, as of `now`.
struct Client<'a> {
    options: &'a TufOptions,
    now: SystemTime,
}

/// The verified target, empty if none was requested, and the version of the metadata that names it.
struct Fetched {
    target: Vec<u8>,
    version: String,
}

impl Client<'_> {
    /// The cached root, if the last refresh is recent and everything still verifies.
    async fn fresh(&self, state: &State) -> Option<TrustRoot> {
        // A refresh in the future means that a clock was wrong, so the age is not known.
        let age = self.now.duration_since(state.refreshed?).ok()?;
        if age >= self.options.refresh_after {
            return None;
        }
        match self.offline(state).await {
            Ok(fetched) => self.root_of(&fetched, state.refreshed).ok(),
            Err(error) => {
                tracing::warn!(
                    error = %text::error_line(&error, None),
                    "the cached TUF metadata is not usable"
                );
                None
            }
        }
    }

    fn root_of(
        &self,
        fetched: &Fetched,
        refreshed: Option<SystemTime>,
    ) -> Result<TrustRoot, VerifyError> {
        let source = self.options.origin();
        TrustRoot::from_json(&source, Some(&fetched.version), refreshed, &fetched.target)
    }

    /// Refreshes `state` through `transport` and gets `target`. Where that fails, or the target is
    /// not accepted, what was verified before is remembered.
    async fn online<T>(
        &self,
        cache: &Cache,
        state: &mut State,
        transport: &dyn TufTransport,
        target: Option<&str>,
        accept: impl FnOnce(Fetched) -> Result<T, VerifyError>,
    ) -> Result<Result<T, VerifyError>, TufError> {
        let store = StateStore::new(state.clone().with_ahead());
        let (send, mut requests) = mpsc::channel::<Request>(1);
        let serving = async {
            while let Some(request) = requests.recv().await {
                let url = format!(
                    "{}/{}",
                    self.options.url.trim_end_matches('/'),
                    request.path
                );
                let answer = transport.get(&url, request.limit).await;
                let _ = request.answer.send(answer);
            }
        };
        let remote = Remote {
            send,
            snapshots: state.snapshots(),
            store: store.clone(),
        };
        // The end of the refresh drops the remote, which ends the serving.
        let both = join(self.refresh(remote, store.clone(), target), serving);
        let fetched = match tokio::time::timeout(self.options.limits.time, both).await {
            Ok((fetched, ())) => fetched,
            Err(elapsed) => Err(TufError::transport_with_source("refreshing", elapsed)),
        };
        let outcome = fetched.map(accept);
        if matches!(outcome, Ok(Ok(_))) {
            *state = store.state().clone();
            (state.refreshed, state.missed) = (Some(self.now), None);
            cache.store(state);
        } else if state.remember(&store.state()) {
            cache.store(state);
        }
        outcome
    }

    async fn offline(&self, state: &State) -> Result<Fetched, TufError> {
        let store = StateStore::new(state.clone());
        self.refresh(store.clone(), store, Some(TARGET)).await
    }

    async fn refresh(
        &self,
        repository: impl Repository + 'static,
        store: StateStore,
        target: Option<&str>,
    ) -> Result<Fetched, TufError> {
        distinct_keys("root.json", &self.options.root)?;
        let limits = &self.options.limits;
        let mut config = UpdaterConfig::default();
        config.root_max_length = limits.root_bytes;
        config.timestamp_max_length = limits.metadata_bytes;
        config.snapshot_max_length = limits.metadata_bytes;
        config.targets_max_length = limits.metadata_bytes;
        config.target_max_length = TRUST_FILE_BYTES_MAX;
        config.max_root_rotations = limits.rotations;
        let updater = Updater::new(repository, &self.options.root)?;
        let mut updater = updater.with_config(config).with_store(store);
        let now = self.now.try_into();
        let now = now
            .map_err(|error| TufError::Malformed(format!("the clock is out of range: {error}")))?;
        updater.refresh(now).await?;
        let target = match target {
            Some(target) => updater.get_target(target, now).await?,
            None => Vec::new(),
        };
        let trusted = updater.trusted();
        let targets = trusted.targets_role("targets");
        let targets = targets.map_or(0, |role| role.version);
        let version = format!("root {}, targets {targets}", trusted.root().version);
        Ok(Fetched { target, version })
    }
}

/// A URL without userinfo and query, which may hold secrets.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}{slash}{path}")
}

#[cfg(test)]
mod tests;
