//! Changing a layout: each file appears whole and proven, the index last.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use qmt_oci_ref::{Descriptor, DigestAlgorithm, Digester, RawManifest, Tag};
use tempfile::NamedTempFile;

use super::folder::IS_LINK;
use super::pack::{PackedArchive, check_name};
use super::{INDEX_NAME, LAYOUT_MARKER, Layout, LayoutError, LayoutIndex, MARKER_NAME, Source};
use crate::lock::lock_open;
use crate::replace::{folder_of, persist, persist_new, temp_file};

/// How long another process may hold the lock of a layout.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// The prefix of files in progress.
pub(super) const TEMP_PREFIX: &str = ".tmp-";

/// An OCI image layout, opened for reading and writing.
///
/// An archive is changed in a temporary folder next to it. Each manifest that is pushed replaces the
/// archive as a whole; blobs without a manifest are not stored.
#[derive(Debug)]
pub struct LayoutWriter {
    layout: Layout,
    folder: PathBuf,
    archive: Option<PackedArchive>,
}

/// The content of one blob on its way into a layout. It vanishes if it is dropped.
#[derive(Debug)]
pub struct StagedBlob {
    temp: NamedTempFile,
    blob: Descriptor,
    digester: Digester,
}

impl LayoutWriter {
    /// Opens the layout at `path`: a tar archive where there is a file or the name ends in `.tar`,
    /// else a folder. An absent or empty layout is created, and an interrupted creation is
    /// completed.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if there is something else or it can't be written,
    /// [`LayoutError::TooLarge`] if its `oci-layout` or `index.json` is too large.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        check_name(path)?;
        let (folder, archive) = if PackedArchive::is_meant_by(path) {
            let archive = PackedArchive::unpack(path)?;
            (archive.folder().to_owned(), Some(archive))
        } else {
            prepare(path)?;
            (path.to_owned(), None)
        };
        Ok(Self {
            layout: Layout::checked(path, Source::Folder(folder.clone()))?,
            folder,
            archive,
        })
    }

    /// Returns the layout for reading.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Begins to write `blob`.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if the layout can't be written.
    pub fn stage(&self, blob: &Descriptor) -> Result<StagedBlob, LayoutError> {
        Ok(StagedBlob {
            temp: self.temp()?,
            blob: blob.clone(),
            digester: Digester::new(blob.digest().algorithm()),
        })
    }

    /// Gives a blob its name, once it is proven and on the disk.
    ///
    /// # Errors
    /// [`LayoutError::Size`] or [`LayoutError::Digest`] if the content is not what the descriptor
    /// says, [`LayoutError::Invalid`] if the layout can't be written.
    pub fn commit(&self, staged: StagedBlob) -> Result<(), LayoutError> {
        let StagedBlob {
            temp,
            blob,
            digester,
        } = staged;
        LayoutError::check_size(&blob, digester.count())?;
        let (expected, actual) = (blob.digest().clone(), digester.finish());
        if actual != expected {
            return Err(LayoutError::Digest { expected, actual });
        }
        let unwritable = self.unwritable();
        let folder = self
            .folder
            .join("blobs")
            .join(expected.algorithm().as_str());
        std::fs::create_dir_all(&folder).map_err(&unwritable)?;
        if !std::fs::symlink_metadata(&folder)
            .map_err(&unwritable)?
            .is_dir()
        {
            return Err(LayoutError::invalid(&folder, IS_LINK));
        }
        persist(temp, &folder.join(expected.hex())).map_err(unwritable)
    }

    /// Stores a manifest or index and lists it in `index.json`, under `tag` if there is one. An
    /// archive is replaced then.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if the layout can't be written, or another process changed the
    /// archive; [`LayoutError::TooLarge`] if its `index.json` is too large.
    pub fn push_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&Tag>,
    ) -> Result<(), LayoutError> {
        let image = manifest.descriptor();
        let mut staged = self.stage(&image)?;
        staged.write(manifest.bytes())?;
        self.commit(staged)?;
        self.list(image, tag)?;
        self.archive.as_ref().map_or(Ok(()), PackedArchive::pack)
    }

    /// Lists an image in `index.json`. Other processes that do the same wait meanwhile.
    fn list(&self, image: Descriptor, tag: Option<&Tag>) -> Result<(), LayoutError> {
        let unwritable = self.unwritable();
        let lock = File::open(self.folder.join(MARKER_NAME)).map_err(&unwritable)?;
        match lock_open(&lock, LOCK_LIMIT) {
            // Without locks the last writer wins, as with all other tools.
            Err(cause) if cause.kind() == io::ErrorKind::Unsupported => {}
            Err(cause) if cause.kind() == io::ErrorKind::TimedOut => {
                let rule = "another process has locked its file `oci-layout` for 30 s";
                return Err(LayoutError::invalid(self.layout.path(), rule));
            }
            locked => locked.map_err(&unwritable)?,
        }
        let mut index = self.layout.index()?;
        if index.has_unreadable() {
            let rule = "its `index.json` has entries that are damaged or have digests of unknown \
                        algorithms, which can't be kept";
            return Err(LayoutError::invalid(self.layout.path(), rule));
        }
        if !index.list(image, tag.map(Tag::as_str)) {
            return Ok(());
        }
        let mut temp = self.temp()?;
        temp.write_all(&index.to_json()).map_err(&unwritable)?;
        persist(temp, &self.folder.join(INDEX_NAME)).map_err(unwritable)
    }

    fn temp(&self) -> Result<NamedTempFile, LayoutError> {
        temp_in(&self.folder, TEMP_PREFIX).map_err(self.unwritable())
    }

    fn unwritable(&self) -> impl Fn(io::Error) -> LayoutError + use<> {
        LayoutError::because(self.layout.path(), "it can't be written")
    }
}

