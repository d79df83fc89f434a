//! Why a function of the host ends a plugin's call.

use std::fmt;

use qmt_oci_ref::text::escape;
use wasmtime::{Trap, WasmBacktrace};

use super::http::HttpError;
use crate::error::BoxError;

/// Why a function of the host ends a plugin's call.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the time of the call is over")]
    TimedOut,
    #[error("the memory of the plugin is used up")]
    OutOfMemory,
    #[error("{argument} is not a block of memory")]
    NoBlock { argument: &'static str },
    #[error("{argument} has {length} bytes, more than the {limit} that it may have")]
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
        Some(name) => escape(name),
        None => format!("function {}", frame.func_index()),
    }
}
