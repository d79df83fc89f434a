//! The private Sigstore against an independent verifier: good signatures hold, bad twins do not.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail the test, and say why something was skipped or refused"
)]

mod attach;
mod attestation;
mod good;
mod real;
mod spelling;
mod transplant;
mod trust;
mod tuf;
mod twins;
mod verify;
