//! Environment variables `QMT_OCI__KEY` override `[oci]`, except for what decides about trust.

use figment::Figment;
use figment::providers::Env;

use super::error::ConfigError;

const PREFIX: &str = "QMT_OCI__";
/// The keys that variables may always set: none of them decides about trust.
const HARMLESS: [&str; 6] = [
    "pull_policy",
    "refresh_after",
    "cache_max_size",
    "max_artifact_size",
    "parallel",
    "timeout",
];

/// Overrides `figment` with the variables.
pub(super) fn overlay(
    figment: Figment,
    variables: &[(String, String)],
    allow_all: bool,
) -> Result<Figment, ConfigError> {
    let mut figment = figment;
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let key = key.to_ascii_lowercase();
        if !allow_all && !HARMLESS.contains(&key.as_str()) {
            return Err(ConfigError::Environment {
                name: name.clone(),
                key: format!("oci.{key}"),
            });
        }
        // Read as figment's environment provider does: `true`, `4`, `[1, 2]`.
        let value: figment::value::Value = value.parse().unwrap_or_else(|never| match never {});
        figment = figment.merge((format!("oci.{key}"), value));
    }
    Ok(figment)
}

/// Returns the variables of this process that begin with the prefix.
pub(super) fn variables() -> Vec<(String, String)> {
    Env::prefixed(PREFIX)
        .iter()
        .map(|(key, value)| {
            (
                format!("{PREFIX}{}", key.as_str().to_ascii_uppercase()),
                value,
            )
        })
        .collect()
}
