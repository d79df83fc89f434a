//! The loader for native plugins, which implement the host's traits in Rust.
#![expect(unsafe_code, reason = "native plugins are called through pointers")]

use std::any::Any;
use std::ffi::{CStr, c_char};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use qmt_oci_ref::PluginKind;
use qmt_plugins::loader::native::{self, NativePlugin};
use qmt_plugins::loader::{LoadOptions, Loader as _};

use crate::downloader::{Downloader, failed};
use crate::functions;
use crate::seam::{
    FactoryCtor, InitLogging, PluginLoader, PluginType, ProviderConfig, ProviderError,
    ProviderFactory, ProviderPlugin,
};

/// The highest level of the crate `log`: the host's own filter decides.
const EVERY_LEVEL: usize = 5;

/// Loads native plugins that export `plugin_factory`.
#[derive(Debug)]
pub struct NativeLoader {
    loader: native::NativeLoader,
    downloader: Arc<Downloader>,
}

impl NativeLoader {
    /// Makes the loader. `private` is a folder that no other user can write to.
    pub fn new(private: impl Into<PathBuf>, downloader: Arc<Downloader>) -> Self {
        let loader = native::NativeLoader::new(private);
        Self { loader, downloader }
    }
}

#[async_trait]
impl PluginLoader for NativeLoader {
    fn supported_type(&self) -> PluginType {
        PluginType::Native
    }

    async fn load_plugin(
        &self,
        plugin: ProviderPlugin,
        config: &ProviderConfig,
    ) -> Result<Arc<dyn ProviderFactory>, ProviderError> {
        let (kind, name) = (PluginKind::Native, &*config.name);
        let artifact = self.downloader.open(&plugin, kind, name).await?;
        let loaded = self.loader.load(artifact, LoadOptions::default()).await;
        let plugin = loaded.map_err(failed)?;
        let library = (&*plugin as &dyn Any).downcast_ref::<NativePlugin>();
        let library = library.ok_or_else(|| ProviderError::Plugin("not a library".to_owned()))?;
        if let Ok(init) = library.symbol::<InitLogging>("plugin_init_logging") {
            // SAFETY: the host's interface gives the function this signature. `host_log` lives as long
            // as the process.
            unsafe { (init.get())(host_log, EVERY_LEVEL) };
        }
        let constructor = library.symbol::<FactoryCtor>("plugin_factory");
        let constructor = constructor.map_err(failed)?;
        // SAFETY: the host's interface gives the function this signature.
        let factory = unsafe { (constructor.get())() };
        if factory.is_null() {
            let problem = "`plugin_factory` returned null".to_owned();
            return Err(ProviderError::Plugin(problem));
        }
        // The loader never unloads a library, so its code lives as long as the factory.
        // SAFETY: the host's interface says that the pointer is that of a `Box`, which now belongs to
        // the host, and that plugins are built with the host's compiler and traits.
        Ok(Arc::from(unsafe { Box::from_raw(factory) }))
    }
}

/// Receives what a native plugin logs.
unsafe extern "C" fn host_log(level: usize, target: *const c_char, message: *const c_char) {
    let text = |text: *const c_char| {
        if text.is_null() {
            return String::new();
        }
        // SAFETY: the host's interface says that both texts end with a zero byte and live until the
        // function returns.
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned()
    };
    functions::log("native", level, &text(target), &text(message));
}
