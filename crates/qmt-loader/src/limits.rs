//! What a plugin may use up, and what it is granted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(any(feature = "native", feature = "wasm"))]
use crate::error::LoadError;
use crate::native::Isolation;

/// The memory that a Wasm plugin gets if the host says nothing, in bytes: 256 MiB.
pub(crate) const MEMORY_MAX: u64 = 256 * 1024 * 1024;
/// The time that a call gets if the host says nothing.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// The time that a compilation gets if the host says nothing.
pub(crate) const COMPILE_TIMEOUT: Duration = Duration::from_secs(30);
/// The elements that a table of a Wasm plugin may hold if the host says nothing.
pub(crate) const TABLE_ELEMENTS_MAX: u32 = 100_000;
/// The bytes of the body of an HTTP request or of its answer if the host says nothing: 50 MiB.
pub(crate) const HTTP_BODY_MAX: u64 = 50 * 1024 * 1024;
/// The bytes that a native library may have if the host says nothing: 512 MiB.
pub(crate) const LIBRARY_MAX: u64 = 512 * 1024 * 1024;
/// The bytes of one log line if the host says nothing: 16 KiB.
pub(crate) const LOG_LINE_MAX: u64 = 16 * 1024;
/// The lines that one instance may log in a second if the host says nothing.
pub(crate) const LOG_LINES_PER_SECOND: u32 = 1_000;
/// The bytes of a plugin's message about a failed call that are kept: 64 KiB.
#[cfg(any(feature = "native", feature = "wasm"))]
pub(crate) const MESSAGE_MAX: u64 = 64 * 1024;

/// How a plugin is loaded. The default grants nothing and limits everything.
///
/// Its `Debug` output names the keys of `config` and hides the values, which may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Key–value configuration handed to the plugin. A Wasm plugin reads it through Extism's
    /// `config_get`; a native one gets it once, as JSON, if it exports `qmt_plugin_configure`.
    pub config: BTreeMap<String, String>,
    /// An export that is called once in each new instance of a Wasm plugin, and in each worker
    /// process of an isolated native one, before anything else, with no input. It counts towards the
    /// time of the call that made the instance. Loaders that make no such calls refuse it with
    /// [`LoadError::Grant`](crate::LoadError::Grant).
    pub at_start: Option<String>,
    /// What the plugin may use up.
    pub limits: Limits,
    /// What the plugin is granted.
    pub allow: Allow,
    /// Where the code of a native plugin runs. Wasm plugins are isolated by their engine.
    pub isolation: Isolation,
}

#[cfg(feature = "wasm")]
impl LoadOptions {
    /// Checks whether everything that is granted can be granted to a Wasm plugin as it is written:
    /// hosts, folders, environment variables. Nothing is loaded.
    ///
    /// # Errors
    ///
    /// [`LoadError::Grant`], as loading the plugin would return it.
    pub fn check(&self, plugin: &str) -> Result<(), LoadError> {
        crate::wasm::check_grants(plugin, self)
    }
}

#[cfg(feature = "native")]
impl LoadOptions {
    /// Checks whether everything that is granted can be granted to an isolated native plugin as it
    /// is written, and whether this system isolates plugins. Nothing is loaded.
    ///
    /// # Errors
    ///
    /// [`LoadError::Grant`] and [`LoadError::Isolation`], as loading the plugin would return them.
    pub fn check_isolated(&self, plugin: &str) -> Result<(), LoadError> {
        crate::native::check_isolated(plugin, self)
    }
}

impl fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions")
            .field("config", &self.config.keys())
            .field("at_start", &self.at_start)
            .field("limits", &self.limits)
            .field("allow", &self.allow)
            .field("isolation", &self.isolation)
            .finish()
    }
}

