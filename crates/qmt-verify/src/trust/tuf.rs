//! Trust roots from a TUF repository: `sigstore-tuf` verifies, the facade's HTTP client fetches.
//!
//! What is cached is metadata as it was signed, never a verdict: all of it is verified again, from
//! the root that the operator named, each time it is used. So a corrupted cache costs a refresh and
//! nothing else. <https://theupdateframework.github.io/specification/v1.0.33/>

mod remote;
mod state;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{self, Either};
use qmt_oci_ref::Digest;
use sigstore_tuf::{Error as TufError, Updater, UpdaterConfig};
use tokio::sync::mpsc;

use self::remote::{Remote, Request};
use self::state::{Cache, Kept, STATE, State, distinct_keys};
use super::TrustRoot;
use crate::error::{BoxError, VerifyError};
use crate::limits::{TRUST_FILE_BYTES_MAX, TUF_REFRESH_AFTER, TUF_RETRY_AFTER, TufLimits, lower};

const TARGET: &str = "trusted_root.json";
const PUBLIC_GOOD_URL: &str = "https://tuf-repo-cdn.sigstore.dev";
const PUBLIC_GOOD_ROOT: &[u8] = include_bytes!("public_good_root.json");
/// How far our clock may have been set back since the last refresh.
const CLOCK_BACK_MAX: Duration = Duration::from_hours(24);

/// Fetches files of a TUF repository. The facade adapts its HTTP client to it; this crate never
/// does HTTP.
#[cfg_attr(feature = "test-util", mockall::automock)] // Must stand above `#[async_trait]`.
#[async_trait]
pub trait TufTransport: Send + Sync {
    /// Gets the file at `url`, at most `limit` bytes of it. `None` means 404 and nothing else.
    ///
    /// # Errors
    ///
    /// Whatever keeps the file from being read in full, and a file that is longer than `limit`.
    async fn get(&self, url: &str, limit: u64) -> Result<Option<Bytes>, BoxError>;
}

/// Which TUF repository is believed, and where its metadata is kept.
#[derive(Clone, Debug)]
pub struct TufOptions {
    url: String,
    root: Vec<u8>,
    cache: PathBuf,
    refresh_after: Duration,
    limits: TufLimits,
}

impl TufOptions {
    /// The repository at `url`, believed because of `root`, the bytes of one of its `root.json`.
    /// `cache` is a folder that several processes may share.
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
            limits: TufLimits::default(),
        }
    }

    /// The public Sigstore instance.
    pub fn public_good(cache: impl Into<PathBuf>) -> Self {
        Self::new(PUBLIC_GOOD_URL, PUBLIC_GOOD_ROOT, cache)
    }

    /// Refreshes when the last refresh is older than `age`; one day unless set.
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

    /// The folder of this repository: another root is another repository.
    fn folder(&self) -> PathBuf {
        let mut name = self.url.clone().into_bytes();
        name.push(b'\n');
        name.extend_from_slice(&self.root);
        let digest = Digest::sha256(name);
        self.cache.join(digest.hex().get(..32).unwrap_or_default())
    }

    fn fail(&self, problem: impl Into<String>, source: Option<BoxError>) -> VerifyError {
        VerifyError::TrustRoot {
            origin: format!("TUF repository {}", shown(&self.url)),
            problem: problem.into(),
            source,
        }
    }
}

