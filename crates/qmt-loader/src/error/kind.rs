//! What a [`LoadError`] means to a program, and what to do about it.

use super::{LoadError, WorkerEnd};

/// What a [`LoadError`] means to a program: who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// The content can't run on this host: its publisher has to change it.
    Refused,
    /// A right or limit is not valid, or a folder is not safe: the operator has to change it.
    Config,
    /// The call is wrong: an unknown export or symbol, an input of the wrong type or size.
    Call,
    /// A limit was reached: of time, memory, fuel, output or number.
    Limit,
    /// The plugin's own code failed.
    Plugin,
    /// The host or the operating system failed.
    Host,
}

impl LoadError {
    /// Reports whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::CompileTimedOut {
                    can_retry: true,
                    ..
                }
                | Self::WorkerPaused { .. }
        )
    }

    /// Returns what the error means to a program.
    pub fn kind(&self) -> LoadErrorKind {
        match self {
            Self::KindMismatch { .. }
            | Self::WasmRefused { .. }
            | Self::NativeRefused { .. }
            | Self::Compile { .. }
            | Self::Link { .. }
            | Self::AbiVersion { .. }
            | Self::DigestMismatch { .. } => LoadErrorKind::Refused,
            Self::Grant { .. } | Self::Configured { .. } | Self::NotPrivate { .. } => {
                LoadErrorKind::Config
            }
            Self::UnknownExport { .. }
            | Self::NotCallable { .. }
            | Self::InputTooLarge { .. }
            | Self::Json { .. }
            | Self::NoLease { .. }
            | Self::LeaseEnded { .. }
            | Self::Unloaded { .. }
            | Self::MissingSymbol { .. }
            | Self::SymbolType { .. }
            | Self::IsolatedSymbol { .. } => LoadErrorKind::Call,
            #[cfg(feature = "convert")]
            Self::Convert { .. } => LoadErrorKind::Call,
            Self::CompileTimedOut { .. }
            | Self::OutputTooLarge { .. }
            | Self::Busy { .. }
            | Self::TimedOut { .. }
            | Self::OutOfFuel { .. }
            | Self::OutOfMemory { .. }
            | Self::TooManyLibraries { .. }
            | Self::WorkerPaused { .. } => LoadErrorKind::Limit,
            Self::Start { .. }
            | Self::Trapped { .. }
            | Self::PluginFailed { .. }
            | Self::WorkerEnded { .. } => LoadErrorKind::Plugin,
            Self::Engine { .. }
            | Self::Host { .. }
            | Self::Open { .. }
            | Self::Isolation { .. }
            | Self::Unconfined { .. }
            | Self::Io { .. } => LoadErrorKind::Host,
        }
    }

    /// Returns what to do about it, if that is not part of the message.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::OutOfMemory { .. } | Self::InputTooLarge { .. } | Self::OutputTooLarge { .. } => {
                Some("if the plugin may use more memory, raise `memory_max` of its limits")
            }
            Self::TimedOut { .. } => {
                Some("if the call may take longer, raise `timeout` of the plugin's limits")
            }
            Self::CompileTimedOut { .. } => {
                Some("if compiling may take longer, raise `compile_timeout` of the plugin's limits")
            }
            Self::OutOfFuel { .. } => {
                Some("if the call may compute more, raise or remove `fuel` in the plugin's limits")
            }
            Self::Engine { .. } => Some(
                "it needs threads, address space, and memory for code: see the limits of this process \
                 (`ulimit -u`, `ulimit -v`), the number of processes that its container may have, and \
                 restrictions such as systemd's `MemoryDenyWriteExecute` and SELinux's `execmem`",
            ),
            Self::Busy { .. } => Some(
                "call it again later, or raise `timeout`; a host can give its Wasm plugins more \
                 instances (`WasmLoaderBuilder::instances`)",
            ),
            Self::WorkerEnded {
                end: WorkerEnd::Exited { .. },
                ..
            } => Some("the plugin's own code ended its process; its publisher has to change that"),
            Self::WorkerEnded { .. } => Some(
                "if the plugin needs more memory or processor time, raise `memory_max` or `timeout` \
                 of its limits; isolated plugins can't start processes, open sockets, or use folders \
                 that are not granted",
            ),
            Self::Unconfined { .. } => {
                Some("use a newer kernel, or do not require all parts of the confinement")
            }
            Self::Unloaded { .. } => Some("load the plugin again"),
            Self::Link { .. } => Some(
                "the plugin was built for another host: register the functions that it imports, or \
                 ask its publisher which program it is for",
            ),
            Self::MissingSymbol { .. } => Some(
                "`inspect` lists the symbols that the library exports; C++ and Rust change names that \
                 are not declared `extern \"C\"` and `no_mangle`",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_error_says_who_can_do_something_about_it() {
        let plugin = || "p".to_owned();
        let timed_out = LoadError::TimedOut {
            plugin: plugin(),
            export: "greet".to_owned(),
            limit: Duration::from_secs(1),
        };
        assert_eq!(timed_out.kind(), LoadErrorKind::Limit);
        assert!(timed_out.hint().unwrap().contains("timeout"));
        let compiling = LoadError::CompileTimedOut {
            plugin: plugin(),
            limit: Duration::from_secs(1),
            can_retry: false,
        };
        assert!(compiling.hint().unwrap().contains("`compile_timeout`"));
        let unknown = LoadError::UnknownExport {
            plugin: plugin(),
            export: "gret".to_owned(),
            known: vec!["greet".to_owned()],
        };
        assert_eq!(unknown.kind(), LoadErrorKind::Call);
        // The exports are part of the message.
        assert_eq!(unknown.hint(), None);
    }
}
