//! Runs an author's functions, so that a panic in one becomes an answer and crosses no border.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::author::{Configure, Function};

/// The call went well.
pub(super) const OK: i32 = 0;
/// The function returned an error, whose text is the output.
pub(super) const FAILED: i32 = 1;
/// There is no such function.
pub(super) const UNKNOWN: i32 = 2;
/// The function panicked.
pub(super) const PANICKED: i32 = 3;

/// Runs the function named `export`. Returns the code of `qmt_plugin.h` and the output.
pub(super) fn call(exports: &[(&str, Function)], export: &[u8], input: &[u8]) -> (i32, Vec<u8>) {
    let function = exports.iter().find(|(name, _)| name.as_bytes() == export);
    match function {
        None => (UNKNOWN, b"there is no function of that name".to_vec()),
        // The function gets nothing that a panic could leave half done: it has no `&mut` of ours.
        Some((_, function)) => match catch_unwind(AssertUnwindSafe(|| function(input))) {
            Ok(Ok(output)) => (OK, output),
            Ok(Err(message)) => (FAILED, message.into_bytes()),
            Err(panic) => (PANICKED, words(panic)),
        },
    }
}

/// Hands the configuration over. Returns the code of `qmt_plugin.h`.
pub(super) fn configure(configure: Configure, json: &[u8]) -> i32 {
    match catch_unwind(AssertUnwindSafe(|| configure(json))) {
        Ok(Ok(())) => OK,
        Ok(Err(_)) => FAILED,
        Err(_) => PANICKED,
    }
}

fn words(panic: Box<dyn Any + Send>) -> Vec<u8> {
    let text = match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(panic) => {
                // Dropping it could panic again.
                std::mem::forget(panic);
                "unknown".to_owned()
            }
        },
    };
    format!("the plugin panicked: {text}").into_bytes()
}
