//! How the client behaves on the wire: HTTP on the local machine, with faults on request.
//!
//! The names of the tests are the rules; their comments have the identifiers of the security notes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests may panic, as the tests do, and drills print their counts"
)]

mod auth;
mod blob;
mod download;
mod drill;
mod encodings;
mod faults;
mod hints;
mod http2;
mod limits;
mod memory;
mod mirror;
mod odd_answers;
mod pages;
mod proxy;
mod push;
mod redirect;
mod referrers;
mod resolve;
mod suite;
mod support;
mod tls;
