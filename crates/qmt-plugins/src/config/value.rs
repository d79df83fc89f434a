//! Values with a unit, and values that may be one or many.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, written as `"512MiB"`, `"10 MB"` or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Takes a number of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bytesize::ByteSize::b(self.0).display().iec().fmt(f)
    }
}

/// A span of time, written as `"30s"`, `"5m"`, `"24h"` or `"1h 30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

impl Span {
    /// Takes a duration.
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// Returns the duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A number, or a text with a unit.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || D::Error::custom("expected a size such as \"512MiB\" or a number of bytes");
        match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => {
                let size: bytesize::ByteSize = text.parse().map_err(|_| wrong())?;
                Ok(Self(size.as_u64()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || D::Error::custom("expected a span of time such as \"30s\" or \"24h\"");
        let text = Cow::<'de, str>::deserialize(deserializer).map_err(|_| wrong())?;
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|_| wrong())
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes, or a string with a unit such as \"512MiB\".",
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string" }],
        })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A span of time, such as \"30s\", \"5m\" or \"24h\".",
            "type": "string",
        })
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[non_exhaustive]
pub enum OneOrMany<T> {
    /// One value.
    One(T),
    /// A list of values.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// Returns the values, in order.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::One(value) => std::slice::from_mut(value),
            Self::Many(values) => values,
        }
    }

    /// Reports whether it is an empty list.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_with_units() {
        for (text, bytes) in [("\"512MiB\"", 512 << 20), ("\"1kB\"", 1000), ("17", 17)] {
            assert_eq!(
                serde_json::from_str::<ByteSize>(text).unwrap().bytes(),
                bytes,
                "{text}"
            );
        }
        for (text, seconds) in [("\"30s\"", 30), ("\"24h\"", 86_400), ("\"1m 5s\"", 65)] {
            let span: Span = serde_json::from_str(text).unwrap();
            assert_eq!(span.duration().as_secs(), seconds, "{text}");
        }
        for text in ["\"\"", "\"many\"", "-1", "[]", "\"12 parsecs\""] {
            assert!(
                serde_json::from_str::<ByteSize>(text).is_err(),
                "{text} as a size"
            );
            assert!(
                serde_json::from_str::<Span>(text).is_err(),
                "{text} as a span"
            );
        }
    }
}
