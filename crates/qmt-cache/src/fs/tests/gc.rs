//! CACHE-10, CACHE-14: eviction removes what it may and nothing that is held.

use std::fs::File;

use super::*;
use crate::maintenance::{PruneOptions, PruneReport};

const DAY: Duration = Duration::from_hours(24);

impl Bed {
    async fn prune(&self, options: PruneOptions) -> PruneReport {
        self.cache.prune(options, SystemTime::now()).await.unwrap()
    }

    /// Pretends that an entry was used at another time.
    fn used_at(&self, manifest: &Digest, at: SystemTime) {
        let path = self.cache.store.paths.record(manifest);
        File::open(path).unwrap().set_modified(at).unwrap();
    }
}

/// On a machine without a network, what was imported can't be fetched again.
#[tokio::test]
async fn an_imported_image_stays_until_it_was_used() {
    let (_out, layout, root) = transfer::layout().await;
    let bed = Bed::new();
    transfer::import(&bed, &layout).await.unwrap();
    assert_eq!(
        bed.cache.imported().await.unwrap(),
        std::slice::from_ref(&root)
    );
    let later = SystemTime::now() + 2 * DAY;
    let prune = async |options| bed.cache.prune(options, later).await.unwrap();
    assert_eq!(prune(PruneOptions::default()).await.blobs, 0);
    let kept = PruneOptions::default()
        .with_max_size(0)
        .with_keep([root.clone()]);
    assert_eq!(prune(kept).await.blobs, 0);
    assert_eq!(
        bed.cache.imported().await.unwrap(),
        std::slice::from_ref(&root)
    );
    // Once a plugin was extracted from it, that is evicted like any other.
    let mut staging = bed.fill(&manifest("used")).await;
    staging.write_all(CONTENT).unwrap();
    let (key, file) = (manifest("used"), Digest::sha256(CONTENT));
    let (kind, size) = (PluginKind::Wasm, CONTENT.len() as u64);
    let record = Record::new(key, root.clone(), kind, "plugin.wasm", file, size);
    drop(staging.commit(record).unwrap());
    assert_eq!(bed.cache.imported().await.unwrap(), []);
    let all = prune(PruneOptions::default().with_max_size(0)).await;
    assert_eq!((all.evicted.len(), all.blobs), (1, 4));
}

#[tokio::test]
async fn old_imports_are_evicted_where_that_is_asked_for() {
    let (_out, layout, _) = transfer::layout().await;
    for options in [
        PruneOptions::default().with_max_age(DAY),
        PruneOptions::default().with_max_size(0),
    ] {
        let bed = Bed::new();
        transfer::import(&bed, &layout).await.unwrap();
        let later = SystemTime::now() + 2 * DAY;
        let report = bed.cache.prune(options, later).await.unwrap();
        assert!(report.blobs > 0, "{report:?}");
        assert_eq!(bed.cache.imported().await.unwrap(), []);
    }
}

/// "Every plugin" are also those that were imported a moment ago, with their signatures and tags.
#[tokio::test]
async fn new_imports_are_evicted_with_everything_else() {
    let (_out, layout, root) = transfer::layout().await;
    let bed = Bed::new();
    transfer::import(&bed, &layout).await.unwrap();
    let all = PruneOptions::default().with_max_size(0);
    let kept = bed.prune(all.clone().with_keep([root.clone()])).await;
    assert_eq!((kept.imported.len(), kept.blobs), (0, 0));
    // What else is new may be a part of an artifact in progress.
    let other = blob("application/json", b"[1]");
    let put = bed.cache.put_bytes(&other, Bytes::from_static(b"[1]"));
    put.await.unwrap();
    let report = bed.prune(all).await;
    assert_eq!(report.imported, [root]);
    assert!(report.blobs > 0 && report.freed > 0, "{report:?}");
    assert_eq!(bed.cache.imported().await.unwrap(), []);
    assert_eq!(bed.names("blobs/sha256"), [other.digest().hex()]);
    assert_eq!(bed.names("signatures"), Vec::<String>::new());
}

