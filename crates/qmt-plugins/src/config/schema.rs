//! The JSON schema of the config file, made from the types.

use super::Config;

/// Returns the JSON schema of the config file, for editors and for `docs/config.schema.json`.
pub fn config_schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}
