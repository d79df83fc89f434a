//! Events of the pipeline, for progress bars and logs.

use std::fmt;
use std::sync::Arc;

use qmt_oci_ref::text;

use crate::error::Error;

/// Most characters of a text of an event.
const MESSAGE_CHARS_MAX: usize = 4096;

/// An event that concerns one plugin.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A stage began.
    Started {
        /// The provider's name, or the reference if the config does not name it.
        plugin: String,
        /// The stage.
        stage: Stage,
    },
    /// A stage succeeded.
    Finished {
        /// The provider's name, or the reference if the config does not name it.
        plugin: String,
        /// The stage.
        stage: Stage,
        /// The result, as one line of text.
        detail: String,
    },
    /// A stage failed, and no other stage follows. If the plugin is not loaded because of it,
    /// [`Event::Refused`] or [`Event::NotReloaded`] follows.
    Failed {
        /// The provider's name, or the reference if the config does not name it.
        plugin: String,
        /// The stage.
        stage: Stage,
        /// The error and its causes, as one line of text.
        reason: String,
    },
    /// Bytes of a layer arrived.
    Progress {
        /// The provider's name, or the reference if the config does not name it.
        plugin: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in total.
        total: u64,
    },
    /// Another process works on the same plugin.
    Waiting {
        /// The provider's name, or the reference if the config does not name it.
        plugin: String,
        /// What is waited for.
        detail: String,
    },
    /// Information that is not a problem.
    Note {
        /// The provider's name, or what the note is about.
        plugin: String,
        /// The note, as one line of text.
        message: String,
    },
    /// A problem that does not stop the pipeline.
    Warning {
        /// The provider's name, or the reference if the config does not name it.
        plugin: String,
        /// The problem, as one line of text.
        message: String,
    },
    /// A plugin was replaced by its next version while the host was running.
    Reloaded {
        /// The provider's name, or the reference if the config does not name it.
        plugin: String,
        /// The digest of the new file.
        digest: String,
    },
    /// A reload failed, and the previous version stays in use.
    NotReloaded {
        /// The provider's name, or the reference if the config does not name it.
        plugin: String,
        /// The error and its causes, as one line of text.
        reason: String,
    },
    /// The plugin is not loaded: it was refused, or could not be acquired.
    Refused {
        /// The provider's name, or the reference if the config does not name it.
        plugin: String,
        /// Where it comes from, as the config says.
        reference: String,
        /// The error and its causes, as one line of text.
        reason: String,
    },
}

/// A stage of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Resolves a reference to a digest.
    Resolve,
    /// Selects the manifest for this host.
    Select,
    /// Verifies the signature of the digest.
    Verify,
    /// Fetches the layers and extracts the file; reads a local file, or downloads from a URL.
    Fetch,
    /// Gives the file its name in the cache.
    Cache,
    /// Loads the code.
    Load,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Select => "select",
            Self::Verify => "verify",
            Self::Fetch => "fetch",
            Self::Cache => "cache",
            Self::Load => "load",
        })
    }
}

/// Receives events. It is called from any thread and must not block.
pub type EventSink = Arc<dyn Fn(Event) + Send + Sync>;

/// Sends the events of one plugin.
#[derive(Clone)]
pub(crate) struct Reporter {
    plugin: String,
    sinks: Vec<EventSink>,
}

impl Reporter {
    pub(crate) fn new(
        plugin: impl Into<String>,
        sinks: impl IntoIterator<Item = EventSink>,
    ) -> Self {
        Self {
            plugin: plugin.into(),
            sinks: sinks.into_iter().collect(),
        }
    }

    pub(crate) fn plugin(&self) -> &str {
        &self.plugin
    }

    pub(crate) fn started(&self, stage: Stage) {
        tracing::debug!(plugin = self.plugin, %stage, "started");
        self.send(|plugin| Event::Started { plugin, stage });
    }

    pub(crate) fn finished(&self, stage: Stage, detail: impl Into<String>) {
        let detail = one_line(&detail.into());
        tracing::debug!(plugin = self.plugin, %stage, detail, "finished");
        self.send(|plugin| Event::Finished {
            plugin,
            stage,
            detail,
        });
    }

