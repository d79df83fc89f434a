//! `OciLayout`: an OCI image layout on disk, folder or tar archive, as a registry.
//!
//! `qmt-storage` reads and writes the files; here its blocking calls run on threads of their own,
//! and blobs become streams that are proven like those of the network.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use qmt_oci_ref::manifest::Referrers;
use qmt_oci_ref::{
    BlobStream, Descriptor, Digest, Digester, PinnedReference, RawManifest, Reference, Registry,
    RegistryError, Repository, Tag,
};
use qmt_storage::files::real_path;
use qmt_storage::{Layout, LayoutError, LayoutFile, LayoutWriter};

use crate::blob::{Proof, check_digest};
use crate::error::ClientError;
use crate::limits::REFERRERS_MAX;
use crate::writer::{BlobContent, RegistryWriter};

/// An OCI image layout as a registry that holds one repository.
///
/// Whatever host and repository a reference names, its tag is searched among the names in
/// `index.json` (`org.opencontainers.image.ref.name`, either the tag or the whole reference) and
/// its digest among the blobs. A reference of [`OciLayout::reference`] also finds the tag in names
/// that are whole references. If there is only one image and it has no name, `latest` means it.
#[derive(Clone, Debug)]
pub struct OciLayout {
    repository: Repository,
    access: Arc<Access>,
}

#[derive(Debug)]
enum Access {
    /// Opened at the first read, unless it is open already.
    Read {
        path: PathBuf,
        layout: OnceLock<Layout>,
    },
    Write(LayoutWriter),
}

impl Access {
    fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. } => path,
            Self::Write(writer) => writer.layout().path(),
        }
    }

    fn layout(&self) -> Result<&Layout, LayoutError> {
        match self {
            Self::Read { path, layout } => {
                if let Some(layout) = layout.get() {
                    return Ok(layout);
                }
                let opened = Layout::open(path)?;
                Ok(layout.get_or_init(|| opened))
            }
            Self::Write(writer) => Ok(writer.layout()),
        }
    }
}

impl OciLayout {
    /// Opens the layout at `path`, a folder or an uncompressed tar archive, for reading.
    ///
    /// Blocks while it lists an archive.
    ///
    /// # Errors
    ///
    /// [`ClientError::Layout`] if it is not a layout, of another version, has names that lead out
    /// of it, or an `oci-layout` or `index.json` that is too large.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        let layout = Self::open_when_read(path);
        layout.access.layout().map_err(failed)?;
        Ok(layout)
    }

    /// Returns the layout at `path`, which is opened at its first read. It need not exist where
    /// nothing is read from it. Errors of [`Self::open`] are those of the read.
    pub fn open_when_read(path: &Path) -> Self {
        let access = Access::Read {
            path: path.to_owned(),
            layout: OnceLock::new(),
        };
        Self::with(path, access)
    }

    /// Opens the layout at `path` for reading and writing: a tar archive where there is a file or
    /// the name ends in `.tar`, else a folder. An absent or empty layout is created, and an
    /// interrupted creation is completed.
    ///
    /// An archive is changed in a folder next to it that is removed with this value. Each manifest
    /// that is pushed replaces the archive as a whole; blobs without a manifest are not stored.
    ///
    /// # Errors
    ///
    /// [`ClientError::Layout`] if there is something else, it can't be written, or its `oci-layout`
    /// or `index.json` is too large.
    pub fn create(path: &Path) -> Result<Self, RegistryError> {
        let layout = LayoutWriter::open(path).map_err(failed)?;
        Ok(Self::with(path, Access::Write(layout)))
    }

    /// Returns a reference to content of this layout. Without tag and digest it means `latest`. It
    /// names the layout by its absolute path, symbolic links resolved.
    pub fn reference(&self, tag: Option<&Tag>, digest: Option<&Digest>) -> Reference {
        Reference::new(self.repository.clone(), tag.cloned(), digest.cloned())
    }

    fn with(path: &Path, access: Access) -> Self {
        Self {
            repository: Repository::of_layout(real_path(path)),
            access: Arc::new(access),
        }
    }

    /// Whether this layout made the reference, which names no repository of its images then.
    fn is_own(&self, reference: &Reference) -> bool {
        *reference.repository() == self.repository
    }

    /// The error for content that is not there.
    fn lacks(&self, what: String, names: Vec<String>) -> RegistryError {
        let path = self.access.path().to_owned();
        ClientError::NotInLayout { path, what, names }.into()
    }

    /// The error for a tag that no image has, with the names that there are.
    async fn lacks_tag(&self, reference: &Reference) -> RegistryError {
        let is_own = self.is_own(reference);
        let names = self.read(move |layout| {
            if is_own {
                layout.image_tags()
            } else {
                layout.image_names()
            }
        });
        let names = match names.await {
            Ok(names) => names,
            Err(error) => return error,
        };
        let tag = reference.tag().filter(|_| is_own);
        let what = tag.map_or_else(|| reference.to_string(), Tag::to_string);
        self.lacks(what, names)
    }

    /// Runs blocking work off the async threads.
    async fn read<T, F>(&self, work: F) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: FnOnce(&Layout) -> Result<T, LayoutError> + Send + 'static,
    {
        let access = self.access.clone();
        blocking(self.access.path(), move || work(access.layout()?)).await
    }

    /// Runs blocking work off the async threads, if the layout was opened for writing.
    async fn write<T, F>(&self, work: F) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: FnOnce(&LayoutWriter) -> Result<T, LayoutError> + Send + 'static,
    {
        let access = self.access.clone();
        let path = access.path().to_owned();
        blocking(&path.clone(), move || match &*access {
            Access::Write(writer) => work(writer),
            Access::Read { .. } => Err(LayoutError::Invalid {
                path,
                rule: "it was opened for reading only",
                source: None,
            }),
        })
        .await
    }
}

