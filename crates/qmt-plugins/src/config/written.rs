//! Nulls and empty lists, which are not the same as a missing key.

use std::path::Path;

use figment::value::{Dict, Value};

use super::ConfigError;

/// Refuses nulls, except in the configuration of plugins, and empty lists in `[oci]`: each would
/// silently mean "no constraint".
///
/// # Errors
///
/// [`ConfigError::Contradiction`] with the key.
pub(super) fn check(path: &Path, root: &Dict) -> Result<(), ConfigError> {
    for (key, value) in root {
        walk(path, key, value, key == "oci")?;
    }
    Ok(())
}

fn walk(path: &Path, key: &str, value: &Value, lists_count: bool) -> Result<(), ConfigError> {
    let refuse = |rule: &str| Err(ConfigError::contradiction(path, key, rule));
    match value {
        Value::Empty(..) => refuse("it is null; give it a value, or remove the key"),
        Value::Array(_, items) if items.is_empty() && lists_count => {
            refuse("it is an empty list; add an item, or remove the key")
        }
        Value::Array(_, items) => items.iter().enumerate().try_for_each(|(index, item)| {
            walk(path, &format!("{key}[{index}]"), item, lists_count)
        }),
        Value::Dict(_, fields) => fields
            .iter()
            .filter(|(name, _)| !(key.starts_with("providers[") && *name == "config"))
            .try_for_each(|(name, field)| walk(path, &format!("{key}.{name}"), field, lists_count)),
        _ => Ok(()),
    }
}
