//! The loader of native plugins.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::ffi::Abi;
#[cfg(target_os = "linux")]
use super::isolated::{Isolated, Spec};
use super::isolation::{self, Isolation, Settings};
use super::opened;
use super::plugin::{Code, NativePlugin, OPENING};
use super::preflight::{self, Target};
use super::start;
use super::waiting::blocking;
use crate::alarms::deadline;
use crate::error::LoadError;
use crate::limits::LoadOptions;
use crate::loader::{Artifact, Loader, Preflight};
use crate::plugin::Plugin;
use qmt_oci_ref::PluginKind;

/// Opens shared libraries, once per digest and process, and never closes them.
///
/// Before any of its code runs, a library is checked for platform, damage, search paths, needed
/// libraries, executable stack, text relocations and ABI version. Then a sealed copy of the
/// checked bytes is opened, on systems without sealed memory files a private copy.
///
/// The time-out of the plugin ends the waiting for a library that takes long to open, but not the
/// opening; glibc opens no other library before it is done.
///
/// A native plugin has all rights of the host's process, unless it is loaded with
/// [`Isolation::Process`]. Whether it may run is the decision of the caller, by signature and policy.
///
/// # Isolated plugins
/// A worker process opens the library, and the host never does. Before that, the worker gives up its
/// capabilities, and the kernel denies it all files but the libraries of the system and the folders
/// of [`Allow::paths`](crate::Allow::paths) (Landlock), sockets, programs and other processes
/// (seccomp), and more memory than `memory_max` beyond what a worker starts with. It inherits no
/// environment and no descriptor of the host, and ends with the host. Parts that the kernel lacks
/// are logged once as a warning and listed by [`NativePlugin::missing_confinement`], unless
/// [`NativeLoader::require_confinement`] makes them errors.
///
/// A call that aborts, exits, runs out of time or is dropped ends its worker, and no other call; the
/// next call starts another worker, after a pause of 10 ms to 5 s if workers end again and again.
/// Eight calls run at the same time, each in its own process; so does each lease.
#[derive(Clone, Debug)]
pub struct NativeLoader {
    private: PathBuf,
    allowed: BTreeSet<String>,
    settings: Settings,
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
            settings: Settings::default(),
        }
    }

    /// Allows all plugins to link with `library`, by its exact name (`libssl.so.3`), beyond the
    /// libraries of the C, C++ and OpenMP runtimes, and those that
    /// [`Allow::libraries`](crate::Allow::libraries) names for one plugin. The system's dynamic loader
    /// finds it by its own rules.
    #[must_use]
    pub fn allow_library(mut self, library: impl Into<String>) -> Self {
        self.allowed.insert(library.into());
        self
    }

    /// Starts `program`, an absolute path, as the worker of isolated plugins, instead of the program
    /// of this process. Its `main` must call
    /// [`run_worker_if_asked`](super::run_worker_if_asked) of this version; `qmt-plugins` and
    /// `qmt-plugin-worker` do.
    #[must_use]
    pub fn worker(mut self, program: impl Into<PathBuf>) -> Self {
        self.settings.program = Some(program.into());
        self
    }

    /// Refuses to isolate plugins, with [`LoadError::Unconfined`], where the kernel lacks a part of
    /// the confinement. Landlock for files requires Linux 6.2.
    #[must_use]
    pub fn require_confinement(mut self) -> Self {
        self.settings.required = true;
        self
    }

    /// Checks the library, and opens it where `options` say. Blocks.
    fn load_now(
        &self,
        artifact: &Artifact,
        options: &LoadOptions,
        deadline: Instant,
    ) -> Result<NativePlugin, LoadError> {
        let preflight = self.preflight_with(artifact, options)?;
        let (code, exports) = match options.isolation {
            Isolation::InProcess => self.open(artifact, options)?,
            Isolation::Process => self.isolate(artifact, options, deadline)?,
        };
        Ok(NativePlugin::new(
            artifact.name(),
            code,
            exports,
            preflight.exports,
            &options.limits,
        ))
    }

    /// Opens the library in this process. Returns the functions that it lists, if it lists any.
    fn open(
        &self,
        artifact: &Artifact,
        options: &LoadOptions,
    ) -> Result<(Code, Option<Vec<String>>), LoadError> {
        let plugin = artifact.name();
        if options.at_start.is_some() {
            return Err(LoadError::Grant {
                plugin: plugin.to_owned(),
                grant: "at_start".to_owned(),
                rule: "a native library has no instances; it starts when it is opened",
                source: None,
            });
        }
        let opened = opened::open(artifact, &self.private)?;
        let abi = Abi::find(&opened.library);
        let refused = |refusal: start::Refusal| refusal.into_error(plugin);
        let mut exports = None;
        if let Some(abi) = &abi {
            start::version(abi).map_err(refused)?;
            opened.configure(plugin, abi, &options.config)?;
            exports = start::exports(abi).map_err(refused)?;
        }
        let library = Arc::clone(&opened.library);
        let exports = exports.map(|names| start::listed(&names));
        Ok((Code::InProcess { library, abi }, exports))
    }

    /// Starts a worker, which opens the library. Returns the functions that it lists, if it lists any.
    #[cfg(target_os = "linux")]
    fn isolate(
        &self,
        artifact: &Artifact,
        options: &LoadOptions,
        deadline: Instant,
    ) -> Result<(Code, Option<Vec<String>>), LoadError> {
        let spec = Spec::new(artifact, options, &self.settings)?;
        let (isolated, exports) = Isolated::load(spec, deadline)?;
        Ok((Code::Isolated(isolated), exports))
    }

    #[cfg(not(target_os = "linux"))]
    fn isolate(
        &self,
        artifact: &Artifact,
        _: &LoadOptions,
        _: Instant,
    ) -> Result<(Code, Option<Vec<String>>), LoadError> {
        Err(isolation::refused(artifact.name(), NOT_LINUX))
    }
}

/// The rule that only Linux fulfils.
#[cfg(not(target_os = "linux"))]
const NOT_LINUX: &str = "worker processes require Linux; here, native plugins run in the process of \
                         the host or not at all";

/// Checks what is granted to an isolated plugin.
pub(crate) fn check_isolated(plugin: &str, options: &LoadOptions) -> Result<(), LoadError> {
    #[cfg(target_os = "linux")]
    return super::isolated::check(plugin, options);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = options;
        Err(isolation::refused(plugin, NOT_LINUX))
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
        let limit = options.limits.timeout;
        let deadline = deadline(limit);
        // Constructors of the library run while it is opened, and may block.
        let work = move || this.load_now(&artifact, &options, deadline);
        let opened = blocking(&plugin, OPENING, limit, deadline, work).await??;
        Ok(Arc::new(opened))
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
        let found = found.map_err(|reason| LoadError::NativeRefused {
            plugin: plugin(),
            reason,
        })?;
        if options.isolation == Isolation::Process {
            check_isolated(artifact.name(), options)?;
            if !found.is_callable {
                return Err(isolation::refused(
                    artifact.name(),
                    "it must implement `qmt_plugin.h`: symbols of another process cannot be used",
                ));
            }
        }
        Ok(found.preflight)
    }
}