#[async_trait]
impl Registry for OciLayout {
    async fn resolve(&self, reference: &Reference) -> Result<RawManifest, RegistryError> {
        let (wanted, is_own) = (reference.clone(), self.is_own(reference));
        let found = self.read(move |layout| match (wanted.digest(), wanted.tag()) {
            (None, Some(tag)) if is_own => layout.resolve_tag(tag),
            _ => layout.resolve(&wanted),
        });
        match (found.await?, reference.digest()) {
            (Some(found), _) => Ok(found),
            (None, Some(digest)) => Err(self.lacks(digest.to_string(), Vec::new())),
            (None, None) => Err(self.lacks_tag(reference).await),
        }
    }

    async fn resolve_all(&self, reference: &Reference) -> Vec<Result<RawManifest, RegistryError>> {
        let (digest, tag) = (reference.digest(), reference.tag().cloned());
        let (true, None, Some(tag)) = (self.is_own(reference), digest, tag) else {
            return vec![self.resolve(reference).await];
        };
        match self.read(move |layout| layout.resolve_all(&tag)).await {
            Ok(found) if !found.is_empty() => {
                let found = found.into_iter();
                found.map(|one| one.map_err(failed)).collect()
            }
            Ok(_) => vec![Err(self.lacks_tag(reference).await)],
            Err(error) => vec![Err(error)],
        }
    }

    async fn manifest(
        &self,
        pin: &PinnedReference,
        limit: u64,
    ) -> Result<RawManifest, RegistryError> {
        let digest = pin.digest().clone();
        let found = self
            .read(move |layout| layout.manifest(&digest, limit))
            .await?;
        found.ok_or_else(|| self.lacks(pin.digest().to_string(), Vec::new()))
    }

