//! Why a config does not have the form that it must have, in the words of its author.

use std::fmt::Write as _;
use std::path::Path;

use figment::error::{Actual, Error, Kind};
use figment::value::Value;
use qmt_oci_ref::text;
use serde_json::Value as Json;

use super::file::Syntax;
use super::spelling::nearest;
use super::{ConfigError, config_schema, other_names};

/// How deeply tables are nested in the schema, with its references.
const SCHEMA_DEPTH_MAX: u32 = 16;

/// Most characters of a value that are shown.
const VALUE_CHARS_MAX: usize = 200;

/// Keys for credentials, which the config does not have.
const CREDENTIALS: [&str; 6] = [
    "username",
    "user",
    "password",
    "token",
    "auth",
    "credentials",
];

/// Converts figment's error to one that names the key and the most similar one.
pub(super) fn explain(path: &Path, root: &Value, error: &Error) -> ConfigError {
    let (path, names) = (path.to_owned(), &error.path);
    let key = (!names.is_empty()).then(|| key_in(root, names));
    let message = match &error.kind {
        Kind::UnknownField(name, known) => {
            let is_registry = names.first().is_some_and(|first| first == "registries");
            if is_registry && let Some(host) = unquoted_host(root, names) {
                format!("a host is written in quotes: `[registries.\"{host}\"]`")
            } else if is_registry && CREDENTIALS.contains(&name.as_str()) {
                "credentials are not in the config; `qmt-plugins login` stores them".to_owned()
            } else {
                let nearest = other_names::same(name, known)
                    .or_else(|| other_name(name, names, known, value_in(root, names)))
                    .or_else(|| elsewhere(name, names))
                    .or_else(|| nearest(name, known.iter().copied()).map(str::to_owned));
                // Figment's path includes the unknown key.
                let key = key.unwrap_or_else(|| name.clone());
                let key = text::without_credentials(&key).into_owned();
                return ConfigError::UnknownKey { path, key, nearest };
            }
        }
        kind => {
            let is_toml = Syntax::of(&path) == Some(Syntax::Toml);
            let tables = names.iter().filter(|name| name.parse::<usize>().is_err());
            let tables: Vec<&str> = tables.map(String::as_str).collect();
            problem(kind, is_toml.then(|| tables.join(".")).as_deref())
        }
    };
    ConfigError::Invalid { path, key, message }
}

/// Returns the key with the meaning that `name` has elsewhere: in the table in which it was written, or
/// below it.
fn other_name(
    name: &str,
    written: &[String],
    known: &[&str],
    value: Option<&Value>,
) -> Option<String> {
    let mut meant = other_names::meant(name, value.and_then(Value::as_str));
    let here = meant.clone().find(|here| known.contains(here));
    here.map(str::to_owned)
        .or_else(|| meant.find_map(|here| Named::new(here, written).below()))
}

/// Returns the key with this name in another table, if there is exactly one there, or below the table
/// in which it was written.
fn elsewhere(name: &str, written: &[String]) -> Option<String> {
    let named = Named::new(name, written);
    match &*named.keys {
        [only] => Some(only.clone()),
        _ => named.below(),
    }
}

/// The keys of all tables with one name.
struct Named {
    keys: Vec<String>,
    /// The table in which the name was written, with a dot behind it.
    table: String,
}

impl Named {
    fn new(name: &str, written: &[String]) -> Self {
        let schema = config_schema();
        let mut keys = Vec::new();
        collect(&schema, &schema, "", 0, &mut keys);
        keys.retain(|key| key.rsplit('.').next() == Some(name));
        // The names of tables, without the key itself and positions in lists.
        let tables = written.split_last().map_or(&[][..], |(_, tables)| tables);
        let tables = tables.iter().filter(|part| part.parse::<usize>().is_err());
        let table = tables.flat_map(|table| [table.as_str(), "."]).collect();
        Self { keys, table }
    }

    /// Returns the only one below the table.
    fn below(&self) -> Option<String> {
        let is_below = |key: &&String| !self.table.is_empty() && key.starts_with(&self.table);
        let mut below = self.keys.iter().filter(is_below);
        below.next().filter(|_| below.next().is_none()).cloned()
    }
}

