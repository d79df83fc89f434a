//! The libraries that this process has opened; each digest once, none is ever closed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use qmt_oci_ref::Digest;

use super::ffi::{Abi, Library};
use super::{sealed, start};
use crate::error::LoadError;
use crate::loader::Artifact;

/// The libraries that a process may open. They stay mapped, so a host that updates its plugins for
/// ever would grow for ever; it is restarted instead.
pub(super) const LIBRARIES_MAX: usize = 256;

/// One open library.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) library: Arc<Library>,
    config: Arc<Mutex<Option<BTreeMap<String, String>>>>,
    /// The file behind the mapping: the dynamic loader knows the library by the path of this
    /// descriptor, which must not come to mean another file.
    _file: Arc<Option<std::fs::File>>,
}

impl Opened {
    /// Hands the configuration to the library, once in the life of the process. Later ones must be the
    /// same.
    pub(super) fn configure(
        &self,
        plugin: &str,
        abi: &Abi,
        config: &BTreeMap<String, String>,
    ) -> Result<(), LoadError> {
        let mut known = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(known) if known == config => return Ok(()),
            Some(_) => {
                return Err(LoadError::Configured {
                    plugin: plugin.to_owned(),
                });
            }
            None => {}
        }
        start::configure(abi, config).map_err(|refusal| refusal.into_error(plugin))?;
        *known = Some(config.clone());
        Ok(())
    }
}

/// Opens the library, or returns it if it is open.
pub(super) fn open(artifact: &Artifact, private: &Path) -> Result<Opened, LoadError> {
    static LIBRARIES: LazyLock<Mutex<HashMap<Digest, Opened>>> = LazyLock::new(Mutex::default);
    // Held while the library is opened: two loads of one digest must not open it twice.
    let mut libraries = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(opened) = libraries.get(artifact.digest()) {
        return Ok(opened.clone());
    }
    room(artifact.name(), libraries.len())?;
    let copy = sealed::copy(artifact, private)?;
    let library = Library::open(copy.path()).map_err(|error| LoadError::Open {
        plugin: artifact.name().to_owned(),
        source: error.into(),
    })?;
    let opened = Opened {
        library: Arc::new(library),
        config: Arc::default(),
        _file: Arc::new(copy.into_file()),
    };
    libraries.insert(artifact.digest().clone(), opened.clone());
    Ok(opened)
}

fn room(plugin: &str, open: usize) -> Result<(), LoadError> {
    if open >= LIBRARIES_MAX {
        return Err(LoadError::TooManyLibraries {
            plugin: plugin.to_owned(),
            limit: LIBRARIES_MAX,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NAT-06: what is never unloaded is counted.
    #[test]
    fn library_number_257_is_refused() {
        room("p", LIBRARIES_MAX - 1).unwrap();
        let error = room("p", LIBRARIES_MAX).unwrap_err();
        assert!(matches!(error, LoadError::TooManyLibraries { .. }));
    }
}
