//! Which field of a document is missing or has a value of the wrong JSON type, in the words of JSON.

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

struct Field {
    name: &'static str,
    expected: Expected,
    is_required: bool,
}

const fn optional(name: &'static str, expected: Expected) -> Field {
    Field {
        name,
        expected,
        is_required: false,
    }
}

const fn required(name: &'static str, expected: Expected) -> Field {
    Field {
        name,
        expected,
        is_required: true,
    }
}

/// <https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md>, and `image-index.md`.
const DOCUMENT: &[Field] = &[
    optional("schemaVersion", Expected::WholeNumber),
    optional("mediaType", Expected::Text),
    optional("artifactType", Expected::Text),
    optional("config", Expected::Object(DESCRIPTOR)),
    optional("layers", Expected::Objects(DESCRIPTOR)),
    optional("manifests", Expected::Entries),
    optional("subject", Expected::Object(DESCRIPTOR)),
    optional("annotations", Expected::Texts),
];
/// <https://github.com/opencontainers/image-spec/blob/v1.1.0/descriptor.md>
const DESCRIPTOR: &[Field] = &[
    optional("mediaType", Expected::Text),
    required("digest", Expected::Text),
    required("size", Expected::WholeNumber),
    optional("artifactType", Expected::Text),
    optional("platform", Expected::Object(PLATFORM)),
    optional("annotations", Expected::Texts),
];
const PLATFORM: &[Field] = &[
    optional("architecture", Expected::Text),
    optional("os", Expected::Text),
    optional("os.version", Expected::Text),
    optional("os.features", Expected::TextList),
    optional("variant", Expected::Text),
];

/// A field that can't be read. Its path is its name, with those of the fields that it is in.
pub(super) enum WrongField {
    Missing {
        path: String,
    },
    Type {
        path: String,
        found: &'static str,
        expected: &'static str,
    },
}

impl fmt::Display for WrongField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(f, "`{path}` is missing"),
            Self::Type {
                path,
                found,
                expected,
            } => write!(f, "`{path}` is {found}, but has to be {expected}"),
        }
    }
}

/// Finds the first field of a manifest or index that is missing or has a value of the wrong type.
pub(super) fn wrong_field(document: &Value) -> Option<WrongField> {
    in_fields(document, DOCUMENT, "")
}

fn in_fields(value: &Value, fields: &[Field], prefix: &str) -> Option<WrongField> {
    fields.iter().find_map(|field| {
        let path = format!("{prefix}{}", field.name);
        match value.get(field.name) {
            None | Some(Value::Null) => field.is_required.then_some(WrongField::Missing { path }),
            Some(value) => in_value(value, field.expected, path),
        }
    })
}

fn in_value(value: &Value, expected: Expected, path: String) -> Option<WrongField> {
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
        (expected, found) => Some(WrongField::Type {
            path,
            found: name_of(found),
            expected: expected.name(),
        }),
    }
}

/// Items can't be `null`.
fn in_items(items: &[Value], expected: Expected, path: &str) -> Option<WrongField> {
    let mut items = items.iter().enumerate();
    items.find_map(|(index, item)| {
        let path = format!("{path}[{index}]");
        if item.is_null() {
            let (found, expected) = (name_of(item), expected.name());
            return Some(WrongField::Type {
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
