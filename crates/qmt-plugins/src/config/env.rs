//! Environment variables `QMT_OCI__KEY` override `[oci]`, except for what decides about trust. They
//! may lower the limits of the file, and not raise them.

use std::fmt::Display;

use figment::providers::Env;
use figment::value::{Dict, Tag, Value};
use qmt_oci_ref::text;

use super::error::ConfigError;
use super::explain::problem;
use super::spelling::nearest;
use super::value::ByteSize;
use super::{OciConfig, PullPolicy};

const PREFIX: &str = "QMT_OCI__";
/// The prefix with one underscore, a common mistake.
const SHORT_PREFIX: &str = "QMT_OCI_";
/// The smallest of the limits that apply without `max_artifact_size`, which sets all of them: that
/// of a Wasm module.
const SMALLEST_ARTIFACT_MAX: ByteSize = ByteSize::new(64 << 20);
/// How the variables with credentials of registries begin.
const REGISTRY: &str = "QMT_REGISTRY_";
/// How they end.
const CREDENTIALS: [&str; 3] = ["_TOKEN", "_USERNAME", "_PASSWORD"];
/// How all variables of this program begin.
const ALL: &str = "QMT_";
/// The variables that have one name.
const NAMES: [&str; 5] = [
    "QMT_CACHE_DIR",
    "QMT_CONFIG_DIR",
    "QMT_HOME",
    "QMT_LOG",
    "QMT_PROVIDER_CONFIG",
];
/// The keys that variables may always set: none of them decides about trust.
const HARMLESS: [&str; 6] = [
    "pull_policy",
    "refresh_after",
    "cache_max_size",
    "max_artifact_size",
    "parallel",
    "timeout",
];

/// Overrides the table `[oci]` of `root` with the variables. `file` is that table as the file has
/// it.
///
/// # Errors
///
/// The `ConfigError` that names the variable.
pub(super) fn overlay(
    root: &mut Dict,
    file: &OciConfig,
    variables: &[(String, String)],
) -> Result<(), ConfigError> {
    let known = known_keys();
    for (name, value) in variables.iter().filter(|(_, value)| !value.is_empty()) {
        let Some(key) = key(name, &known)? else {
            continue;
        };
        if !file.allow_env_override && !HARMLESS.contains(&&*key) {
            return Err(ConfigError::Environment {
                name: name.clone(),
                key: format!("oci.{key}"),
            });
        }
        // Read as figment's environment provider does: `true`, `4`, `[1, 2]`.
        let value: Value = value.parse().unwrap_or_else(|never| match never {});
        let oci = root
            .entry("oci".into())
            .or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
        // Anything but a table was refused before.
        let Value::Dict(_, oci) = oci else { continue };
        oci.insert(key, value);
        let changed: Result<OciConfig, _> = Value::from(oci.clone()).deserialize();
        let changed = changed.map_err(|error| ConfigError::VariableValue {
            name: name.clone(),
            problem: problem(&error.kind, None),
        })?;
        if !file.allow_env_override
            && let Some(limit) = exceeded(file, &changed)
        {
            return Err(ConfigError::VariableRaises {
                name: name.clone(),
                limit,
            });
        }
    }
    Ok(())
}

/// Names the variable in place of the file where it set the value that breaks a rule.
pub(super) fn blamed(error: ConfigError, variables: &[(String, String)]) -> ConfigError {
    let ConfigError::Contradiction { key, rule, .. } = &error else {
        return error;
    };
    let oci = key.strip_prefix("oci.");
    match oci.and_then(|key| variable_of(key, variables)) {
        Some((name, _)) => ConfigError::VariableValue {
            name: name.clone(),
            problem: rule.clone(),
        },
        None => error,
    }
}

/// Returns the variable that sets a key of `[oci]`, or an item of it, if one does.
pub(super) fn variable_of<'a>(
    key: &str,
    variables: &'a [(String, String)],
) -> Option<&'a (String, String)> {
    let key = key.split(['.', '[']).next()?;
    let set = format!("{PREFIX}{}", key.to_ascii_uppercase());
    let is_set = |(name, value): &&(String, String)| !value.is_empty() && *name == set;
    variables.iter().find(is_set)
}

/// Returns the setting of the limit of `bytes`, as it is written: a variable may lower that of the file.
pub(crate) fn size_limit(bytes: u64) -> String {
    let variables = variables();
    let set = variable_of("max_artifact_size", &variables);
    let set = set.filter(|(_, size)| {
        let size: Value = size.parse().unwrap_or_else(|never| match never {});
        size.deserialize()
            .is_ok_and(|size: ByteSize| size.bytes() == bytes)
    });
    match set {
        Some((name, _)) => format!("the environment variable `{name}`"),
        None => "`max_artifact_size` in `[oci]`".to_owned(),
    }
}

