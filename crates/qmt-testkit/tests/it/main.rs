//! The test kit's own behaviour, seen from outside: over raw HTTP and from files on disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests: what cannot go on fails the test"
)]

mod auth;
mod blobs;
mod connections;
mod faults;
mod http;
mod images;
mod layout;
mod lists;
mod manifests;
mod proxy;
mod sigstore;
mod uploads;
