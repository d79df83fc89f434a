//! Loader.

