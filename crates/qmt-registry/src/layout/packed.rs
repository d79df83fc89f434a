//! Writing a layout in a tar archive: it is worked on as a folder beside the archive, and each
//! manifest that was pushed puts a whole new archive in the old one's place.
//!
//! So there is a good archive at every moment, and equal content makes equal archives.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use tempfile::{NamedTempFile, TempDir};

use super::fault;
use super::write::{folder_of, place, prepare};
use crate::error::RegistryError;

/// Begins the names of what stands beside an archive while it is written.
const PREFIX: &str = ".oci-layout-";

/// An archive that is written, and the folder where its content lies meanwhile.
#[derive(Debug)]
pub(super) struct Packed {
    archive: PathBuf,
    folder: TempDir,
    /// What the archive was when we saw it last; whoever packs holds it.
    seen: Mutex<Option<Stamp>>,
}

/// Tells one state of a file from another.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: (u64, u64),
}

impl Packed {
    /// Whether `path` is an archive, or is named as one and not there yet.
    pub(super) fn is_meant_by(path: &Path) -> bool {
        match std::fs::metadata(path) {
            Ok(found) => found.is_file(),
            Err(_) => path
                .extension()
                .is_some_and(|ending| ending.eq_ignore_ascii_case("tar")),
        }
    }

    /// Unpacks the archive into a folder beside it, or makes an empty layout there.
    ///
    /// # Errors
    /// [`RegistryError::Layout`] as for reading an archive, and where the folder can't be written.
    pub(super) fn open(archive: &Path) -> Result<Self, RegistryError> {
        let failed = |cause: io::Error| unwritable(archive, cause);
        let parent = folder_of(archive);
        std::fs::create_dir_all(parent).map_err(failed)?;
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .map_err(failed)?;
        let seen = Stamp::of(archive).map_err(failed)?;
        if seen.is_some() {
            let packed = super::archive::Archive::open(archive)?;
            for (name, content) in packed.files() {
                let path = folder.path().join(name);
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent).map_err(failed)?;
                }
                let mut file = File::create_new(path).map_err(failed)?;
                io::copy(&mut content.reader(), &mut file).map_err(failed)?;
            }
        } else {
            prepare(folder.path())?;
        }
        Ok(Self {
            archive: archive.to_owned(),
            folder,
            seen: Mutex::new(seen),
        })
    }

    /// The folder in which the content lies.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a new archive in the old one's place.
    ///
    /// # Errors
    /// [`RegistryError::Layout`] where it can't be written, or was changed by somebody else.
    pub(super) fn pack(&self) -> Result<(), RegistryError> {
        let failed = |cause: io::Error| unwritable(&self.archive, cause);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let temp = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempfile_in(folder_of(&self.archive))
            .map_err(failed)?;
        write_all(self.folder(), &temp).map_err(failed)?;
        if Stamp::of(&self.archive).map_err(failed)? != *seen {
            return Err(fault(
                &self.archive,
                "somebody else has changed it meanwhile, so it is left as it is; try again",
                None,
            ));
        }
        place(temp, &self.archive).map_err(failed)?;
        *seen = Stamp::of(&self.archive).map_err(failed)?;
        Ok(())
    }
}

impl Stamp {
    /// `None` where there is no file.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::from(&metadata))),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause),
        }
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt;
                (metadata.dev(), metadata.ino())
            },
        }
    }
}

/// Writes all files of the folder, what tells that it is a layout first, without times and owners.
fn write_all(folder: &Path, temp: &NamedTempFile) -> io::Result<()> {
    let mut names = Vec::new();
    list(folder, "", &mut names)?;
    // A reader of the stream knows at once what it reads.
    names.sort_by_key(|name| (name != "oci-layout", name != "index.json", name.clone()));
    let mut tar = tar::Builder::new(BufWriter::new(temp.as_file()));
    for name in names {
        let file = File::open(folder.join(&name))?;
        let length = file.metadata()?.len();
        let mut header = tar::Header::new_gnu();
        header.set_size(length);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, &name, file.take(length))?;
    }
    tar.into_inner()?.flush()
}

/// Collects the names of all files below `folder`, with `/` between their parts.
fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue; // Nothing that was unpacked or pushed has such a name.
        };
        if name.starts_with(".tmp-") {
            continue; // A push that has not finished, or never will.
        }
        let name = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

