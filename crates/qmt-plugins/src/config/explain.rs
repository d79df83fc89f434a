//! Why a config does not have the form that it must have, in the words of its author.

use std::fmt::Write as _;
use std::path::Path;

use figment::error::{Actual, Error, Kind};
use figment::value::Value;

use super::ConfigError;
use super::spelling::nearest;

/// What keys are called elsewhere: by docker, containerd, podman and oras.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("insecure", "plain_http"),
    ("http", "plain_http"),
    ("ca", "ca_file"),
    ("mirror", "mirrors"),
    ("endpoint", "mirrors"),
    ("url", "path"),
];

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
                let mut others = OTHER_NAMES.iter();
                let other = others.find(|(other, here)| other == name && known.contains(here));
                let nearest = nearest(name, known.iter().copied());
                let nearest = other.map(|(_, here)| *here).or(nearest).map(str::to_owned);
                // Figment's path includes the unknown key.
                let key = key.unwrap_or_else(|| name.clone());
                return ConfigError::UnknownKey { path, key, nearest };
            }
        }
        Kind::UnknownVariant(value, known) => {
            format!("`{value}` is not supported; use `{}`", known.join("`, `"))
        }
        Kind::InvalidType(found, expected) => {
            let last = names.iter().rfind(|name| name.parse::<usize>().is_err());
            mistyped(found, expected, last.map_or("", String::as_str))
        }
        kind => kind.to_string(),
    };
    ConfigError::Invalid { path, key, message }
}

/// Says what a value must be instead of what it is. Serde names expected types by their names in
/// Rust.
fn mistyped(found: &Actual, expected: &str, key: &str) -> String {
    let must_be = match (expected, found) {
        ("a sequence", Actual::Map) => {
            return format!("it must be a list of tables: write `[[{key}]]` in TOML");
        }
        ("a sequence", _) => "a list",
        ("u8" | "u16" | "u32" | "u64" | "usize", _) => "a whole number, without quotes",
        ("a boolean", _) => "`true` or `false`, without quotes",
        ("a map", _) => "a table",
        (name, _) if name.starts_with("struct ") => "a table",
        (name, _) if name.starts_with("enum ") || name.contains("string") => "a text in quotes",
        (other, _) => other,
    };
    match found {
        // Figment has a type of its own for dates, which it names a map.
        Actual::Map if must_be == "a text in quotes" => format!("it must be {must_be}"),
        found => format!("it must be {must_be}, and is {}", shown(found)),
    }
}

fn shown(found: &Actual) -> String {
    match found {
        Actual::Str(text) => format!("the text `{text}`"),
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
    let mut value = root;
    for name in names {
        value = value.as_dict()?.get(name)?;
    }
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

/// Writes a path of figment as the other errors do: `providers[0].native`.
fn key_in(root: &Value, path: &[String]) -> String {
    let (mut key, mut value) = (String::new(), Some(root));
    for name in path {
        if let Some(Value::Array(_, list)) = value {
            let _ = write!(key, "[{name}]");
            value = name.parse::<usize>().ok().and_then(|at| list.get(at));
        } else {
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(name);
            value = value
                .and_then(Value::as_dict)
                .and_then(|dict| dict.get(name));
        }
    }
    key
}
