//! The platform that an image is for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operating system and an architecture, in the words of the Go language.
///
/// See <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-index.md#image-index-property-descriptions>
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Platform {
    /// The architecture, such as `amd64`, `arm64` or `wasm`.
    pub architecture: String,
    /// The operating system, such as `linux`, `windows` or `wasi`.
    pub os: String,
    /// The version of the operating system; only Windows uses it.
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features that the operating system must have, such as `win32k`.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the architecture, such as `v7` of `arm` or `v3` of `amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Names a platform without variant, version and features.
    pub fn new(os: impl Into<String>, architecture: impl Into<String>) -> Self {
        Self {
            architecture: architecture.into(),
            os: os.into(),
            os_version: None,
            os_features: Vec::new(),
            variant: None,
        }
    }

    /// Adds the variant.
    #[must_use]
    pub fn with_variant(mut self, variant: impl Into<String>) -> Self {
        self.variant = Some(variant.into());
        self
    }
}

impl fmt::Display for Platform {
    /// Prints `os/architecture[/variant]`, with anything that could steer a terminal escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = crate::error::shown;
        write!(f, "{}/{}", shown(&self.os), shown(&self.architecture))?;
        if let Some(variant) = &self.variant {
            write!(f, "/{}", shown(variant))?;
        }
        Ok(())
    }
}
