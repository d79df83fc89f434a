//! Registry.
#![forbid(unsafe_code)]
