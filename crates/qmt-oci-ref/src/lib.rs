//! References.
#![forbid(unsafe_code)]
