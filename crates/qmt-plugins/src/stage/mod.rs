//! The stages as the pipeline sees them: one step and its output type each.
//!
//! An output is made by its stage alone, so a stage that is skipped does not compile.

pub(crate) mod cache;
pub(crate) mod extract;
pub(crate) mod load;
pub(crate) mod moved;
pub(crate) mod resolve;
pub(crate) mod select;
pub(crate) mod verify;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use qmt_artifact::{ExtractLimits, HostPlatform, PluginKind};
use qmt_cache::{Cache, CacheError};
use qmt_oci_ref::{Digest, Reference};
use qmt_registry::{Registry, RegistryError};
use qmt_verify::{SignerId, Verifier, VerifyError};

use crate::config::PullPolicy;
use crate::error::Error;
use crate::events::Reporter;

/// What one run of the pipeline works with.
pub(crate) struct Context {
    pub(crate) registry: Arc<dyn Registry>,
    /// A layout on disk is asked at any time; a registry only where the network is allowed.
    pub(crate) is_local: bool,
    pub(crate) cache: Arc<dyn Cache>,
    /// Missing where only the stages before **verify** run.
    pub(crate) trust: Option<Trust>,
    pub(crate) host: HostPlatform,
    /// The rule that forbids the network, if any.
    pub(crate) offline: Option<&'static str>,
    pub(crate) limits: ExtractLimits,
    pub(crate) reporter: Reporter,
    pub(crate) now: SystemTime,
}

/// Whether signatures count.
#[derive(Clone)]
pub(crate) enum Trust {
    /// They do.
    Verify(Arc<dyn Verifier>),
    /// The operator switched verification off.
    Skip,
}

/// What is wanted.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) reference: Reference,
    /// The source as the config writes it: the key of the lockfile and the name in messages.
    pub(crate) shown: String,
    pub(crate) kind: Option<PluginKind>,
    pub(crate) file: Option<String>,
    /// The digest that the lockfile holds.
    pub(crate) locked: Option<Digest>,
    /// When that was signed, where the lockfile says so.
    pub(crate) locked_at: Option<SystemTime>,
    /// The signer that the lockfile holds.
    pub(crate) expected: Option<SignerId>,
    pub(crate) pull: PullPolicy,
    pub(crate) refresh_after: Option<Duration>,
    /// Whether the operator asked for what the tag names now, whatever it is.
    pub(crate) is_update: bool,
}

impl Context {
    /// Refuses to go on where the network would be needed and may not be used.
    pub(crate) fn need_network(
        &self,
        request: &Request,
        missing: &'static str,
    ) -> Result<(), Error> {
        match self.offline {
            Some(rule) if !self.is_local => Err(Error::Offline {
                plugin: self.plugin(),
                reference: request.shown.clone(),
                missing,
                rule,
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn may_ask(&self) -> bool {
        self.is_local || self.offline.is_none()
    }

    pub(crate) fn plugin(&self) -> String {
        self.reporter.plugin().to_owned()
    }

    pub(crate) fn registry_error(
        &self,
        request: &Request,
        doing: &'static str,
    ) -> impl FnOnce(RegistryError) -> Error {
        let (plugin, reference) = (self.plugin(), request.shown.clone());
        move |source| Error::Registry {
            plugin,
            reference,
            doing,
            source,
        }
    }

    pub(crate) fn cache_error(&self) -> impl FnOnce(CacheError) -> Error {
        let plugin = self.plugin();
        move |source| Error::Cache { plugin, source }
    }

    pub(crate) fn not_verified(&self, reference: String) -> impl FnOnce(VerifyError) -> Error {
        let plugin = self.plugin();
        move |source| Error::NotVerified {
            plugin,
            reference,
            source,
        }
    }
}
