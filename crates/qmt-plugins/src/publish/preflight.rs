//! What hosts would refuse of the files that are published, by the checks of the loaders.

use std::path::{Path, PathBuf};

use qmt_artifact::HostPlatform;
use qmt_loader::Artifact;
use qmt_oci_ref::{Platform, PluginKind, text};

use super::PublishRequest;
use crate::error::Error;
use crate::host::PluginHost;

impl PluginHost {
    /// Runs the loaders' checks on the files, and returns what is refused, one line each. Libraries
    /// for other platforms can't be checked here.
    pub(super) async fn preflight_files(&self, request: &PublishRequest) -> Vec<String> {
        let wasm = request.wasm.iter().map(|file| (PluginKind::Wasm, file));
        let native = request.native.iter();
        let native = native.filter(|(platform, _)| is_here(platform));
        let native = native.map(|(_, file)| (PluginKind::Native, file));
        let mut warnings = Vec::new();
        for (kind, file) in wasm.chain(native) {
            warnings.extend(self.preflight_file(kind, file).await);
        }
        warnings
    }

    async fn preflight_file(&self, kind: PluginKind, file: &Path) -> Option<String> {
        let path = PathBuf::from(file);
        let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
        // The packer has read it already, and reports what can't be read.
        let bytes = read.ok()?.ok()?;
        let artifact = Artifact::from_bytes(kind, bytes, file.display().to_string());
        match self.preflight(&artifact, &self.defaults) {
            // A kind that this build can't load is not checked.
            Ok(_) | Err(Error::Unsupported { .. }) => None,
            Err(Error::Load { source, .. }) => Some(warning(&source)),
            Err(error) => Some(warning(&error)),
        }
    }
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