    async fn blob(
        &self,
        _from: &Repository,
        blob: &Descriptor,
        resume_from: Digester,
    ) -> Result<BlobStream, RegistryError> {
        let proof = Proof::new(blob, resume_from)?;
        let digest = blob.digest().clone();
        let file = self.read(move |layout| layout.blob(&digest)).await?;
        let mut file = file.ok_or_else(|| self.lacks(blob.digest().to_string(), Vec::new()))?;
        if file.size() != blob.size() {
            return Err(proof.size_mismatch(file.size(), false).into());
        }
        file.skip_to(proof.seen());
        Ok(Box::pin(stream::try_unfold(
            (file, proof),
            |(file, mut proof)| async move {
                let (file, chunk) = next_chunk(file).await?;
                let Some(chunk) = chunk else {
                    proof.finish().await?;
                    return Ok(None);
                };
                proof.update(&chunk).await?;
                Ok(Some((chunk, (file, proof))))
            },
        )))
    }

    async fn referrers(&self, subject: &PinnedReference) -> Result<Referrers, RegistryError> {
        let subject = subject.digest().clone();
        let search = move |layout: &Layout| layout.referrers(&subject, REFERRERS_MAX);
        let found = self.read(search).await?;
        match found.missing {
            None => Ok(found.listed.into()),
            Some(error) => Err(failed(error).with_listed(found.listed)),
        }
    }
}

#[async_trait]
impl RegistryWriter for OciLayout {
    async fn push_blob(
        &self,
        _to: &Repository,
        blob: &Descriptor,
        content: &dyn BlobContent,
        _mount_from: Option<&Repository>,
    ) -> Result<(), RegistryError> {
        let wanted = blob.clone();
        if self
            .write(move |writer| writer.layout().has(&wanted))
            .await?
        {
            return Ok(());
        }
        let wanted = blob.clone();
        let mut staged = self.write(move |writer| writer.stage(&wanted)).await?;
        let mut chunks = content.open(0).await?;
        while let Some(chunk) = chunks.try_next().await? {
            let write = move |_: &LayoutWriter| {
                staged.write(&chunk)?;
                Ok(staged)
            };
            staged = self.write(write).await?;
        }
        self.write(move |writer| writer.commit(staged)).await
    }

    async fn push_manifest(
        &self,
        to: &Reference,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, RegistryError> {
        if let Some(expected) = to.digest() {
            check_digest(expected, manifest.digest(), None)?;
        }
        let (image, tag) = (manifest.clone(), to.tag().cloned());
        self.write(move |writer| writer.push_manifest(&image, tag.as_ref()))
            .await?;
        Ok(to.with_digest(manifest.digest().clone()))
    }
}

async fn next_chunk(mut file: LayoutFile) -> Result<(LayoutFile, Option<Bytes>), RegistryError> {
    let path = file.path().to_owned();
    blocking(&path, move || {
        let chunk = file.next_chunk()?;
        Ok((file, chunk.map(Bytes::from)))
    })
    .await
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, LayoutError> + Send + 'static,
) -> Result<T, RegistryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(failed),
        Err(stopped) => Err(failed(LayoutError::Invalid {
            path: path.to_owned(),
            rule: "the access to it was interrupted",
            source: Some(stopped.into()),
        })),
    }
}

fn failed(error: LayoutError) -> RegistryError {
    let error = ClientError::from(error);
    // Other content there is what is stored.
    RegistryError::new(error.kind(), error)
}

impl From<LayoutError> for ClientError {
    fn from(error: LayoutError) -> Self {
        match error {
            LayoutError::Digest { expected, actual } => Self::DigestMismatch {
                expected,
                header: None,
                actual,
            },
            LayoutError::Size {
                digest,
                expected,
                actual,
            } => Self::SizeMismatch {
                digest,
                expected,
                actual,
                at_least: false,
                is_other_content: false,
            },
            LayoutError::Manifest { digest, source } => Self::NotAManifest {
                what: format!("`{digest}`"),
                source,
            },
            LayoutError::Entries {
                subject,
                count,
                rule,
            } => Self::UnreadableEntries {
                subject: subject.to_string(),
                count,
                rule,
            },
            LayoutError::TooMany {
                what,
                limit,
                subject,
            } => Self::TooMany {
                what,
                limit: limit as u64,
                subject: subject.to_string(),
            },
            error => Self::Layout(error),
        }
    }
}
