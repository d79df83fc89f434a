//! End-to-end scenarios through the facade and the command.
#![forbid(unsafe_code)]