/// Returns the key of `[oci]` that a variable sets; none if it is another program's.
fn key(name: &str, known: &[String]) -> Result<Option<String>, ConfigError> {
    let unknown = |nearest: Option<&str>| ConfigError::UnknownVariable {
        name: name.to_owned(),
        nearest: nearest.map(|key| format!("{PREFIX}{}", key.to_ascii_uppercase())),
    };
    let names = || known.iter().map(String::as_str);
    if let Some(key) = name.strip_prefix(PREFIX) {
        let key = key.to_ascii_lowercase();
        return if known.contains(&key) {
            Ok(Some(key))
        } else {
            Err(unknown(nearest(&key, names())))
        };
    }
    let key = name.strip_prefix(SHORT_PREFIX).unwrap_or_default();
    match names().find(|known| key.eq_ignore_ascii_case(known)) {
        Some(key) => Err(unknown(Some(key))),
        None => Ok(None),
    }
}

/// Returns a warning for each of the variables that begins as those of this program do, and is none of
/// them. Those of `[oci]` are refused when the config is read.
pub(super) fn unknown<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let known = known_keys();
    let unknown = names.filter(|name| {
        name.starts_with(ALL)
            && !name.starts_with(SHORT_PREFIX)
            && !NAMES.contains(name)
            && !is_of_registry(name)
    });
    let warnings = unknown.map(|name| {
        let meant = meant(name, &known);
        let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        let name = text::escape(name);
        format!("the environment variable `{name}` sets nothing: there is no such setting{meant}")
    });
    warnings.collect()
}

/// Reports whether a variable holds a credential of some registry.
fn is_of_registry(name: &str) -> bool {
    let host = name.strip_prefix(REGISTRY).and_then(|rest| {
        let mut suffixes = CREDENTIALS.iter();
        suffixes.find_map(|suffix| rest.strip_suffix(suffix))
    });
    let is_written = |byte: u8| byte == b'_' || byte.is_ascii_uppercase() || byte.is_ascii_digit();
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_written))
}

/// Returns the variable that is meant, in backticks.
fn meant(name: &str, known: &[String]) -> Option<String> {
    let rest = name.strip_prefix(ALL)?;
    if rest.starts_with("REGISTR") {
        let (_, host) = rest.split_once('_')?;
        let host = host.to_ascii_uppercase().replace('-', "__");
        let host = host.replace(['.', ':', '[', ']'], "_");
        let named = format!("{REGISTRY}{host}");
        if is_of_registry(&named) {
            return Some(format!("`{named}`"));
        }
        // `_USER` and `_PASS` are often written.
        let word = name.rfind('_').and_then(|at| name.get(at..))?;
        let mut suffixes = CREDENTIALS.iter();
        let suffix = suffixes.find(|suffix| suffix.starts_with(word));
        return Some(format!("`{REGISTRY}<HOST>{}`", suffix.unwrap_or(&"_…")));
    }
    let key = known.iter().find(|key| rest.eq_ignore_ascii_case(key));
    let key = key.filter(|key| HARMLESS.contains(&key.as_str()));
    let key = key.map(|key| format!("{PREFIX}{}", key.to_ascii_uppercase()));
    let name = key.or_else(|| nearest(name, NAMES).map(str::to_owned))?;
    Some(format!("`{name}`"))
}

/// The keys of `[oci]`.
fn known_keys() -> Vec<String> {
    match serde_json::to_value(OciConfig::default()) {
        Ok(serde_json::Value::Object(fields)) => fields.into_iter().map(|(key, _)| key).collect(),
        _ => Vec::new(),
    }
}

/// Returns the limit of the file that `new` exceeds, as it would be written. How many plugins
/// are processed in parallel is a matter of speed.
fn exceeded(file: &OciConfig, new: &OciConfig) -> Option<String> {
    let artifact_max = file.max_artifact_size.or(Some(SMALLEST_ARTIFACT_MAX));
    let word = match file.pull_policy {
        // It may request nothing, or must request always: neither is a matter of speed.
        PullPolicy::Never => Some("never"),
        PullPolicy::Always => Some("always"),
        PullPolicy::IfNotPresent => None,
    };
    let word = word.filter(|_| file.pull_policy != new.pull_policy);
    let limits = [
        above("max_artifact_size", artifact_max, new.max_artifact_size),
        above("cache_max_size", file.cache_max_size, new.cache_max_size),
        above("refresh_after", file.refresh_after, new.refresh_after),
        above("timeout", file.timeout, new.timeout),
        word.map(|word| format!("pull_policy = \"{word}\"")),
    ];
    limits.into_iter().flatten().next()
}

fn above<T: PartialOrd + Display>(key: &str, limit: Option<T>, value: Option<T>) -> Option<String> {
    let (limit, value) = (limit?, value?);
    (value > limit).then(|| format!("{key} = {limit}"))
}

/// Returns the variables of this process that begin with the prefix.
pub(super) fn variables() -> Vec<(String, String)> {
    Env::prefixed(SHORT_PREFIX)
        .iter()
        .map(|(key, value)| {
            let key = key.as_str().to_ascii_uppercase();
            (format!("{SHORT_PREFIX}{key}"), value)
        })
        .collect()
}
