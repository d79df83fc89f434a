//! Which file of an image is the plugin, and the annotation that names its kind.

use std::collections::HashMap;
use std::fmt;

use qmt_oci_ref::{Digest, PluginKind, text};

use crate::error::{ArtifactError, escaped};
use crate::extract::path::is_plain;

/// The annotation by which a manifest or descriptor names the kind of plugin that it holds:
/// `extism` or `wasm`, or `native`.
pub const PLUGIN_TYPE_ANNOTATION: &str = "mt.query.plugin.type";

/// Which file of an image is the plugin.
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

impl FileRule {
    /// Makes the rule for the `file` of a config. An absolute path starts at the root of the image, as
    /// names in its layers do.
    ///
    /// # Errors
    /// [`ArtifactError::FileName`] if it is not a plain path.
    pub fn named(file: &str) -> Result<Self, ArtifactError> {
        Ok(Self::Named(plain_file(file)?.to_owned()))
    }
}

/// Returns the `file` of a config as a relative path.
pub(crate) fn plain_file(file: &str) -> Result<&str, ArtifactError> {
    let relative = file.trim_start_matches('/');
    if is_plain(relative.as_bytes()) {
        return Ok(relative);
    }
    Err(ArtifactError::FileName {
        file: escaped(file.as_bytes()),
    })
}

impl fmt::Display for FileRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer => f.write_str("the layer itself"),
            Self::Named(path) => write!(f, "`{}`", text::escape(path)),
            Self::Wasm => f.write_str("`plugin.wasm`"),
            Self::Native => f.write_str(
                "`plugin.so`, `plugin.dylib`, `plugin.dll` or the only shared library",
            ),
            Self::Either => f.write_str(
                "`plugin.wasm`, `plugin.so`, `plugin.dylib`, `plugin.dll` or the only shared library",
            ),
        }
    }
}

/// Returns the value of [`PLUGIN_TYPE_ANNOTATION`] for published images, in QueryMT's form.
pub(crate) fn annotation_of(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Wasm => "extism",
        PluginKind::Native => "native",
    }
}

/// Reads [`PLUGIN_TYPE_ANNOTATION`] of the manifest or index entry `digest`, if it has one.
pub(crate) fn annotated_kind(
    digest: &Digest,
    annotations: &HashMap<String, String>,
) -> Result<Option<PluginKind>, ArtifactError> {
    match annotations.get(PLUGIN_TYPE_ANNOTATION).map(String::as_str) {
        None => Ok(None),
        Some("extism" | "wasm") => Ok(Some(PluginKind::Wasm)),
        Some("native") => Ok(Some(PluginKind::Native)),
        Some(value) => Err(ArtifactError::UnknownPluginType {
            digest: digest.clone(),
            value: escaped(value.as_bytes()),
        }),
    }
}

#[cfg(test)]
mod tests;