/// Collects the keys that a schema describes, with dots.
fn collect(root: &Json, schema: &Json, path: &str, depth: u32, keys: &mut Vec<String>) {
    if depth > SCHEMA_DEPTH_MAX {
        return;
    }
    let reference = schema["$ref"]
        .as_str()
        .and_then(|name| name.strip_prefix('#'));
    let inner = [
        reference.and_then(|name| root.pointer(name)),
        schema.get("items"),
    ];
    let choices = ["anyOf", "oneOf", "allOf"];
    let choices = choices.iter().filter_map(|name| schema[*name].as_array());
    for inner in inner.into_iter().flatten().chain(choices.flatten()) {
        collect(root, inner, path, depth + 1, keys);
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let key = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        collect(root, inner, &key, depth + 1, keys);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let table = schema
        .get("additionalProperties")
        .filter(|inner| inner.is_object());
    if let Some(table) = table {
        collect(root, table, &format!("{path}.\"HOST\""), depth + 1, keys);
    }
}

/// Says what is wrong with a value; `table` is what its key would be as a table in TOML.
pub(super) fn problem(kind: &Kind, table: Option<&str>) -> String {
    match kind {
        Kind::UnknownVariant(value, known) => {
            let choices = match known.split_last() {
                Some((last, others)) if !others.is_empty() => {
                    format!("`{}` or `{last}`", others.join("`, `"))
                }
                _ => format!("`{}`", known.join("`, `")),
            };
            let value = text::escape_to(value, VALUE_CHARS_MAX);
            format!("`{value}` is not supported; use {choices}")
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            mistyped(found, expected, table)
        }
        kind => kind.to_string(),
    }
}

/// Says what a value must be instead of what it is. Serde names expected types by their names in Rust.
fn mistyped(found: &Actual, expected: &str, table: Option<&str>) -> String {
    let must_be = match (expected, found) {
        ("a sequence", Actual::Map) => {
            return match table {
                Some(table) => format!("it must be a list of tables: write `[[{table}]]`"),
                None => "it must be a list, not a table".to_owned(),
            };
        }
        ("a sequence", _) => "a list",
        ("u8" | "u16" | "u32" | "u64" | "usize", Actual::Signed(_)) => {
            "a whole number of at least 0"
        }
        ("u8" | "u16" | "u32" | "u64" | "usize", _) => "a whole number, without quotes",
        ("a boolean", _) => "`true` or `false`, without quotes",
        ("a map", _) => "a table",
        (name, _) if name.starts_with("struct ") => "a table",
        (name, _) if name.starts_with("enum ") || name.contains("string") => "a string in quotes",
        (other, _) => other,
    };
    match found {
        // Figment has a type of its own for dates, which it names a map.
        Actual::Map if must_be == "a string in quotes" => format!("it must be {must_be}"),
        // In place of the table `config`, it may be a secret.
        Actual::Str(_) if must_be == "a table" => format!("it must be {must_be}, not a string"),
        found => format!("it must be {must_be}, not {}", shown(found)),
    }
}

fn shown(found: &Actual) -> String {
    match found {
        Actual::Str(text) => {
            let text = text::without_credentials(text);
            format!("the string `{}`", text::escape_to(&text, VALUE_CHARS_MAX))
        }
        Actual::Bool(value) => format!("`{value}`"),
        Actual::Unsigned(value) => format!("the number {value}"),
        Actual::Signed(value) => format!("the number {value}"),
        Actual::Float(value) => format!("the number {value}"),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// Returns the host if a table of `registries` was written without quotes, so that each part of its
/// name became a table.
fn unquoted_host(root: &Value, names: &[String]) -> Option<String> {
    let value = value_in(root, names)?;
    let mut host = names.get(1..)?.join(".");
    let mut table = value.as_dict()?;
    while let Some((name, inner)) = table.first_key_value()
        && let Some(inner) = inner.as_dict()
    {
        let _ = write!(host, ".{name}");
        table = inner;
    }
    Some(host)
}

/// Appends a name to a dotted key, in quotes where TOML requires them.
pub(super) fn push_name(key: &mut String, name: &str) {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !key.is_empty() {
        key.push('.');
    }
    if !name.is_empty() && name.bytes().all(is_bare) {
        key.push_str(name);
    } else {
        let _ = write!(key, "{name:?}");
    }
}

/// Returns the value at a path of figment.
fn value_in<'a>(root: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(root, |value, name| match value {
        Value::Array(_, list) => list.get(name.parse::<usize>().ok()?),
        value => value.as_dict()?.get(name),
    })
}

/// Writes a path of figment as the other errors do: `providers[0].native`.
fn key_in(root: &Value, path: &[String]) -> String {
    let (mut key, mut value) = (String::new(), Some(root));
    for name in path {
        if let Some(Value::Array(_, list)) = value {
            let _ = write!(key, "[{name}]");
            value = name.parse::<usize>().ok().and_then(|at| list.get(at));
        } else {
            push_name(&mut key, name);
            value = value
                .and_then(Value::as_dict)
                .and_then(|dict| dict.get(name));
        }
    }
    key
}
