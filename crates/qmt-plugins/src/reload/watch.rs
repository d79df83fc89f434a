//! Follows the source of a plugin: a file that changes, a tag that moves.

use std::path::Path;
use std::time::Duration;

use qmt_storage::files::Fingerprint;

use super::{Slot, Take};
use crate::config::Span;
use crate::error::Error;
use crate::host::PluginHost;
use crate::source::PluginSource;
use crate::target::Target;

/// The time between two checks of a file. It is read when two checks in a row find it unchanged.
const FILE_INTERVAL: Duration = Duration::from_millis(500);
/// The shortest time between two requests for a tag.
const TAG_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Added to `refresh_after`, so that a tag is old enough to be resolved again.
const TAG_MARGIN: Duration = Duration::from_millis(50);

impl PluginHost {
    /// Reloads the plugin called `name` whenever its source changes, until the future is dropped. A
    /// file is read again at most 1.5 seconds after its last change, also if another file was moved
    /// to its path. A tag is resolved again each `refresh_after`, at most once a second. The plugin is
    /// loaded first as by [`Self::reloadable`], and stays loaded.
    ///
    /// If a version is refused, the previous one stays in use, and
    /// [`Event::NotReloaded`](crate::Event::NotReloaded) has the reason: once for a file, and at each
    /// interval for a tag. Returns at once, with an
    /// [`Event::Note`](crate::Event::Note), if the source cannot change or is not followed: a
    /// digest, a URL, or a tag without `refresh_after`, offline, or with `pull_policy = "never"`.
    ///
    /// ```no_run
    /// # async fn run(host: std::sync::Arc<qmt_plugins::PluginHost>) {
    /// let watching = tokio::spawn(async move { host.watch("greeter").await });
    /// # watching.abort();
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::load`], if the first version can't be loaded.
    pub async fn watch(&self, name: &str) -> Result<(), Error> {
        let slot = match self.slot(name) {
            Some(slot) => slot,
            None => self.open_slot(&Target::named(self.config(), name)?).await?,
        };
        match slot.target.located(self.file.folder()) {
            PluginSource::File(path) => self.watch_file(&slot, &path).await,
            source => match self.config().oci.refresh_after {
                Some(_) if source.is_mutable() && !self.may_refresh() => {
                    let message = "its tag is not followed: no registry is asked again";
                    self.reporter(&slot.target).note(message);
                }
                Some(every) if source.is_mutable() => self.watch_tag(&slot, every).await,
                _ => {
                    let message =
                        "it is not followed: only files and, with `refresh_after`, tags are";
                    self.reporter(&slot.target).note(message);
                }
            },
        }
        Ok(())
    }

    /// Never returns.
    async fn watch_file(&self, slot: &Slot, path: &Path) {
        // The file can have changed since it was loaded, so the first check counts as a change.
        let (mut taken, mut last) = (None, None);
        loop {
            // A file that is absent is taken for one that is being replaced.
            let now = tokio::fs::metadata(path).await.ok();
            let now = now.as_ref().map(Fingerprint::from);
            let is_settled = now.is_some() && now == last;
            if is_settled && now != taken {
                // If it fails, an event has the reason.
                let _ = self.replace(slot, Take::Changed).await;
                taken.clone_from(&now);
            }
            last = now;
            tokio::time::sleep(FILE_INTERVAL).await;
        }
    }

    /// Never returns.
    async fn watch_tag(&self, slot: &Slot, every: Span) {
        let interval = (every.duration() + TAG_MARGIN).max(TAG_INTERVAL_MIN);
        loop {
            tokio::time::sleep(interval).await;
            // If it fails, an event has the reason.
            let _ = self.replace(slot, Take::Changed).await;
        }
    }
}
