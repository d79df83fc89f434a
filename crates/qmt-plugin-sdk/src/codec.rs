//! Converts between bytes and the types of an author's functions.

use std::any::Any;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// Reads an input that the function owns. No input reads as the JSON `null`.
///
/// # Errors
/// If a text is not UTF-8, or the input of another type not its JSON.
pub fn decode<T: DeserializeOwned + 'static>(input: &[u8]) -> Result<T, Error> {
    let mut value = None::<T>;
    let any: &mut dyn Any = &mut value;
    if let Some(bytes) = any.downcast_mut::<Option<Vec<u8>>>() {
        *bytes = Some(input.to_vec());
    } else if let Some(text) = any.downcast_mut::<Option<String>>() {
        *text = Some(str::borrow(input)?.to_owned());
    }
    if value.is_none() && input.is_empty() {
        value = serde_json::from_slice(b"null").ok();
    }
    match value {
        Some(value) => Ok(value),
        None => serde_json::from_slice(input)
            .map_err(|error| Error::new(format!("the input is not the expected JSON: {error}"))),
    }
}

/// Reads an input that the function borrows.
///
/// # Errors
/// If a text is not UTF-8.
pub fn borrow<T: Borrowed + ?Sized>(input: &[u8]) -> Result<&T, Error> {
    T::borrow(input)
}

/// The types that a function can borrow.
#[diagnostic::on_unimplemented(
    message = "an exported function cannot borrow `{Self}`",
    note = "take `&[u8]`, `&str`, or `{Self}` by value"
)]
pub trait Borrowed {
    #[doc(hidden)]
    fn borrow(input: &[u8]) -> Result<&Self, Error>;
}

impl Borrowed for [u8] {
    fn borrow(input: &[u8]) -> Result<&Self, Error> {
        Ok(input)
    }
}

impl Borrowed for str {
    fn borrow(input: &[u8]) -> Result<&Self, Error> {
        std::str::from_utf8(input)
            .map_err(|error| Error::new(format!("the input is not UTF-8: {error}")))
    }
}

/// The value that a function returned.
#[derive(Debug)]
pub struct Returned<T>(T);

impl<T> Returned<T> {
    /// Wraps the result of a call.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T, E> Returned<Result<T, E>> {
    /// Takes precedence over [`Plain`]: a `Result` is never JSON.
    ///
    /// # Errors
    /// That of the function, or if the value cannot be JSON.
    pub fn encode(self) -> Result<Vec<u8>, Error>
    where
        T: Serialize + 'static,
        E: Into<Error>,
    {
        Returned(self.0.map_err(Into::into)?).plain()
    }
}

/// A returned value that is not a `Result`.
pub trait Plain {
    #[doc(hidden)]
    fn encode(self) -> Result<Vec<u8>, Error>;
}

impl<T: Serialize + 'static> Plain for Returned<T> {
    fn encode(self) -> Result<Vec<u8>, Error> {
        self.plain()
    }
}

impl<T: Serialize + 'static> Returned<T> {
    fn plain(self) -> Result<Vec<u8>, Error> {
        let mut value = Some(self.0);
        let any: &mut dyn Any = &mut value;
        if let Some(bytes) = any.downcast_mut::<Option<Vec<u8>>>() {
            return Ok(bytes.take().unwrap_or_default());
        }
        if let Some(text) = any.downcast_mut::<Option<String>>() {
            return Ok(text.take().unwrap_or_default().into_bytes());
        }
        if let Some(text) = any.downcast_mut::<Option<&'static str>>() {
            return Ok(text.unwrap_or_default().into());
        }
        if let Some(bytes) = any.downcast_mut::<Option<&'static [u8]>>() {
            return Ok(bytes.unwrap_or_default().into());
        }
        if any.is::<Option<()>>() {
            return Ok(Vec::new());
        }
        Ok(serde_json::to_vec(&value)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Bytes = Vec<u8>;

    #[test]
    fn bytes_and_texts_are_as_they_are_under_any_name() {
        assert_eq!(decode::<Bytes>(b"\xff[1]").unwrap(), b"\xff[1]");
        assert_eq!(decode::<String>(b"[1]").unwrap(), "[1]");
        assert_eq!(borrow::<str>("ä".as_bytes()).unwrap(), "ä");
        assert_eq!(borrow::<[u8]>(b"\xff").unwrap(), b"\xff");
        assert_eq!(Returned(Bytes::from(*b"\xff")).encode().unwrap(), b"\xff");
        assert_eq!(Returned("a".to_owned()).encode().unwrap(), b"a");
        assert_eq!(Returned("a").encode().unwrap(), b"a");
        let bytes: &'static [u8] = b"\xff";
        assert_eq!(Returned(bytes).encode().unwrap(), b"\xff");
        assert_eq!(Returned(()).encode().unwrap(), b"");
        assert_eq!(Returned(Ok::<_, Error>("a")).encode().unwrap(), b"a");
    }

    #[test]
    fn everything_else_is_json() {
        assert_eq!(decode::<Vec<u16>>(b"[1, 2]").unwrap(), [1, 2]);
        assert_eq!(Returned(vec![1_u16, 2]).encode().unwrap(), b"[1,2]");
        assert_eq!(Returned(None::<u8>).encode().unwrap(), b"null");
        assert_eq!(decode::<Option<u8>>(b"null").unwrap(), None);
        assert_eq!(decode::<Option<u8>>(b"").unwrap(), None);
        let error = Returned(Err::<u8, _>(Error::new("no").with_code(9)));
        assert_eq!(error.encode().unwrap_err().code(), 9);
    }

    #[test]
    fn what_is_not_of_the_type_is_an_error_with_its_place() {
        for (error, words) in [
            (decode::<u8>(b"300").unwrap_err(), "line 1 column 3"),
            (decode::<u8>(b"").unwrap_err(), "EOF"),
            (decode::<String>(b"a\xff").unwrap_err(), "from index 1"),
            (borrow::<str>(b"\xff").unwrap_err(), "from index 0"),
        ] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
