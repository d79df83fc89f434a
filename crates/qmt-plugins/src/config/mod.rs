//! The config file: which plugins there are, whom to trust, how to reach registries.
//!
//! One file in TOML, JSON or YAML. A key that is not known, a wrong type or a contradiction is an
//! error that names the file, the key and, where it can be told, the right key.

mod check;
mod env;
mod error;
mod file;
mod oci;
mod provider;
mod registry;
mod schema;
mod scope;
mod value;
mod written;

pub use self::error::ConfigError;
pub use self::file::{CONFIG_MAX_BYTES, ConfigFile};
pub use self::oci::{
    AttestationConfig, AuthorityConfig, IdentityRule, OciConfig, PolicyConfig, PullPolicy,
    SignedNameRule, TransparencyRule,
};
pub use self::provider::{AllowConfig, LimitsConfig, ProviderConfig, ProviderKind};
pub use self::registry::RegistryConfig;
pub use self::schema::config_schema;
pub(crate) use self::scope::LAYOUT_NAMES;
pub use self::scope::scope_of;
pub use self::value::{ByteSize, OneOrMany, Span};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole config file.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// How plugins are resolved, verified and cached.
    pub oci: OciConfig,
    /// Settings per registry, by `host` or `host:port`.
    pub registries: BTreeMap<String, RegistryConfig>,
    /// The plugins, each under a name of its own.
    pub providers: Vec<ProviderConfig>,
}

impl Config {
    /// Returns the provider called `name`.
    pub fn provider(&self, name: &str) -> Option<&ProviderConfig> {
        self.providers.iter().find(|provider| provider.name == name)
    }
}
