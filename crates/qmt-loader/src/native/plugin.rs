//! An open native plugin.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::ffi::{Abi, Library, Outcome, Symbol};
#[cfg(target_os = "linux")]
use super::isolated::Isolated;
use super::isolation::Isolation;
use super::waiting::{blocking, permit};
use crate::alarms::deadline;
use crate::error::LoadError;
use crate::limits::Limits;
use crate::plugin::Plugin;
use qmt_oci_ref::PluginKind;
use qmt_oci_ref::text::escape;

/// The calls of one plugin that may run at the same time, those that no caller waits for any more
/// included: a native call cannot be stopped.
pub(super) const CALLS_MAX: usize = 64;

/// What stands for an export in errors while a library is opened.
pub(super) const OPENING: &str = "(open)";

/// Where the library is open.
#[derive(Clone)]
pub(super) enum Code {
    InProcess {
        library: Arc<Library>,
        abi: Option<Abi>,
    },
    #[cfg(target_os = "linux")]
    Isolated(Arc<Isolated>),
}

/// An open shared library: raw symbols for hosts with an ABI of their own, and
/// [`Plugin::call`] if it implements `qmt_plugin.h`. An isolated one has calls only.
pub struct NativePlugin {
    name: String,
    code: Code,
    exports: Vec<String>,
    /// Whether the library listed its functions itself.
    listed: bool,
    limits: Limits,
    calls: Arc<Semaphore>,
    unloaded: AtomicBool,
}

impl NativePlugin {
    pub(super) fn new(
        name: &str,
        code: Code,
        exports: Option<Vec<String>>,
        symbols: Vec<String>,
        limits: &Limits,
    ) -> Self {
        Self {
            name: name.to_owned(),
            code,
            listed: exports.is_some(),
            exports: exports.unwrap_or(symbols),
            limits: limits.clone(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            unloaded: AtomicBool::new(false),
        }
    }

    /// Looks up a symbol, to be used as a pointer or function pointer of type `T`.
    ///
    /// Looking it up is safe, using it is not: see [`Symbol::get`]. The symbol keeps the library
    /// mapped. `T` is something like `unsafe extern "C" fn() -> u32`, or `*const Table`.
    ///
    /// # Errors
    /// [`LoadError::MissingSymbol`] if there is none or it is null; [`LoadError::SymbolType`] if
    /// `T` has not the size of a pointer; [`LoadError::IsolatedSymbol`] if the plugin is isolated;
    /// [`LoadError::Unloaded`] after `unload`.
    pub fn symbol<T: Copy>(&self, name: &str) -> Result<Symbol<T>, LoadError> {
        self.must_be_loaded()?;
        let library = match &self.code {
            Code::InProcess { library, .. } => library,
            #[cfg(target_os = "linux")]
            Code::Isolated(_) => {
                return Err(LoadError::IsolatedSymbol {
                    plugin: self.name.clone(),
                    symbol: escape(name),
                });
            }
        };
        let missing = || LoadError::MissingSymbol {
            plugin: self.name.clone(),
            symbol: escape(name),
        };
        // A name with a zero in it would be cut there.
        if name.is_empty() || name.contains('\0') {
            return Err(missing());
        }
        let address = library.address(name).ok_or_else(missing)?;
        Symbol::new(Arc::clone(library), address).ok_or_else(|| LoadError::SymbolType {
            plugin: self.name.clone(),
            symbol: escape(name),
        })
    }

    /// Returns whether [`Plugin::call`] works, that is, whether it implements `qmt_plugin.h`.
    pub fn is_callable(&self) -> bool {
        match &self.code {
            Code::InProcess { abi, .. } => abi.is_some(),
            #[cfg(target_os = "linux")]
            Code::Isolated(_) => true,
        }
    }

    /// Returns where the code of the plugin runs.
    pub fn isolation(&self) -> Isolation {
        match &self.code {
            Code::InProcess { .. } => Isolation::InProcess,
            #[cfg(target_os = "linux")]
            Code::Isolated(_) => Isolation::Process,
        }
    }

    /// Returns the names of the parts of the confinement that the kernel lacks; nothing if the plugin
    /// is not isolated.
    pub fn missing_confinement(&self) -> &[&'static str] {
        match &self.code {
            Code::InProcess { .. } => &[],
            #[cfg(target_os = "linux")]
            Code::Isolated(isolated) => isolated.missing_confinement(),
        }
    }

    fn must_be_loaded(&self) -> Result<(), LoadError> {
        if self.unloaded.load(Ordering::Acquire) {
            return Err(LoadError::Unloaded {
                plugin: self.name.clone(),
            });
        }
        Ok(())
    }

    /// Returns what to call, if `export` can be called.
    fn callable(&self, export: &str) -> Result<Callable, LoadError> {
        self.must_be_loaded()?;
        let plugin = || self.name.clone();
        let callable = match &self.code {
            Code::InProcess { abi: Some(abi), .. } => Callable::Here(abi.clone()),
            Code::InProcess { abi: None, .. } => {
                return Err(LoadError::NotCallable { plugin: plugin() });
            }
            #[cfg(target_os = "linux")]
            Code::Isolated(isolated) => Callable::Isolated(Arc::clone(isolated)),
        };
        if self.listed && !self.exports.iter().any(|known| known == export) {
            return Err(LoadError::UnknownExport {
                plugin: plugin(),
                export: escape(export),
                known: self.exports.clone(),
            });
        }
        Ok(callable)
    }

    fn busy(&self) -> LoadError {
        LoadError::Busy {
            plugin: self.name.clone(),
            instances: CALLS_MAX,
            limit: self.limits.timeout,
        }
    }

    /// The memory of a worker bounds its inputs; in the host's process, the host has them already.
    #[cfg(target_os = "linux")]
    fn must_fit(&self, input: &[u8]) -> Result<(), LoadError> {
        let (size, limit) = (input.len(), self.limits.memory_max);
        match u64::try_from(size) {
            Ok(size) if size <= limit => Ok(()),
            size => Err(LoadError::InputTooLarge {
                plugin: self.name.clone(),
                size: size.unwrap_or(u64::MAX),
                limit,
            }),
        }
    }
}

/// What a call runs.
enum Callable {
    Here(Abi),
    #[cfg(target_os = "linux")]
    Isolated(Arc<Isolated>),
}

/// Turns the answer of a plugin into the result of the call.
pub(super) fn output(
    plugin: &str,
    limits: &Limits,
    export: &str,
    outcome: Outcome,
) -> Result<Bytes, LoadError> {
    let plugin = || plugin.to_owned();
    match outcome {
        Outcome::Output(output) => Ok(output.into()),
        Outcome::TooLarge { size } => Err(LoadError::OutputTooLarge {
            plugin: plugin(),
            size: u64::try_from(size).unwrap_or(u64::MAX),
            limit: limits.memory_max,
        }),
        Outcome::OutOfMemory => Err(LoadError::OutOfMemory {
            plugin: plugin(),
            export: escape(export),
            limit: limits.memory_max,
        }),
        Outcome::Failed { code, message } => Err(LoadError::PluginFailed {
            plugin: plugin(),
            export: escape(export),
            code,
            message: match message.as_slice() {
                [] => format!("it returned {code}"),
                message => escape(&String::from_utf8_lossy(message)),
            },
            detail: message.into(),
        }),
    }
}

#[async_trait]
impl Plugin for NativePlugin {
    async fn call(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        let abi = match self.callable(export)? {
            Callable::Here(abi) => abi,
            #[cfg(target_os = "linux")]
            Callable::Isolated(isolated) => {
                self.must_fit(&input)?;
                return isolated.call(export, input).await;
            }
        };
        let limit = self.limits.timeout;
        let deadline = deadline(limit);
        let permit = permit(&self.name, &self.calls, deadline).await?;
        let permit = permit.ok_or_else(|| self.busy())?;
        let output_max = self.limits.memory_max;
        let name = export.to_owned();
        let work = move || {
            let _permit = permit;
            abi.call(&name, &input, output_max)
        };
        let outcome = blocking(&self.name, export, limit, deadline, work).await?;
        output(&self.name, &self.limits, export, outcome)
    }

