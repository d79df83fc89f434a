//! The tables `[[providers]]`: one plugin each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{ByteSize, Span};

/// One plugin.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ProviderConfig {
    /// The name by which the host asks for it.
    pub name: String,
    /// Where it is: `oci://…`, `oci-layout://dir:tag`, a file, or `https://….wasm` with `sha256`.
    pub path: String,
    /// Refuses any other kind of plugin.
    pub kind: Option<ProviderKind>,
    /// The file to take out of the image, instead of `plugin.wasm` or the only shared library.
    pub file: Option<String>,
    /// The SHA-256 digest of the file, 64 hexadecimal digits; needed where `path` is a URL.
    pub sha256: Option<String>,
    /// What is handed to the plugin. Text goes as it is, anything else as JSON.
    pub config: BTreeMap<String, serde_json::Value>,
    /// What the plugin may use up.
    pub limits: LimitsConfig,
    /// What the plugin may reach. Nothing is allowed by default.
    pub allow: AllowConfig,
}

/// The kind of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProviderKind {
    /// Wasm, run by Extism.
    #[serde(alias = "extism")]
    Wasm,
    /// A shared library.
    Native,
}

/// What a plugin may use up. What is unset has a limit too, see the loader's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Largest memory of a Wasm instance.
    pub memory_max: Option<ByteSize>,
    /// Longest run of one call.
    pub timeout: Option<Span>,
    /// Most instructions of one call, in Wasmtime's units of fuel.
    pub fuel: Option<u64>,
    /// Largest body of an HTTP request that a Wasm plugin makes, and of its answer.
    pub http_body_max: Option<ByteSize>,
}

/// What a plugin may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AllowConfig {
    /// Hosts that a Wasm plugin may send HTTP requests to.
    pub hosts: Vec<String>,
    /// Folders that a Wasm plugin sees: the host's path, then the plugin's; `ro:` before the
    /// host's path makes it read-only.
    pub paths: BTreeMap<String, PathBuf>,
    /// Environment variables that a Wasm plugin gets, by name, as config values.
    pub env: Vec<String>,
    /// Whether native code may be loaded. Unset means: where its signature holds.
    pub native: Option<bool>,
}
