//! The tables `[registries."host:port"]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to reach one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RegistryConfig {
    /// Talks HTTP without TLS. Signatures still hold; credentials travel readable by everyone.
    pub plain_http: bool,
    /// Certificates of authorities to trust beside the system's: PEM file.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate chain: PEM file; needs `client_key`.
    pub client_cert: Option<PathBuf>,
    /// The client's private key: PEM file.
    pub client_key: Option<PathBuf>,
    /// Mirrors to try first, in order: `host[:port][/path]`, set up by their own tables.
    pub mirrors: Vec<String>,
    /// Whether this registry, as a mirror, may also resolve tags.
    pub resolve_tags: bool,
    /// A proxy for this registry alone.
    pub proxy: Option<String>,
    /// Hosts of token servers that this registry may send clients to.
    pub allow_realms: Vec<String>,
}