    /// Passes on the result of a stage, and reports it if the stage failed.
    pub(crate) fn ended<T, E: std::error::Error + 'static>(
        &self,
        stage: Stage,
        result: Result<T, E>,
    ) -> Result<T, E> {
        result.inspect_err(|error| {
            let reason = one_line(&text::messages(error).join(": "));
            tracing::debug!(plugin = self.plugin, %stage, reason, "failed");
            self.send(|plugin| Event::Failed {
                plugin,
                stage,
                reason,
            });
        })
    }

    pub(crate) fn progress(&self, done: u64, total: u64) {
        self.send(|plugin| Event::Progress {
            plugin,
            done,
            total,
        });
    }

    pub(crate) fn warning(&self, message: impl Into<String>) {
        let message = one_line(&message.into());
        tracing::warn!(plugin = self.plugin, message);
        self.send(|plugin| Event::Warning { plugin, message });
    }

    pub(crate) fn note(&self, message: impl Into<String>) {
        let message = one_line(&message.into());
        tracing::info!(plugin = self.plugin, message);
        self.send(|plugin| Event::Note { plugin, message });
    }

    pub(crate) fn reloaded(&self, digest: String) {
        tracing::info!(plugin = self.plugin, digest, "reloaded");
        self.send(|plugin| Event::Reloaded { plugin, digest });
    }

    /// Reports why the previous version stays in use.
    pub(crate) fn not_reloaded(&self, error: &Error) {
        let reason = one_line(&text::messages(error).join(": "));
        tracing::error!(
            plugin = self.plugin,
            reason,
            "the plugin is not reloaded; the previous version stays in use"
        );
        self.send(|plugin| Event::NotReloaded { plugin, reason });
    }

    /// Reports that another process is waited for.
    pub(crate) fn waiting(&self, detail: impl Into<String>) {
        let detail = detail.into();
        tracing::info!(plugin = self.plugin, detail, "waiting");
        self.send(|plugin| Event::Waiting { plugin, detail });
    }

    /// Reports that the plugin is not loaded, and why.
    pub(crate) fn refused(&self, reference: impl Into<String>, error: &Error) {
        let reference = reference.into();
        let reason = one_line(&text::messages(error).join(": "));
        tracing::error!(
            plugin = self.plugin,
            reference,
            reason,
            "the plugin is not loaded"
        );
        self.send(|plugin| Event::Refused {
            plugin,
            reference,
            reason,
        });
    }

    fn send(&self, event: impl FnOnce(String) -> Event) {
        let Some((last, others)) = self.sinks.split_last() else {
            return;
        };
        let event = event(self.plugin.clone());
        for sink in others {
            sink(event.clone());
        }
        last(event);
    }
}

/// Escapes what an image, a registry or a library says, so that it can be shown as it is.
fn one_line(message: &str) -> String {
    text::escape_to(message, MESSAGE_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn events_carry_the_plugin() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let sink: EventSink =
            Arc::new(move |event| sink.lock().unwrap().push(format!("{event:?}")));
        let reporter = Reporter::new("echo", Some(sink));
        reporter.started(Stage::Resolve);
        reporter.finished(Stage::Resolve, "sha256:…");
        reporter.progress(1, 2);
        reporter.warning("old\u{1b}[31m");
        reporter.waiting("for another process");
        let error = Error::unsupported("echo", "anything");
        let error = reporter
            .ended(Stage::Load, Err::<(), _>(error))
            .unwrap_err();
        reporter.refused("oci://a.b/echo:1", &error);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 7);
        assert!(seen[3].contains(r"old\\u{1b}[31m"), "{}", seen[3]);
        assert!(seen[5].contains("stage: Load") && seen[5].contains("without support"));
        assert!(seen[6].contains("oci://a.b/echo:1") && seen[6].contains("without support"));
        assert!(seen.iter().all(|event| event.contains("echo")), "{seen:?}");
    }
}
