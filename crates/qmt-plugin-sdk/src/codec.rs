//! Converts between bytes and the types of an author's functions.

use std::any::Any;
use std::cell::RefCell;
use std::error::Error as StdError;
use std::ops::Deref;

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
///
/// `encode` is a method of three traits. The compiler takes the first one whose receiver fits: `self`,
/// then `&self`, then `&mut self`. So a `Result` is never JSON.
#[derive(Debug)]
pub struct Returned<T>(RefCell<Option<T>>);

impl<T> Returned<T> {
    /// Wraps the result of a call.
    pub const fn new(value: T) -> Self {
        Self(RefCell::new(Some(value)))
    }
}

/// A `Result` whose error converts into [`Error`].
pub trait Converts<T> {
    #[doc(hidden)]
    fn encode(self) -> Result<Vec<u8>, Error>
    where
        T: Output;
}

impl<T, E: Into<Error>> Converts<T> for Returned<Result<T, E>> {
    fn encode(self) -> Result<Vec<u8>, Error>
    where
        T: Output,
    {
        let result = self.0.into_inner().transpose().map_err(Into::into)?;
        plain(result)
    }
}

/// A `Result` with another error.
pub trait Fails<T, E> {
    #[doc(hidden)]
    fn encode(&self) -> Result<Vec<u8>, Error>
    where
        T: Output,
        E: Failure;
}

impl<T, E> Fails<T, E> for Returned<Result<T, E>> {
    fn encode(&self) -> Result<Vec<u8>, Error>
    where
        T: Output,
        E: Failure,
    {
        let result = self.0.take().transpose().map_err(Failure::into_error)?;
        plain(result)
    }
}

/// A returned value that is not a `Result`.
pub trait Plain<T> {
    #[doc(hidden)]
    fn encode(&mut self) -> Result<Vec<u8>, Error>
    where
        T: Output;
}

impl<T> Plain<T> for Returned<T> {
    fn encode(&mut self) -> Result<Vec<u8>, Error>
    where
        T: Output,
    {
        plain(self.0.take())
    }
}

/// The values that a function can return.
#[diagnostic::on_unimplemented(
    message = "an exported function cannot return `{Self}`",
    note = "return `Vec<u8>`, `String`, or a type with `serde::Serialize` that borrows nothing"
)]
pub trait Output: Serialize + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + 'static> Output for T {}

/// The errors that a function can return although they do not convert into [`Error`]: boxed ones,
/// such as `Box<dyn Error>` and `anyhow::Error`.
#[diagnostic::on_unimplemented(
    message = "an exported function cannot return the error `{Self}`",
    note = "return `qmt_plugin::Error`, a type with `std::error::Error`, or a box of one",
    note = "`.map_err(qmt_plugin::Error::new)` makes an error of a text"
)]
pub trait Failure {
    #[doc(hidden)]
    fn into_error(self) -> Error;
}

#[diagnostic::do_not_recommend]
impl<E: Deref<Target: StdError>> Failure for E {
    fn into_error(self) -> Error {
        Error::with_causes(&*self)
    }
}

fn plain<T: Output>(mut value: Option<T>) -> Result<Vec<u8>, Error> {
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
        assert_eq!(
            Returned::new(Bytes::from(*b"\xff")).encode().unwrap(),
            b"\xff"
        );
        assert_eq!(Returned::new("a".to_owned()).encode().unwrap(), b"a");
        assert_eq!(Returned::new("a").encode().unwrap(), b"a");
        let bytes: &'static [u8] = b"\xff";
        assert_eq!(Returned::new(bytes).encode().unwrap(), b"\xff");
        assert_eq!(Returned::new(()).encode().unwrap(), b"");
        assert_eq!(Returned::new(Ok::<_, Error>("a")).encode().unwrap(), b"a");
    }

    #[test]
    fn everything_else_is_json() {
        assert_eq!(decode::<Vec<u16>>(b"[1, 2]").unwrap(), [1, 2]);
        assert_eq!(Returned::new(vec![1_u16, 2]).encode().unwrap(), b"[1,2]");
        assert_eq!(Returned::new(None::<u8>).encode().unwrap(), b"null");
        assert_eq!(decode::<Option<u8>>(b"null").unwrap(), None);
        assert_eq!(decode::<Option<u8>>(b"").unwrap(), None);
        let error = Returned::new(Err::<u8, _>(Error::new("no").with_code(9)));
        assert_eq!(error.encode().unwrap_err().code(), 9);
    }

    #[test]
    fn boxed_errors_have_the_messages_of_their_causes() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("no port")
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let outer = || Outer("x".parse::<u16>().unwrap_err());
        let boxed: Box<dyn StdError> = Box::new(outer());
        let shared: Box<dyn StdError + Send + Sync> = Box::new(outer());
        for error in [
            Returned::new(Err::<u8, _>(outer())).encode(),
            Returned::new(Err::<(), _>(boxed)).encode(),
            Returned::new(Err::<String, _>(shared)).encode(),
            Returned::new(Err::<u8, _>(Box::new(outer()))).encode(),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.to_string(), "no port: invalid digit found in string");
            assert_eq!(error.code(), 1);
        }
        let fine = Ok::<_, Box<dyn StdError>>("a");
        assert_eq!(Returned::new(fine).encode().unwrap(), b"a");
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