/// What a plugin may use up. Every limit always holds: there is no value for "unlimited".
///
/// For a native library in the host's process, `library_max` and `timeout` apply; outputs have at
/// most `memory_max`. `timeout` ends the waiting for the opening and for calls, not the work, and
/// not a blocking call that has begun. For an isolated one, `memory_max` applies to each worker
/// process, and `timeout` ends the process.
///
/// The processor time of a worker process is limited: at first to that of two calls of `timeout` on
/// all processors, and with each `timeout` of use to that of one more call. At 16 times the first
/// limit, another worker takes the next call; that of a lease is ended by the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The memory of one instance in bytes, from its first instruction on: its linear memory, and
    /// the memory through which it exchanges inputs and outputs with the host. For an isolated native
    /// plugin, the memory of a worker process beyond what it starts with. Default: 256 MiB.
    pub memory_max: u64,
    /// The wall-clock time of one call, waiting for a free instance, start functions and host
    /// functions included. Default: 60 seconds.
    pub timeout: Duration,
    /// The instructions, roughly, that one call of a Wasm plugin may run. Default: none are counted,
    /// since `timeout` ends every call. Counting makes tight loops a fifth slower.
    pub fuel: Option<u64>,
    /// The elements that the tables of an instance may hold together. Default: 100,000.
    pub table_elements: u32,
    /// The wall-clock time that compiling the module may take. Linking the functions of the host,
    /// reading the cache and the wait for other compilations have the same limit each. Default: 30
    /// seconds.
    pub compile_timeout: Duration,
    /// The bytes of the body of each HTTP request that a plugin makes, and of its answer. Default:
    /// 50 MiB.
    pub http_body_max: u64,
    /// The bytes of a native library. Default: 512 MiB.
    pub library_max: u64,
    /// The bytes of one log line; of a longer line, only the length is logged. Default: 16 KiB.
    pub log_line_max: u64,
    /// The lines that one instance may log in a second; more are dropped and counted. Default:
    /// 1,000.
    pub log_lines_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_max: MEMORY_MAX,
            timeout: CALL_TIMEOUT,
            fuel: None,
            table_elements: TABLE_ELEMENTS_MAX,
            compile_timeout: COMPILE_TIMEOUT,
            http_body_max: HTTP_BODY_MAX,
            library_max: LIBRARY_MAX,
            log_line_max: LOG_LINE_MAX,
            log_lines_per_second: LOG_LINES_PER_SECOND,
        }
    }
}

/// What a plugin is granted, by name. An empty list means none, never "all".
///
/// A native library in the host's process is not restricted by this, apart from `libraries`. An
/// isolated one gets `paths`, under the same path as in the host, `env` and `libraries`; it has no
/// network, so `hosts` are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allow {
    /// Hosts that the plugin may send HTTP requests to, as `host` (the scheme's own port) or
    /// `host:port`, without wildcards. Each redirect is checked against the list again.
    pub hosts: Vec<String>,
    /// Folders of the host, each under the name by which the plugin sees it. A host path that
    /// begins with `ro:` can be read only. The folders must exist.
    pub paths: BTreeMap<PathBuf, PathBuf>,
    /// Environment variables of the host, by name. Extism plugins have no environment: each one
    /// that is set becomes a configuration value of the same name, unless `config` has that key.
    pub env: Vec<String>,
    /// Libraries that a native plugin may need beyond those of the C, C++ and OpenMP runtimes, by
    /// exact name: `libcuda.so.1`. The system's dynamic loader finds them by its own rules.
    pub libraries: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LIM-11, LIM-12: the values of the table.
    #[test]
    fn the_default_grants_nothing_and_limits_everything() {
        let options = LoadOptions::default();
        assert!(options.config.is_empty());
        assert!(options.allow.hosts.is_empty());
        assert!(options.allow.paths.is_empty());
        assert!(options.allow.env.is_empty());
        assert!(options.allow.libraries.is_empty());
        assert_eq!(options.limits.memory_max, 256 << 20);
        assert_eq!(options.limits.timeout, Duration::from_mins(1));
        assert_eq!(options.limits.table_elements, 100_000);
        assert_eq!(options.limits.compile_timeout, Duration::from_secs(30));
        assert_eq!(options.limits.http_body_max, 52_428_800);
        assert_eq!(options.limits.library_max, 512 << 20);
        assert_eq!(options.limits.log_line_max, 16_384);
        assert_eq!(options.limits.log_lines_per_second, 1_000);
    }

    /// CFG-01: what a plugin is configured with may be secret.
    #[test]
    fn debug_output_hides_the_values_of_the_configuration() {
        let mut options = LoadOptions::default();
        options.config.insert("key".into(), "canary".into());
        let text = format!("{options:?}");
        assert!(text.contains("key") && !text.contains("canary"), "{text}");
    }
}
