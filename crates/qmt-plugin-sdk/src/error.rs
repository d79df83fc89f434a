//! Why a call failed.

use std::error::Error as StdError;
use std::fmt;

/// The code of an error that has no other one.
const FAILED: i32 = 1;

/// Why a call failed: a message for people and a code for programs.
///
/// Errors of the standard library and of other crates convert into it, so that `?` works; their
/// causes are part of the message.
///
/// ```
/// use qmt_plugin::Error;
///
/// fn parse(input: &str) -> Result<u32, Error> {
///     Ok(input.parse()?)
/// }
/// let error = parse("x").unwrap_err();
/// assert_eq!(error.to_string(), "invalid digit found in string");
/// assert_eq!(error.code(), 1);
/// ```
pub struct Error {
    code: i32,
    message: String,
}

impl Error {
    /// Makes an error with the code 1. Hosts keep at most 64 KiB of the message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            code: FAILED,
            message: message.into(),
        }
    }

    /// Sets the code. 0 is what a call without an error returns, so it becomes 1. A native library
    /// also returns 2 for an unknown function and 3 for a panic.
    #[must_use]
    pub fn with_code(self, code: i32) -> Self {
        let code = if code == 0 { FAILED } else { code };
        Self { code, ..self }
    }

    /// Returns the code, which is never 0.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// Makes an error with the messages of `error` and its causes.
    pub(crate) fn with_causes<E: StdError + ?Sized>(error: &E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self::new(message)
    }

    pub(crate) fn into_message(self) -> Vec<u8> {
        self.message.into_bytes()
    }
}

impl<E: StdError> From<E> for Error {
    fn from(error: E) -> Self {
        Self::with_causes(&error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_part_of_the_message() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("no port")
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let error = Error::from(Outer("x".parse::<u16>().unwrap_err()));
        assert_eq!(error.to_string(), "no port: invalid digit found in string");
    }

    #[test]
    fn no_error_has_the_code_of_success() {
        let error = |code| Error::new("x").with_code(code);
        assert_eq!(error(0).code(), 1);
        assert_eq!(error(-7).code(), -7);
        assert_eq!(format!("{:?}", error(7)), "x (code 7)");
    }
}