fn unwritable(path: &Path, cause: io::Error) -> RegistryError {
    fault(path, "it can't be made or written", Some(cause.into()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use qmt_oci_ref::{Descriptor, MediaType};

    use super::super::OciLayout;
    use crate::registry::{RawManifest, Registry, RegistryWriter};

    fn manifest(extra: &str) -> RawManifest {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}},"layers":[]{extra}}}"#,
            MediaType::OCI_MANIFEST
        );
        RawManifest::new(MediaType::new(MediaType::OCI_MANIFEST), Bytes::from(text))
    }

    async fn push(layout: &OciLayout, tag: &str, extra: &str) -> RawManifest {
        let empty = Bytes::from_static(b"{}");
        let blob = Descriptor::of(MediaType::new("application/vnd.oci.empty.v1+json"), &empty);
        let to = layout.reference(Some(&tag.parse().unwrap()), None);
        let pushed = layout.push_blob(to.repository(), &blob, &empty, None).await;
        pushed.unwrap();
        let manifest = manifest(extra);
        layout.push_manifest(&to, &manifest).await.unwrap();
        manifest
    }

    async fn has(layout: &OciLayout, tag: &str, manifest: &RawManifest) -> bool {
        let name = layout.reference(Some(&tag.parse().unwrap()), None);
        let found = layout.resolve(&name).await;
        found.is_ok_and(|found| found.manifest() == manifest)
    }

    #[tokio::test]
    async fn what_is_pushed_is_in_the_archive_and_stays_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/plugins.tar");
        let layout = OciLayout::create(&path).unwrap();
        assert!(!path.exists(), "nothing was pushed yet");
        let one = push(&layout, "1", "").await;
        assert!(has(&layout, "1", &one).await);
        assert!(has(&OciLayout::open(&path).unwrap(), "1", &one).await);
        drop(layout);
        let layout = OciLayout::create(&path).unwrap();
        let two = push(&layout, "2", r#","annotations":{"a":"b"}"#).await;
        drop(layout);
        let read = OciLayout::open(&path).unwrap();
        assert!(has(&read, "1", &one).await && has(&read, "2", &two).await);
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        // What is opened for reading is not written.
        let to = read.reference(Some(&"3".parse().unwrap()), None);
        assert!(read.push_manifest(&to, &two).await.is_err());
    }

    #[tokio::test]
    async fn equal_content_makes_equal_archives() {
        let folder = tempfile::tempdir().unwrap();
        let mut archives = Vec::new();
        for name in ["a.tar", "b.TAR"] {
            let path = folder.path().join(name);
            let layout = OciLayout::create(&path).unwrap();
            push(&layout, "1", "").await;
            push(&layout, "2", r#","annotations":{"a":"b"}"#).await;
            archives.push(std::fs::read(path).unwrap());
        }
        assert!(archives[0] == archives[1]);
        let mut read = tar::Archive::new(archives[0].as_slice());
        let names: Vec<String> = read
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names[..2], ["oci-layout", "index.json"]);
        assert_eq!(names.len(), 2 + 3);
    }

    /// Two writers at once: the later one is told, and what the earlier one wrote stays.
    #[tokio::test]
    async fn an_archive_that_somebody_else_changed_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugins.tar");
        let (one, two) = (
            OciLayout::create(&path).unwrap(),
            OciLayout::create(&path).unwrap(),
        );
        let first = push(&one, "1", "").await;
        let to = two.reference(Some(&"2".parse().unwrap()), None);
        let error = two.push_manifest(&to, &manifest("")).await.unwrap_err();
        assert!(error.to_string().contains("somebody else"), "{error}");
        let read = OciLayout::open(&path).unwrap();
        assert!(has(&read, "1", &first).await);
        assert!(read.resolve(&to).await.is_err());
        // Whoever was first goes on.
        push(&one, "3", "").await;
    }

    #[test]
    fn a_file_that_is_no_archive_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plugins.tar", "plugins"] {
            let path = folder.path().join(name);
            std::fs::write(
                &path,
                "something else, and long enough to be looked at".repeat(99),
            )
            .unwrap();
            let before = std::fs::read(&path).unwrap();
            assert!(OciLayout::create(&path).is_err(), "{name}");
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
