#![doc = include_str!("../README.md")]
//!
//! The facade: the only crate that joins the stages. Start with [`PluginHost`]; the order of the
//! stages is in `src/pipeline.rs`. [`PluginHost::load`] returns a [`Plugin`], and
//! [`PluginHostBuilder::wasm_loader`] takes a `WasmLoader` with functions of the host, each of
//! which is a `HostFunction`.
#![forbid(unsafe_code)]

mod acquire;
mod artifact;
mod builder;
mod caching;
mod check;
pub mod config;
mod connect;
mod error;
mod events;
mod export;
mod host;
#[cfg(feature = "http")]
mod http_client;
mod import;
pub mod inspect;
mod loaders;
mod local;
mod lockfile;
#[cfg(feature = "http")]
pub mod login;
mod operations;
mod pipeline; // Start here: the stages, top to bottom.
#[cfg(feature = "sigstore")]
mod policy;
pub mod publish;
mod recorded;
mod reload;
mod source;
mod stage;
mod target;
#[cfg_attr(not(feature = "sigstore"), path = "trust/without.rs")]
mod trust;

pub use self::artifact::PluginArtifact;
pub use self::builder::PluginHostBuilder;
pub use self::error::{Error, ErrorKind};
pub use self::events::{Event, EventSink, Stage};
pub use self::host::PluginHost;
pub use self::lockfile::{LockEntry, LockMode};
pub use self::source::PluginSource;
pub use self::target::Target;

#[doc(inline)]
pub use qmt_loader::Plugin;
#[cfg(feature = "wasm")]
#[doc(inline)]
pub use qmt_loader::wasm::{HostFunction, WasmLoader};

/// The stages, for hosts that use their types.
pub use {
    qmt_artifact as artifact_stage, qmt_cache as cache, qmt_loader as loader,
    qmt_oci_ref as oci_ref, qmt_registry as registry, qmt_verify as verify,
};
