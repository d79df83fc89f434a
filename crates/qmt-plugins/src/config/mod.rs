//! The config file: plugins, trust policy, registries.
//!
//! One file in TOML, JSON or YAML. An unknown key, a wrong type or a contradiction is an error that
//! names the file, the key and the most similar key.

mod append;
mod check;
mod discover;
mod env;
mod error;
mod explain;
mod file;
#[cfg(feature = "http")]
mod hosts;
mod lines;
mod oci;
mod other_names;
pub(crate) mod path;
mod provider;
mod registry;
mod schema;
mod scope;
pub(crate) mod spelling;
mod value;
pub(crate) mod writers;
mod written;

pub(crate) use self::check::names_of_options;
pub(crate) use self::env::size_limit;
pub use self::error::ConfigError;
pub(crate) use self::file::toml_problem;
pub use self::file::{CONFIG_MAX_BYTES, ConfigFile};
pub use self::lines::config_lines;
pub use self::oci::{
    AttestationConfig, AuthorityConfig, IdentityRule, OciConfig, PolicyConfig, PullPolicy,
    SignedNameRule, TransparencyRule,
};
pub use self::path::expand as expand_path;
pub(crate) use self::provider::NativeDenial;
pub use self::provider::{AllowConfig, LimitsConfig, NativeRule, ProviderConfig};
pub use self::registry::RegistryConfig;
pub use self::schema::config_schema;
#[cfg(feature = "sigstore")]
pub(crate) use self::scope::absolute_scope;
pub(crate) use self::scope::scopes_with_tags;
pub use self::scope::{scope_of, scope_problem};
pub use self::value::{ByteSize, OneOrMany, Span};

/// Why a lockfile or a provider's path can't be used.
pub use crate::{lockfile::LockfileError, source::SourceError};

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
    /// The plugins; their names must differ.
    pub providers: Vec<ProviderConfig>,
}

impl Config {
    /// Returns the provider called `name`.
    pub fn provider(&self, name: &str) -> Option<&ProviderConfig> {
        self.providers.iter().find(|provider| provider.name == name)
    }
}
