//! Folders that only the user who runs the host may write to: their content is run unchecked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::LoadError;

const FOLDER_MODE: u32 = 0o700;

/// Makes the folder, or checks that no other user could have put code into it.
pub(crate) fn folder(folder: &Path) -> Result<PathBuf, LoadError> {
    let io = |action| {
        let path = folder.to_owned();
        move |source: io::Error| LoadError::Io {
            action,
            path,
            source,
        }
    };
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(io("create the folders above"))?;
    }
    match create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io("create the private folder")(error)),
    }
    let metadata = fs::symlink_metadata(folder).map_err(io("look at the private folder"))?;
    private_metadata(folder, &metadata)?;
    let resolved = fs::canonicalize(folder).map_err(io("resolve the private folder"))?;
    #[cfg(unix)]
    for parent in resolved.ancestors().skip(1) {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(parent).map_err(io("look at the folders above"))?;
        if metadata.mode() & 0o1002 == 0o0002 {
            return Err(LoadError::NotPrivate {
                path: parent.to_owned(),
                rule: "other users could replace the private folder in it; remove their right to \
                       write, or set the sticky bit",
            });
        }
    }
    Ok(resolved)
}

#[cfg(unix)]
fn create(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(FOLDER_MODE).create(folder)
}

#[cfg(not(unix))]
fn create(folder: &Path) -> io::Result<()> {
    let _ = FOLDER_MODE; // The folder inherits the rights of the user's profile.
    fs::create_dir(folder)
}

fn private_metadata(folder: &Path, metadata: &fs::Metadata) -> Result<(), LoadError> {
    let refused = |rule| {
        Err(LoadError::NotPrivate {
            path: folder.to_owned(),
            rule,
        })
    };
    if !metadata.is_dir() {
        return refused("it must be a folder, not a link to one");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // Root can change everything anyway, and made what is in a container image.
        if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
            return refused("it must belong to the user that runs the host, or to root");
        }
        if metadata.mode() & 0o022 != 0 {
            return refused("other users must not be able to write to it; use mode 0700");
        }
    }
    Ok(())
}
