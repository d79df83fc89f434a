//! The folder of compiled modules: private to this loader, and never the user's wasmtime cache.
//!
//! wasmtime runs what it finds there without a check of where it came from, so a user who can write
//! to the folder can run code in the host. There is no way to hand it a single compiled module.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::LoadError;
use crate::private;

/// The file that tells wasmtime where its cache is.
const CONFIG_NAME: &str = "wasmtime.toml";

/// A private folder and the file that names it to wasmtime.
#[derive(Debug)]
pub(super) struct CompileCache {
    config: PathBuf,
    /// Holds the file above, and the cache itself if it is a temporary one.
    _temporary: TempDir,
}

impl CompileCache {
    /// Opens or makes `folder`, or a temporary one.
    pub(super) fn open(folder: Option<PathBuf>) -> Result<Self, LoadError> {
        let temporary = tempfile::Builder::new()
            .prefix("qmt-loader-")
            .tempdir()
            .map_err(|source| LoadError::Io {
                action: "create a private folder in",
                path: std::env::temp_dir(),
                source,
            })?;
        let folder = match folder {
            Some(folder) => private::folder(&folder)?,
            None => private::folder(&temporary.path().join("compiled"))?,
        };
        let config = temporary.path().join(CONFIG_NAME);
        write_config(&config, &folder)?;
        Ok(Self {
            config,
            _temporary: temporary,
        })
    }

    /// Returns the file that names the folder to wasmtime.
    pub(super) fn config_file(&self) -> &Path {
        &self.config
    }
}

fn write_config(file: &Path, folder: &Path) -> Result<(), LoadError> {
    let failed = |source| LoadError::Io {
        action: "write the settings of the compilation cache to",
        path: file.to_owned(),
        source,
    };
    // The file is TOML, hence UTF-8.
    let folder = folder.to_str().ok_or(LoadError::NotPrivate {
        path: folder.to_owned(),
        rule: "its name must be UTF-8",
    })?;
    let cache = toml::Table::from_iter([("directory".to_owned(), folder.into())]);
    let config = toml::Table::from_iter([("cache".to_owned(), cache.into())]);
    fs::write(file, config.to_string()).map_err(failed)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    /// WASM-09: no other user can put compiled code into the cache.
    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("deep/compiled");
        CompileCache::open(Some(folder.clone())).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        for mode in [0o770, 0o707, 0o722] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            let error = CompileCache::open(Some(folder.clone())).unwrap_err();
            assert!(matches!(error, LoadError::NotPrivate { .. }), "{error:?}");
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        CompileCache::open(Some(folder)).unwrap();
    }

    /// WASM-09: a link could be turned to another folder after the check.
    #[test]
    fn a_link_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("compiled");
        symlink(home.path(), &link).unwrap();
        let error = CompileCache::open(Some(link)).unwrap_err();
        assert!(matches!(error, LoadError::NotPrivate { .. }), "{error:?}");
    }

    #[test]
    fn a_folder_with_quotes_in_its_name_is_written_as_toml() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a\"b\\c'\n");
        let cache = CompileCache::open(Some(folder.clone())).unwrap();
        let text = fs::read_to_string(cache.config_file()).unwrap();
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(
            table["cache"]["directory"].as_str(),
            fs::canonicalize(folder).unwrap().to_str()
        );
    }
}