/// Loads the trusted root: see [`TrustRoot::from_tuf`].
pub(super) async fn load(
    options: &TufOptions,
    transport: Option<&dyn TufTransport>,
    now: SystemTime,
) -> Result<TrustRoot, VerifyError> {
    let cache = Cache {
        folder: options.folder(),
    };
    let state = cache.state();
    let Some(transport) = transport else {
        let fetched = offline(options, &state, now).await.map_err(|error| {
            options.fail(
                "its cache gives no trusted root; refresh it",
                Some(error.into()),
            )
        })?;
        return root_of(options, &fetched, state.refreshed);
    };
    if state
        .refreshed
        .is_some_and(|then| is_long_before(now, then))
    {
        // Metadata that has expired since would be taken for fresh.
        let problem = format!(
            "our clock is before its last refresh; set it, or remove `{STATE}` in its cache"
        );
        return Err(options.fail(problem, None));
    }
    if let Some(root) = fresh(options, &state, now).await {
        return Ok(root);
    }
    // One process refreshes; the others find its work done.
    let lock = cache.lock().await;
    let state = cache.state();
    if lock.is_some()
        && let Some(root) = fresh(options, &state, now).await
    {
        return Ok(root);
    }
    // Whoever has just waited in vain need not wait again, while what was verified last holds.
    if was_missed(options, &state, now)
        && let Ok(fetched) = offline(options, &state, now).await
    {
        return root_of(options, &fetched, state.refreshed);
    }
    let kept = Kept::new(state.clone().with_roots_ahead());
    let refreshing =
        tokio::time::timeout(options.limits.time, online(options, &kept, transport, now));
    let problem = match refreshing.await {
        Ok(Ok(fetched)) => {
            let root = root_of(options, &fetched, Some(now))?;
            let mut state = kept.state();
            (state.refreshed, state.missed) = (Some(now), None);
            cache.keep(&state);
            return Ok(root);
        }
        Ok(Err(error)) => error,
        Err(elapsed) => TufError::transport_with_source("refreshing", elapsed),
    };
    let mut state = state;
    if state.remember_roots(&kept.state()) {
        cache.keep(&state);
    }
    if !is_unreachable(&problem) {
        return Err(options.fail("its metadata does not hold", Some(problem.into())));
    }
    // Not a fallback to other trust: the same metadata, verified again, while it has not expired.
    match offline(options, &state, now).await {
        Ok(fetched) => {
            tracing::warn!(
                url = %shown(&options.url),
                error = %chain(&problem),
                "the TUF repository cannot be reached; its last metadata has not expired yet"
            );
            state.missed = Some(now);
            cache.keep(&state);
            root_of(options, &fetched, state.refreshed)
        }
        Err(_) => Err(options.fail(
            "it cannot be reached, and its cache has no metadata that has not expired",
            Some(problem.into()),
        )),
    }
}

/// Whether `now` lies more than a day before `then`.
fn is_long_before(now: SystemTime, then: SystemTime) -> bool {
    then.duration_since(now)
        .is_ok_and(|ahead| ahead > CLOCK_BACK_MAX)
}

/// Whether the repository could not be reached a moment ago. Who wants news now asks all the same.
fn was_missed(options: &TufOptions, state: &State, now: SystemTime) -> bool {
    let pause = TUF_RETRY_AFTER.min(options.refresh_after);
    let age = state.missed.and_then(|then| now.duration_since(then).ok());
    age.is_some_and(|age| age < pause)
}

/// The cached root, if the last refresh is recent and everything still verifies.
async fn fresh(options: &TufOptions, state: &State, now: SystemTime) -> Option<TrustRoot> {
    // A refresh in the future means that a clock was wrong: it proves nothing about age.
    let age = now.duration_since(state.refreshed?).ok()?;
    if age >= options.refresh_after {
        return None;
    }
    match offline(options, state, now).await {
        Ok(fetched) => root_of(options, &fetched, state.refreshed).ok(),
        Err(error) => {
            tracing::warn!(error = %chain(&error), "the cached TUF metadata is not usable");
            None
        }
    }
}

/// The verified target and the version of the metadata that vouches for it.
struct Fetched {
    target: Vec<u8>,
    version: String,
}

fn root_of(
    options: &TufOptions,
    fetched: &Fetched,
    refreshed: Option<SystemTime>,
) -> Result<TrustRoot, VerifyError> {
    let source = format!("TUF repository {}", shown(&options.url));
    TrustRoot::from_json(&source, Some(&fetched.version), refreshed, &fetched.target)
}

