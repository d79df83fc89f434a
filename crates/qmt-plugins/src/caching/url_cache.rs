//! Plugins from URLs in the cache: entries like those of images, by the digest that the config names.

use std::io::{self, Write as _};

use bytes::Bytes;
use qmt_cache::{Begin, Cache as _, CacheError, FsCache, Record};
use qmt_oci_ref::{Digest, PluginKind};

use super::disk::blocking;

/// Reads the file `sha256`, of at most `limit` bytes. A damaged one counts as absent.
pub(crate) async fn read(
    cache: &FsCache,
    sha256: &Digest,
    limit: u64,
) -> Result<Option<Bytes>, CacheError> {
    let Some(artifact) = cache.lookup(sha256).await? else {
        // Earlier versions stored it as a blob.
        return cache.bytes(sha256, limit).await;
    };
    let record = artifact.record();
    if record.file_digest() != sha256 {
        return Ok(None);
    }
    if record.size() > limit {
        return Err(CacheError::TooLarge {
            digest: sha256.clone(),
            size: record.size(),
            limit,
        });
    }
    match blocking(move || artifact.read_proven().map_err(Failure::Cache)).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Failure::Cache(CacheError::Damaged { .. })) => Ok(None),
        Err(failure) => Err(failure.into_error(cache, "read")),
    }
}

/// Stores `content`, which hashes to `sha256`, under the URL `reference`. What is not a plugin is not
/// stored: it is refused at once.
pub(crate) async fn store(
    cache: &FsCache,
    sha256: &Digest,
    content: &Bytes,
    reference: String,
) -> Result<(), CacheError> {
    let Ok(kind) = qmt_artifact::sniff::kind_of(content) else {
        return Ok(());
    };
    let Begin::Fill(mut staging) = cache.begin(sha256).await? else {
        return Ok(());
    };
    let file_name = match kind {
        PluginKind::Wasm => "plugin.wasm".to_owned(),
        PluginKind::Native => format!("plugin{}", std::env::consts::DLL_SUFFIX),
    };
    let (key, size) = (sha256.clone(), content.len() as u64);
    let record = Record::new(key.clone(), key.clone(), kind, file_name, key, size);
    let (record, content) = (record.with_reference(reference), content.clone());
    let stored = blocking(move || {
        staging.write_all(&content).map_err(Failure::Io)?;
        staging.commit(record).map_err(Failure::Cache)
    });
    let stored = stored.await.map(drop);
    stored.map_err(|failure| failure.into_error(cache, "write to"))
}

/// Why work on a thread that may block failed.
enum Failure {
    Cache(CacheError),
    Io(io::Error),
}

impl Failure {
    fn into_error(self, cache: &FsCache, action: &'static str) -> CacheError {
        match self {
            Self::Cache(error) => error,
            Self::Io(source) => CacheError::Io {
                action,
                path: cache.path(),
                source,
            },
        }
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(stopped: tokio::task::JoinError) -> Self {
        Self::Io(io::Error::other(stopped))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use qmt_cache::CacheOptions;
    use qmt_cache::maintenance::PruneOptions;

    use super::*;

    const MODULE: Bytes = Bytes::from_static(b"\0asm\x01\0\0\0");

    /// A plugin from a URL is kept, listed and evicted as one from an image.
    #[tokio::test]
    async fn a_file_of_a_url_is_evicted_only_where_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FsCache::open(CacheOptions::at(folder.path().join("cache"))).unwrap();
        let url = "https://downloads.acme.example/plugin.wasm";
        let digest = Digest::sha256(&MODULE);
        assert_eq!(read(&cache, &digest, 100).await.unwrap(), None);
        store(&cache, &digest, &MODULE, url.to_owned())
            .await
            .unwrap();
        assert_eq!(read(&cache, &digest, 100).await.unwrap(), Some(MODULE));
        let error = read(&cache, &digest, 7).await.unwrap_err();
        assert!(matches!(error, CacheError::TooLarge { .. }), "{error:?}");
        let listed = cache.list().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].record.reference(), Some(url));

        let later = SystemTime::now() + Duration::from_hours(48);
        let report = cache.prune(PruneOptions::default(), later).await.unwrap();
        assert_eq!((report.evicted.len(), report.blobs), (0, 0));
        assert_eq!(read(&cache, &digest, 100).await.unwrap(), Some(MODULE));
        let all = PruneOptions::default().with_max_size(0);
        let report = cache.prune(all, later).await.unwrap();
        assert_eq!(report.evicted, std::slice::from_ref(&digest));
        assert_eq!(read(&cache, &digest, 100).await.unwrap(), None);
    }

    /// Earlier versions stored the file as a blob, and a page of a proxy is not stored at all.
    #[tokio::test]
    async fn a_blob_is_read_and_what_is_no_plugin_is_not_stored() {
        use qmt_oci_ref::{Descriptor, MediaType};
        let folder = tempfile::tempdir().unwrap();
        let cache = FsCache::open(CacheOptions::at(folder.path().join("cache"))).unwrap();
        let page = Bytes::from_static(b"<html></html>");
        let url = "https://downloads.acme.example/plugin.wasm";
        let digest = Digest::sha256(&page);
        store(&cache, &digest, &page, url.to_owned()).await.unwrap();
        assert_eq!(read(&cache, &digest, 100).await.unwrap(), None);
        let blob = Descriptor::of(MediaType::from("application/wasm"), &MODULE);
        cache.put_bytes(&blob, MODULE).await.unwrap();
        let found = read(&cache, blob.digest(), 100).await.unwrap();
        assert_eq!(found, Some(MODULE));
    }
}