    /// A call in this process ends when the library's function returns, whatever the time-out is;
    /// the time-out ends the waiting for other calls.
    fn call_blocking(&self, export: &str, input: Bytes) -> Result<Bytes, LoadError> {
        let abi = match self.callable(export)? {
            Callable::Here(abi) => abi,
            #[cfg(target_os = "linux")]
            Callable::Isolated(isolated) => {
                self.must_fit(&input)?;
                return isolated.call_blocking(export, &input);
            }
        };
        // A call that does not wait reads no clock.
        let permit = if let Ok(permit) = Arc::clone(&self.calls).try_acquire_owned() {
            Some(permit)
        } else {
            let deadline = deadline(self.limits.timeout);
            pollster::block_on(permit(&self.name, &self.calls, deadline))?
        };
        let _permit = permit.ok_or_else(|| self.busy())?;
        let outcome = abi.call(export, &input, self.limits.memory_max);
        output(&self.name, &self.limits, export, outcome)
    }

    fn exports(&self) -> Vec<String> {
        self.exports.clone()
    }

    fn kind(&self) -> PluginKind {
        PluginKind::Native
    }

    async fn lease(&self) -> Result<Box<dyn Plugin>, LoadError> {
        self.must_be_loaded()?;
        let code = match &self.code {
            code @ Code::InProcess { .. } => code.clone(),
            #[cfg(target_os = "linux")]
            Code::Isolated(isolated) => Code::Isolated(isolated.lease().await?),
        };
        Ok(Box::new(Self {
            name: self.name.clone(),
            code,
            exports: self.exports.clone(),
            listed: self.listed,
            limits: self.limits.clone(),
            calls: Arc::clone(&self.calls),
            unloaded: AtomicBool::new(false),
        }))
    }

    async fn unload(&self) -> Result<(), LoadError> {
        self.unloaded.store(true, Ordering::Release);
        #[cfg(target_os = "linux")]
        if let Code::Isolated(isolated) = &self.code {
            isolated.unload();
        }
        Ok(())
    }
}

impl fmt::Debug for NativePlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativePlugin")
            .field("name", &self.name)
            .field("callable", &self.is_callable())
            .field("isolation", &self.isolation())
            .field("exports", &self.exports)
            .finish_non_exhaustive()
    }
}
