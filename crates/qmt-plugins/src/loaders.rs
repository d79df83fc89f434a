//! The loaders, one per kind of plugin, each made at its first use: pulling and verifying requires
//! none.

use std::sync::{Arc, OnceLock};

use qmt_cache::FsCache;
use qmt_loader::Loader;
use qmt_oci_ref::PluginKind;

use crate::error::Error;

/// The loaders of a host. A kind whose feature is off has one only if the host program brings it.
pub(crate) struct Loaders {
    wasm: OnceLock<Arc<dyn Loader>>,
    native: OnceLock<Arc<dyn Loader>>,
    /// Whether isolated plugins require all parts of the confinement.
    pub(crate) require_confinement: bool,
    /// Where they store compiled code.
    #[cfg(any(feature = "wasm", feature = "native"))]
    cache: FsCache,
}

impl Loaders {
    /// Uses the loaders that are given, and makes the others at their first use.
    pub(crate) fn new(
        wasm: Option<Arc<dyn Loader>>,
        native: Option<Arc<dyn Loader>>,
        require_confinement: bool,
        cache: &FsCache,
    ) -> Self {
        let _ = cache; // Unused if neither feature is on.
        let given = |loader: Option<_>| loader.map_or_else(OnceLock::new, OnceLock::from);
        Self {
            wasm: given(wasm),
            native: given(native),
            require_confinement,
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
        let cell = match kind {
            PluginKind::Native => &self.native,
            PluginKind::Wasm => &self.wasm,
        };
        if let Some(loader) = cell.get() {
            return Ok(Arc::clone(loader));
        }
        let made = self.make(plugin, kind)?;
        // If two callers make one at the same time, both use the first.
        Ok(Arc::clone(cell.get_or_init(|| made)))
    }

    fn make(&self, plugin: &str, kind: PluginKind) -> Result<Arc<dyn Loader>, Error> {
        match kind {
            #[cfg(feature = "native")]
            PluginKind::Native => self.make_native(plugin),
            #[cfg(not(feature = "native"))]
            PluginKind::Native => {
                let what = "native plugins (feature `native`)";
                Err(Error::unsupported(plugin, what))
            }
            #[cfg(feature = "wasm")]
            PluginKind::Wasm => self.make_wasm(plugin),
            #[cfg(not(feature = "wasm"))]
            PluginKind::Wasm => Err(Error::unsupported(plugin, "Wasm plugins (feature `wasm`)")),
        }
    }

    #[cfg(feature = "wasm")]
    fn make_wasm(&self, plugin: &str) -> Result<Arc<dyn Loader>, Error> {
        let made = qmt_loader::wasm::WasmLoader::builder()
            .compile_cache(self.folder(plugin)?)
            .build();
        let doing = "preparing the Wasm loader";
        let loader = made.map_err(|source| Error::load(plugin, doing, source))?;
        Ok(Arc::new(loader))
    }

    #[cfg(feature = "native")]
    fn make_native(&self, plugin: &str) -> Result<Arc<dyn Loader>, Error> {
        // Used only where there is no sealed memory, and checked to be private then.
        let folder = match self.folder(plugin)? {
            Some(folder) => folder.join("native"),
            None => std::env::temp_dir().join(format!("qmt-plugins-{}", std::process::id())),
        };
        let mut loader = qmt_loader::native::NativeLoader::new(folder);
        if self.require_confinement {
            loader = loader.require_confinement();
        }
        Ok(Arc::new(loader))
    }

    /// The private folder for compiled code, unless other users may write to the cache.
    #[cfg(any(feature = "wasm", feature = "native"))]
    fn folder(&self, plugin: &str) -> Result<Option<std::path::PathBuf>, Error> {
        let folder = self.cache.compiled_dir();
        folder.map_err(|source| Error::cache(plugin, source))
    }
}
