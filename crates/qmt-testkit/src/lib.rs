//! An in-process OCI registry and a private Sigstore for tests.
#![forbid(unsafe_code)]

mod clock;
mod image;
mod plugins;
mod registry;
mod sigstore;
