//! Writing a layout: each file appears whole and proven, the index last.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use async_trait::async_trait;
use futures_util::StreamExt;
use qmt_oci_ref::{
    Descriptor, Digest, DigestAlgorithm, Digester, PinnedReference, Reference, Repository,
};
use tempfile::NamedTempFile;

use super::index::{Index, REF_NAME};
use super::packed::Packed;
use super::source::Source;
use super::{Inner, OciLayout, fault, read_chunk};
use crate::blob::Proof;
use crate::error::RegistryError;
use crate::registry::{BlobContent, RawManifest, RegistryWriter};

/// The body of the file that makes a folder a layout.
const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

#[async_trait]
impl RegistryWriter for OciLayout {
    async fn push_blob(
        &self,
        _to: &Repository,
        blob: &Descriptor,
        content: &dyn BlobContent,
        _mount_from: Option<&Repository>,
    ) -> Result<(), RegistryError> {
        self.inner.need_writable()?;
        if self.has(blob).await? {
            return Ok(());
        }
        let algorithm = blob.digest().algorithm();
        let mut proof = Proof::new(blob, Digester::new(algorithm))?;
        let mut temp = self.blocking(Inner::temp).await?;
        let mut chunks = content.open(0).await?;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            proof.update(&chunk).await?;
            temp = self
                .blocking(move |layout| {
                    temp.write_all(&chunk)
                        .map_err(|cause| layout.unwritable(cause))?;
                    Ok(temp)
                })
                .await?;
        }
        proof.finish().await?;
        let digest = blob.digest().clone();
        self.blocking(move |layout| layout.place_blob(temp, &digest))
            .await
    }

    async fn push_manifest(
        &self,
        to: &Reference,
        manifest: &RawManifest,
    ) -> Result<PinnedReference, RegistryError> {
        self.inner.need_writable()?;
        if let Some(expected) = to.digest()
            && expected != manifest.digest()
        {
            return Err(RegistryError::DigestMismatch {
                expected: expected.clone(),
                actual: manifest.digest().clone(),
            });
        }
        let mut image = manifest.descriptor();
        if let Some(tag) = to.tag() {
            image = image.with_annotation(REF_NAME, tag.as_str());
        }
        let manifest = manifest.clone();
        let pin = to.with_digest(manifest.digest().clone());
        self.blocking(move |layout| {
            let mut temp = layout.temp()?;
            temp.write_all(manifest.bytes())
                .map_err(|cause| layout.unwritable(cause))?;
            layout.place_blob(temp, manifest.digest())?;
            layout.list(image)?;
            layout.packed.as_ref().map_or(Ok(()), Packed::pack)
        })
        .await?;
        Ok(pin)
    }
}

impl OciLayout {
    /// Whether the layout has the blob, whole.
    async fn has(&self, blob: &Descriptor) -> Result<bool, RegistryError> {
        let digest = blob.digest().clone();
        let Some(mut content) = self
            .blocking(move |layout| layout.source.open_blob(&digest))
            .await?
        else {
            return Ok(false);
        };
        if content.size() != blob.size() {
            return Ok(false);
        }
        let mut digester = Digester::new(blob.digest().algorithm());
        while digester.count() < blob.size() {
            let (same, chunk) = read_chunk(content, digester.count()).await?;
            digester.update(&chunk);
            content = same;
        }
        Ok(digester.finish() == *blob.digest())
    }
}

/// Makes the folder a layout if it is absent or empty.
pub(super) fn prepare(path: &Path) -> Result<(), RegistryError> {
    let failed = |cause: io::Error| fault(path, "it can't be made or written", Some(cause.into()));
    std::fs::create_dir_all(path).map_err(failed)?;
    if path.join("oci-layout").exists() {
        return Ok(());
    }
    if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
        return Err(fault(
            path,
            "the folder holds something else; name an empty one",
            None,
        ));
    }
    std::fs::create_dir_all(path.join("blobs").join(DigestAlgorithm::Sha256.as_str()))
        .map_err(failed)?;
    let write = |name: &str, bytes: &[u8]| {
        let mut temp = NamedTempFile::new_in(path)?;
        temp.write_all(bytes)?;
        place(temp, &path.join(name))
    };
    write("index.json", &Index::default().to_bytes()).map_err(failed)?;
    write("oci-layout", MARKER).map_err(failed)
}

impl Inner {
    fn need_writable(&self) -> Result<(), RegistryError> {
        if self.is_writable {
            return Ok(());
        }
        Err(self.fault("it was opened for reading only", None))
    }

    /// The folder: the layout itself, or where an archive's content lies while it is written.
    fn folder(&self) -> Result<&Path, RegistryError> {
        match &self.source {
            Source::Folder(folder) if self.is_writable => Ok(folder),
            _ => Err(self.fault("it was opened for reading only", None)),
        }
    }

    fn temp(&self) -> Result<NamedTempFile, RegistryError> {
        let folder = self.folder()?;
        tempfile::Builder::new()
            .prefix(".tmp-")
            .tempfile_in(folder)
            .map_err(|cause| self.unwritable(cause))
    }

    fn place_blob(&self, temp: NamedTempFile, digest: &Digest) -> Result<(), RegistryError> {
        let folder = self
            .folder()?
            .join("blobs")
            .join(digest.algorithm().as_str());
        std::fs::create_dir_all(&folder).map_err(|cause| self.unwritable(cause))?;
        let metadata =
            std::fs::symlink_metadata(&folder).map_err(|cause| self.unwritable(cause))?;
        if !metadata.is_dir() {
            return Err(fault(
                &folder,
                "it is a symbolic link, which is not followed",
                None,
            ));
        }
        place(temp, &folder.join(digest.hex())).map_err(|cause| self.unwritable(cause))
    }

    /// Lists an image in `index.json`. Other processes of ours wait meanwhile.
    fn list(&self, image: Descriptor) -> Result<(), RegistryError> {
        let folder = self.folder()?;
        let lock = File::open(folder.join("oci-layout")).map_err(|cause| self.unwritable(cause))?;
        match lock.lock() {
            // Without locks the last writer wins, as with all other tools.
            Err(cause) if cause.kind() != io::ErrorKind::Unsupported => {
                return Err(self.unwritable(cause));
            }
            _ => {}
        }
        let mut index = self.index()?;
        index.list(image);
        let mut temp = self.temp()?;
        temp.write_all(&index.to_bytes())
            .map_err(|cause| self.unwritable(cause))?;
        place(temp, &folder.join("index.json")).map_err(|cause| self.unwritable(cause))
    }

    fn unwritable(&self, cause: io::Error) -> RegistryError {
        self.fault("it can't be written", Some(cause.into()))
    }
}

/// Gives a temporary file its name, once its content is on the disk.
pub(super) fn place(temp: NamedTempFile, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        // A layout is there to be handed on, unlike other temporary files.
        use std::os::unix::fs::PermissionsExt;
        temp.as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    temp.as_file().sync_all()?;
    temp.persist(path).map_err(|error| error.error)?;
    #[cfg(unix)]
    File::open(folder_of(path))?.sync_all()?;
    Ok(())
}

/// The folder that a file lies in: that of a bare name is where we stand.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
