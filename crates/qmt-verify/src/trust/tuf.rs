//! Trust roots from a TUF repository: `sigstore-tuf` verifies, the facade's HTTP client fetches.
//!
//! What is cached is metadata as it was signed, never a verdict: all of it is verified again, from
//! the root that the operator named, each time it is used. So a corrupted cache costs a refresh and
//! nothing else. <https://theupdateframework.github.io/specification/v1.0.33/>

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{self, Either};
use qmt_oci_ref::Digest;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{
    Error as TufError, FileStore, MetadataStore, Repository, StoreRepository, Updater, UpdaterConfig,
};
use tokio::sync::{mpsc, oneshot};

use super::TrustRoot;
use crate::error::{BoxError, VerifyError};
use crate::limits::{
    TRUST_FILE_BYTES_MAX, TUF_METADATA_BYTES_MAX, TUF_REFRESH_AFTER, TUF_ROOT_BYTES_MAX,
    TUF_ROTATIONS_MAX, TUF_TIME_MAX,
};

const TARGET: &str = "trusted_root.json";
const PUBLIC_GOOD_URL: &str = "https://tuf-repo-cdn.sigstore.dev";
const PUBLIC_GOOD_ROOT: &[u8] = include_bytes!("public_good_root.json");
/// When the last refresh was, in the cache beside the metadata.
const REFRESHED: &str = "refreshed";
/// How long another process may hold the lock before we go on without it.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(30);
/// How often the lock is tried.
const LOCK_POLL: Duration = Duration::from_millis(20);

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
}

