//! `OciLayout`: an OCI image layout on disk, folder or tar, as a registry.
//!
//! Content is found by digest and hashed like anything that comes over the network: a layout is
//! somebody else's file, and is read without following a link out of it.
//!
//! Spec: <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>

mod archive;
mod index;
mod packed;
mod referrers;
mod source;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use qmt_oci_ref::{
    Descriptor, Digest, Digester, PinnedReference, Reference, RegistryHost, Repository, Tag,
};
use serde::Deserialize;

use self::index::Index;
use self::packed::Packed;
use self::source::{Blob, Source};
use crate::blob::Proof;
use crate::error::{BoxError, RegistryError};
use crate::limits::{LAYOUT_INDEX_MAX, LAYOUT_MARKER_MAX, MANIFEST_MAX};
use crate::registry::{BlobStream, RawManifest, Registry, Resolved};
use crate::shape::agreed_media_type;

/// The host in references to content of a layout. By RFC 2606 it can never be a real one.
const HOST: &str = "oci-layout.invalid";

/// The repository in references to content of a layout; layouts have no repositories.
const REPOSITORY: &str = "layout";

/// How much of a blob is read at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// An OCI image layout as a registry that holds one repository.
///
/// Whatever host and repository a reference names, its tag is looked for among the names in
/// `index.json` (`org.opencontainers.image.ref.name`, either the tag or the whole reference) and
/// its digest among the blobs. Where there is but one image and it has no name, `latest` means it.
#[derive(Clone, Debug)]
pub struct OciLayout {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    repository: Repository,
    source: Source,
    is_writable: bool,
    /// For an archive that is written.
    packed: Option<Packed>,
}

impl OciLayout {
    /// Opens the layout at `path`, a folder or an uncompressed tar archive, for reading.
    ///
    /// Blocks while it lists an archive.
    ///
    /// # Errors
    /// [`RegistryError::Layout`] if it is none, of another version, or has names that lead out of
    /// it.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        Self::with(path, Source::open(path)?, false, None)
    }

    /// Opens the layout at `path` for reading and writing, making it if it is absent or empty: a tar
    /// archive where there is a file or the name ends in `.tar`, else a folder.
    ///
    /// An archive is worked on in a folder beside it that goes with this value. Each manifest that
    /// is pushed replaces the archive as a whole; blobs without a manifest are not kept.
    ///
    /// # Errors
    /// [`RegistryError::Layout`] if there is something else or it can't be written.
    pub fn create(path: &Path) -> Result<Self, RegistryError> {
        if Packed::is_meant_by(path) {
            let packed = Packed::open(path)?;
            let source = Source::open(packed.folder())?;
            return Self::with(path, source, true, Some(packed));
        }
        write::prepare(path)?;
        Self::with(path, Source::open(path)?, true, None)
    }

    /// A reference to content of this layout. Without tag and digest it means `latest`.
    pub fn reference(&self, tag: Option<&Tag>, digest: Option<&Digest>) -> Reference {
        Reference::new(self.inner.repository.clone(), tag.cloned(), digest.cloned())
    }

    fn with(
        path: &Path,
        source: Source,
        is_writable: bool,
        packed: Option<Packed>,
    ) -> Result<Self, RegistryError> {
        let repository = HOST
            .parse::<RegistryHost>()
            .and_then(|host| Repository::new(host, REPOSITORY))
            .map_err(|cause| fault(path, "its name can't be made", Some(cause.into())))?;
        let inner = Inner {
            path: path.to_owned(),
            repository,
            source,
            is_writable,
            packed,
        };
        inner.check_version()?;
        inner.index()?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Runs blocking work off the async threads.
    async fn blocking<T, F>(&self, work: F) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: FnOnce(&Inner) -> Result<T, RegistryError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let path = inner.path.clone();
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .unwrap_or_else(|stopped| {
                Err(fault(
                    &path,
                    "reading it was interrupted",
                    Some(stopped.into()),
                ))
            })
    }
}

