//! How the client behaves on the wire: real HTTP on this machine, misbehaviour on request.
//!
//! The names of the tests say the rule; their comments carry the identifiers of the security
//! notes that they cover.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test's helpers may fail loudly, as the tests do, and drills count aloud"
)]

mod auth;
mod blob;
mod drill;
mod faults;
mod http2;
mod limits;
mod mirror;
mod push;
mod redirect;
mod referrers;
mod resolve;
mod suite;
mod support;
mod tls;