#[tokio::test]
async fn old_entries_go_and_used_ones_stay() {
    let bed = Bed::new();
    let (old, used) = (manifest("old"), manifest("used"));
    for key in [&old, &used] {
        bed.put(key, CONTENT).await;
        bed.used_at(key, SystemTime::now() - 40 * DAY);
    }
    bed.hit(&used).await.read_proven().unwrap();
    let report = bed
        .prune(PruneOptions::default().with_max_age(30 * DAY))
        .await;
    assert_eq!(report.evicted, std::slice::from_ref(&old));
    assert_eq!(report.freed, CONTENT.len() as u64);
    assert!(bed.is_miss(&old).await);
    assert!(!bed.is_miss(&used).await);
    assert_eq!(bed.names("artifacts").len(), 1);
}

#[tokio::test]
async fn the_longest_unused_go_until_the_rest_fits() {
    let bed = Bed::new();
    let keys: Vec<_> = (0..4).map(|n| manifest(&n.to_string())).collect();
    for (age, key) in keys.iter().enumerate() {
        bed.put(key, &[1; 1000]).await;
        bed.used_at(key, SystemTime::now() - DAY * u32::try_from(age).unwrap());
    }
    let fits = bed.prune(PruneOptions::default().with_max_size(4000)).await;
    assert_eq!(fits.evicted, []);
    let report = bed.prune(PruneOptions::default().with_max_size(3999)).await;
    assert_eq!(report.evicted, [keys[3].clone()]);
    let report = bed.prune(PruneOptions::default().with_max_size(1999)).await;
    assert_eq!(report.evicted, [keys[2].clone(), keys[1].clone()]);
    assert!(!bed.is_miss(&keys[0]).await);
}

#[tokio::test]
async fn the_caches_own_limit_is_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let options = CacheOptions::at(folder.path()).with_max_size(Some(10));
    let bed = Bed {
        cache: FsCache::open(options).unwrap(),
        folder,
    };
    bed.put(&manifest("a"), CONTENT).await;
    assert_eq!(bed.prune(PruneOptions::default()).await.evicted.len(), 1);
}

#[tokio::test]
async fn what_a_lockfile_names_stays() {
    let bed = Bed::new();
    let (by_manifest, by_root, by_file) = (manifest("m"), manifest("r"), manifest("f"));
    let root = manifest("index");
    bed.put(&by_manifest, b"one").await;
    let mut staging = bed.fill(&by_root).await;
    staging.write_all(b"two").unwrap();
    let file = Digest::sha256("two");
    let under_index = Record::new(
        by_root.clone(),
        root.clone(),
        PluginKind::Wasm,
        "plugin.wasm",
        file,
        3,
    );
    drop(staging.commit(under_index).unwrap());
    bed.put(&by_file, b"three").await;
    let all = PruneOptions::default().with_max_size(0);
    let keep = [by_manifest, root, Digest::sha256("three")];
    let report = bed.prune(all.clone().with_keep(keep)).await;
    assert_eq!(report, PruneReport::default());
    assert_eq!(bed.prune(all).await.evicted.len(), 3);
}

#[tokio::test]
async fn cache_10_what_is_open_or_being_filled_stays() {
    let bed = Bed::new();
    let (open, filling) = (manifest("open"), manifest("filling"));
    let artifact = bed.put(&open, CONTENT).await;
    bed.put(&filling, CONTENT).await;
    let lock = bed.cache.store.paths.lock(&filling);
    let filler = super::super::lock::try_acquire(Sys::REAL, &lock)
        .unwrap()
        .unwrap();
    let all = PruneOptions::default().with_max_size(0);
    let report = bed.prune(all.clone()).await;
    assert_eq!(report.evicted, []);
    assert_eq!(report.in_use.len(), 2);
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    assert!(artifact.path().exists());
    drop((artifact, filler));
    assert_eq!(bed.prune(all).await.evicted.len(), 2);
}

