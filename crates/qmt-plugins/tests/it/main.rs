//! The facade against a registry over real HTTP and a private Sigstore.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod air_gap;
mod cached;
mod check;
mod drill;
mod escalation;
mod in_code;
mod inspect;
mod journey;
mod mirror;
mod moving;
mod publish;
mod reload;
mod reload_handles;
mod scene;
mod sources;
mod transfer;
mod trust;
mod watch;
