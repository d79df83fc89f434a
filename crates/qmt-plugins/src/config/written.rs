//! Nulls and empty lists, which are not always the same as a missing key.

use std::path::Path;

use figment::value::{Dict, Value};

use super::ConfigError;
use super::explain::push_name;

/// The keys of `[oci]` in which null is absence. In the others it would silently mean that no
/// signer or trust material is required.
const NULLABLE: [&str; 9] = [
    "allow_env_override",
    "cache_dir",
    "cache_max_size",
    "insecure_skip_signature",
    "max_artifact_size",
    "parallel",
    "pull_policy",
    "refresh_after",
    "timeout",
];

/// Drops nulls, which are absence, and refuses those nulls and empty lists in `[oci]` that would
/// silently mean "no constraint". The configuration of plugins stays as it is.
///
/// # Errors
///
/// [`ConfigError::Contradiction`] with the key.
pub(super) fn normalize(path: &Path, root: &mut Dict) -> Result<(), ConfigError> {
    drop_nulls(root);
    // Names the schema for editors.
    root.remove("$schema");
    for (key, value) in root {
        match (&**key, value) {
            ("oci", Value::Dict(_, oci)) => check_oci(path, oci)?,
            ("providers", Value::Array(_, providers)) => {
                for (index, provider) in providers.iter_mut().enumerate() {
                    check_provider(path, &format!("providers[{index}]"), provider)?;
                }
            }
            (key, value) => check(path, key, value, Nulls::Absent)?,
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    /// Null is a missing key.
    Absent,
    /// Null and an empty list would remove a constraint.
    Refused,
}

fn check_oci(path: &Path, oci: &mut Dict) -> Result<(), ConfigError> {
    oci.retain(|key, value| !(is_null(value) && NULLABLE.contains(&&**key)));
    for (key, value) in oci {
        check(path, &format!("oci.{key}"), value, Nulls::Refused)?;
    }
    Ok(())
}

fn check_provider(path: &Path, key: &str, provider: &mut Value) -> Result<(), ConfigError> {
    let Value::Dict(_, fields) = provider else {
        return check(path, key, provider, Nulls::Absent);
    };
    drop_nulls(fields);
    for (name, field) in fields.iter_mut().filter(|(name, _)| **name != "config") {
        check(path, &format!("{key}.{name}"), field, Nulls::Absent)?;
    }
    Ok(())
}

fn check(path: &Path, key: &str, value: &mut Value, nulls: Nulls) -> Result<(), ConfigError> {
    let refuse = |rule: &str| Err(ConfigError::contradiction(path, key, rule));
    match value {
        Value::Empty(..) if nulls == Nulls::Refused => {
            refuse("it is null, which would mean no constraint; give it a value, or remove the key")
        }
        Value::Empty(..) => refuse("it is null; give it a value, or remove it"),
        Value::Array(_, items) if items.is_empty() && nulls == Nulls::Refused => {
            refuse("it is an empty list; add an item, or remove the key")
        }
        Value::Array(_, items) => items
            .iter_mut()
            .enumerate()
            .try_for_each(|(index, item)| check(path, &format!("{key}[{index}]"), item, nulls)),
        Value::Dict(_, fields) => {
            if nulls == Nulls::Absent {
                drop_nulls(fields);
            }
            fields.iter_mut().try_for_each(|(name, field)| {
                let mut key = key.to_owned();
                push_name(&mut key, name);
                check(path, &key, field, nulls)
            })
        }
        _ => Ok(()),
    }
}

fn drop_nulls(fields: &mut Dict) {
    fields.retain(|_, value| !is_null(value));
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::Empty(..))
}