#[tokio::test]
async fn cache_10_work_in_progress_stays_and_litter_goes() {
    let bed = Bed::new();
    let mut staging = bed.fill(&manifest("a")).await;
    staging.write_all(CONTENT).unwrap();
    let litter = bed.cache.path().join("tmp/work-of-a-dead-process");
    std::fs::write(&litter, "x").unwrap();
    let unfinished = bed.cache.store.paths.entry(&manifest("dead"));
    std::fs::create_dir(&unfinished).unwrap();
    let report = bed.prune(PruneOptions::default()).await;
    assert_eq!(report.litter, 2);
    assert!(!litter.exists());
    assert!(!unfinished.exists());
    let artifact = staging.commit(record(&manifest("a"), CONTENT)).unwrap();
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
}

/// What an interrupted import or eviction left goes at once, and counts with the bytes in it.
#[tokio::test]
async fn folders_of_dead_processes_are_litter() {
    use super::super::temp_folder::TempFolder;
    let bed = Bed::new();
    let tmp = bed.cache.store.paths.tmp();
    let of_living = TempFolder::new(&bed.cache.store, "import-").unwrap();
    std::fs::write(of_living.path().join("0"), CONTENT).unwrap();
    for name in ["import-dead", "gone-dead"] {
        let folder = tmp.join(name);
        std::fs::create_dir_all(folder.join("entry")).unwrap();
        std::fs::write(folder.join("lock"), "").unwrap();
        std::fs::write(folder.join("entry/0"), [0; 1000]).unwrap();
    }
    // Its lock is not there yet, or never will be: its age decides.
    let without_lock = tmp.join("import-new");
    std::fs::create_dir(&without_lock).unwrap();
    let report = bed.prune(PruneOptions::default()).await;
    assert_eq!((report.litter, report.freed), (2, 2000));
    assert!(of_living.path().join("0").exists() && without_lock.exists());
    drop(of_living);
    let later = SystemTime::now() + DAY + DAY;
    let report = bed.cache.prune(PruneOptions::default(), later).await;
    assert_eq!(report.unwrap().litter, 1);
    assert_eq!(std::fs::read_dir(tmp).unwrap().count(), 0);
}

#[tokio::test]
async fn partial_downloads_may_be_resumed_for_a_day() {
    let bed = Bed::new();
    let staging = bed.fill(&manifest("a")).await;
    let layer = Digest::sha256("layer");
    let mut partial = staging.partial(&layer).unwrap();
    partial.write_all(b"lay").unwrap();
    drop(partial);
    let tomorrow = SystemTime::now() + DAY + DAY;
    bed.prune(PruneOptions::default()).await;
    assert_eq!(staging.partial(&layer).unwrap().digester().count(), 3);
    bed.cache
        .prune(PruneOptions::default(), tomorrow)
        .await
        .unwrap();
    assert_eq!(staging.partial(&layer).unwrap().digester().count(), 0);
}

