//! Cache.
#![forbid(unsafe_code)]
