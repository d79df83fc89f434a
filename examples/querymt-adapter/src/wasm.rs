//! The loader for Wasm plugins.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use qmt_oci_ref::PluginKind;
use qmt_plugins::loader::{CallContext, LoadError, LoadOptions, Loader as _, Plugin, wasm};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};

use crate::downloader::{Downloader, failed};
use crate::functions::{self, Session};
use crate::seam::{
    PluginLoader, PluginType, ProviderConfig, ProviderError, ProviderFactory, ProviderPlugin,
};

/// Loads Wasm plugins. They share one engine, and each module is compiled once.
#[derive(Debug)]
pub struct WasmLoader {
    loader: wasm::WasmLoader,
    downloader: Arc<Downloader>,
}

impl WasmLoader {
    /// Makes the loader of what `downloader` downloads, and of local files.
    ///
    /// # Errors
    /// If the HTTP client or the engine cannot be made.
    pub fn new(downloader: Arc<Downloader>) -> Result<Self, ProviderError> {
        let mut builder = wasm::WasmLoader::builder();
        for function in functions::all().map_err(failed)? {
            builder = builder.host_function(function);
        }
        let loader = builder.build().map_err(failed)?;
        Ok(Self { loader, downloader })
    }
}

#[async_trait]
impl PluginLoader for WasmLoader {
    fn supported_type(&self) -> PluginType {
        PluginType::Wasm
    }

    async fn load_plugin(
        &self,
        plugin: ProviderPlugin,
        config: &ProviderConfig,
    ) -> Result<Arc<dyn ProviderFactory>, ProviderError> {
        let (kind, name) = (PluginKind::Wasm, &*config.name);
        let artifact = self.downloader.open(&plugin, kind, name).await?;
        let mut options = LoadOptions::default();
        for (key, value) in &config.config {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            options.config.insert(key.clone(), text);
        }
        let plugin = self.loader.load(artifact, options).await.map_err(failed)?;
        let name = text(&*plugin, "name").await.map_err(failed)?;
        // Only the operator grants hosts, not the plugin.
        let hosts: Vec<String> = match config.config.get("allowed_hosts") {
            Some(hosts) => Vec::deserialize(hosts).map_err(failed)?,
            None => Vec::new(),
        };
        let hosts = hosts.into();
        Ok(Arc::new(WasmProvider {
            name,
            plugin,
            hosts,
        }))
    }
}

struct WasmProvider {
    name: String,
    plugin: Arc<dyn Plugin>,
    hosts: Arc<[String]>,
}

impl WasmProvider {
    fn context(&self, parts: Option<mpsc::UnboundedSender<Bytes>>) -> CallContext {
        CallContext::new().with(Session {
            hosts: Arc::clone(&self.hosts),
            parts,
            streams: Mutex::default(),
        })
    }
}

#[async_trait]
impl ProviderFactory for WasmProvider {
    fn name(&self) -> &str {
        &self.name
    }

    // If the future is dropped, the plugin's call ends, and the request that it waits for.
    async fn chat(&self, message: &Value) -> Result<Value, ProviderError> {
        let input = message.to_string().into();
        let called = self.plugin.call_with(self.context(None), "chat", input);
        serde_json::from_slice(&called.await.map_err(decode)?).map_err(failed)
    }

    fn chat_stream(&self, message: &Value) -> BoxStream<'static, Result<Bytes, ProviderError>> {
        let (sender, mut parts) = mpsc::unbounded_channel();
        let (plugin, context) = (Arc::clone(&self.plugin), self.context(Some(sender)));
        let input = message.to_string().into();
        let call = async move { plugin.call_with(context, "chat_stream", input).await };
        // The call goes on while the stream is polled, and is dropped with it.
        let end = stream::once(call).filter_map(async |called| Some(Err(decode(called.err()?))));
        let parts = stream::poll_fn(move |context| parts.poll_recv(context)).map(Ok);
        stream::select(parts, end).boxed()
    }
}

async fn text(plugin: &dyn Plugin, export: &str) -> Result<String, LoadError> {
    let text = plugin.call(export, "null".into()).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Reads the error object that the plugin returned, which arrives byte for byte.
fn decode(error: LoadError) -> ProviderError {
    if let LoadError::PluginFailed { detail, .. } = &error
        && let Ok(written) = serde_json::from_slice::<Value>(detail)
        && let payload = &written["payload"]
        && payload["kind"] == "rate_limited"
        && let Some(retry_after_secs) = payload["retry_after_secs"].as_u64()
    {
        return ProviderError::RateLimited { retry_after_secs };
    }
    failed(error)
}
