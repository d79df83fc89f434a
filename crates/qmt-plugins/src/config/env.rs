//! Environment variables `QMT_OCI__KEY` override `[oci]`, but never what decides over trust.

use figment::Figment;
use figment::providers::Env;

use super::error::ConfigError;

const PREFIX: &str = "QMT_OCI__";
/// What the environment may change without the file's leave: speed and disk, not trust.
const HARMLESS: [&str; 6] = [
    "pull_policy",
    "refresh_after",
    "cache_max_size",
    "max_artifact_size",
    "parallel",
    "timeout",
];

/// Lays the variables over `figment`.
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
        // The value is read as figment's own environment provider reads it: `true`, `4`, `[1, 2]`.
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
