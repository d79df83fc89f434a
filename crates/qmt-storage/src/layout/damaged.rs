//! Entries of an `index.json` that are not usable descriptors: their names, and what is wrong.

use std::collections::HashMap;

use qmt_oci_ref::manifest::ManifestError;
use qmt_oci_ref::{Descriptor, json};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::index::NAMES;

/// An entry that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DamagedEntry {
    /// Its names, as far as they can be read.
    pub(super) names: HashMap<String, String>,
    /// Why it can't be read.
    pub(super) cause: String,
}

/// Returns the entries of an `index.json` that can't be read.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<DamagedEntry>, ManifestError> {
    #[derive(Deserialize)]
    struct Entries {
        manifests: Vec<Box<RawValue>>,
    }
    let Entries { manifests } = json::from_slice(bytes)?;
    let entries = manifests.into_iter();
    Ok(entries.filter_map(|entry| damaged(entry.get())).collect())
}

fn damaged(entry: &str) -> Option<DamagedEntry> {
    #[derive(Default, Deserialize)]
    struct Named {
        #[serde(default)]
        annotations: HashMap<String, Value>,
    }
    // A value has no lines, which would not be those of the file.
    let value = json::value(entry.as_bytes())?;
    let cause = Descriptor::deserialize(&value).err()?.to_string();
    let named = Named::deserialize(value).unwrap_or_default();
    let annotations = named.annotations.into_iter();
    let names = annotations.filter_map(|(key, name)| match name {
        Value::String(name) if NAMES.contains(&&*key) => Some((key, name)),
        Value::String(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    });
    let names = names.collect();
    Some(DamagedEntry { names, cause })
}
