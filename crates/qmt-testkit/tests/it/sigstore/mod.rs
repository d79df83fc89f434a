//! The private Sigstore against an independent verifier: good signatures hold,
//! tampered signatures do not.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say why something was skipped or refused"
)]

mod attach;
mod attestation;
mod encoding;
mod good;
mod real;
mod tampered;
mod transplant;
mod trust;
mod tuf;
mod verify;
