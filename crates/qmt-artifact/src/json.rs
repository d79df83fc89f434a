//! A strict reader of JSON: what two parsers could read differently is refused.
//!
//! `serde_json` already refuses trailing bytes, byte-order marks, `NaN`, numbers that overflow,
//! lone surrogates and more than 128 levels. What it lets pass are keys that stand twice in an
//! object whose keys we don't know, where one parser takes the first and the next the last.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads `bytes` as a `T`, after a pass that refuses duplicate keys at any depth.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice::<Unambiguous>(bytes)?;
    serde_json::from_slice(bytes)
}

/// Any JSON value in which no object holds a key twice. It keeps nothing.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = Unambiguous;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Unambiguous, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate keys")
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unambiguous, A::Error> {
        while seq.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unambiguous, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(A::Error::custom("a key stands twice in one object"));
            }
            keys.insert(key);
            map.next_value_seed(Self)?;
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: impl AsRef<[u8]>) -> bool {
        from_slice::<serde_json::Value>(text.as_ref()).is_ok()
    }

    /// DIG-05: everything that parsers are known to read differently, each with its good twin.
    #[test]
    fn ambiguous_json_is_refused() {
        for (good, bad) in [
            (r#"{"a":1,"b":2}"#, r#"{"a":1,"a":2}"#),
            (r#"{"a":1,"A":2}"#, r#"{"a":1,"\u0061":2}"#),
            (r#"{"x":{"y":[{"a":1}]}}"#, r#"{"x":{"y":[{"a":1,"a":1}]}}"#),
            ("{}\n", "{}{}"),
            ("{}", "{},"),
            ("{}", "\u{feff}{}"),
            (r#"{"a":null}"#, r#"{"a":NaN}"#),
            (r#"{"a":1e300}"#, r#"{"a":1e400}"#),
            (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d"}"#),
            (r#"{"a":1}"#, r#"{"a":01}"#),
            (r#"{"a":1}"#, r#"{"a":1,}"#),
            (r#"{"a":1}"#, "{a:1}"),
            (r#"{"a":1}"#, r#"{"a":1}//"#),
        ] {
            assert!(reads(good), "{good} was refused");
            assert!(!reads(bad), "{bad} was accepted");
        }
        assert!(!reads([b'"', 0xff, b'"']), "broken UTF-8 was accepted");
    }

    /// DIG-05, AUTH-10: nesting is bounded, so no input overflows the stack.
    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(reads(nested(127)));
        assert!(!reads(nested(128)));
        assert!(!reads("[".repeat(1_000_000)));
    }
}
