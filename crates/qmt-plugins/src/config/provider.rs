//! The tables `[[providers]]`: one plugin each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use qmt_oci_ref::PluginKind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::value::{ByteSize, Span};

/// One plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ProviderConfig {
    /// The name that the host uses for it.
    pub name: String,
    /// Where it comes from: `oci://…`, `oci-layout://dir:tag`, a file, or `https://….wasm` with `sha256`.
    pub path: String,
    /// Refuses any other kind of plugin.
    #[serde(deserialize_with = "kind")]
    #[schemars(schema_with = "kind_schema")]
    pub kind: Option<PluginKind>,
    /// Where native code may run. It takes precedence over `allow.native` and the default in `[oci]`.
    pub native: Option<NativeRule>,
    /// The file to extract from the image, instead of `plugin.wasm` or the only shared library: its
    /// path, or the title or digest of a layer that is a file.
    pub file: Option<String>,
    /// The SHA-256 digest of the file, 64 hexadecimal digits; required if `path` is a URL.
    pub sha256: Option<String>,
    /// An export of the next version that is called with empty input before a reload, for at most
    /// 10 seconds; if the call fails, the previous version stays in use.
    pub probe: Option<String>,
    /// The configuration that the plugin gets. Strings are passed as they are, other values as JSON.
    pub config: BTreeMap<String, serde_json::Value>,
    /// Resource limits.
    pub limits: LimitsConfig,
    /// The rights of the plugin. Default: none.
    pub allow: AllowConfig,
}

impl ProviderConfig {
    /// Names a plugin and where it comes from, without configuration and rights.
    pub fn new(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            ..Self::default()
        }
    }

    /// Returns where native code of this plugin may run; `default` is the key of `[oci]`.
    pub(crate) fn native_rule(&self, default: Option<NativeRule>) -> NativeRule {
        let older = (self.allow.native == Some(false)).then_some(NativeRule::Deny);
        self.native
            .or(older)
            .or(default)
            .unwrap_or(NativeRule::InProcess)
    }

    /// Returns the key that forbids native code of this plugin, if one does.
    pub(crate) fn native_denial(&self, default: Option<NativeRule>) -> Option<NativeDenial> {
        use NativeRule::{Deny, InProcess, Isolated};
        match (self.native, self.allow.native, default) {
            (Some(Deny), _, _) => Some(NativeDenial::Native),
            (None, Some(false), _) => Some(NativeDenial::AllowNative),
            (None, None | Some(true), Some(Deny)) => Some(NativeDenial::OciNative),
            (Some(Isolated | InProcess), _, _)
            | (None, None | Some(true), None | Some(Isolated | InProcess)) => None,
        }
    }

    /// Reports whether the provider itself allows native code, whatever is verified about it.
    pub(crate) fn allows_native(&self) -> bool {
        match self.native {
            Some(NativeRule::Isolated | NativeRule::InProcess) => true,
            Some(NativeRule::Deny) => false,
            None => self.allow.native == Some(true),
        }
    }
}

/// The key that forbids native code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NativeDenial {
    /// `native` of the provider.
    Native,
    /// `allow.native` of the provider.
    AllowNative,
    /// `native` of `[oci]`.
    OciNative,
}

impl NativeDenial {
    /// Returns the key, dotted; `provider` is that of the provider.
    pub(crate) fn key(self, provider: &str) -> String {
        match self {
            Self::Native => format!("{provider}.native"),
            Self::AllowNative => format!("{provider}.allow.native"),
            Self::OciNative => "oci.native".to_owned(),
        }
    }

    /// Returns the rule, with the key as the config writes it.
    pub(crate) fn rule(self) -> &'static str {
        match self {
            Self::Native => "`native = \"deny\"` forbids it",
            Self::AllowNative => "`allow.native = false` forbids it",
            Self::OciNative => "`native = \"deny\"` of `[oci]` forbids it",
        }
    }
}

/// Where native code may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NativeRule {
    /// Nowhere: native plugins are refused.
    Deny,
    /// In worker processes that the kernel confines. Linux only.
    Isolated,
    /// In this process, with all its rights.
    InProcess,
}

/// Resource limits of a plugin. The defaults are those of the loader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LimitsConfig {
    /// Maximum memory of a Wasm instance, or of a process of an isolated native plugin.
    pub memory_max: Option<ByteSize>,
    /// Maximum time of one call.
    pub timeout: Option<Span>,
    /// Maximum time of the compilation of a Wasm module.
    pub compile_timeout: Option<Span>,
    /// Maximum number of instructions of one call, in wasmtime's units of fuel. Not counted by default.
    pub fuel: Option<u64>,
    /// Maximum size of a native library. The largest file of an image is set by `max_artifact_size`.
    pub library_max: Option<ByteSize>,
    /// Maximum size of the body of an HTTP request that a Wasm plugin makes, and of its response.
    pub http_body_max: Option<ByteSize>,
}

/// The rights of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AllowConfig {
    /// Hosts that a Wasm plugin may send HTTP requests to.
    pub hosts: Vec<String>,
    /// Folders that a Wasm plugin sees: the host's path, then the plugin's; `ro:` before the
    /// host's path makes it read-only. An isolated native plugin sees them under the same path.
    pub paths: BTreeMap<String, PathBuf>,
    /// Environment variables that a Wasm or isolated plugin gets, by name, as config values.
    pub env: Vec<String>,
    /// Libraries that a native plugin may need beyond those of the C, C++ and OpenMP runtimes, by
    /// exact name: `libcuda.so.1`.
    pub libraries: Vec<String>,
    /// Whether native code may be loaded, in this process unless a key `native` says otherwise.
    /// Default: only if its signature is accepted.
    pub native: Option<bool>,
}

/// Reads the kind by its name. QueryMT also calls Wasm plugins `extism`.
fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PluginKind>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    match name.as_str() {
        "extism" => Ok(Some(PluginKind::Wasm)),
        name => match PluginKind::from_name(name) {
            Some(kind) => Ok(Some(kind)),
            None => Err(D::Error::unknown_variant(
                name,
                &["wasm", "extism", "native"],
            )),
        },
    }
}

fn kind_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": ["wasm", "extism", "native", null] })
}