#[tokio::test]
async fn blobs_go_with_the_last_artifact_that_needs_them() {
    let bed = Bed::new();
    let config = blob("a/config", b"{}");
    let layer = Digest::sha256("layer");
    let image = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
        serde_json::to_string(&config).unwrap(),
        serde_json::to_string(&Descriptor::new(MediaType::from("a/l"), layer.clone(), 5)).unwrap(),
    );
    let again = image.clone();
    let root = blob(qmt_oci_ref::manifest::OCI_MANIFEST, image.as_bytes());
    bed.cache
        .put_bytes(&config, Bytes::from_static(b"{}"))
        .await
        .unwrap();
    bed.cache
        .put_bytes(&root, Bytes::from(image))
        .await
        .unwrap();
    bed.cache.put_evidence(root.digest(), b"[]").await.unwrap();
    let reference = "ghcr.io/acme/echo:1".parse().unwrap();
    bed.cache
        .set_ref(&reference, root.digest(), SystemTime::now())
        .await
        .unwrap();
    let mut staging = bed.fill(root.digest()).await;
    let mut partial = staging.partial(&layer).unwrap();
    partial.write_all(b"layer").unwrap();
    partial.finish(5).unwrap();
    staging.write_all(CONTENT).unwrap();
    drop(staging.commit(record(root.digest(), CONTENT)).unwrap());
    assert_eq!(bed.names("blobs/sha256").len(), 3);

    let later = SystemTime::now() + DAY;
    let nothing = bed
        .cache
        .prune(PruneOptions::default(), later)
        .await
        .unwrap();
    assert_eq!(nothing, PruneReport::default());
    assert_eq!(index_names(&bed).len(), 1);
    let all = PruneOptions::default().with_max_size(0);
    let report = bed.cache.prune(all, later).await.unwrap();
    assert_eq!((report.evicted.len(), report.blobs), (1, 3));
    assert!(bed.names("blobs/sha256").is_empty());
    assert!(bed.names("signatures").is_empty());
    assert!(bed.names("refs").is_empty());
    assert_eq!(index_names(&bed).len(), 0);
    // Fetched again, it is listed again.
    bed.cache
        .put_bytes(&root, Bytes::from(again))
        .await
        .unwrap();
    bed.cache
        .set_ref(&reference, root.digest(), SystemTime::now())
        .await
        .unwrap();
    assert_eq!(index_names(&bed), [Some("ghcr.io/acme/echo:1".to_owned())]);
}

#[tokio::test]
async fn blobs_whose_artifact_is_on_its_way_stay() {
    let bed = Bed::new();
    let fresh = blob("a/b", b"{}");
    bed.cache
        .put_bytes(&fresh, Bytes::from_static(b"{}"))
        .await
        .unwrap();
    assert_eq!(
        bed.prune(PruneOptions::default().with_max_size(0))
            .await
            .blobs,
        0
    );
    assert!(bed.cache.bytes(fresh.digest(), 9).await.unwrap().is_some());
}

#[tokio::test]
async fn cache_14_clocks_that_jump_evict_nothing_by_age() {
    let bed = Bed::new();
    let key = manifest("a");
    bed.put(&key, CONTENT).await;
    let ten_years = 3650 * DAY;
    let by_age = PruneOptions::default().with_max_age(DAY);
    // The clock was ahead when the entry was used, or is back now.
    bed.used_at(&key, SystemTime::now() + ten_years);
    assert_eq!(bed.prune(by_age.clone()).await.evicted, []);
    let past = SystemTime::now() - ten_years;
    assert_eq!(
        bed.cache.prune(by_age.clone(), past).await.unwrap().evicted,
        []
    );
    let before_1970 = SystemTime::UNIX_EPOCH - ten_years;
    assert_eq!(
        bed.cache
            .prune(by_age.clone(), before_1970)
            .await
            .unwrap()
            .evicted,
        []
    );
    // A later use puts the time right.
    bed.hit(&key).await.read_proven().unwrap();
    let later = SystemTime::now() + 2 * DAY;
    assert_eq!(bed.cache.prune(by_age, later).await.unwrap().evicted, [key]);
}

#[tokio::test]
async fn an_entry_that_was_never_finished_is_no_damage() {
    let bed = Bed::new();
    std::fs::create_dir(bed.cache.store.paths.entry(&manifest("dead"))).unwrap();
    assert_eq!(bed.cache.verify_all().await.unwrap().damaged.len(), 0);
    bed.put(&manifest("dead"), CONTENT).await;
}

