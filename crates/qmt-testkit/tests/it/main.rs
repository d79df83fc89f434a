//! Tests of the test kit.

mod sigstore;
