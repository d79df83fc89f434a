//! Tests of the cache through its trait, faults included.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, MediaType, PluginKind};
use qmt_storage::LayoutIndex;
use tempfile::TempDir;

use super::sys::Sys;
use super::{CacheOptions, FsCache, Staging};
use crate::{Begin, Cache, CacheError, CachedArtifact, Record};

mod damage;
mod downloads;
mod faults;
mod gc;
mod race;
#[cfg(target_os = "linux")]
mod read_only;
mod transfer;

const CONTENT: &[u8] = b"\0asm\x01\0\0\0 the rest of a small plugin";

/// A cache in a folder that goes with it.
struct Bed {
    folder: TempDir,
    cache: FsCache,
}

impl Bed {
    fn new() -> Self {
        Self::with(Sys::REAL)
    }

    fn with(sys: Sys) -> Self {
        let folder = scratch();
        let options = CacheOptions::at(folder.path()).with_lock_timeout(Duration::from_secs(20));
        let cache = FsCache::open_with(options, sys).unwrap();
        Self { folder, cache }
    }

    async fn fill(&self, manifest: &Digest) -> Staging {
        match self.cache.begin(manifest).await.unwrap() {
            Begin::Fill(staging) => staging,
            Begin::Hit(hit) => panic!("expected a miss, got {hit:?}"),
        }
    }

    async fn put(&self, manifest: &Digest, content: &[u8]) -> CachedArtifact {
        let mut staging = self.fill(manifest).await;
        staging.write_all(content).unwrap();
        staging.commit(record(manifest, content)).unwrap()
    }

    async fn hit(&self, manifest: &Digest) -> CachedArtifact {
        self.cache.lookup(manifest).await.unwrap().expect("a hit")
    }

    async fn is_miss(&self, manifest: &Digest) -> bool {
        self.cache.lookup(manifest).await.unwrap().is_none()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        super::sys::names(&self.cache.path().join(folder)).unwrap()
    }
}

/// A folder in memory where there is one: thousands of entries are written here.
fn scratch() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

fn manifest(name: &str) -> Digest {
    Digest::sha256(name)
}

fn record(manifest: &Digest, content: &[u8]) -> Record {
    let file = Digest::sha256(content);
    let size = content.len() as u64;
    Record::new(
        manifest.clone(),
        manifest.clone(),
        PluginKind::Wasm,
        "plugin.wasm",
        file,
        size,
    )
}

fn is_damaged(error: &CacheError) -> bool {
    matches!(error, CacheError::Damaged { .. })
}

