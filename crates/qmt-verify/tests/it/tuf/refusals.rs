//! What a repository is refused for, and the limits of a refresh.

use super::*;

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
