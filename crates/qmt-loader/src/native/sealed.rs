//! A copy of a library that cannot be changed between the check and the opening.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use qmt_oci_ref::Digester;
use tempfile::TempPath;

use crate::error::LoadError;
use crate::loader::Artifact;

/// A file that holds the artifact's bytes, proven after they were written.
#[derive(Debug)]
pub(super) struct Copy {
    path: PathBuf,
    file: File,
    /// A file on disk goes when the copy goes; the mapping does not need its name.
    on_disk: Option<TempPath>,
}

impl Copy {
    /// Returns the path by which the dynamic loader opens it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the name of a file on disk, and returns the file where its path names an open
    /// descriptor, which has to stay open then.
    pub(super) fn into_file(self) -> Option<File> {
        self.on_disk.is_none().then_some(self.file)
    }
}

/// Copies the artifact into sealed memory or, where there is none, into the private folder.
pub(super) fn copy(artifact: &Artifact, private: &Path) -> Result<Copy, LoadError> {
    #[cfg(target_os = "linux")]
    match in_memory(artifact) {
        Ok(copy) => return proven(copy, artifact),
        Err(error) => tracing::debug!(
            plugin = artifact.name(),
            error = %error,
            "no sealed memory file; a private copy on disk is used"
        ),
    }
    proven(on_disk(artifact, private)?, artifact)
}

/// Copies the artifact into sealed memory for other processes.
#[cfg(target_os = "linux")]
pub(super) fn memory(artifact: &Artifact) -> Result<File, LoadError> {
    let copy = in_memory(artifact).map_err(|source| LoadError::Isolation {
        plugin: artifact.name().to_owned(),
        rule: "the library must be in a sealed memory file",
        source: Some(source),
    })?;
    Ok(proven(copy, artifact)?.file)
}

/// A memory file that can be neither written, nor grown, nor cut, nor unsealed.
/// <https://man7.org/linux/man-pages/man2/memfd_create.2.html>
#[cfg(target_os = "linux")]
pub(super) fn in_memory(artifact: &Artifact) -> io::Result<Copy> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    let descriptor = memfd_create(
        "qmt-plugin",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?;
    let mut file = File::from(descriptor);
    file.write_all(artifact.bytes())?;
    fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    // Without /proc the dynamic loader could not find it.
    fs::metadata(&path)?;
    Ok(Copy {
        path,
        file,
        on_disk: None,
    })
}

/// A file of mode 0500 in a folder of mode 0700.
pub(super) fn on_disk(artifact: &Artifact, private: &Path) -> Result<Copy, LoadError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| LoadError::Io {
            action,
            path,
            source,
        }
    };
    let folder = crate::private::folder(private)?;
    let mut file = tempfile::Builder::new()
        .prefix("plugin-")
        .suffix(std::env::consts::DLL_SUFFIX)
        .tempfile_in(&folder)
        .map_err(io("create a private copy in", &folder))?;
    file.write_all(artifact.bytes())
        .and_then(|()| file.as_file().sync_data())
        .map_err(io("write the private copy", file.path()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file()
            .set_permissions(fs::Permissions::from_mode(0o500))
            .map_err(io("protect the private copy", file.path()))?;
    }
    let on_disk = file.into_temp_path();
    // A second descriptor, that cannot write; the first one is closed.
    let file = File::open(&on_disk).map_err(io("open the private copy", &on_disk))?;
    Ok(Copy {
        path: on_disk.to_path_buf(),
        file,
        on_disk: Some(on_disk),
    })
}

/// Hashes what is in the file now, which is what will be opened.
fn proven(mut copy: Copy, artifact: &Artifact) -> Result<Copy, LoadError> {
    const CHUNK: usize = 64 * 1024;
    let io = |source| LoadError::Io {
        action: "read the copy",
        path: copy.path.clone(),
        source,
    };
    let expected = artifact.digest();
    let mut digester = Digester::new(expected.algorithm());
    let mut chunk = vec![0; CHUNK];
    copy.file.seek(SeekFrom::Start(0)).map_err(io)?;
    loop {
        let count = copy.file.read(&mut chunk).map_err(io)?;
        match chunk.get(..count) {
            Some(read) if !read.is_empty() => digester.update(read),
            _ => break,
        }
    }
    let actual = digester.finish();
    if actual != *expected {
        return Err(LoadError::DigestMismatch {
            plugin: artifact.name().to_owned(),
            expected: expected.clone(),
            actual,
        });
    }
    Ok(copy)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use bytes::Bytes;
    use qmt_oci_ref::Digest;

    use super::*;
    use qmt_oci_ref::PluginKind;

    fn artifact(content: &'static str) -> Artifact {
        let digest = Digest::sha256(content);
        Artifact::from_verified(PluginKind::Native, Bytes::from(content), digest, "p")
    }

    /// NAT-01: what was checked is what runs: not even we can change the copy.
    #[test]
    fn the_copy_in_memory_is_sealed() {
        let copy = copy(&artifact("content"), Path::new("/nowhere")).unwrap();
        assert_eq!(fs::read(copy.path()).unwrap(), b"content");
        let mut again = File::options().write(true).open(copy.path()).unwrap();
        again.write_all(b"C").unwrap_err();
        again.set_len(0).unwrap_err();
        again.set_len(100).unwrap_err();
        assert_eq!(fs::read(copy.path()).unwrap(), b"content");
    }

    /// Where there is no sealed memory, a private file is used, for as long as it is needed.
    #[test]
    fn the_copy_on_disk_is_private() {
        let home = tempfile::tempdir().unwrap();
        let private = home.path().join("private");
        let artifact = artifact("content");
        let copy = proven(on_disk(&artifact, &private).unwrap(), &artifact).unwrap();
        let path = copy.path().to_owned();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o500);
        assert_eq!(mode(&private), 0o700);
        assert!(copy.into_file().is_none());
        assert!(!path.exists());
    }

    /// What changes between writing and opening is found.
    #[test]
    fn a_changed_copy_is_found() {
        let home = tempfile::tempdir().unwrap();
        let artifact = artifact("content");
        let copy = on_disk(&artifact, &home.path().join("private")).unwrap();
        fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(copy.path(), "CONTENT").unwrap();
        let error = proven(copy, &artifact).unwrap_err();
        assert!(
            matches!(error, LoadError::DigestMismatch { .. }),
            "{error:?}"
        );
    }

    /// A folder that others may write to is no place for code.
    #[test]
    fn a_public_folder_is_refused() {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        // Others could replace a private folder below it.
        for private in [home.path().to_owned(), home.path().join("private")] {
            let error = on_disk(&artifact("content"), &private).unwrap_err();
            assert!(matches!(error, LoadError::NotPrivate { .. }), "{error:?}");
        }
    }
}
