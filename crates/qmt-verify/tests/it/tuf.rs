//! Trust roots from a TUF repository: what it must survive, and what it costs.

mod refusals;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use qmt_testkit::{PrivateSigstore, TufDefect, TufFiles, TufRepository, TufRole};
use qmt_verify::trust::{TrustRoot, TufOptions, TufTransport};
use qmt_verify::{BoxError, VerifyError};
use tempfile::TempDir;

const URL: &str = "https://user:secret@tuf.example/repository/";
const DAY: Duration = Duration::from_hours(24);

/// Serves files, counts requests, and fails on demand.
#[derive(Default)]
struct Mirror {
    files: Mutex<TufFiles>,
    asked: Mutex<Vec<String>>,
    /// How many requests are answered before the network is gone.
    left: AtomicUsize,
}

impl Mirror {
    fn of(repository: &TufRepository) -> Self {
        let mirror = Self::default();
        mirror.left.store(usize::MAX, Ordering::SeqCst);
        mirror.serve(repository);
        mirror
    }

    fn serve(&self, repository: &TufRepository) {
        *self.files.lock().unwrap() = repository.files().clone();
    }

    fn answer(&self, count: usize) {
        self.left.store(count, Ordering::SeqCst);
    }

    fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl TufTransport for Mirror {
    async fn get(&self, url: &str, limit: u64) -> Result<Option<Bytes>, BoxError> {
        // As over a network: others run meanwhile.
        tokio::task::yield_now().await;
        let name = url.strip_prefix(URL).ok_or("another host")?.to_owned();
        self.asked.lock().unwrap().push(name.clone());
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err("the network is gone".into());
        }
        self.left.store(left - 1, Ordering::SeqCst);
        let found = self.files.lock().unwrap().get(&name).cloned();
        if found
            .as_ref()
            .is_some_and(|found| found.len() as u64 > limit)
        {
            return Err("longer than the limit".into());
        }
        Ok(found)
    }
}

struct Lab {
    repository: TufRepository,
    mirror: Mirror,
    options: TufOptions,
    folder: TempDir,
    now: SystemTime,
}

impl Lab {
    fn new() -> Self {
        let sigstore = PrivateSigstore::new();
        let repository = sigstore.tuf_repository();
        let folder = TempDir::new().unwrap();
        let options = TufOptions::new(URL, repository.initial_root(), folder.path());
        let mirror = Mirror::of(&repository);
        Self {
            repository,
            mirror,
            options,
            folder,
            now: SystemTime::now(),
        }
    }

    async fn load(&self) -> Result<TrustRoot, VerifyError> {
        TrustRoot::from_tuf(&self.options, &self.mirror, self.now).await
    }

    /// Loads after the next day has begun, so that the repository is asked.
    async fn reload(&mut self) -> Result<TrustRoot, VerifyError> {
        self.now += DAY;
        self.load().await
    }

    /// A cache that holds nothing.
    fn forget(&mut self) {
        self.folder = TempDir::new().unwrap();
        let root = self.repository.initial_root();
        self.options = TufOptions::new(URL, root, self.folder.path());
    }

    /// All files of the cache but the lock.
    fn cached(&self) -> Vec<std::path::PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.folder.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().unwrap() != "lock" {
                    files.push(path);
                }
            }
        }
        files
    }
}

/// What is awaited can be spawned.
#[test]
fn loading_can_be_spawned() {
    fn spawnable<T: Send>(_: T) {}
    let lab = Lab::new();
    spawnable(TrustRoot::from_tuf(&lab.options, &lab.mirror, lab.now));
    spawnable(TrustRoot::from_tuf_cache(&lab.options, lab.now));
}

/// TUF-06: refreshed at most once a day, and not needed in between; the report says which version
/// and how old.
#[tokio::test]
async fn it_is_refreshed_once_a_day_and_not_needed_in_between() {
    let mut lab = Lab::new();
    let root = lab.load().await.unwrap();
    let info = root.describe();
    assert!(info.source.contains("tuf.example/repository") && !info.source.contains("secret"));
    assert_eq!(info.refreshed, Some(lab.now));
    assert!(
        info.version.as_ref().unwrap().contains("root 1"),
        "{info:?}"
    );
    let requests = lab.mirror.requests();
    assert!(requests >= 4);
    // Offline while fresh.
    lab.mirror.answer(0);
    lab.now += Duration::from_secs(24 * 60 * 60 - 1);
    let again = lab.load().await.unwrap();
    assert_eq!(lab.mirror.requests(), requests);
    assert!(again.describe().refreshed.unwrap() < lab.now - Duration::from_hours(23));
    lab.mirror.answer(usize::MAX);
    lab.now += Duration::from_secs(1);
    lab.load().await.unwrap();
    assert!(lab.mirror.requests() > requests);
    // A new trusted root is taken with the next refresh.
    lab.repository.set_target(
        "trusted_root.json",
        PrivateSigstore::new().trusted_root_json(),
    );
    lab.repository.publish();
    lab.mirror.serve(&lab.repository);
    assert!(
        lab.reload()
            .await
            .unwrap()
            .describe()
            .version
            .as_ref()
            .unwrap()
            .contains("targets 2")
    );
}

