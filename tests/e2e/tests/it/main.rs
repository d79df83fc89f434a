//! End-to-end scenarios: the built command from outside, hosts that use a part of the crates alone,
//! and the documents that name tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they skip"
)]

mod cases;
mod command;
mod coverage;
mod downstream;
mod genuine;
mod json;
mod login;
mod messages;
mod publish;
mod recorded;
mod schema;
mod settings;
mod signatures;
mod source;
mod trees;