impl TufOptions {
    /// The repository at `url`, believed because of `root`, the bytes of one of its `root.json`.
    /// `cache` is a folder that several processes may share.
    pub fn new(url: impl Into<String>, root: impl Into<Vec<u8>>, cache: impl Into<PathBuf>) -> Self {
        Self {
            url: url.into(),
            root: root.into(),
            cache: cache.into(),
            refresh_after: TUF_REFRESH_AFTER,
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
    let cache = Cache { folder: options.folder() };
    let Some(transport) = transport else {
        let fetched = offline(options, &cache, now).await.map_err(|error| {
            options.fail("its cache gives no trusted root; refresh it", Some(error.into()))
        })?;
        return root_of(options, &fetched, cache.refreshed());
    };
    if let Some(root) = fresh(options, &cache, now).await {
        return Ok(root);
    }
    // One process refreshes; the others find its work done.
    let lock = cache.lock().await;
    if lock.is_some()
        && let Some(root) = fresh(options, &cache, now).await
    {
        return Ok(root);
    }
    let refreshing = tokio::time::timeout(TUF_TIME_MAX, online(options, &cache, transport, now));
    let problem = match refreshing.await {
        Ok(Ok(fetched)) => {
            cache.mark(now);
            return root_of(options, &fetched, Some(now));
        }
        Ok(Err(error)) if is_unreachable(&error) => error.into(),
        Ok(Err(error)) => {
            return Err(options.fail("its metadata does not hold", Some(error.into())));
        }
        Err(elapsed) => elapsed.into(),
    };
    // Not a fallback to other trust: the same metadata, verified again, while it has not expired.
    match offline(options, &cache, now).await {
        Ok(fetched) => {
            tracing::warn!(
                url = %shown(&options.url),
                error = %problem,
                "the TUF repository cannot be reached; its last metadata has not expired yet"
            );
            root_of(options, &fetched, cache.refreshed())
        }
        Err(_) => Err(options.fail(
            "it cannot be reached, and its cache has no metadata that has not expired",
            Some(problem),
        )),
    }
}

/// The cached root, if the last refresh is recent and everything still verifies.
async fn fresh(options: &TufOptions, cache: &Cache, now: SystemTime) -> Option<TrustRoot> {
    // A refresh in the future means that a clock was wrong: it proves nothing about age.
    let age = now.duration_since(cache.refreshed()?).ok()?;
    if age >= options.refresh_after {
        return None;
    }
    match offline(options, cache, now).await {
        Ok(fetched) => root_of(options, &fetched, cache.refreshed()).ok(),
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
    cache: &Cache,
    transport: &dyn TufTransport,
    now: SystemTime,
) -> Result<Fetched, TufError> {
    let (send, mut requests) = mpsc::channel::<Request>(1);
    let updater = Updater::new(Remote { send }, &options.root)?
        .with_config(limits())
        .with_store(Kept { folder: cache.folder.clone(), writable: true });
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
    cache: &Cache,
    now: SystemTime,
) -> Result<Fetched, TufError> {
    let kept = || Kept { folder: cache.folder.clone(), writable: false };
    let updater = Updater::new(StoreRepository::new(kept()), &options.root)?
        .with_config(limits())
        .with_store(kept());
    refresh(updater, now).await
}

async fn refresh(mut updater: Updater, now: SystemTime) -> Result<Fetched, TufError> {
    let now = now
        .try_into()
        .map_err(|error| TufError::Malformed(format!("our clock is out of range: {error}")))?;
    updater.refresh(now).await?;
    let target = updater.get_target(TARGET, now).await?;
    let trusted = updater.trusted();
    let targets = trusted.targets_role("targets").map_or(0, |role| role.version);
    let version = format!("root {}, targets {targets}", trusted.root().version);
    Ok(Fetched { target, version })
}

fn limits() -> UpdaterConfig {
    let mut config = UpdaterConfig::default();
    config.root_max_length = TUF_ROOT_BYTES_MAX;
    config.timestamp_max_length = TUF_METADATA_BYTES_MAX;
    config.snapshot_max_length = TUF_METADATA_BYTES_MAX;
    config.targets_max_length = TUF_METADATA_BYTES_MAX;
    config.target_max_length = TRUST_FILE_BYTES_MAX;
    config.max_root_rotations = TUF_ROTATIONS_MAX;
    config
}

/// Whether the repository could not be asked, as opposed to having answered something wrong.
fn is_unreachable(error: &TufError) -> bool {
    matches!(error, TufError::Transport { source: Some(_), .. })
}

/// One file that the library wants.
struct Request {
    path: String,
    limit: u64,
    answer: oneshot::Sender<Result<Option<Bytes>, BoxError>>,
}

/// The library's end of the channel to our transport.
struct Remote {
    send: mpsc::Sender<Request>,
}

impl Remote {
    async fn get(&self, path: String, limit: u64) -> Result<Option<Vec<u8>>, TufError> {
        // Names come from metadata: none may leave the repository (CVE-2026-24137).
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains('\\') {
            return Err(TufError::Malformed(format!("`{path}` is no name of a file")));
        }
        let (answer, answered) = oneshot::channel();
        let stopped = |_| TufError::transport("the transport stopped");
        self.send
            .send(Request { path: path.clone(), limit, answer })
            .await
            .map_err(|_| TufError::transport("the transport stopped"))?;
        let bytes = answered
            .await
            .map_err(stopped)?
            .map_err(|source| TufError::transport_with_source(format!("fetching {path}"), source))?;
        match bytes {
            Some(bytes) if bytes.len() as u64 > limit => {
                Err(TufError::Malformed(format!("`{path}` is over {limit} bytes")))
            }
            Some(bytes) => Ok(Some(bytes.to_vec())),
            None => Ok(None),
        }
    }
}

impl Repository for Remote {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.get(name.to_owned(), max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.get(format!("targets/{path}"), max_length))
    }
}

/// The library's own store, bounded when read, and without writes where nothing changes.
struct Kept {
    folder: PathBuf,
    writable: bool,
}

impl MetadataStore for Kept {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, TufError> {
        let size = std::fs::metadata(self.folder.join(name)).map(|metadata| metadata.len());
        if size.is_ok_and(|size| size > TUF_METADATA_BYTES_MAX) {
            return Err(TufError::Malformed(format!("cached {name} is too long")));
        }
        FileStore::new(&self.folder).load(name)
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), TufError> {
        if !self.writable {
            return Ok(());
        }
        FileStore::new(&self.folder).store(name, bytes)
    }
}

/// The folder with the metadata, the time of the last refresh and the lock.
struct Cache {
    folder: PathBuf,
}

impl Cache {
    fn refreshed(&self) -> Option<SystemTime> {
        let text = std::fs::read_to_string(self.folder.join(REFRESHED)).ok()?;
        let seconds: u64 = text.trim().parse().ok()?;
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    /// Notes a refresh. A cache that cannot be written costs a refresh each time, and no trust.
    fn mark(&self, now: SystemTime) {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let kept = FileStore::new(&self.folder);
        if let Err(error) = kept.store(REFRESHED, seconds.to_string().as_bytes()) {
            tracing::warn!(error = %chain(&error), "the TUF cache cannot be written");
        }
    }

    /// Waits for other processes. `None` where that is not possible or takes too long: writes are
    /// atomic, so the lock saves work and is not needed for safety.
    async fn lock(&self) -> Option<File> {
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
        let locked = tokio::time::timeout(LOCK_WAIT_MAX, waiting).await.unwrap_or(false);
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
mod tests;