/// A repository that cannot be reached is forgiven while its metadata has not expired; nothing
/// else ever replaces it (SIG-12).
#[tokio::test]
async fn an_unreachable_repository_is_forgiven_until_its_metadata_expires() {
    let mut lab = Lab::new();
    lab.mirror.answer(0);
    let error = lab.load().await.unwrap_err();
    assert!(matches!(error, VerifyError::TrustRoot { .. }), "{error}");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(
        TrustRoot::from_tuf_cache(&lab.options, lab.now)
            .await
            .is_err()
    );
    lab.mirror.answer(usize::MAX);
    lab.load().await.unwrap();
    lab.mirror.answer(0);
    lab.reload().await.unwrap();
    TrustRoot::from_tuf_cache(&lab.options, lab.now)
        .await
        .unwrap();
    // TUF-04: ten years on, everything has expired.
    lab.now += 3650 * DAY;
    lab.load().await.unwrap_err();
    TrustRoot::from_tuf_cache(&lab.options, lab.now)
        .await
        .unwrap_err();
}

/// A repository that could not be reached is not requested again at each start, but ten minutes
/// later, or at once where a refresh is demanded.
#[tokio::test]
async fn an_unreachable_repository_is_left_alone_for_a_while() {
    let mut lab = Lab::new();
    lab.load().await.unwrap();
    lab.mirror.answer(0);
    lab.reload().await.unwrap();
    let asked = lab.mirror.requests();
    lab.now += Duration::from_secs(599);
    lab.load().await.unwrap();
    assert_eq!(lab.mirror.requests(), asked);
    let now = lab.options.clone().with_refresh_after(Duration::ZERO);
    TrustRoot::from_tuf(&now, &lab.mirror, lab.now)
        .await
        .unwrap();
    assert!(lab.mirror.requests() > asked);
    let asked = lab.mirror.requests();
    lab.now += Duration::from_mins(10);
    lab.load().await.unwrap();
    assert!(lab.mirror.requests() > asked);
    // It comes back: nothing is left of the pause.
    lab.mirror.answer(usize::MAX);
    lab.now += Duration::from_mins(10);
    let root = lab.load().await.unwrap();
    assert_eq!(root.describe().refreshed, Some(lab.now));
}

/// TUF-06: each role's keys can be rotated, many times over.
#[tokio::test]
async fn rotated_keys_are_followed() {
    let mut lab = Lab::new();
    lab.load().await.unwrap();
    for role in [
        TufRole::Root,
        TufRole::Targets,
        TufRole::Snapshot,
        TufRole::Timestamp,
    ] {
        lab.repository.rotate(role);
        lab.mirror.serve(&lab.repository);
        lab.reload()
            .await
            .unwrap_or_else(|error| panic!("{role:?}: {error}"));
    }
    for _ in 0..6 {
        lab.repository.rotate(TufRole::Root);
    }
    lab.mirror.serve(&lab.repository);
    // From the root that the operator named years ago.
    lab.forget();
    lab.load().await.unwrap();
}

/// TUF-05: a corrupted cache is never used; it costs a refresh.
#[tokio::test]
async fn a_corrupted_cache_is_not_believed() {
    let lab = Lab::new();
    lab.load().await.unwrap();
    let files = lab.cached();
    assert_eq!(files.len(), 1, "{files:?}");
    for path in files {
        let good = std::fs::read(&path).unwrap();
        let flipped: Vec<u8> = good.iter().map(|byte| byte ^ 1).collect();
        for bad in [
            Vec::new(),
            b"{}".to_vec(),
            good.get(..good.len() / 2).unwrap().to_vec(),
            flipped,
        ] {
            std::fs::write(&path, &bad).unwrap();
            let root = lab
                .load()
                .await
                .unwrap_or_else(|error| panic!("{path:?}: {error}"));
            assert_eq!(root.describe().logs, 2);
        }
    }
}

/// TUF-05: a refresh that dies after any request leaves a cache that works or is refreshed.
#[tokio::test]
async fn a_killed_refresh_loses_nothing() {
    let probe = Lab::new();
    probe.load().await.unwrap();
    let requests = probe.mirror.requests();
    for answered in 0..requests {
        let mut lab = Lab::new();
        lab.mirror.answer(answered);
        lab.load().await.unwrap_err();
        lab.mirror.answer(usize::MAX);
        lab.load().await.unwrap();
        lab.repository.rotate(TufRole::Targets);
        lab.mirror.serve(&lab.repository);
        lab.mirror.answer(answered);
        // The old state serves on when the repository cannot be asked to the end.
        lab.reload()
            .await
            .unwrap_or_else(|error| panic!("after {answered}: {error}"));
        lab.mirror.answer(usize::MAX);
        lab.reload()
            .await
            .unwrap_or_else(|error| panic!("after {answered}: {error}"));
    }
}

/// TUF-05, TUF-06: of many at once, one refreshes and the others take what it got.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_refreshes() {
    let lab = Lab::new();
    let loads = (0..16).map(|_| lab.load());
    for outcome in futures_util::future::join_all(loads).await {
        outcome.unwrap();
    }
    let asked = lab.mirror.asked.lock().unwrap();
    let timestamps = asked
        .iter()
        .filter(|name| *name == "timestamp.json")
        .count();
    assert_eq!(timestamps, 1, "{asked:?}");
}

/// TUF-05: a cache that cannot be written costs a refresh each time, and nothing else.
#[tokio::test]
async fn a_cache_that_cannot_be_written_is_no_failure() {
    let mut lab = Lab::new();
    let file = lab.folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    lab.options = TufOptions::new(URL, lab.repository.initial_root(), file.join("cache"));
    lab.load().await.unwrap();
    lab.load().await.unwrap();
    assert!(lab.mirror.requests() >= 8);
}
