//! A plugin's bytes on their way from the pipeline to **load**.

use bytes::Bytes;
use qmt_cache::{CacheError, CachedArtifact};
use qmt_loader::Artifact;
use qmt_oci_ref::{Digest, PluginKind};

use super::cache::Cached;
use crate::error::Error;

/// A plugin's bytes, which were hashed, or where they are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// In memory, with the digest that was computed over exactly these bytes.
    InMemory(Bytes, Digest),
    /// In the cache; they are hashed again whenever they are read.
    InCache(CachedArtifact),
}

/// What happens to a plugin's bytes after the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// They are read, because they run in this process.
    Read,
    /// They are hashed where they are, however many there are.
    Hash,
}

impl Content {
    /// Hashes `bytes`.
    pub(crate) fn hash(bytes: Bytes) -> Self {
        let digest = Digest::sha256(&bytes);
        Self::InMemory(bytes, digest)
    }

    /// Takes what the pipeline left in the cache. An artifact that was extracted in this run was
    /// hashed while it was written.
    pub(crate) async fn of(cached: &Cached, mode: ReadMode) -> Result<Self, CacheError> {
        let artifact = cached.artifact();
        match mode {
            ReadMode::Read => Self::read(artifact).await,
            ReadMode::Hash => {
                if cached.is_hit() {
                    blocking(artifact, CachedArtifact::prove).await?;
                }
                Ok(Self::InCache(artifact.clone()))
            }
        }
    }

    /// Returns the bytes. Blocks the thread if they have to be read.
    pub(crate) fn bytes(&self) -> Result<Bytes, CacheError> {
        match self {
            Self::InMemory(bytes, _) => Ok(bytes.clone()),
            Self::InCache(artifact) => artifact.read_proven(),
        }
    }

    /// Returns them as a loader takes them. Blocks the thread if they have to be read.
    pub(crate) fn artifact(&self, kind: PluginKind, plugin: &str) -> Result<Artifact, Error> {
        let bytes = self.bytes();
        let bytes = bytes.map_err(|source| Error::cache(plugin, source))?;
        let digest = self.digest().clone();
        Ok(Artifact::from_verified(kind, bytes, digest, plugin))
    }

    pub(crate) fn digest(&self) -> &Digest {
        match self {
            Self::InMemory(_, digest) => digest,
            Self::InCache(artifact) => artifact.record().file_digest(),
        }
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::InMemory(bytes, _) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::InCache(artifact) => artifact.record().size(),
        }
    }

    /// Reads and hashes a file of the cache on a thread that may block.
    pub(crate) async fn read(artifact: &CachedArtifact) -> Result<Self, CacheError> {
        let bytes = blocking(artifact, CachedArtifact::read_proven).await?;
        let digest = artifact.record().file_digest().clone();
        Ok(Self::InMemory(bytes, digest))
    }
}

async fn blocking<T: Send + 'static>(
    artifact: &CachedArtifact,
    work: impl FnOnce(&CachedArtifact) -> Result<T, CacheError> + Send + 'static,
) -> Result<T, CacheError> {
    let (path, artifact) = (artifact.path().to_owned(), artifact.clone());
    tokio::task::spawn_blocking(move || work(&artifact))
        .await
        .unwrap_or_else(|stopped| {
            // The runtime is shutting down, or the work panicked.
            Err(CacheError::Io {
                action: "read",
                path,
                source: std::io::Error::other(stopped),
            })
        })
}
