//! The stages as the pipeline sees them: one function and one output type each.
//!
//! An output has private fields, is made by its stage alone, and is taken by the next one by value.
//! So a stage that is skipped, or two that are swapped, do not compile (`order.rs`).

pub(crate) mod allow;
pub(crate) mod cache;
pub(crate) mod content;
mod error;
pub(crate) mod extract;
pub(crate) mod load;
#[cfg(test)]
mod order;
pub(crate) mod resolve;
pub(crate) mod rollback;
pub(crate) mod select;
pub(crate) mod verify;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use qmt_artifact::{ExtractLimits, HostPlatform};
use qmt_cache::Cache;
use qmt_oci_ref::{Digest, PluginKind, Reference};
use qmt_verify::{SignerId, Verifier};

pub(crate) use self::error::StageError;
use crate::caching::CachedRegistry;
use crate::config::PullPolicy;
use crate::events::Reporter;
use crate::lockfile::LockEntry;

/// What one run of the pipeline works with.
pub(crate) struct Context {
    pub(crate) request: Request,
    /// Refuses every request where the network may not be used.
    pub(crate) registry: CachedRegistry,
    /// Whether the registry is a layout on this disk.
    pub(crate) is_local: bool,
    /// The rule that forbids the network, where it would be needed.
    pub(crate) offline: Option<&'static str>,
    pub(crate) cache: Arc<dyn Cache>,
    /// `None` where only the stages before **verify** run.
    pub(crate) trust: Option<Trust>,
    pub(crate) host: HostPlatform,
    pub(crate) limits: ExtractLimits,
    pub(crate) reporter: Reporter,
    pub(crate) now: SystemTime,
}

/// Whether signatures are verified.
#[derive(Clone)]
pub(crate) enum Trust {
    /// By this verifier.
    Verify(Arc<dyn Verifier>),
    /// Not at all, because the config says so.
    Skip,
}

/// Which plugin is requested, and what the config and the lockfile say about it.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) reference: Reference,
    /// The source as the config writes it: the key of the lockfile, and the name in messages.
    pub(crate) source: String,
    pub(crate) kind: Option<PluginKind>,
    pub(crate) file: Option<String>,
    /// The entry of the lockfile that a new one replaces: the plugin's at the time of the request, also
    /// for another reference.
    pub(crate) replaced: Option<LockEntry>,
    pub(crate) locked: Option<Locked>,
    /// The signer that the lockfile pins for the repository.
    pub(crate) pinned_signer: Option<SignerId>,
    pub(crate) pull: PullPolicy,
    pub(crate) refresh_after: Option<Duration>,
    pub(crate) version: VersionPolicy,
}

/// Which version of a plugin is acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionPolicy {
    /// The one that lockfile, cache and pull policy lead to.
    Configured,
    /// The same one, which must be written to the lockfile.
    Recorded,
    /// The one that the tag names now, because the operator asked for an update.
    Newest,
    /// The one that the tag names in the cache, because the operator asked for an update to what was
    /// imported.
    Imported,
}

/// What the lockfile records about the version of a plugin.
#[derive(Clone)]
pub(crate) struct Locked {
    pub(crate) digest: Digest,
    pub(crate) signed_at: Option<SystemTime>,
}
