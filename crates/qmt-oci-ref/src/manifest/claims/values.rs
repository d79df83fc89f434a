//! Single values, and what is skipped.

use std::fmt;

use oci_spec::image::MediaType;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::text;

/// Most bytes of a media type, as RFC 6838 limits its two parts.
pub(super) const TYPE_BYTES_MAX: usize = 255;

/// Writes the visits of all other forms of JSON, whose content is skipped.
macro_rules! otherwise {
    ($other:expr; $($form:ident)*) => { $(otherwise!(@ $form $other);)* };
    (@ null $other:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($other) }
    };
    (@ scalars $other:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { Ok($other) }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { Ok($other) }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { Ok($other) }
    };
    (@ number $other:expr) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { Ok($other) }
    };
    (@ text $other:expr) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { Ok($other) }
    };
    (@ list $other:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other)
        }
    };
    (@ object $other:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($other)
        }
    };
}

/// A value of which only texts and sizes are of interest.
pub(super) enum Loose {
    Text(String),
    Number(u64),
    Other,
}

impl Loose {
    pub(super) fn media_type(&self) -> Option<MediaType> {
        match self {
            Self::Text(text) if !text.is_empty() && text.len() <= TYPE_BYTES_MAX => {
                Some(text::media_type(text))
            }
            _ => None,
        }
    }
}

pub(super) struct Scalar;

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = Loose;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Loose, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalar {
    type Value = Loose;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
        Ok(Loose::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
        Ok(Loose::Number(number))
    }

    otherwise!(Loose::Other; null scalars list object);
}
