//! The loaders, one per kind of plugin, each made at its first use: who only pulls or verifies
//! pays for none.

use std::sync::{Arc, OnceLock};

use qmt_artifact::PluginKind;
use qmt_cache::FsCache;
use qmt_loader::Loader;

use crate::error::Error;

/// The loaders of a host; a kind whose feature is off and that was not given has none.
pub(crate) struct Loaders {
    wasm: OnceLock<Arc<dyn Loader>>,
    native: OnceLock<Arc<dyn Loader>>,
    /// Where they keep what they compile and map.
    #[cfg(any(feature = "wasm", feature = "native"))]
    cache: FsCache,
}

impl Loaders {
    /// Those that are given are used; the others are made when they are needed.
    pub(crate) fn new(
        wasm: Option<Arc<dyn Loader>>,
        native: Option<Arc<dyn Loader>>,
        cache: &FsCache,
    ) -> Self {
        let _ = cache; // Neither feature is on: nothing needs a folder.
        let given = |loader: Option<_>| loader.map_or_else(OnceLock::new, OnceLock::from);
        Self {
            wasm: given(wasm),
            native: given(native),
            #[cfg(any(feature = "wasm", feature = "native"))]
            cache: cache.clone(),
        }
    }

    /// Returns the loader for `kind`; `plugin` is named in errors.
    pub(crate) fn for_kind(
        &self,
        plugin: &str,
        kind: PluginKind,
    ) -> Result<Arc<dyn Loader>, Error> {
        let place = match kind {
            PluginKind::Native => &self.native,
            _ => &self.wasm,
        };
        if let Some(loader) = place.get() {
            return Ok(Arc::clone(loader));
        }
        let made = match kind {
            PluginKind::Native => self.make_native(plugin),
            _ => self.make_wasm(plugin),
        }?;
        // Where two come at once, both go on with the first one's.
        Ok(Arc::clone(place.get_or_init(|| made)))
    }

    #[cfg(feature = "wasm")]
    fn make_wasm(&self, plugin: &str) -> Result<Arc<dyn Loader>, Error> {
        let made = qmt_loader::ExtismLoader::builder()
            .compile_cache(Some(self.folder(plugin)?))
            .build();
        let loader = made.map_err(|source| Error::Load {
            plugin: plugin.to_owned(),
            doing: "preparing the Wasm loader".to_owned(),
            source,
        })?;
        Ok(Arc::new(loader))
    }

    #[cfg(not(feature = "wasm"))]
    fn make_wasm(&self, plugin: &str) -> Result<Arc<dyn Loader>, Error> {
        Err(unsupported(plugin, "Wasm plugins (feature `wasm`)"))
    }

    #[cfg(feature = "native")]
    fn make_native(&self, plugin: &str) -> Result<Arc<dyn Loader>, Error> {
        let folder = self.folder(plugin)?.join("native");
        Ok(Arc::new(qmt_loader::NativeLoader::new(folder)))
    }

    #[cfg(not(feature = "native"))]
    fn make_native(&self, plugin: &str) -> Result<Arc<dyn Loader>, Error> {
        Err(unsupported(plugin, "native plugins (feature `native`)"))
    }

    /// The private folder for compiled code.
    #[cfg(any(feature = "wasm", feature = "native"))]
    fn folder(&self, plugin: &str) -> Result<std::path::PathBuf, Error> {
        self.cache.compiled_dir().map_err(|source| Error::Cache {
            plugin: plugin.to_owned(),
            source,
        })
    }
}

#[cfg(not(all(feature = "wasm", feature = "native")))]
fn unsupported(plugin: &str, what: &'static str) -> Error {
    Error::Unsupported {
        plugin: plugin.to_owned(),
        what,
    }
}
