//! The private Sigstore against an independent verifier: good signatures hold, bad twins do not.

mod good;
mod twins;
mod verify;
