//! Verify.
#![forbid(unsafe_code)]