async fn online(
    options: &TufOptions,
    kept: &Kept,
    transport: &dyn TufTransport,
    now: SystemTime,
) -> Result<Fetched, TufError> {
    distinct_keys("root.json", &options.root)?;
    let (send, mut requests) = mpsc::channel::<Request>(1);
    let updater = Updater::new(Remote { send }, &options.root)?
        .with_config(limits(&options.limits))
        .with_store(kept.clone());
    // The library wants to own its transport and we only borrow ours: requests cross a channel.
    let serving = async {
        while let Some(request) = requests.recv().await {
            let url = format!("{}/{}", options.url.trim_end_matches('/'), request.path);
            let answer = transport.get(&url, request.limit).await;
            let _ = request.answer.send(answer);
        }
        future::pending::<()>().await;
    };
    let refreshing = refresh(updater, now);
    match future::select(std::pin::pin!(refreshing), std::pin::pin!(serving)).await {
        Either::Left((fetched, _)) => fetched,
        Either::Right(((), _)) => Err(TufError::transport("the transport stopped")),
    }
}

async fn offline(
    options: &TufOptions,
    state: &State,
    now: SystemTime,
) -> Result<Fetched, TufError> {
    distinct_keys("root.json", &options.root)?;
    let kept = Kept::new(state.clone());
    let updater = Updater::new(kept.clone(), &options.root)?
        .with_config(limits(&options.limits))
        .with_store(kept);
    refresh(updater, now).await
}

async fn refresh(mut updater: Updater, now: SystemTime) -> Result<Fetched, TufError> {
    let now = now
        .try_into()
        .map_err(|error| TufError::Malformed(format!("our clock is out of range: {error}")))?;
    updater.refresh(now).await?;
    let target = updater.get_target(TARGET, now).await?;
    let trusted = updater.trusted();
    let targets = trusted
        .targets_role("targets")
        .map_or(0, |role| role.version);
    let version = format!("root {}, targets {targets}", trusted.root().version);
    Ok(Fetched { target, version })
}

fn limits(limits: &TufLimits) -> UpdaterConfig {
    let mut config = UpdaterConfig::default();
    config.root_max_length = limits.root_bytes;
    config.timestamp_max_length = limits.metadata_bytes;
    config.snapshot_max_length = limits.metadata_bytes;
    config.targets_max_length = limits.metadata_bytes;
    config.target_max_length = TRUST_FILE_BYTES_MAX;
    config.max_root_rotations = limits.rotations;
    config
}

/// Whether the repository could not be asked, as opposed to having answered something wrong.
fn is_unreachable(error: &TufError) -> bool {
    matches!(
        error,
        TufError::Transport {
            source: Some(_),
            ..
        }
    )
}

/// A URL without userinfo and query, which may hold secrets.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
            let host = authority.rsplit('@').next().unwrap_or_default();
            if path.is_empty() {
                format!("{scheme}://{host}")
            } else {
                format!("{scheme}://{host}/{path}")
            }
        }
        None => url.to_owned(),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_secrets() {
        for (url, expected) in [
            ("https://tuf.example", "https://tuf.example"),
            (
                "https://tuf.example/a/b?token=x#y",
                "https://tuf.example/a/b",
            ),
            ("https://user:secret@tuf.example/a", "https://tuf.example/a"),
            ("https://user:se@cret@tuf.example", "https://tuf.example"),
            ("tuf", "tuf"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn another_root_is_another_repository() {
        let of = |url: &str, root: &[u8]| TufOptions::new(url, root, "/cache").folder();
        assert_eq!(of("https://a", b"r"), of("https://a", b"r"));
        assert_ne!(of("https://a", b"r"), of("https://b", b"r"));
        assert_ne!(of("https://a", b"r"), of("https://a", b"s"));
        assert!(
            TufOptions::public_good("/cache")
                .folder()
                .starts_with("/cache")
        );
    }

    /// The compiled-in root of the public instance passes our own check of its keys.
    #[test]
    fn the_public_root_names_each_key_once() {
        distinct_keys("root.json", PUBLIC_GOOD_ROOT).unwrap();
        Updater::new(Kept::new(State::default()), PUBLIC_GOOD_ROOT).unwrap();
    }
}