fn read_all(mut reader: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

fn blob(media_type: &str, content: &[u8]) -> Descriptor {
    Descriptor::of(MediaType::from(media_type), content)
}

#[tokio::test]
async fn what_was_committed_is_found_and_proven() {
    let bed = Bed::new();
    let key = manifest("a");
    assert!(bed.is_miss(&key).await);
    let committed = bed.put(&key, CONTENT).await;
    let hit = bed.hit(&key).await;
    assert_eq!(hit.record(), committed.record());
    assert_eq!(hit.path(), committed.path());
    let proven = hit.read_proven().unwrap();
    assert_eq!(proven, CONTENT);
    assert!(matches!(
        bed.cache.begin(&key).await.unwrap(),
        Begin::Hit(_)
    ));
}

#[tokio::test]
async fn a_second_handle_sees_the_same_cache() {
    let bed = Bed::new();
    bed.put(&manifest("a"), CONTENT).await;
    let other = FsCache::open(CacheOptions::at(bed.folder.path())).unwrap();
    assert!(other.lookup(&manifest("a")).await.unwrap().is_some());
    assert_eq!(other.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_dropped_staging_leaves_nothing() {
    let bed = Bed::new();
    let mut staging = bed.fill(&manifest("a")).await;
    staging.write_all(CONTENT).unwrap();
    drop(staging);
    assert!(bed.is_miss(&manifest("a")).await);
    assert!(bed.names("tmp").is_empty());
    bed.put(&manifest("a"), CONTENT).await;
}

#[tokio::test]
async fn restart_throws_away_what_was_written() {
    let bed = Bed::new();
    let mut staging = bed.fill(&manifest("a")).await;
    staging.write_all(&vec![7; 700_000]).unwrap();
    staging.restart().unwrap();
    staging.write_all(CONTENT).unwrap();
    let artifact = staging.commit(record(&manifest("a"), CONTENT)).unwrap();
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
}

#[tokio::test]
async fn a_large_file_comes_back_whole_whatever_the_size_of_the_pieces() {
    let bed = Bed::new();
    let content: Vec<u8> = (0..9_500_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for piece in [1_000_003, 262_144, 8_191] {
        let key = manifest(&piece.to_string());
        let mut staging = bed.fill(&key).await;
        for chunk in content.chunks(piece) {
            staging.write_all(chunk).unwrap();
        }
        let artifact = staging.commit(record(&key, &content)).unwrap();
        assert_eq!(artifact.read_proven().unwrap(), content);
    }
}

#[tokio::test]
async fn content_that_is_not_the_records_is_refused() {
    let bed = Bed::new();
    let key = manifest("a");
    let mut staging = bed.fill(&key).await;
    staging
        .write_all(b"other bytes of the very same length: 36")
        .unwrap();
    let other = b"Other bytes of the very same length: 36";
    assert!(matches!(
        staging.commit(record(&key, other)),
        Err(CacheError::Mismatch { .. })
    ));
    let mut staging = bed.fill(&key).await;
    staging.write_all(b"short").unwrap();
    assert!(matches!(
        staging.commit(record(&key, CONTENT)),
        Err(CacheError::SizeMismatch { .. })
    ));
    let mut staging = bed.fill(&key).await;
    staging.write_all(CONTENT).unwrap();
    let foreign = record(&manifest("b"), CONTENT);
    assert!(matches!(
        staging.commit(foreign),
        Err(CacheError::InvalidRecord { .. })
    ));
    assert!(bed.is_miss(&key).await);
    assert!(bed.names("tmp").is_empty());
}

#[tokio::test]
async fn small_blobs_are_checked_in_and_out() {
    let bed = Bed::new();
    let good = blob("application/json", b"{}");
    bed.cache
        .put_bytes(&good, Bytes::from_static(b"{}"))
        .await
        .unwrap();
    assert_eq!(
        bed.cache.bytes(good.digest(), 2).await.unwrap().unwrap(),
        "{}"
    );
    let over = bed.cache.bytes(good.digest(), 1).await;
    assert!(matches!(
        over,
        Err(CacheError::TooLarge {
            size: 2,
            limit: 1,
            ..
        })
    ));
    let wrong = bed.cache.put_bytes(&good, Bytes::from_static(b"[]")).await;
    assert!(matches!(wrong, Err(CacheError::Mismatch { .. })));
    let long = Descriptor::new(MediaType::from("a/b"), good.digest().clone(), 3);
    let wrong = bed.cache.put_bytes(&long, Bytes::from_static(b"{}")).await;
    assert!(matches!(wrong, Err(CacheError::SizeMismatch { .. })));
    assert!(
        bed.cache
            .bytes(&manifest("absent"), 9)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_damaged_blob_is_dropped_and_can_be_put_again() {
    let bed = Bed::new();
    let good = blob("application/json", b"{}");
    bed.cache
        .put_bytes(&good, Bytes::from_static(b"{}"))
        .await
        .unwrap();
    let path = bed
        .cache
        .path()
        .join("blobs/sha256")
        .join(good.digest().hex());
    damage::overwrite(&path, b"{]");
    assert!(bed.cache.bytes(good.digest(), 9).await.unwrap().is_none());
    assert!(!path.exists());
    bed.cache
        .put_bytes(&good, Bytes::from_static(b"{}"))
        .await
        .unwrap();
    damage::overwrite(&path, b"{]");
    bed.cache
        .put_bytes(&good, Bytes::from_static(b"{}"))
        .await
        .unwrap();
    assert_eq!(
        bed.cache.bytes(good.digest(), 9).await.unwrap().unwrap(),
        "{}"
    );
}

#[tokio::test]
async fn tags_are_remembered_with_their_time_and_listed_in_the_layout() {
    let bed = Bed::new();
    let root = blob(
        "application/vnd.oci.image.manifest.v1+json",
        br#"{"schemaVersion":2,"layers":[]}"#,
    );
    let reference = "localhost:5000/acme/echo:V1".parse().unwrap();
    let other_case = "localhost:5000/acme/echo:v1".parse().unwrap();
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    assert_eq!(bed.cache.ref_(&reference).await.unwrap(), None);
    // Before its blob is there it is not listed; afterwards once, however often it is set.
    bed.cache
        .set_ref(&reference, root.digest(), at)
        .await
        .unwrap();
    assert_eq!(index_names(&bed), [] as [Option<String>; 0]);
    let bytes = Bytes::from_static(br#"{"schemaVersion":2,"layers":[]}"#);
    bed.cache.put_bytes(&root, bytes).await.unwrap();
    for _ in 0..2 {
        bed.cache
            .set_ref(&reference, root.digest(), at)
            .await
            .unwrap();
    }
    assert_eq!(
        bed.cache.ref_(&reference).await.unwrap(),
        Some((root.digest().clone(), at))
    );
    assert_eq!(bed.cache.ref_(&other_case).await.unwrap(), None);
    assert_eq!(
        index_names(&bed),
        [Some("localhost:5000/acme/echo:V1".to_owned())]
    );
}

#[tokio::test]
async fn a_moved_tag_moves_in_the_layout() {
    let bed = Bed::new();
    let reference = "ghcr.io/acme/echo:1".parse().unwrap();
    for content in [
        r#"{"schemaVersion":2,"layers":[]}"#,
        r#"{"schemaVersion":2,"manifests":[]}"#,
    ] {
        let root = blob("x/y", content.as_bytes());
        bed.cache
            .put_bytes(&root, Bytes::from(content))
            .await
            .unwrap();
        bed.cache
            .set_ref(&reference, root.digest(), SystemTime::now())
            .await
            .unwrap();
        let index = super::index::read(&bed.cache.store).unwrap();
        let listed: Vec<_> = index.images().iter().map(Descriptor::digest).collect();
        assert_eq!(listed, [root.digest()]);
        let is_index = qmt_oci_ref::manifest::is_index(index.images()[0].media_type());
        assert_eq!(is_index, content.contains("manifests"));
    }
}

#[tokio::test]
async fn the_folder_is_an_oci_layout() {
    let bed = Bed::new();
    let marker = std::fs::read_to_string(bed.cache.path().join("oci-layout")).unwrap();
    assert_eq!(marker, r#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = std::fs::read_to_string(bed.cache.path().join("index.json")).unwrap();
    assert!(index.starts_with(r#"{"schemaVersion":2,"#), "{index}");
}

#[tokio::test]
async fn evidence_is_read_back_unchanged() {
    let bed = Bed::new();
    let subject = manifest("a");
    assert!(bed.cache.evidence(&subject).await.unwrap().is_none());
    bed.cache
        .put_evidence(&subject, br#"[{"x":1}]"#)
        .await
        .unwrap();
    assert_eq!(
        bed.cache.evidence(&subject).await.unwrap().unwrap(),
        r#"[{"x":1}]"#
    );
    // Discovery holds at most 16 MiB, which are longer as JSON.
    let limit = usize::try_from(super::evidence::EVIDENCE_MAX).unwrap();
    assert_eq!(limit, 2 * 16 * 1024 * 1024);
    let most = vec![b' '; limit];
    bed.cache.put_evidence(&subject, &most).await.unwrap();
    assert_eq!(
        bed.cache.evidence(&subject).await.unwrap().unwrap().len(),
        limit
    );
    let over = bed
        .cache
        .put_evidence(&subject, &vec![b' '; limit + 1])
        .await;
    assert!(matches!(over, Err(CacheError::TooLarge { .. })));
    assert_eq!(
        bed.cache.evidence(&subject).await.unwrap().unwrap().len(),
        limit
    );
}

/// The index of the layout is for other tools, so it is written again where it was lost.
#[tokio::test]
async fn a_lost_index_lists_a_tag_that_is_set_again() {
    let bed = Bed::new();
    let content = br#"{"schemaVersion":2,"layers":[]}"#;
    let root = blob(qmt_oci_ref::manifest::OCI_MANIFEST, content);
    let put = bed.cache.put_bytes(&root, Bytes::from_static(content));
    put.await.unwrap();
    let reference = "ghcr.io/acme/echo:1".parse().unwrap();
    let set = async || {
        let set = bed
            .cache
            .set_ref(&reference, root.digest(), SystemTime::now());
        set.await.unwrap();
        index_names(&bed)
    };
    let listed = set().await;
    assert_eq!(listed, [Some("ghcr.io/acme/echo:1".to_owned())]);
    std::fs::remove_file(bed.cache.store.paths.index()).unwrap();
    assert_eq!(set().await, listed);
}

/// Files of older versions have a key more.
#[tokio::test]
async fn a_tag_of_an_older_version_is_read() {
    let bed = Bed::new();
    let reference: qmt_oci_ref::Reference = "ghcr.io/acme/echo:1".parse().unwrap();
    let digest = manifest("a");
    let body = format!(r#"{{"digest":"{digest}","resolved_at_ms":7,"indexed":true}}"#);
    let sealed = super::sealed::seal("ref", &reference.to_string(), body.as_bytes());
    std::fs::write(bed.cache.store.paths.reference(&reference), sealed).unwrap();
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(7);
    assert_eq!(
        bed.cache.ref_(&reference).await.unwrap(),
        Some((digest, at))
    );
}

/// The names that other tools find in the layout.
fn index_names(bed: &Bed) -> Vec<Option<String>> {
    let index = super::index::read(&bed.cache.store).unwrap();
    index
        .images()
        .iter()
        .map(|d| LayoutIndex::name_of(d).map(str::to_owned))
        .collect()
}

/// Shares a cache between threads of a test.
fn shared(bed: &Bed) -> Arc<FsCache> {
    Arc::new(bed.cache.clone())
}
