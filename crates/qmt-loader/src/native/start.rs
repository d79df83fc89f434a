//! How a library that was just opened starts, in the host's process and in a worker.

use std::collections::BTreeMap;

use qmt_oci_ref::text::escape;
use serde::{Deserialize, Serialize};

use super::abi::VERSION;
use super::ffi::{Abi, Outcome};
use crate::error::LoadError;

/// The bytes that a plugin may list its functions in, and those of a [`Refusal`].
pub(super) const START_MAX: u64 = 64 * 1024;

/// Why a library does not start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Refusal {
    /// The dynamic loader could not open it.
    Open(String),
    /// It uses another version of `qmt_plugin.h`.
    Version(u32),
    /// Its own code refused.
    Start(String),
}

impl Refusal {
    pub(super) fn into_error(self, plugin: &str) -> LoadError {
        let plugin = plugin.to_owned();
        match self {
            Self::Open(reason) => LoadError::Open {
                plugin,
                source: escape(&reason).into(),
            },
            Self::Version(found) => LoadError::AbiVersion {
                plugin,
                found,
                supported: VERSION,
            },
            Self::Start(reason) => LoadError::Start {
                plugin,
                source: escape(&reason).into(),
            },
        }
    }
}

/// Checks the version that the library says it has.
pub(super) fn version(abi: &Abi) -> Result<(), Refusal> {
    match abi.version() {
        VERSION => Ok(()),
        found => Err(Refusal::Version(found)),
    }
}

/// Hands the configuration over, as a JSON object.
pub(super) fn configure(abi: &Abi, config: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let json = serde_json::to_vec(config).map_err(|error| Refusal::Start(error.to_string()))?;
    match abi.configure(&json) {
        None | Some(0) => Ok(()),
        Some(code) => Err(Refusal::Start(format!(
            "its `qmt_plugin_configure` refused the configuration with {code}"
        ))),
    }
}

/// Returns the bytes in which the library lists its functions; `None` if it lists none.
pub(super) fn exports(abi: &Abi) -> Result<Option<Vec<u8>>, Refusal> {
    match abi.exports(START_MAX) {
        None => Ok(None),
        Some(Outcome::Output(names)) => Ok(Some(names)),
        Some(Outcome::Failed { .. } | Outcome::TooLarge { .. } | Outcome::OutOfMemory) => {
            Err(Refusal::Start("its `qmt_plugin_exports` failed".to_owned()))
        }
    }
}

/// Reads a list of functions, one a line.
pub(super) fn listed(names: &[u8]) -> Vec<String> {
    let names = String::from_utf8_lossy(names);
    let mut names: Vec<String> = names
        .lines()
        .filter(|name| !name.is_empty())
        .map(escape)
        .collect();
    names.sort();
    names.dedup();
    names
}
