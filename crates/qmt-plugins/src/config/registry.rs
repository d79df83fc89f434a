//! The tables `[registries."host:port"]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to reach one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RegistryConfig {
    /// Uses HTTP without TLS. Signatures are still verified; credentials are sent in plain text.
    pub plain_http: bool,
    /// Additional certificate authorities: PEM file.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate chain: PEM file; requires `client_key`.
    pub client_cert: Option<PathBuf>,
    /// The client's private key: PEM file.
    pub client_key: Option<PathBuf>,
    /// Mirrors that are tried first, in order: `host[:port][/path]`, configured by their own tables.
    pub mirrors: Vec<String>,
    /// Whether this registry, as a mirror, may also resolve tags.
    pub resolve_tags: bool,
    /// A proxy for this registry alone.
    pub proxy: Option<String>,
    /// Hosts of token servers that this registry may use.
    pub allow_realms: Vec<String>,
}