#[tokio::test]
async fn a_temporary_name_of_a_blob_is_litter() {
    let bed = Bed::new();
    let layer = Digest::sha256(CONTENT);
    bed.cache
        .put_bytes(&blob("a/b", CONTENT), Bytes::from_static(CONTENT))
        .await
        .unwrap();
    let dead = bed.cache.path().join("tmp/link-dead");
    std::fs::hard_link(bed.cache.store.paths.blob(&layer), &dead).unwrap();
    assert_eq!(bed.prune(PruneOptions::default()).await.litter, 1);
    assert!(!dead.exists());
    assert_eq!(bed.cache.bytes(&layer, 99).await.unwrap().unwrap(), CONTENT);
}

/// A pull that uses what the cache has relies on it until it is committed.
#[tokio::test]
async fn blobs_that_a_new_artifact_uses_stay_however_old_they_are() {
    let bed = Bed::new();
    let (small, layer) = (blob("a/b", b"{}"), Digest::sha256(CONTENT));
    let put_small = async || {
        let put = bed.cache.put_bytes(&small, Bytes::from_static(b"{}"));
        put.await.unwrap();
    };
    put_small().await;
    let whole = Bytes::from_static(CONTENT);
    bed.cache
        .put_bytes(&blob("a/l", CONTENT), whole)
        .await
        .unwrap();
    let age = |path: &std::path::Path| {
        let at = SystemTime::now() - DAY;
        File::open(path).unwrap().set_modified(at).unwrap();
    };
    age(&bed.cache.store.paths.blob(small.digest()));
    age(&bed.cache.store.paths.blob(&layer));
    put_small().await;
    let staging = bed.fill(&manifest("a")).await;
    let stored = staging.partial(&layer).unwrap();
    // A download that was complete long ago, and gets its name only now.
    let late = Digest::sha256("late");
    let mut partial = staging.partial(&late).unwrap();
    partial.write_all(b"late").unwrap();
    drop(partial);
    age(&bed.cache.store.paths.partial(&late));
    staging.partial(&late).unwrap().finish(4).unwrap();
    assert_eq!(bed.prune(PruneOptions::default()).await.blobs, 0);

    // Where the blob goes nevertheless, the open file is copied.
    std::fs::remove_file(bed.cache.store.paths.blob(&layer)).unwrap();
    stored.finish(CONTENT.len() as u64).unwrap();
    let artifact = staging.commit(record(&manifest("a"), CONTENT)).unwrap();
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    let committed = std::fs::metadata(bed.cache.store.paths.blob(&late)).unwrap();
    assert!(committed.modified().unwrap().elapsed().unwrap() < DAY / 2);
}

/// A shared layer is freed by the last artifact that uses it.
#[tokio::test]
async fn a_shared_layer_counts_until_its_last_artifact_goes() {
    for is_raw in [false, true] {
        let bed = Bed::new();
        let layer = vec![7; 1000];
        let digest = Digest::sha256(&layer);
        for name in ["a", "b", "c"] {
            let key = manifest(name);
            let mut staging = bed.fill(&key).await;
            let mut partial = staging.partial(&digest).unwrap();
            if !partial.is_complete() {
                partial.write_all(&layer).unwrap();
            }
            partial.finish(1000).unwrap();
            let file: &[u8] = if is_raw { &layer } else { &[1; 100] };
            if !is_raw {
                staging.write_all(file).unwrap();
            }
            drop(staging.commit(record(&key, file)).unwrap());
        }
        // The layer and three files. A raw layer is the first file too, and the others are copies.
        let (total, with_one, freed) = if is_raw {
            (3000, 2000, 1000)
        } else {
            (1300, 1199, 200)
        };
        let fits = PruneOptions::default().with_max_size(total);
        assert_eq!(bed.prune(fits).await, PruneReport::default());
        let report = bed
            .prune(PruneOptions::default().with_max_size(with_one))
            .await;
        assert_eq!((report.evicted.len(), report.freed), (2, freed));
    }
}
