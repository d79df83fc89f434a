//! The loader of native plugins.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::abi::VERSION;
use super::ffi::{Abi, Outcome};
use super::opened::{self, Opened};
use super::plugin::NativePlugin;
use super::preflight::{self, Target};
use crate::error::LoadError;
use crate::limits::LoadOptions;
use crate::loader::{Artifact, Loader, Preflight};
use crate::plugin::Plugin;
use qmt_oci_ref::PluginKind;
use qmt_oci_ref::text::escape;

/// The bytes that a plugin may list its functions in.
const EXPORTS_MAX: usize = 64 * 1024;

/// Opens shared libraries, once per digest and process, and never closes them.
///
/// Before any of its code runs, a library is checked for platform, damage, search paths, needed
/// libraries, executable stack, text relocations and ABI version. Then a sealed copy of the
/// checked bytes is opened, on systems without sealed memory files a private copy.
///
/// What this does not do: a native plugin has all rights of the host's process. Whether it may run
/// is the decision of the caller, by signature and policy.
#[derive(Clone, Debug)]
pub struct NativeLoader {
    private: PathBuf,
    allowed: BTreeSet<String>,
}

impl NativeLoader {
    /// Makes a loader that keeps private copies in `private`, where it needs any.
    ///
    /// The folder is made with mode 0700 when it is first needed, and refused where others may
    /// write to it.
    pub fn new(private: impl Into<PathBuf>) -> Self {
        Self {
            private: private.into(),
            allowed: BTreeSet::new(),
        }
    }

    /// Lets all plugins need `library`, by its exact name (`libssl.so.3`), beyond the libraries of
    /// the C, C++ and OpenMP runtimes, and those that [`Allow::libraries`](crate::Allow::libraries)
    /// names for one plugin. The system's dynamic loader finds it by its own rules.
    #[must_use]
    pub fn allow_library(mut self, library: impl Into<String>) -> Self {
        self.allowed.insert(library.into());
        self
    }

    /// Returns the folder for private copies.
    pub fn private_folder(&self) -> &Path {
        &self.private
    }

    fn open(&self, artifact: &Artifact, options: &LoadOptions) -> Result<NativePlugin, LoadError> {
        let plugin = artifact.name();
        if options.at_start.is_some() {
            return Err(LoadError::Grant {
                plugin: plugin.to_owned(),
                grant: "at_start".to_owned(),
                rule: "a native library has no instances; it starts when it is opened",
                source: None,
            });
        }
        let preflight = self.preflight_with(artifact, options)?;
        let opened = opened::open(artifact, &self.private)?;
        let abi = Abi::find(&opened.library);
        if let Some(abi) = &abi {
            let found = abi.version();
            if found != VERSION {
                return Err(LoadError::AbiVersion {
                    plugin: plugin.to_owned(),
                    found,
                    supported: VERSION,
                });
            }
            configure(plugin, &opened, abi, options)?;
        }
        let exports = match abi.as_ref().and_then(|abi| abi.exports(EXPORTS_MAX)) {
            None => None,
            Some(Outcome::Output(names)) => Some(listed(&names)),
            Some(_) => {
                return Err(LoadError::Start {
                    plugin: plugin.to_owned(),
                    source: "its `qmt_plugin_exports` failed".into(),
                });
            }
        };
        Ok(NativePlugin::new(
            plugin,
            opened.library.clone(),
            abi,
            exports,
            preflight.exports,
            &options.limits,
        ))
    }
}

#[async_trait]
impl Loader for NativeLoader {
    async fn load(
        &self,
        artifact: Artifact,
        options: LoadOptions,
    ) -> Result<Arc<dyn Plugin>, LoadError> {
        let this = self.clone();
        let plugin = artifact.name().to_owned();
        // Constructors of the library run while it is opened, and may block.
        let opened = tokio::task::spawn_blocking(move || this.open(&artifact, &options)).await;
        let opened = opened.map_err(|error| LoadError::Host {
            plugin,
            export: "(open)".to_owned(),
            source: error.into(),
        })?;
        Ok(Arc::new(opened?))
    }

    fn preflight(&self, artifact: &Artifact) -> Result<Preflight, LoadError> {
        self.preflight_with(artifact, &LoadOptions::default())
    }

    fn preflight_with(
        &self,
        artifact: &Artifact,
        options: &LoadOptions,
    ) -> Result<Preflight, LoadError> {
        let plugin = || artifact.name().to_owned();
        if artifact.kind() != PluginKind::Native {
            return Err(LoadError::KindMismatch {
                plugin: plugin(),
                loader: PluginKind::Native,
                artifact: artifact.kind(),
            });
        }
        let is_allowed = |library: &String| {
            self.allowed.contains(library) || options.allow.libraries.contains(library)
        };
        let limit = options.limits.library_max;
        let found = preflight::preflight(artifact.bytes(), Target::current(), limit, is_allowed);
        found.map_err(|reason| LoadError::NativeRefused {
            plugin: plugin(),
            reason,
        })
    }
}

/// Hands the configuration to the library, once in the life of the process.
fn configure(
    plugin: &str,
    opened: &Opened,
    abi: &Abi,
    options: &LoadOptions,
) -> Result<(), LoadError> {
    opened
        .configure(&options.config, |config| {
            let failed = |source| LoadError::Start {
                plugin: plugin.to_owned(),
                source,
            };
            let json = serde_json::to_vec(config).map_err(|error| failed(error.into()))?;
            match abi.configure(&json) {
                None | Some(0) => Ok(()),
                Some(code) => Err(failed(
                    format!("its `qmt_plugin_configure` refused the configuration with {code}")
                        .into(),
                )),
            }
        })
        .map_err(|error| {
            error.unwrap_or_else(|| LoadError::Configured {
                plugin: plugin.to_owned(),
            })
        })
}

fn listed(names: &[u8]) -> Vec<String> {
    let names = String::from_utf8_lossy(names);
    let mut names: Vec<String> = names
        .lines()
        .filter(|name| !name.is_empty())
        .map(escape)
        .collect();
    names.sort();
    names.dedup();
    names
}
