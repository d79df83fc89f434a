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
use futures_util::future::{self, Either};
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
        let cache = Cache(self.folder());
        let _lock = cache.lock().await;
        let mut state = cache.state();
        let store = StateStore::new(state.clone().with_ahead());
        let outcome = online(self, &state, &store, transport, now, name).await;
        if outcome.is_ok() {
            state = store.state().clone();
            state.refreshed = Some(now);
        } else {
            state.remember(&store.state());
        }
        cache.store(&state);
        let fetched = outcome.map_err(|error| {
            let problem = "it cannot be refreshed, or has no such target";
            self.fail(problem, Some(error.into()))
        })?;
        Ok(fetched.target)
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
    let cache = Cache(options.folder());
    let state = cache.state();
    let Some(transport) = transport else {
        let fetched =
            offline(options, &state, now)
                .await
                .map_err(|error| VerifyError::NotStored {
                    origin: options.origin(),
                    source: error.into(),
                })?;
        return root_of(options, &fetched, state.refreshed);
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
    if let Some(root) = fresh(options, &state, now).await {
        return Ok(root);
    }
    // One process refreshes; the others use its result.
    let lock = cache.lock().await;
    let mut state = cache.state();
    if lock.is_some()
        && let Some(root) = fresh(options, &state, now).await
    {
        return Ok(root);
    }
    // An unreachable repository is not asked again at once, while its last metadata is valid.
    let missed = state.missed.and_then(|then| now.duration_since(then).ok());
    if missed.is_some_and(|age| age < TUF_RETRY_AFTER.min(options.refresh_after))
        && let Ok(fetched) = offline(options, &state, now).await
    {
        return root_of(options, &fetched, state.refreshed);
    }
    let store = StateStore::new(state.clone().with_ahead());
    let outcome = online(options, &state, &store, transport, now, Some(TARGET)).await;
    let outcome = outcome.map(|fetched| root_of(options, &fetched, Some(now)));
    if matches!(outcome, Ok(Ok(_))) {
        let mut state = store.state();
        (state.refreshed, state.missed) = (Some(now), None);
        cache.store(&state);
    } else if state.remember(&store.state()) {
        cache.store(&state);
    }
    let problem = match outcome {
        Ok(root) => return root,
        Err(problem) => problem,
    };
    // Its own answers, such as invalid metadata, have no source.
    let is_unreachable = matches!(&problem, TufError::Transport { source, .. } if source.is_some());
    if !is_unreachable {
        return Err(options.fail("its metadata is not valid", Some(problem.into())));
    }
    // Not a fallback to other trust: the same metadata, verified again, until it expires.
    let Ok(fetched) = offline(options, &state, now).await else {
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
    root_of(options, &fetched, state.refreshed)
}

/// The cached root, if the last refresh is recent and everything still verifies.
async fn fresh(options: &TufOptions, state: &State, now: SystemTime) -> Option<TrustRoot> {
    // A refresh in the future means that a clock was wrong, so the age is not known.
    let age = now.duration_since(state.refreshed?).ok()?;
    if age >= options.refresh_after {
        return None;
    }
    match offline(options, state, now).await {
        Ok(fetched) => root_of(options, &fetched, state.refreshed).ok(),
        Err(error) => {
            tracing::warn!(
                error = %text::error_line(&error, None),
                "the cached TUF metadata is not usable"
            );
            None
        }
    }
}

/// The verified target, empty if none was requested, and the version of the metadata that names it.
struct Fetched {
    target: Vec<u8>,
    version: String,
}

fn root_of(
    options: &TufOptions,
    fetched: &Fetched,
    refreshed: Option<SystemTime>,
) -> Result<TrustRoot, VerifyError> {
    let source = options.origin();
    TrustRoot::from_json(&source, Some(&fetched.version), refreshed, &fetched.target)
}

/// Refreshes through `transport` from `state`, into `store`, and gets `target`.
async fn online(
    options: &TufOptions,
    state: &State,
    store: &StateStore,
    transport: &dyn TufTransport,
    now: SystemTime,
    target: Option<&str>,
) -> Result<Fetched, TufError> {
    let (send, mut requests) = mpsc::channel::<Request>(1);
    let serving = async {
        while let Some(request) = requests.recv().await {
            let url = format!("{}/{}", options.url.trim_end_matches('/'), request.path);
            let answer = transport.get(&url, request.limit).await;
            let _ = request.answer.send(answer);
        }
        future::pending::<()>().await;
    };
    let remote = Remote {
        send,
        snapshots: state.snapshots(),
        store: store.clone(),
    };
    let refreshing = refresh(options, remote, store.clone(), now, target);
    let both = async {
        match future::select(std::pin::pin!(refreshing), std::pin::pin!(serving)).await {
            Either::Left((fetched, _)) => fetched,
            Either::Right(((), _)) => Err(TufError::transport("the transport stopped")),
        }
    };
    let timed = tokio::time::timeout(options.limits.time, both).await;
    timed.unwrap_or_else(|elapsed| Err(TufError::transport_with_source("refreshing", elapsed)))
}

async fn offline(
    options: &TufOptions,
    state: &State,
    now: SystemTime,
) -> Result<Fetched, TufError> {
    let store = StateStore::new(state.clone());
    refresh(options, store.clone(), store, now, Some(TARGET)).await
}

async fn refresh(
    options: &TufOptions,
    repository: impl Repository + 'static,
    store: StateStore,
    now: SystemTime,
    target: Option<&str>,
) -> Result<Fetched, TufError> {
    distinct_keys("root.json", &options.root)?;
    let limits = &options.limits;
    let mut config = UpdaterConfig::default();
    config.root_max_length = limits.root_bytes;
    config.timestamp_max_length = limits.metadata_bytes;
    config.snapshot_max_length = limits.metadata_bytes;
    config.targets_max_length = limits.metadata_bytes;
    config.target_max_length = TRUST_FILE_BYTES_MAX;
    config.max_root_rotations = limits.rotations;
    let updater = Updater::new(repository, &options.root)?;
    let mut updater = updater.with_config(config).with_store(store);
    let now = now
        .try_into()
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
