//! Tests of the public face of the crate.
#![allow(missing_docs, reason = "tests")]

mod layout;
mod real;
