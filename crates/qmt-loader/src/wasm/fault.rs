//! Why a function of the host ends a plugin's call.

use std::fmt;

use qmt_oci_ref::text::{counted, escape};
use wasmtime::{Trap, WasmBacktrace};

use super::http::HttpError;
use crate::error::BoxError;

/// The bytes that the name of a function of Rust may have in a message.
const NAME_MAX: usize = 1024;

/// Why a function of the host ends a plugin's call.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the time of the call is over")]
    TimedOut,
    #[error("the memory of the plugin is used up")]
    OutOfMemory,
    #[error("{argument} is not a block of memory")]
    NoBlock { argument: &'static str },
    #[error("{argument} has {}, more than the {limit} that it may have", counted(*.length, "byte"))]
    TooLong {
        argument: &'static str,
        length: u64,
        limit: u64,
    },
    #[error("{argument} is not UTF-8")]
    NotUtf8 { argument: &'static str },
    #[error("the plugin's variables are full: {limit} bytes, with {overhead} for each variable")]
    VariablesFull { limit: usize, overhead: usize },
    #[error("the HTTP request failed")]
    Http(#[source] HttpError),
    #[error("the host function `{name}` failed")]
    HostFunction {
        name: String,
        #[source]
        source: BoxError,
    },
    #[error("the host function `{name}` panicked: {message}")]
    HostPanicked { name: String, message: String },
    #[error("the host function `{name}` returned values that do not match its declared results")]
    HostResults { name: String },
    #[error(
        "the plugin imports `{name}` as {imported}, and the host offers it as a function of \
         the type {offered}"
    )]
    HostSignature {
        name: String,
        imported: String,
        offered: String,
    },
    #[error("`{export}`, which is called at the start, failed: {message}")]
    AtStart { export: String, message: String },
    #[error("{what} is missing, which is a bug in the host")]
    Missing { what: &'static str },
}

/// What ended a call in the plugin's code: where, and what the plugin said of it.
#[derive(Debug, thiserror::Error)]
pub(super) struct Trapped {
    /// What the plugin reported before.
    message: Option<String>,
    /// The functions on the stack, innermost first. Their names are the plugin's.
    frames: Vec<String>,
    source: BoxError,
}

impl Trapped {
    pub(super) fn boxed(error: wasmtime::Error, message: Option<&[u8]>) -> BoxError {
        let frames = match error.downcast_ref::<WasmBacktrace>() {
            Some(backtrace) => backtrace.frames().iter().map(frame).collect(),
            None => Vec::new(),
        };
        let source: BoxError = match error.downcast::<Fault>() {
            Ok(fault) => fault.into(),
            Err(error) => match error.downcast::<Trap>() {
                Ok(trap) => trap.into(),
                Err(error) => error.into(),
            },
        };
        if frames.is_empty() && message.is_none() {
            return source;
        }
        Box::new(Self {
            message: message.map(|message| escape(&String::from_utf8_lossy(message))),
            frames,
            source,
        })
    }
}

impl fmt::Display for Trapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(message) = &self.message {
            write!(f, "the plugin reported `{message}` and stopped")?;
        } else {
            f.write_str("it stopped")?;
        }
        for (index, frame) in self.frames.iter().enumerate() {
            let before = if index == 0 { " in" } else { ", called by" };
            write!(f, "{before} `{frame}`")?;
        }
        Ok(())
    }
}

fn frame(frame: &wasmtime::FrameInfo) -> String {
    match frame.func_name() {
        Some(name) => function_name(name),
        None => format!("function {}", frame.func_index()),
    }
}

/// Returns the name as its author wrote it, if it is one that rustc changed, and escapes it.
fn function_name(symbol: &str) -> String {
    let name = rustc_demangle::try_demangle(symbol).map(|name| format!("{name:#}"));
    // A short symbol can stand for a very long name.
    let name = name.ok().filter(|name| name.len() <= NAME_MAX);
    escape(name.as_deref().unwrap_or(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rust_are_shown_as_they_are_written() {
        for (symbol, name) in [
            ("_ZN5hello5greet17h05af221e174051e9E", "hello::greet"),
            ("_RNvCs1234_7mycrate5greet", "mycrate::greet"),
            ("greet", "greet"),
            ("_ZN5hello", "_ZN5hello"),
            ("a\u{1b}", "a\\u{1b}"),
        ] {
            assert_eq!(function_name(symbol), name);
        }
    }

    #[test]
    fn a_short_symbol_has_no_long_name() {
        const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        // Each parameter is a pair of the one before it.
        let (mut symbol, mut last) = ("_RINvC1c1fh".to_owned(), 8);
        for _ in 0..16 {
            let [high, low] = [(last - 1) / 62, (last - 1) % 62].map(|digit| DIGITS[digit]);
            let before = [b'B', high, low, b'_'].map(char::from);
            last = symbol.len() - 2;
            symbol.push('T');
            symbol.extend(before.into_iter().chain(before));
            symbol.push('E');
        }
        symbol.push('E');
        let long = rustc_demangle::try_demangle(&symbol).unwrap();
        assert!(format!("{long:#}").len() > NAME_MAX, "{long:#}");
        assert_eq!(function_name(&symbol), symbol);
    }
}
