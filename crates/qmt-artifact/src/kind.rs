//! What a plugin can be, and which file of an image holds it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The annotation by which a manifest or descriptor says what kind of plugin it holds:
/// `extism` or `wasm`, or `native`.
pub const PLUGIN_TYPE_ANNOTATION: &str = "mt.query.plugin.type";

/// What a plugin is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PluginKind {
    /// A Wasm core module, run in a sandbox.
    Wasm,
    /// A shared library, run in the host's process.
    Native,
}

impl PluginKind {
    /// Reads the value of [`PLUGIN_TYPE_ANNOTATION`].
    pub(crate) fn from_annotation(value: &str) -> Option<Self> {
        match value {
            "extism" | "wasm" => Some(Self::Wasm),
            "native" => Some(Self::Native),
            _ => None,
        }
    }

    /// Returns the value of [`PLUGIN_TYPE_ANNOTATION`] that published images carry. QueryMT
    /// writes `extism`.
    pub(crate) fn annotation(self) -> &'static str {
        match self {
            Self::Wasm => "extism",
            Self::Native => "native",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasm => "wasm",
            Self::Native => "native",
        })
    }
}

/// Which one file of an image is the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileRule {
    /// The layer itself is the file.
    Layer,
    /// The file at this path, as the operator's config says.
    Named(String),
    /// `plugin.wasm` at the root.
    Wasm,
    /// `plugin.so`, `plugin.dylib` or `plugin.dll` at the root (the host's own first), else the
    /// one shared library of the image.
    Native,
    /// As [`Native`](Self::Native), but `plugin.wasm` comes before a library of another name.
    Either,
}

impl fmt::Display for FileRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer => f.write_str("the layer itself"),
            Self::Named(path) => write!(f, "`{}`", path.escape_debug()),
            Self::Wasm => f.write_str("`plugin.wasm`"),
            Self::Native => f.write_str("`plugin.so|dylib|dll` or the one shared library"),
            Self::Either => {
                f.write_str("`plugin.so|dylib|dll`, `plugin.wasm` or the one shared library")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotation_has_three_values_and_no_more() {
        assert_eq!(
            PluginKind::from_annotation("extism"),
            Some(PluginKind::Wasm)
        );
        assert_eq!(PluginKind::from_annotation("wasm"), Some(PluginKind::Wasm));
        assert_eq!(
            PluginKind::from_annotation("native"),
            Some(PluginKind::Native)
        );
        for value in ["", "Native", "EXTISM", "wasm ", "component"] {
            assert_eq!(PluginKind::from_annotation(value), None, "{value}");
        }
        for kind in [PluginKind::Wasm, PluginKind::Native] {
            assert_eq!(PluginKind::from_annotation(kind.annotation()), Some(kind));
        }
    }

    #[test]
    fn a_kind_is_written_in_lower_case() {
        assert_eq!(
            serde_json::to_string(&PluginKind::Native).unwrap(),
            "\"native\""
        );
        assert_eq!(PluginKind::Wasm.to_string(), "wasm");
    }
}
