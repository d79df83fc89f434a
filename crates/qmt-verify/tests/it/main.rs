//! Tests of the public face of the crate.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails says where"
)]

mod attestations;
mod caps;
mod conformance;
mod discovery;
mod drill;
mod encodings;
mod files;
mod layout;
mod logs;
mod memory;
mod mutants;
mod one_key;
mod policy;
mod real;
mod rejections;
mod reports;
mod speed;
mod support;
mod tampered;
mod transplants;
mod trust;
mod tuf;
mod tuf_01;
mod tuf_processes;
