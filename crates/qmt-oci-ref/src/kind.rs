//! The kinds of plugins.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a plugin is made of. In JSON and TOML: `"wasm"` or `"native"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(
    clippy::exhaustive_enums,
    reason = "a new kind must be decided about wherever kinds are told apart"
)]
pub enum PluginKind {
    /// A Wasm core module, which runs in a sandbox.
    Wasm,
    /// A shared library, which runs in the host's process or, if it is isolated, in worker processes.
    Native,
}

impl PluginKind {
    /// Returns the name: `wasm` or `native`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Native => "native",
        }
    }

    /// Finds the kind by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Wasm, Self::Native]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests;
