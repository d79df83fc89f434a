//! End-to-end scenarios: the built command from outside, hosts that use a part of the crates alone,
//! and the documents that name tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and say what they skip"
)]

mod add;
mod air_gap;
mod answers;
mod cases;
mod command;
mod coverage;
mod doctor;
mod documents;
mod downstream;
mod genuine;
#[cfg(target_os = "linux")]
mod isolated;
mod json;
mod keys;
#[cfg(target_os = "linux")]
mod limits;
mod local;
mod login;
mod messages;
mod output;
mod projects;
mod publish;
mod reasons;
mod recorded;
mod scene;
mod schema;
mod settings;
mod signatures;
mod source;
mod terminal;
mod trees;
mod versions;
