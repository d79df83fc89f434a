//! Which field of a document has a value of the wrong JSON type, in the words of JSON.

use std::fmt;

use serde_json::Value;

use crate::text::escape_ascii;

/// What the value of a field has to be; `null` is absence.
#[derive(Clone, Copy)]
enum Expected {
    Text,
    WholeNumber,
    Object(&'static [Field]),
    /// An object whose values are strings.
    Texts,
    /// A list of objects.
    Objects(&'static [Field]),
    /// A list whose entries are read one by one, so that a wrong one hides no other.
    Entries,
    /// A list of strings.
    TextList,
}

struct Field(&'static str, Expected);

/// <https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md>, and `image-index.md`.
const DOCUMENT: &[Field] = &[
    Field("schemaVersion", Expected::WholeNumber),
    Field("mediaType", Expected::Text),
    Field("artifactType", Expected::Text),
    Field("config", Expected::Object(DESCRIPTOR)),
    Field("layers", Expected::Objects(DESCRIPTOR)),
    Field("manifests", Expected::Entries),
    Field("subject", Expected::Object(DESCRIPTOR)),
    Field("annotations", Expected::Texts),
];
/// <https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md>
const DESCRIPTOR: &[Field] = &[
    Field("mediaType", Expected::Text),
    Field("digest", Expected::Text),
    Field("size", Expected::WholeNumber),
    Field("artifactType", Expected::Text),
    Field("platform", Expected::Object(PLATFORM)),
    Field("annotations", Expected::Texts),
];
const PLATFORM: &[Field] = &[
    Field("architecture", Expected::Text),
    Field("os", Expected::Text),
    Field("os.version", Expected::Text),
    Field("os.features", Expected::TextList),
    Field("variant", Expected::Text),
];

/// A field with a value of the wrong type.
pub(super) struct WrongType {
    /// Its name, with those of the fields that it is in.
    path: String,
    found: &'static str,
    expected: &'static str,
}

impl fmt::Display for WrongType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, found) = (&self.path, self.found);
        write!(f, "`{path}` is {found}, but has to be {}", self.expected)
    }
}

/// Finds the first field of a manifest or index that has a value of the wrong type.
pub(super) fn wrong_type(document: &Value) -> Option<WrongType> {
    in_fields(document, DOCUMENT, "")
}

fn in_fields(value: &Value, fields: &[Field], prefix: &str) -> Option<WrongType> {
    fields.iter().find_map(|Field(name, expected)| {
        let value = value.get(name)?;
        in_value(value, *expected, format!("{prefix}{name}"))
    })
}

fn in_value(value: &Value, expected: Expected, path: String) -> Option<WrongType> {
    match (expected, value) {
        (_, Value::Null)
        | (Expected::Text, Value::String(_))
        | (Expected::Entries, Value::Array(_)) => None,
        (Expected::WholeNumber, Value::Number(number)) if number.is_u64() => None,
        (Expected::Object(fields), Value::Object(_)) => {
            in_fields(value, fields, &format!("{path}."))
        }
        (Expected::Texts, Value::Object(values)) => values.iter().find_map(|(name, value)| {
            let path = format!("{path}.{}", escape_ascii(name));
            in_value(value, Expected::Text, path)
        }),
        (Expected::Objects(fields), Value::Array(items)) => {
            in_items(items, Expected::Object(fields), &path)
        }
        (Expected::TextList, Value::Array(items)) => in_items(items, Expected::Text, &path),
        (expected, found) => Some(WrongType {
            path,
            found: name_of(found),
            expected: expected.name(),
        }),
    }
}

/// Items can't be `null`.
fn in_items(items: &[Value], expected: Expected, path: &str) -> Option<WrongType> {
    let mut items = items.iter().enumerate();
    items.find_map(|(index, item)| {
        let path = format!("{path}[{index}]");
        if item.is_null() {
            let (found, expected) = (name_of(item), expected.name());
            return Some(WrongType {
                path,
                found,
                expected,
            });
        }
        in_value(item, expected, path)
    })
}

impl Expected {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::WholeNumber => "a whole number",
            Self::Object(_) | Self::Texts => "an object",
            Self::Objects(_) | Self::Entries | Self::TextList => "a list",
        }
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "`null`",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(number) if number.is_i64() && !number.is_u64() => "a negative number",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
