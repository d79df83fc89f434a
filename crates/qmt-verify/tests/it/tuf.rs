//! Trust roots from a TUF repository: what it must survive, and what it costs.

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
/// else ever takes its place (SIG-12).
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

/// TUF-04: a frozen repository is refused once its timestamp has expired.
#[tokio::test]
async fn a_frozen_repository_is_refused_when_its_timestamp_expires() {
    for role in [TufRole::Timestamp, TufRole::Snapshot, TufRole::Targets] {
        let mut lab = Lab::new();
        let expiry = lab.now + Duration::from_hours(36);
        lab.repository.set_expiry(role, expiry);
        lab.repository.publish();
        lab.mirror.serve(&lab.repository);
        lab.load().await.unwrap();
        lab.reload()
            .await
            .unwrap_or_else(|error| panic!("{role:?}: {error}"));
        lab.reload().await.unwrap_err();
        // Fresh by our own count does not help either.
        lab.options = lab.options.clone().with_refresh_after(365 * DAY);
        lab.load().await.unwrap_err();
    }
}

/// TUF-04: a clock that was set back a year would take expired metadata for fresh.
#[tokio::test]
async fn a_clock_that_was_set_back_is_refused() {
    let mut lab = Lab::new();
    lab.load().await.unwrap();
    lab.now -= Duration::from_hours(23);
    lab.load().await.unwrap();
    lab.forget();
    lab.load().await.unwrap();
    lab.now -= 365 * DAY;
    let error = lab.load().await.unwrap_err();
    assert!(error.to_string().contains("clock"), "{error}");
}

/// TUF-02, TUF-04: rollback, mix-and-match, wrong keys, thresholds, expired and changed metadata:
/// refused with and without a cache, and what was cached before stays usable.
#[tokio::test]
async fn bad_metadata_is_refused() {
    for defect in TufDefect::of_publishing() {
        let mut lab = Lab::new();
        lab.load().await.unwrap();
        lab.repository.publish();
        lab.mirror.serve(&lab.repository);
        lab.reload().await.unwrap();
        lab.repository.publish_bad(defect);
        lab.mirror.serve(&lab.repository);
        let outcome = lab.reload().await;
        // A target that is as it was is not fetched again.
        if !matches!(defect, TufDefect::TamperedTarget | TufDefect::LongTarget) {
            let error = outcome.expect_err(&format!("{defect:?} was accepted"));
            assert!(
                matches!(error, VerifyError::TrustRoot { .. }),
                "{defect:?}: {error}"
            );
            assert!(
                std::error::Error::source(&error).is_some(),
                "{defect:?}: {error}"
            );
        }
        TrustRoot::from_tuf_cache(&lab.options, lab.now)
            .await
            .unwrap_or_else(|error| panic!("{defect:?}: the last good state is gone: {error}"));
        // Without a cache a rollback cannot be detected.
        if !matches!(defect, TufDefect::Rollback(_)) {
            lab.forget();
            lab.load()
                .await
                .expect_err(&format!("{defect:?} was accepted without a cache"));
        }
        // And it recovers.
        lab.repository.publish();
        lab.repository.publish();
        lab.mirror.serve(&lab.repository);
        lab.reload()
            .await
            .unwrap_or_else(|error| panic!("{defect:?}: {error}"));
    }
}

