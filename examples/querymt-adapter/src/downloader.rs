//! The downloader: resolves, verifies and fetches with [`PluginHost`], and reports phases.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use qmt_oci_ref::{PluginKind, text};
use qmt_plugins::loader::Artifact;
use qmt_plugins::{Error, Event, PluginArtifact, PluginHost, Stage, Target};
use tokio::sync::Mutex;

use crate::seam::{
    DownloadPhase, DownloadProgress, PluginType, ProgressCallback, ProviderError, ProviderPlugin,
};

/// Downloads plugins. One serves all of them, with one HTTP client and one trust root.
#[derive(Debug)]
pub struct Downloader {
    host: PluginHost,
    /// What was downloaded, by its path. Loaders take the bytes from here: these were verified.
    downloaded: Mutex<HashMap<PathBuf, PluginArtifact>>,
}

impl Downloader {
    /// Downloads with `host`, which has the policy, the registries and the cache.
    pub fn new(host: PluginHost) -> Self {
        let downloaded = Mutex::default();
        Self { host, downloaded }
    }

    /// Downloads an image unless it is in the cache. With `update`, takes what its tag names now.
    ///
    /// # Errors
    /// The stage that failed, and why; a signature that the policy does not accept, for example.
    pub async fn pull_and_extract(
        &self,
        image: &str,
        update: bool,
        progress: ProgressCallback,
    ) -> Result<ProviderPlugin, ProviderError> {
        let pulled = self.pull(image, update, &progress).await.map_err(failed);
        progress(at(match &pulled {
            Ok(_) => DownloadPhase::Completed,
            Err(error) => DownloadPhase::Failed(error.to_string()),
        }));
        let artifact = pulled?;
        let plugin = ProviderPlugin {
            plugin_type: match artifact.kind() {
                PluginKind::Wasm => PluginType::Wasm,
                PluginKind::Native => PluginType::Native,
            },
            file_path: artifact.path().to_owned(),
        };
        let mut downloaded = self.downloaded.lock().await;
        downloaded.insert(plugin.file_path.clone(), artifact);
        Ok(plugin)
    }

    async fn pull(
        &self,
        image: &str,
        update: bool,
        progress: &ProgressCallback,
    ) -> Result<PluginArtifact, Error> {
        let progress = Arc::clone(progress);
        let target = Target::parse(self.host.config(), image)?
            .with_events(Arc::new(move |event| report(&event, &progress)));
        if update {
            return self.host.update_target(&target).await;
        }
        self.host.fetch_target(&target).await
    }

    /// Returns the bytes of a plugin: as they were verified, or those of a local file.
    pub(crate) async fn open(
        &self,
        plugin: &ProviderPlugin,
        kind: PluginKind,
        name: &str,
    ) -> Result<Artifact, ProviderError> {
        if let Some(artifact) = self.downloaded.lock().await.get(&plugin.file_path) {
            return artifact.to_loader_artifact().map_err(failed);
        }
        let bytes = tokio::fs::read(&plugin.file_path).await.map_err(failed)?;
        Ok(Artifact::from_bytes(kind, bytes, name))
    }
}

fn report(event: &Event, progress: &ProgressCallback) {
    match event {
        Event::Started { stage, .. } => progress(at(match stage {
            Stage::Resolve | Stage::Select => DownloadPhase::Resolving,
            Stage::Verify => DownloadPhase::VerifyingSignature,
            Stage::Fetch => DownloadPhase::Downloading,
            _ => DownloadPhase::Persisting,
        })),
        Event::Progress { done, total, .. } => progress(DownloadProgress {
            bytes_downloaded: *done,
            bytes_total: Some(*total),
            ..at(DownloadPhase::Downloading)
        }),
        Event::Warning { plugin, message } => tracing::warn!(plugin, "{message}"),
        _ => {}
    }
}

fn at(phase: DownloadPhase) -> DownloadProgress {
    DownloadProgress {
        phase,
        bytes_downloaded: 0,
        bytes_total: None,
    }
}

/// Puts an error and its causes into one line.
pub(crate) fn failed(error: impl std::error::Error + 'static) -> ProviderError {
    ProviderError::Plugin(text::messages(&error).join(": "))
}
