//! OCI image layouts: folders and uncompressed tar archives.
//!
//! A layout is a file from somewhere else: symbolic links in it are not followed, names do not lead
//! out of it, sizes and counts are bounded, and content is proven by the digest it is asked for.
//!
//! Spec: <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>

mod archive;
mod damaged;
mod error;
mod evidence;
mod export;
mod file;
mod folder;
mod index;
mod pack;
mod referrers;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use qmt_oci_ref::{
    Descriptor, Digest, DigestAlgorithm, Digester, RawManifest, Reference, Tag, json, text,
};
use serde::Deserialize;

use self::archive::Archive;
pub use self::error::LayoutError;
pub use self::export::LayoutExport;
pub use self::file::LayoutFile;
pub use self::index::LayoutIndex;
pub use self::referrers::Referrers;
pub use self::write::{LayoutWriter, StagedBlob};

/// The file that makes a folder a layout.
const MARKER_NAME: &str = "oci-layout";
/// The content of the file `oci-layout`, which makes a folder a layout.
pub const LAYOUT_MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The file that lists the images.
const INDEX_NAME: &str = "index.json";

/// The file that lists the images in docker's own format.
const DOCKER_NAME: &str = "manifest.json";
/// The file next to it in a folder that skopeo made.
const SKOPEO_NAME: &str = "version";

/// Largest `oci-layout` file: 4 KiB. A real one has 30 bytes.
const MARKER_MAX: u64 = 4 << 10;
/// Largest manifest or index that is read as a blob: 4 MiB.
const MANIFEST_MAX: u64 = 4 << 20;

/// An OCI image layout, opened for reading.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    source: Source,
}

/// Where the files are.
#[derive(Debug)]
enum Source {
    Folder(PathBuf),
    Archive(Archive),
}

