//! Replaces a loaded plugin by its next version while it is called.
//!
//! A [`Slot`] has the version that is used, and handles call it. The next version is verified,
//! loaded and probed first, and the lockfile is written only after that: a version that fails is
//! neither used now nor recorded for the next start.

mod handle;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use qmt_loader::{LoadError, Plugin};
use qmt_oci_ref::Digest;
use qmt_oci_ref::text::escape;

use self::handle::Handle;
use crate::acquire::Acquired;
use crate::config::ConfigError;
use crate::error::Error;
use crate::events::{Reporter, Stage};
use crate::host::PluginHost;
use crate::stage::VersionPolicy;
use crate::stage::content::ReadMode;
use crate::target::Target;

/// The longest time of a probe; the `timeout` of the plugin can be shorter.
const PROBE_MAX: Duration = Duration::from_secs(10);

/// The plugins of a host that can be replaced, by name, as long as a handle exists.
pub(crate) type Slots = Mutex<HashMap<String, Weak<Slot>>>;

/// A plugin that can be replaced.
pub(crate) struct Slot {
    target: Target,
    version: RwLock<Version>,
    /// Held by a reload, so that a slower one does not replace a newer version.
    reloading: tokio::sync::Mutex<()>,
}

/// One version of a plugin. Calls and leases keep it alive until they end.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) plugin: Arc<dyn Plugin>,
    /// The digest of the file.
    digest: Digest,
}

impl Slot {
    fn version(&self) -> Version {
        let version = self.version.read().unwrap_or_else(PoisonError::into_inner);
        version.clone()
    }

    fn replace(&self, next: Version) {
        let mut version = self.version.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *version, next);
        drop(version);
        // Outside of the lock, because unmapping it can take a while.
        drop(old);
    }
}

/// When a reload loads the version that it acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Take {
    /// Always.
    Any,
    /// If its file differs from the one in use.
    Changed,
}