#[async_trait]
impl Registry for OciLayout {
    async fn resolve(&self, reference: &Reference) -> Result<Resolved, RegistryError> {
        let wanted = reference.clone();
        let manifest = self.blocking(move |layout| layout.resolve(&wanted)).await?;
        Resolved::new(reference, manifest)
    }

    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        let pin = pin.clone();
        self.blocking(move |layout| {
            let index = layout.index()?;
            let listed = index.by_digest(pin.digest());
            layout.manifest(&pin.to_string(), pin.digest(), listed, limit)
        })
        .await
    }

    async fn blob(
        &self,
        from: &Repository,
        blob: &Descriptor,
        eaten: Digester,
    ) -> Result<BlobStream, RegistryError> {
        let offset = eaten.count();
        let proof = Proof::new(blob, eaten)?;
        let (wanted, what) = (blob.clone(), format!("{from}@{}", blob.digest()));
        let content = self
            .blocking(move |layout| layout.blob(&wanted, what))
            .await?;
        Ok(Box::pin(stream::try_unfold(
            Some((content, proof, offset)),
            |state| async move {
                let Some((content, mut proof, offset)) = state else {
                    return Ok(None);
                };
                if offset >= content.size() {
                    proof.finish().await?;
                    return Ok(None);
                }
                let (content, chunk) = read_chunk(content, offset).await?;
                proof.update(&chunk).await?;
                let next = offset.saturating_add(chunk.len() as u64);
                Ok(Some((chunk, Some((content, proof, next)))))
            },
        )))
    }

    async fn referrers(&self, subject: &PinnedReference) -> Result<Vec<Descriptor>, RegistryError> {
        let subject = subject.clone();
        self.blocking(move |layout| layout.referrers(&subject))
            .await
    }
}

impl Inner {
    fn check_version(&self) -> Result<(), RegistryError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Marker {
            image_layout_version: String,
        }
        let Some(bytes) = self.source.read("oci-layout", LAYOUT_MARKER_MAX)? else {
            return Err(self.fault("it has no file `oci-layout`", None));
        };
        match serde_json::from_slice::<Marker>(&bytes) {
            Ok(marker) if marker.image_layout_version == "1.0.0" => Ok(()),
            Ok(_) => Err(self.fault("its version is not 1.0.0", None)),
            Err(cause) => Err(self.fault(
                "its file `oci-layout` is not what it should be",
                Some(cause.into()),
            )),
        }
    }

    fn index(&self) -> Result<Index, RegistryError> {
        let Some(bytes) = self.source.read("index.json", LAYOUT_INDEX_MAX)? else {
            return Err(self.fault("it has no file `index.json`", None));
        };
        Index::read(&self.path, &bytes)
    }

    fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        let what = reference.to_string();
        let index = self.index()?;
        if let Some(digest) = reference.digest() {
            return self.manifest(&what, digest, index.by_digest(digest), MANIFEST_MAX);
        }
        let listed = index.by_name(&self.path, reference)?;
        let Some(listed) = listed else {
            return Err(RegistryError::NotFound { what });
        };
        self.manifest(&what, listed.digest(), Some(listed), MANIFEST_MAX)
    }

    /// Reads a manifest and proves it.
    fn manifest(
        &self,
        what: &str,
        digest: &Digest,
        listed: Option<&Descriptor>,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        let Some(bytes) = self.source.read_blob(digest, limit.min(MANIFEST_MAX))? else {
            return Err(RegistryError::NotFound {
                what: what.to_owned(),
            });
        };
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            return Err(RegistryError::DigestMismatch {
                expected: digest.clone(),
                actual,
            });
        }
        let length = bytes.len() as u64;
        if let Some(listed) = listed
            && listed.size() != length
        {
            return Err(size_mismatch(listed, length));
        }
        let media_type = agreed_media_type(what, &bytes, listed.map(Descriptor::media_type))?;
        Ok(RawManifest::with_algorithm(
            media_type,
            bytes.into(),
            digest.algorithm(),
        ))
    }

    /// Opens a blob whose size is the descriptor's.
    fn blob(&self, blob: &Descriptor, what: String) -> Result<Blob, RegistryError> {
        let Some(content) = self.source.open_blob(blob.digest())? else {
            return Err(RegistryError::NotFound { what });
        };
        if content.size() != blob.size() {
            return Err(size_mismatch(blob, content.size()));
        }
        Ok(content)
    }

    fn fault(&self, fault: &'static str, source: Option<BoxError>) -> RegistryError {
        self::fault(&self.path, fault, source)
    }
}

/// Reads the next chunk of a blob on a thread that may block.
async fn read_chunk(content: Blob, offset: u64) -> Result<(Blob, Bytes), RegistryError> {
    let path = content.path().to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let left = content.size().saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = BytesMut::zeroed(length);
        content.read_exact_at(&mut chunk, offset)?;
        Ok((content, chunk.freeze()))
    });
    read.await.unwrap_or_else(|stopped| {
        Err(fault(
            &path,
            "reading it was interrupted",
            Some(stopped.into()),
        ))
    })
}

fn size_mismatch(expected: &Descriptor, actual: u64) -> RegistryError {
    RegistryError::SizeMismatch {
        digest: expected.digest().clone(),
        expected: expected.size(),
        actual,
        at_least: false,
    }
}

fn fault(path: &Path, fault: &'static str, source: Option<BoxError>) -> RegistryError {
    RegistryError::Layout {
        path: path.to_owned(),
        fault,
        source,
    }
}