impl Layout {
    /// Opens the layout at `path`, a folder or an uncompressed tar archive. Lists an archive.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if it is not a layout of version 1.0.0, can't be read, or has names
    /// that lead out of it or occur twice; [`LayoutError::TooLarge`] if its `oci-layout` or
    /// `index.json` is too large.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        Self::checked(path, Self::source(path)?)
    }

    /// Reports what the image at `path` is if another tool saved it in a form of its own, and how to
    /// convert it.
    pub fn other_form(path: &Path) -> Option<&'static str> {
        let source = Self::source(path).ok()?;
        let path = path.to_owned();
        Self { path, source }.form_of_others()
    }

    fn source(path: &Path) -> Result<Source, LayoutError> {
        let metadata =
            std::fs::metadata(path).map_err(LayoutError::because(path, "it can't be opened"))?;
        if metadata.is_dir() {
            Ok(Source::Folder(path.to_owned()))
        } else if metadata.is_file() {
            Archive::open(path).map(Source::Archive)
        } else {
            let rule = "it is neither a folder nor a file";
            Err(LayoutError::invalid(path, rule))
        }
    }

    fn checked(path: &Path, source: Source) -> Result<Self, LayoutError> {
        let path = path.to_owned();
        let layout = Self { path, source };
        layout.check_version()?;
        layout.index()?;
        Ok(layout)
    }

    /// Returns the path of the folder or archive.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads `index.json`, at most 32 MiB.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if it is absent or not an index, [`LayoutError::TooLarge`] if it is
    /// larger.
    pub fn index(&self) -> Result<LayoutIndex, LayoutError> {
        match self.file(INDEX_NAME)? {
            Some(file) => LayoutIndex::read(&file.read_all(LayoutIndex::BYTES_MAX)?).map_err(
                LayoutError::because(&self.path, "its `index.json` is malformed"),
            ),
            None => Err(self.invalid("it has no file `index.json`")),
        }
    }

    /// Opens the file `name`, whose parts are separated by `/`; `None` if it is absent.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if it is not a regular file, or a part of its name is a symbolic
    /// link.
    pub fn file(&self, name: &str) -> Result<Option<LayoutFile>, LayoutError> {
        if name.is_empty() || archive::plain_name(Path::new(name)).as_deref() != Some(name) {
            return Ok(None);
        }
        match &self.source {
            Source::Folder(root) => folder::open(root, name),
            Source::Archive(archive) => Ok(archive.find(name)),
        }
    }

    /// The names of the files in the folder `name`, sorted; none if it is absent.
    fn names(&self, name: &str) -> Result<Vec<String>, LayoutError> {
        match &self.source {
            Source::Folder(root) => folder::names(root, name),
            Source::Archive(archive) => Ok(archive.names(name)),
        }
    }

    /// Returns the digests by which the blobs are named, sorted. Nothing is hashed.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if a folder of blobs is a symbolic link, or holds something other
    /// than files.
    pub fn blobs(&self) -> Result<Vec<Digest>, LayoutError> {
        let mut digests = Vec::new();
        for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
            let names = self.names(&format!("blobs/{}", algorithm.as_str()))?;
            let names = names.iter();
            digests.extend(
                names.filter_map(|hex| format!("{}:{hex}", algorithm.as_str()).parse().ok()),
            );
        }
        Ok(digests)
    }

    /// Opens a blob, which the caller hashes; `None` if it is absent.
    ///
    /// # Errors
    /// As [`Layout::file`].
    pub fn blob(&self, digest: &Digest) -> Result<Option<LayoutFile>, LayoutError> {
        self.file(&blob_name(digest))
    }

    /// Reports whether the layout has `blob` with the right size and content. Hashes it.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] if it can't be read.
    pub fn has(&self, blob: &Descriptor) -> Result<bool, LayoutError> {
        let Some(mut file) = self.blob(blob.digest())? else {
            return Ok(false);
        };
        if file.size() != blob.size() {
            return Ok(false);
        }
        let mut digester = Digester::new(blob.digest().algorithm());
        while let Some(chunk) = file.next_chunk()? {
            digester.update(&chunk);
        }
        Ok(digester.finish() == *blob.digest())
    }

    /// Reads the manifest or index that `reference` names by its digest, or else by its name in
    /// `index.json`; `None` if it is absent.
    ///
    /// The name is the whole reference or the tag alone. Where there is only one image and it has
    /// no name, `latest` means it.
    ///
    /// # Errors
    /// As [`Layout::manifest`], [`LayoutError::Invalid`] if two images have that name, and
    /// [`LayoutError::DamagedEntry`] if its entry can't be read.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<RawManifest>, LayoutError> {
        if let Some(digest) = reference.digest() {
            return self.manifest(digest, MANIFEST_MAX);
        }
        self.read_listed(self.index()?.by_reference(self, reference)?)
    }

    /// Reads the manifest or index with the tag, of any repository; `None` if it is absent.
    ///
    /// The tag is the name in `index.json`, or part of it where it is a whole reference. Where there
    /// is only one image and it has no name, `latest` means it.
    ///
    /// # Errors
    /// As [`Layout::resolve`].
    pub fn resolve_tag(&self, tag: &Tag) -> Result<Option<RawManifest>, LayoutError> {
        self.read_listed(self.index()?.by_any_name(self, tag)?)
    }

    fn read_listed(&self, listed: Option<&Descriptor>) -> Result<Option<RawManifest>, LayoutError> {
        let Some(listed) = listed else {
            return Ok(None);
        };
        match self.read_manifest(listed.digest(), Some(listed), MANIFEST_MAX)? {
            Some(manifest) => Ok(Some(manifest)),
            None => Err(self.invalid("its `index.json` lists an image whose manifest is missing")),
        }
    }

    /// Reads a manifest or index of at most `limit` bytes and 4 MiB, and proves its digest; `None`
    /// if it is absent. If `index.json` lists it, size and media type must agree.
    ///
    /// # Errors
    /// [`LayoutError::Digest`], [`LayoutError::Size`], [`LayoutError::Manifest`] if it is not what
    /// digest and descriptor say; [`LayoutError::TooLarge`] if it, or `index.json`, is larger;
    /// [`LayoutError::Invalid`] if it can't be read.
    pub fn manifest(
        &self,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<RawManifest>, LayoutError> {
        self.read_manifest(digest, self.index()?.by_digest(digest), limit)
    }

    fn read_manifest(
        &self,
        digest: &Digest,
        listed: Option<&Descriptor>,
        limit: u64,
    ) -> Result<Option<RawManifest>, LayoutError> {
        let Some(file) = self.blob(digest)? else {
            return Ok(None);
        };
        let bytes = file.read_all(limit.min(MANIFEST_MAX))?;
        let actual = Digest::of(digest.algorithm(), &bytes);
        if actual != *digest {
            let expected = digest.clone();
            return Err(LayoutError::Digest { expected, actual });
        }
        if let Some(listed) = listed {
            LayoutError::check_size(listed, bytes.len() as u64)?;
        }
        let declared = listed.map(Descriptor::media_type);
        RawManifest::read(bytes.into(), declared, digest.algorithm())
            .map(Some)
            .map_err(|source| LayoutError::Manifest {
                digest: digest.clone(),
                source,
            })
    }

    fn check_version(&self) -> Result<(), LayoutError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Marker {
            image_layout_version: String,
        }
        let Some(file) = self.file(MARKER_NAME)? else {
            return Err(self.invalid(self.rule_without_marker()));
        };
        let malformed = LayoutError::because(&self.path, "its file `oci-layout` is malformed");
        let marker: Marker = json::from_slice(&file.read_all(MARKER_MAX)?).map_err(malformed)?;
        let version = text::escape_ascii(&marker.image_layout_version);
        if version == "1.0.0" {
            return Ok(());
        }
        let other = LayoutError::because(&self.path, "its version is not 1.0.0");
        Err(other(format!("its file `oci-layout` says `{version}`")))
    }

    /// The rule that something without a marker breaks: what it is instead, if its files show that.
    fn rule_without_marker(&self) -> &'static str {
        if let Some(rule) = self.form_of_others() {
            return rule;
        }
        match &self.source {
            Source::Archive(archive) if archive.is_in_folder() => {
                "its files are in a folder; pack it with `tar -C FOLDER -cf FILE .`"
            }
            Source::Archive(archive) if archive.is_empty() => "it is empty",
            Source::Archive(_) | Source::Folder(_) => "it has no file `oci-layout`",
        }
    }

    fn form_of_others(&self) -> Option<&'static str> {
        let has = |name| matches!(self.file(name), Ok(Some(_)));
        if has(MARKER_NAME) || !has(DOCKER_NAME) {
            return None;
        }
        Some(if has(SKOPEO_NAME) {
            "it is an image in skopeo's `dir:` form, not an OCI image layout; convert it with \
             `skopeo copy dir:FOLDER oci:NEW:TAG`"
        } else {
            "it is an archive of `docker save` before version 25, not an OCI image layout; convert \
             it with `skopeo copy docker-archive:FILE oci-archive:NEW:TAG`"
        })
    }

    fn invalid(&self, rule: &'static str) -> LayoutError {
        LayoutError::invalid(&self.path, rule)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}
