//! What a host such as QueryMT has. Replace this file with the host's own types.
#![expect(
    missing_docs,
    improper_ctypes_definitions,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "stand-ins for another project's types"
)]

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginType {
    Wasm,
    Native,
}

/// A plugin that was downloaded.
#[derive(Clone, Debug)]
pub struct ProviderPlugin {
    pub plugin_type: PluginType,
    pub file_path: PathBuf,
}

/// A provider of the host's config.
#[derive(Clone, Debug, Default)]
pub struct ProviderConfig {
    pub name: String,
    pub config: BTreeMap<String, Value>,
}

#[async_trait]
pub trait PluginLoader: Send + Sync {
    fn supported_type(&self) -> PluginType;
    async fn load_plugin(
        &self,
        plugin: ProviderPlugin,
        config: &ProviderConfig,
    ) -> Result<Arc<dyn ProviderFactory>, ProviderError>;
}

/// What a plugin provides.
#[async_trait]
pub trait ProviderFactory: Send + Sync {
    fn name(&self) -> &str;
    async fn chat(&self, message: &Value) -> Result<Value, ProviderError>;
    fn chat_stream(&self, message: &Value) -> BoxStream<'static, Result<Bytes, ProviderError>>;
}

/// Exported by native plugins as `plugin_factory`.
pub type FactoryCtor = unsafe extern "C" fn() -> *mut dyn ProviderFactory;
/// Gets a level of the crate `log`, a target and a message, which end with a zero byte.
pub type LogCallback = unsafe extern "C" fn(usize, *const c_char, *const c_char);
/// Exported by native plugins as `plugin_init_logging`. The number is the highest level to log.
pub type InitLogging = unsafe extern "C" fn(LogCallback, usize);

#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("rate limited; try again in {retry_after_secs} s")]
    RateLimited { retry_after_secs: u64 },
    #[error("{0}")]
    Plugin(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownloadPhase {
    Resolving,
    VerifyingSignature,
    Downloading,
    Persisting,
    Completed,
    Failed(String),
}

#[derive(Clone, Debug)]
pub struct DownloadProgress {
    pub phase: DownloadPhase,
    pub bytes_downloaded: u64,
    pub bytes_total: Option<u64>,
}

pub type ProgressCallback = Arc<dyn Fn(DownloadProgress) + Send + Sync>;
