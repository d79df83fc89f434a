//! Tests of the public face of the crate.
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no outside")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that fails says where"
)]

mod attestations;
mod caps;
mod certificate_log;
mod conformance;
mod discovery;
mod drill;
mod encodings;
mod files;
mod keys_alone;
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
mod strangers;
mod support;
mod tampered;
mod times;
mod transplants;
mod trust;
mod tuf;
mod tuf_01;
mod tuf_client;
mod tuf_processes;
mod unknown;
mod unread;