impl PluginHost {
    /// Loads the plugin called `name` for a host that replaces plugins while it runs. Calls of the
    /// returned handle go to the version that is current when they begin; [`Self::reload`] and
    /// [`Self::watch`] replace it. All handles for one name share that version: only the first call
    /// loads it.
    ///
    /// The handle hides the loader's own type: for the symbols of a native library, use the plugin
    /// that [`Self::load`] or [`Self::reload`] returns.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub async fn reloadable(&self, name: &str) -> Result<Arc<dyn Plugin>, Error> {
        let target = Target::named(self.config(), name)?;
        self.reloadable_target(&target).await
    }

    /// Loads the plugin that `target` names, as [`Self::reloadable`] does. Its name is that of the
    /// target.
    ///
    /// # Errors
    ///
    /// As [`Self::load_target`], and [`Error::Config`] if another provider with this name has a
    /// handle.
    pub async fn reloadable_target(&self, target: &Target) -> Result<Arc<dyn Plugin>, Error> {
        Ok(Arc::new(Handle::new(self.open_slot(target).await?)))
    }

    /// Replaces the plugin called `name`, and returns the new version. The version is the one that
    /// [`Self::load`] would take: the file as it is now, or what lockfile and pull policy lead to,
    /// so after [`Self::update`] the updated one.
    ///
    /// The next version is verified, checked, loaded and, if the provider has a `probe`, called
    /// before the handles of [`Self::reloadable`] use it. Calls and leases that have begun finish on
    /// the previous version, which is dropped with the last of them; a native library stays mapped.
    /// Without a handle, this does what [`Self::load`] does. Reloads of one plugin run one after the
    /// other.
    ///
    /// # Errors
    ///
    /// As [`Self::load`], and [`Error::Load`] if the probe failed. Then the previous version stays in
    /// use, the lockfile does not change, and [`Event::NotReloaded`](crate::Event::NotReloaded) has
    /// the reason.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is done, the previous version stays in use. The lockfile may
    /// name the next one already.
    pub async fn reload(&self, name: &str) -> Result<Arc<dyn Plugin>, Error> {
        match self.slot(name) {
            Some(slot) => self.replace(&slot, Take::Any).await,
            None => self.load(name).await,
        }
    }

    fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(name).and_then(Weak::upgrade)
    }

    /// Returns the slot of `target`, with a version that is loaded.
    async fn open_slot(&self, target: &Target) -> Result<Arc<Slot>, Error> {
        if let Some(slot) = self.slot(target.name()) {
            return self.same(slot, target);
        }
        let loaded = Arc::new(Slot {
            target: target.clone(),
            version: RwLock::new(self.load_version(target).await?),
            reloading: tokio::sync::Mutex::default(),
        });
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.strong_count() > 0);
        // If two callers load it at the same time, both use the first.
        if let Some(first) = slots.get(target.name()).and_then(Weak::upgrade) {
            return self.same(first, target);
        }
        slots.insert(target.name().to_owned(), Arc::downgrade(&loaded));
        Ok(loaded)
    }

    pub(crate) async fn load_version(&self, target: &Target) -> Result<Version, Error> {
        let acquired = self.acquire(target, VersionPolicy::Configured, ReadMode::Read);
        let acquired = acquired.await?;
        let digest = acquired.digest().clone();
        let loaded = self.load_acquired(target, acquired).await;
        let plugin = self.report(target, loaded)?;
        Ok(Version { plugin, digest })
    }

    /// Returns `slot`, unless it belongs to another provider of the same name.
    fn same(&self, slot: Arc<Slot>, target: &Target) -> Result<Arc<Slot>, Error> {
        if slot.target.provider() == target.provider() {
            return Ok(slot);
        }
        let rule = format!(
            "another provider, whose plugin is in use, has the name `{}`",
            target.name()
        );
        Err(ConfigError::contradiction(self.file.path(), "providers", rule).into())
    }

    /// Loads the next version and replaces the current one, or reports why it stays.
    async fn replace(&self, slot: &Slot, take: Take) -> Result<Arc<dyn Plugin>, Error> {
        let _reloading = slot.reloading.lock().await;
        let reporter = self.reporter(&slot.target);
        match self.next(slot, take, &reporter).await {
            Ok(Some(next)) => {
                let (plugin, digest) = (Arc::clone(&next.plugin), next.digest.to_string());
                slot.replace(next);
                reporter.reloaded(digest);
                Ok(plugin)
            }
            Ok(None) => Ok(slot.version().plugin),
            Err(error) => {
                reporter.not_reloaded(&error);
                Err(error)
            }
        }
    }

    /// Acquires, loads and probes the next version, then records it in the lockfile.
    async fn next(
        &self,
        slot: &Slot,
        take: Take,
        reporter: &Reporter,
    ) -> Result<Option<Version>, Error> {
        let target = &slot.target;
        let acquire = self.acquire_source(target, VersionPolicy::Configured, ReadMode::Read);
        let Acquired { artifact, record } = acquire.await?;
        let digest = artifact.digest().clone();
        let next = if take == Take::Changed && digest == slot.version().digest {
            None
        } else {
            let plugin = self.load_acquired(target, artifact).await?;
            let checked = match still_callable(target, &slot.version(), &*plugin) {
                Ok(()) => self.probe(target, &*plugin).await,
                Err(error) => Err(error),
            };
            reporter.ended(Stage::Load, checked)?;
            Some(Version { plugin, digest })
        };
        if let Some(record) = record {
            self.record(record, reporter).await?;
        }
        Ok(next)
    }

    /// Calls the export that the provider's `probe` names.
    async fn probe(&self, target: &Target, plugin: &dyn Plugin) -> Result<(), Error> {
        let Some(export) = &target.provider().probe else {
            return Ok(());
        };
        let limit = PROBE_MAX.min(self.load_options(target).limits.timeout);
        let call = tokio::time::timeout(limit, plugin.call(export, Bytes::new()));
        let called = call.await.unwrap_or_else(|_| {
            Err(LoadError::TimedOut {
                plugin: target.name().to_owned(),
                export: export.clone(),
                limit,
            })
        });
        let doing = format!("its probe `{export}`");
        called
            .map(drop)
            .map_err(|source| Error::load(target.name(), doing, source))
    }
}

/// Refuses a version without exports in place of one that has some: a part of a module can be a
/// module as well.
fn still_callable(target: &Target, last: &Version, next: &dyn Plugin) -> Result<(), Error> {
    let exports = last.plugin.exports();
    match exports.first() {
        Some(export) if next.exports().is_empty() => Err(Error::Load {
            plugin: target.name().to_owned(),
            doing: "its next version".to_owned(),
            source: LoadError::UnknownExport {
                plugin: target.name().to_owned(),
                export: escape(export),
                known: Vec::new(),
            },
        }),
        _ => Ok(()),
    }
}
