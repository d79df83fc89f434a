//! The downloader: resolves, verifies and fetches with [`PluginHost`], and reports phases.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qmt_oci_ref::PluginKind;
use qmt_plugins::loader::Artifact;
use qmt_plugins::{Error, Event, PluginArtifact, PluginHost, Stage, Target};

use crate::seam::{
    DownloadPhase, DownloadProgress, PluginType, ProgressCallback, ProviderError, ProviderPlugin,
};

/// What was downloaded, by its path. Loaders take the bytes from here, because these were verified.
#[derive(Clone, Debug, Default)]
pub struct Downloads(Arc<Mutex<HashMap<PathBuf, PluginArtifact>>>);

impl Downloads {
    /// Returns the bytes of a plugin: as they were verified, or those of a local file.
    pub(crate) async fn open(
        &self,
        plugin: &ProviderPlugin,
        name: &str,
    ) -> Result<Artifact, ProviderError> {
        if let Some(artifact) = self.known().get(&plugin.file_path) {
            return artifact.to_loader_artifact().map_err(failed);
        }
        let bytes = tokio::fs::read(&plugin.file_path).await.map_err(failed)?;
        let kind = match plugin.plugin_type {
            PluginType::Wasm => PluginKind::Wasm,
            PluginType::Native => PluginKind::Native,
        };
        Ok(Artifact::from_bytes(kind, bytes, name))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, PluginArtifact>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Downloads plugins. One serves all of them, with one HTTP client and one trust root.
#[derive(Debug)]
pub struct Downloader {
    host: PluginHost,
    downloads: Downloads,
}

impl Downloader {
    /// Downloads with `host`, which has the policy, the registries and the cache.
    pub fn new(host: PluginHost) -> Self {
        let downloads = Downloads::default();
        Self { host, downloads }
    }

    /// Returns where the loaders find the bytes.
    pub fn downloads(&self) -> Downloads {
        self.downloads.clone()
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
        match self.pull(image, update, Arc::clone(&progress)).await {
            Ok(artifact) => {
                progress(at(DownloadPhase::Completed));
                let plugin_type = match artifact.kind() {
                    PluginKind::Wasm => PluginType::Wasm,
                    PluginKind::Native => PluginType::Native,
                };
                let file_path = artifact.path().to_owned();
                self.downloads.known().insert(file_path.clone(), artifact);
                Ok(ProviderPlugin {
                    plugin_type,
                    file_path,
                })
            }
            Err(error) => {
                let error = failed(error);
                progress(at(DownloadPhase::Failed(error.to_string())));
                Err(error)
            }
        }
    }

    async fn pull(
        &self,
        image: &str,
        update: bool,
        progress: ProgressCallback,
    ) -> Result<PluginArtifact, Error> {
        let target = Target::parse(self.host.config(), image)?;
        let target = target.with_events(Arc::new(move |event| report(&event, &progress)));
        if update {
            return self.host.update_target(&target).await;
        }
        self.host.fetch_target(&target).await
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
pub(crate) fn failed(error: impl std::error::Error) -> ProviderError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    ProviderError::Plugin(text)
}
