//! A strict reader of JSON: what two parsers could read differently is refused.
//!
//! `serde_json` already refuses trailing bytes, `NaN`, numbers that overflow, lone surrogates and
//! more than 128 levels. What it lets pass are keys that occur twice in an object, where one parser
//! takes the first and another the last. A byte order mark at the start is skipped, as RFC 8259
//! allows: no reader takes it for content.

mod types;

use std::collections::HashSet;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::text::{escape_ascii, without_byte_order_mark};

/// Most values of a document that [`value`] reads. Each can take hundreds of bytes.
pub const VALUES_MAX: usize = 16 * 1024;

/// Reads `bytes` as a `T`, after a pass that refuses duplicate keys at any depth.
///
/// # Errors
///
/// Those of `serde_json`, and one for a duplicate key.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let bytes = without_byte_order_mark(bytes);
    serde_json::from_slice::<Unambiguous>(bytes)?;
    serde_json::from_slice(bytes)
}

/// Reads a document as a tree of values; `None` if it has more than [`VALUES_MAX`], or is
/// refused.
pub fn value(bytes: &[u8]) -> Option<Value> {
    if has_many_values(bytes) {
        return None;
    }
    from_slice(bytes).ok()
}

/// Reports whether a document has more values than [`value`] reads.
pub fn has_many_values(bytes: &[u8]) -> bool {
    let starts = |byte: &&u8| matches!(byte, b',' | b'[' | b'{');
    bytes.iter().filter(starts).count() > VALUES_MAX
}

/// Reads an object. Serde reads a list as the fields of a structure in their order; this does not.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    match without_byte_order_mark(bytes).trim_ascii_start().first() {
        Some(b'{') => from_slice(bytes).map_err(|error| in_words(bytes, error)),
        Some(_) => Err(serde_json::Error::custom("it is not a JSON object")),
        None => Err(serde_json::Error::custom("it is empty, not a JSON object")),
    }
}

/// Names the field of a document that is missing or has a value of the wrong type; the words of Serde
/// name types of Rust.
fn in_words(bytes: &[u8], error: serde_json::Error) -> serde_json::Error {
    let document = error.is_data().then(|| value(bytes)).flatten();
    let wrong = document.as_ref().and_then(types::wrong_field);
    wrong.map_or(error, serde_json::Error::custom)
}

/// Any value in which no object has a key twice. It keeps nothing; YAML can be read as it too.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

/// Writes the visits of values in which there are no keys.
macro_rules! scalars {
    ($($visit:ident: $kind:ty),*) => {
        $(fn $visit<E>(self, _: $kind) -> Result<Unambiguous, E> {
            Ok(Unambiguous)
        })*
    };
}

impl<'de> Visitor<'de> for Walk {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value without duplicate keys")
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_none<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    scalars! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unambiguous, A::Error> {
        while seq.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unambiguous, A::Error> {
        let mut keys = HashSet::new();
        while map.next_key_seed(Key(&mut keys))?.is_some() {
            map.next_value::<Unambiguous>()?;
        }
        Ok(Unambiguous)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Unambiguous, A::Error> {
        Err(A::Error::custom("tags such as `!name` are not supported"))
    }
}

/// A key that is not among those that were read. The error is that of the key itself, because the
/// parser of YAML gives the place of the value in which an error occurs.
struct Key<'a>(&'a mut HashSet<String>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<(), E> {
        if self.0.insert(key.to_owned()) {
            Ok(())
        } else {
            let key = escape_ascii(key);
            Err(E::custom(format_args!("duplicate key `{key}`")))
        }
    }
}

#[cfg(test)]
mod tests;
