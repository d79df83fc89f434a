//! What hosts would refuse of the files that are published, by the checks of the loaders.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use qmt_artifact::{ArtifactError, HostPlatform};
use qmt_loader::refusal::WasmRefusal;
use qmt_loader::{Artifact, LoadError};
use qmt_oci_ref::{Platform, PluginKind, text};
use qmt_storage::files::open_regular;

use super::PublishRequest;
use crate::caching::blocking;
use crate::error::Error;
use crate::host::PluginHost;

impl PluginHost {
    /// Runs the loaders' checks on the files, and returns what is refused, one line each. Libraries
    /// for other platforms can't be checked here.
    ///
    /// # Errors
    ///
    /// [`Error::Load`] for a module that is not valid, which no host can load.
    pub(super) async fn preflight_files(
        &self,
        request: &PublishRequest,
    ) -> Result<Vec<String>, Error> {
        let wasm = request.wasm.iter().map(|file| (PluginKind::Wasm, file));
        let native = request.native.iter();
        let native = native.filter(|(platform, _)| is_here(platform));
        let native = native.map(|(_, file)| (PluginKind::Native, file));
        let mut warnings = Vec::new();
        for (kind, file) in wasm.chain(native) {
            warnings.extend(self.preflight_file(kind, file).await?);
        }
        Ok(warnings)
    }

    async fn preflight_file(&self, kind: PluginKind, file: &Path) -> Result<Option<String>, Error> {
        let path = PathBuf::from(file);
        let read = blocking(move || -> io::Result<_> {
            let mut bytes = Vec::new();
            open_regular(&path)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        // The packer has read it already, and reports what can't be read. A pipe has nothing more.
        let Ok(bytes) = read.await else {
            return Ok(None);
        };
        let artifact = Artifact::from_bytes(kind, bytes, file.display().to_string());
        let checked = self.preflight(&artifact, &self.defaults);
        let checked = checked.and_then(|_| validate(&artifact));
        match checked {
            // A kind that this build can't load is not checked.
            Ok(()) | Err(Error::Unsupported { .. }) => Ok(None),
            Err(Error::Load { plugin, source, .. }) if is_malformed(&source) => {
                Err(Error::load(&plugin, "publishing it", source))
            }
            Err(Error::Load { source, .. }) => Ok(Some(warning(&source))),
            Err(error) => Ok(Some(warning(&error))),
        }
    }
}

/// Refuses files that may never end: devices, and pipes that no other process may ever open. A pipe that this
/// process has open already is read.
pub(super) fn check_regular(request: &PublishRequest) -> Result<(), Error> {
    const OPEN: [&str; 3] = ["/dev/stdin", "/dev/fd", "/proc/self/fd"];
    let native = request.native.iter().map(|(_, file)| file);
    for path in request.wasm.iter().chain(native) {
        // The packer reports what can't be read.
        let Ok(metadata) = std::fs::metadata(path) else {
            continue;
        };
        #[cfg(unix)]
        let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type());
        #[cfg(not(unix))]
        let is_pipe = false;
        let is_open = is_pipe && OPEN.iter().any(|open| path.starts_with(open));
        if !(metadata.is_file() || metadata.is_dir() || is_open) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
            let path = path.clone();
            return Err(request.not_packed(ArtifactError::ReadFile { path, source }));
        }
    }
    Ok(())
}

/// Validates the functions of a module, which the preflight leaves to the compiler.
#[cfg(feature = "wasm")]
fn validate(artifact: &Artifact) -> Result<(), Error> {
    if artifact.kind() != PluginKind::Wasm {
        return Ok(());
    }
    let valid = qmt_loader::wasm::validate(artifact.bytes());
    valid.map_err(|reason| {
        let plugin = artifact.name().to_owned();
        let source = LoadError::WasmRefused { plugin, reason };
        Error::load(artifact.name(), "loading it", source)
    })
}

#[cfg(not(feature = "wasm"))]
fn validate(_: &Artifact) -> Result<(), Error> {
    Ok(())
}

/// Reports whether no host at all can load the module.
fn is_malformed(error: &LoadError) -> bool {
    matches!(
        error,
        LoadError::WasmRefused {
            reason: WasmRefusal::Malformed { .. },
            ..
        }
    )
}

/// Reports whether code for `platform` is for this machine, whatever its variant.
fn is_here(platform: &Platform) -> bool {
    let (here, platform) = (HostPlatform::current(), HostPlatform::new(platform));
    let (here, platform) = (here.platform(), platform.platform());
    here.os() == platform.os() && here.architecture() == platform.architecture()
}

fn warning(error: &dyn std::error::Error) -> String {
    let causes = text::messages(error).join(": ");
    text::escape(&format!("hosts will not load it: {causes}"))
}