/// TUF-05: going back to an older state of the whole repository is a rollback.
#[tokio::test]
async fn an_older_state_of_the_repository_is_refused() {
    let mut lab = Lab::new();
    let old = lab.repository.files().clone();
    lab.repository.publish();
    lab.mirror.serve(&lab.repository);
    lab.load().await.unwrap();
    *lab.mirror.files.lock().unwrap() = old;
    lab.reload().await.unwrap_err();
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

/// TUF-02 (CVE-2026-23992, CVE-2025-2885): a root that its predecessor did not sign, or that skips
/// a version.
#[tokio::test]
async fn bad_roots_are_refused() {
    for defect in TufDefect::of_rotation() {
        let mut lab = Lab::new();
        lab.load().await.unwrap();
        lab.repository.rotate_bad(TufRole::Root, defect);
        lab.mirror.serve(&lab.repository);
        assert!(lab.reload().await.is_err(), "{defect:?} was accepted");
        lab.forget();
        assert!(
            lab.load().await.is_err(),
            "{defect:?} was accepted without a cache"
        );
    }
    // A root of another repository is no start.
    let mut lab = Lab::new();
    let other = PrivateSigstore::new().tuf_repository().initial_root();
    lab.options = TufOptions::new(URL, other, lab.folder.path());
    lab.load().await.unwrap_err();
    for root in [&b""[..], b"{}", b"not json"] {
        lab.options = TufOptions::new(URL, root, lab.folder.path());
        lab.load().await.unwrap_err();
    }
}

/// TUF-04, LIM-08: the walk through new roots ends after 1,024.
#[tokio::test]
async fn root_rotations_are_bounded() {
    let mut lab = Lab::new();
    for _ in 0..1023 {
        lab.repository.renew_root();
    }
    lab.mirror.serve(&lab.repository);
    lab.load().await.unwrap();
    lab.repository.renew_root();
    lab.mirror.serve(&lab.repository);
    lab.forget();
    lab.load().await.unwrap_err();
}

/// LIM-08: an embedder lowers what a refresh may read and take, and never raises it.
#[tokio::test]
async fn the_limits_of_a_refresh_go_downwards_only() {
    struct Silent;
    #[async_trait]
    impl TufTransport for Silent {
        async fn get(&self, _: &str, _: u64) -> Result<Option<Bytes>, BoxError> {
            std::future::pending().await
        }
    }
    type Lower = fn(TufOptions, u64) -> TufOptions;
    let mut lab = Lab::new();
    lab.repository.renew_root();
    lab.repository.renew_root();
    lab.mirror.serve(&lab.repository);
    // What is asked for counts: the first root comes with the options, and its signature may be a
    // byte longer than the others'.
    lab.load().await.unwrap();
    let files = lab.repository.files().clone();
    let asked = lab.mirror.asked.lock().unwrap().clone();
    let longest = |is: fn(&str) -> bool| {
        let read = asked.iter().filter(|name| is(name));
        let lengths = read.filter_map(|name| files.get(name).map(|bytes| bytes.len() as u64));
        lengths.max().unwrap()
    };
    let is_root: fn(&str) -> bool = |name| name.ends_with(".root.json");
    let is_other: fn(&str) -> bool =
        |name| !name.ends_with(".root.json") && !name.starts_with("targets/");
    let root: Lower = TufOptions::with_most_root_bytes;
    let metadata: Lower = TufOptions::with_most_metadata_bytes;
    let rotations: Lower =
        |options, most| options.with_most_rotations(u32::try_from(most).unwrap_or(u32::MAX));
    for (lower, most) in [
        (root, longest(is_root)),
        (metadata, longest(is_other)),
        // The walk asks once more than there are new roots.
        (rotations, 3),
    ] {
        for (most, fits) in [(most, true), (most - 1, false), (u64::MAX, true)] {
            lab.forget();
            lab.options = lower(lab.options.clone(), most);
            let outcome = lab.load().await;
            assert_eq!(outcome.is_ok(), fits, "{most}: {outcome:?}");
        }
    }
    lab.forget();
    let options = lab.options.clone().with_deadline(Duration::from_millis(50));
    let started = std::time::Instant::now();
    TrustRoot::from_tuf(&options, &Silent, lab.now)
        .await
        .unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// TUF-04, LIM-08: endless data, in whatever file; the transport is not trusted to keep the limit.
#[tokio::test]
async fn endless_data_is_refused() {
    struct Endless(Mirror, String);
    #[async_trait]
    impl TufTransport for Endless {
        async fn get(&self, url: &str, limit: u64) -> Result<Option<Bytes>, BoxError> {
            assert!(limit <= 10 * 1024 * 1024);
            if url.ends_with(&self.1) {
                let length = usize::try_from(limit).unwrap() + 1;
                return Ok(Some(vec![b' '; length].into()));
            }
            self.0.get(url, limit).await
        }
    }
    let lab = Lab::new();
    lab.load().await.unwrap();
    let names: Vec<String> = lab.mirror.asked.lock().unwrap().clone();
    for name in names {
        let folder = TempDir::new().unwrap();
        let options = TufOptions::new(URL, lab.repository.initial_root(), folder.path());
        let endless = Endless(Mirror::of(&lab.repository), name.clone());
        let outcome = TrustRoot::from_tuf(&options, &endless, lab.now).await;
        assert!(outcome.is_err(), "{name}");
    }
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

/// TUF-03: a repository whose target is missing, empty or not a trusted root.
#[tokio::test]
async fn a_target_that_is_no_trusted_root_is_refused() {
    for content in [
        "",
        "{}",
        r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#,
    ] {
        let mut lab = Lab::new();
        lab.repository.set_target("trusted_root.json", content);
        lab.repository.publish();
        lab.mirror.serve(&lab.repository);
        lab.load().await.unwrap_err();
    }
    let lab = Lab::new();
    let names: Vec<String> = lab
        .mirror
        .files
        .lock()
        .unwrap()
        .names()
        .map(str::to_owned)
        .collect();
    for name in names.iter().filter(|name| *name != "1.root.json") {
        let lab = Lab {
            folder: TempDir::new().unwrap(),
            ..Lab::new()
        };
        let removed = {
            let mut files = lab.mirror.files.lock().unwrap();
            let same = files
                .names()
                .find(|one| one.split('.').skip(1).eq(name.split('.').skip(1)))
                .map(str::to_owned);
            same.and_then(|same| files.remove(&same)).is_some()
        };
        assert!(removed, "{name}");
        lab.load().await.unwrap_err();
    }
}
