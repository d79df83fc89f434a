//! Artifact.
#![forbid(unsafe_code)]
