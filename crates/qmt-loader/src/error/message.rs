//! How a [`LoadError`] is shown: the message alone, or with its causes and the hint.

use std::fmt;

use qmt_oci_ref::text::{error_line, error_report};

use super::{LoadError, text};

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(&error_line(self, self.hint()));
        }
        match self {
            Self::KindMismatch {
                plugin,
                loader,
                artifact,
            } => write!(
                f,
                "plugin `{plugin}` is {artifact}, and this loader loads {loader} plugins"
            ),
            Self::WasmRefused { plugin, .. } => {
                write!(f, "plugin `{plugin}` is refused as a Wasm plugin")
            }
            Self::NativeRefused { plugin, .. } => {
                write!(f, "plugin `{plugin}` is refused as a native plugin")
            }
            Self::Grant {
                plugin,
                grant,
                rule,
                ..
            } => write!(
                f,
                "`{grant}` cannot be granted to plugin `{plugin}`: {rule}"
            ),
            Self::Engine { .. } => f.write_str("the Wasm engine cannot run in this process"),
            Self::Compile { plugin, .. } => write!(f, "plugin `{plugin}` does not compile"),
            Self::Link { plugin, .. } => write!(
                f,
                "plugin `{plugin}` does not fit the functions of this host"
            ),
            Self::CompileTimedOut { plugin, limit, .. } => {
                write!(f, "plugin `{plugin}` was not compiled within {limit:?}")
            }
            Self::Start { plugin, .. } => write!(f, "plugin `{plugin}` does not start"),
            Self::UnknownExport {
                plugin,
                export,
                known,
            } => write!(
                f,
                "plugin `{plugin}` has no export `{export}`; it has: {}",
                text::known(export, known)
            ),
            Self::NotCallable { plugin } => write!(
                f,
                "plugin `{plugin}` has no `qmt_plugin_call`: the host can only use its \
                 symbols"
            ),
            Self::InputTooLarge {
                plugin,
                size,
                limit,
            } => write!(
                f,
                "the input of {size} bytes is larger than the {limit} bytes that plugin \
                 `{plugin}` may use"
            ),
            Self::OutputTooLarge {
                plugin,
                size,
                limit,
            } => write!(
                f,
                "the output of {size} bytes is larger than the {limit} bytes that plugin \
                 `{plugin}` may use"
            ),
            Self::Busy {
                plugin,
                instances,
                limit,
            } => {
                let none = match instances {
                    1 => "its only instance did not become".to_owned(),
                    all => format!("none of its {all} instances became"),
                };
                write!(f, "plugin `{plugin}` is busy: {none} free within {limit:?}")
            }
            Self::TimedOut {
                plugin,
                export,
                limit,
            } => write!(
                f,
                "`{export}` of plugin `{plugin}` took longer than {limit:?}"
            ),
            Self::OutOfFuel {
                plugin,
                export,
                limit,
            } => write!(
                f,
                "`{export}` of plugin `{plugin}` ran out of its {limit} units of fuel"
            ),
            Self::OutOfMemory {
                plugin,
                export,
                limit,
            } => write!(
                f,
                "`{export}` of plugin `{plugin}` needs more than the {limit} bytes of memory \
                 it may use"
            ),
            Self::Trapped { plugin, export, .. } => {
                write!(f, "`{export}` of plugin `{plugin}` trapped")
            }
            Self::PluginFailed {
                plugin,
                export,
                message,
                ..
            } => write!(f, "`{export}` of plugin `{plugin}` failed: {message}"),
            Self::Json { what, export, .. } => write!(
                f,
                "the {what} of `{export}` is not JSON of the type of the call"
            ),
            #[cfg(feature = "convert")]
            Self::Convert { what, export, .. } => write!(
                f,
                "the {what} of `{export}` cannot be converted to the type of the call"
            ),
            Self::Host { plugin, export, .. } => write!(
                f,
                "the host failed while it called `{export}` of plugin `{plugin}`"
            ),
            Self::LeaseEnded { plugin } => write!(
                f,
                "the lease of plugin `{plugin}` ended when a call failed or exited; take a \
                 new one"
            ),
            Self::NoLease { kind } => write!(f, "this loader of {kind} plugins has no leases"),
            Self::Unloaded { plugin } => write!(f, "plugin `{plugin}` is unloaded"),
            Self::DigestMismatch {
                plugin,
                expected,
                actual,
            } => write!(
                f,
                "the copy of plugin `{plugin}` hashes to `{actual}` instead of `{expected}`"
            ),
            Self::Open { plugin, .. } => {
                write!(f, "the library of plugin `{plugin}` cannot be opened")
            }
            Self::TooManyLibraries { plugin, limit } => write!(
                f,
                "plugin `{plugin}` can't be opened: this process has {limit} libraries open, \
                 and none is ever closed; restart the host"
            ),
            Self::MissingSymbol { plugin, symbol } => {
                write!(f, "plugin `{plugin}` exports no symbol `{symbol}`")
            }
            Self::SymbolType { plugin, symbol } => write!(
                f,
                "symbol `{symbol}` of plugin `{plugin}` was requested as a type that is not \
                 a pointer"
            ),
            Self::IsolatedSymbol { plugin, symbol } => write!(
                f,
                "symbol `{symbol}` of plugin `{plugin}` cannot be used: the plugin is \
                 isolated in another process; load it with `Isolation::InProcess` (`native = \
                 \"in-process\"`)"
            ),
            Self::Isolation { plugin, rule, .. } => {
                write!(f, "plugin `{plugin}` cannot be isolated: {rule}")
            }
            Self::Unconfined { plugin, missing } => write!(
                f,
                "plugin `{plugin}` cannot be isolated: the kernel lacks required parts of \
                 the confinement: {missing}"
            ),
            Self::WorkerEnded {
                plugin,
                export,
                end,
            } => write!(
                f,
                "the process of plugin `{plugin}` ended during `{export}`: {end}"
            ),
            Self::WorkerPaused {
                plugin,
                failures,
                wait,
            } => write!(
                f,
                "plugin `{plugin}` is paused for {wait:?}, because {failures} of its \
                 processes failed in a row"
            ),
            Self::AbiVersion {
                plugin,
                found,
                supported,
            } => write!(
                f,
                "plugin `{plugin}` uses version {found} of the plugin ABI, this host uses \
                 {supported}"
            ),
            Self::Configured { plugin } => write!(
                f,
                "plugin `{plugin}` is already open with another configuration, and native \
                 plugins take it once; use the same one, or another process"
            ),
            Self::Io { action, path, .. } => write!(f, "cannot {action} `{}`", path.display()),
            Self::NotPrivate { path, rule } => {
                write!(f, "`{}` is not private: {rule}", path.display())
            }
        }
    }
}

/// `main` shows the errors that it returns in this form.
impl fmt::Debug for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&error_report(self, self.hint()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_shows_its_part_of_an_error() {
        let error = LoadError::Link {
            plugin: "p".to_owned(),
            source: "no `shout`".into(),
        };
        let message = "plugin `p` does not fit the functions of this host";
        let hint = error.hint().unwrap();
        assert_eq!(error.to_string(), message);
        assert_eq!(
            format!("{error:#}"),
            format!("{message}: no `shout` (hint: {hint})")
        );
        assert_eq!(
            format!("{error:?}"),
            format!("{message}\n  caused by: no `shout`\n  hint: {hint}")
        );
        let unloaded = LoadError::NoLease {
            kind: qmt_oci_ref::PluginKind::Native,
        };
        assert_eq!(format!("{unloaded:#}"), unloaded.to_string());
    }
}