impl StagedBlob {
    /// Appends `chunk`.
    ///
    /// # Errors
    /// [`LayoutError::Size`] if there are more bytes than the descriptor says,
    /// [`LayoutError::Invalid`] if they can't be written.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), LayoutError> {
        let count = self.digester.count().saturating_add(chunk.len() as u64);
        if count > self.blob.size() {
            LayoutError::check_size(&self.blob, count)?;
        }
        self.digester.update(chunk);
        let failed = LayoutError::because(folder_of(self.temp.path()), "it can't be written");
        self.temp.as_file_mut().write_all(chunk).map_err(failed)
    }
}

/// Makes the folder a layout if it is absent or empty. Completes a creation that was interrupted,
/// or that another process has begun.
pub(super) fn prepare(path: &Path) -> Result<(), LayoutError> {
    let failed = LayoutError::because(path, "it can't be created or written");
    std::fs::create_dir_all(path).map_err(&failed)?;
    if path.join(MARKER_NAME).exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(&failed)? {
        let name = entry.map_err(&failed)?.file_name();
        let is_known = ["blobs", INDEX_NAME, MARKER_NAME]
            .iter()
            .any(|known| name == *known);
        if !is_known && !name.to_string_lossy().starts_with(TEMP_PREFIX) {
            let rule = "the folder holds something else; name an empty one";
            return Err(LayoutError::invalid(path, rule));
        }
    }
    let blobs = path.join("blobs").join(DigestAlgorithm::Sha256.as_str());
    std::fs::create_dir_all(blobs).map_err(&failed)?;
    let add = |name, content: &[u8]| {
        let mut temp = temp_in(path, TEMP_PREFIX)?;
        temp.as_file_mut().write_all(content)?;
        persist_new(temp, &path.join(name))
    };
    add(INDEX_NAME, &LayoutIndex::default().to_json()).map_err(&failed)?;
    // What is not a layout does not become one.
    let source = Source::Folder(path.to_owned());
    let path = path.to_owned();
    Layout { path, source }.index()?;
    add(MARKER_NAME, LAYOUT_MARKER).map_err(failed)
}

/// Creates a temporary file, which is readable for all users that the umask allows: layouts are
/// shared.
pub(super) fn temp_in(folder: &Path, prefix: &'static str) -> io::Result<NamedTempFile> {
    temp_file(folder, prefix, 0o644)
}
