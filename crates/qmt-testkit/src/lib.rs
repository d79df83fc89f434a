//! Testkit.
#![forbid(unsafe_code)]
