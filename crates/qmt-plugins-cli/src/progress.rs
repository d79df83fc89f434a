//! Progress on stderr: bars on a terminal, plain lines elsewhere.

mod bars;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use qmt_plugins::{Event, Stage};

use self::bars::Bars;
use crate::text;

/// What is shown of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    Nothing,
    /// Warnings, and what is waited for.
    Warnings,
    /// A line for each step.
    Lines,
    /// A bar for each plugin, and warnings.
    Bars,
}

/// Shows events, and keeps track of downloads.
pub(crate) struct Progress {
    detail: Detail,
    bars: Bars,
    downloads: Mutex<BTreeSet<String>>,
}

impl Progress {
    pub(crate) fn new(detail: Detail) -> Self {
        Self {
            detail,
            bars: Bars::default(),
            downloads: Mutex::default(),
        }
    }

    /// Returns the plugins whose download is under way.
    pub(crate) fn downloads(&self) -> Vec<String> {
        let downloads = self.downloads.lock();
        let downloads = downloads.unwrap_or_else(PoisonError::into_inner);
        downloads.iter().cloned().collect()
    }

    pub(crate) fn show(&self, event: &Event) {
        self.follow(event);
        let is_line = match self.detail {
            Detail::Nothing => false,
            // Without a word about the other process, the command seems to hang.
            Detail::Warnings => matches!(event, Event::Warning { .. } | Event::Waiting { .. }),
            Detail::Lines => true,
            Detail::Bars => !self.bars.show(event),
        };
        if is_line && let Some(line) = line(event) {
            self.line(&line);
        }
    }

    /// Prints a line.
    pub(crate) fn line(&self, line: &str) {
        let line = text::filled(&line.replace('\n', " "), text::width_of_stderr(), "  ");
        self.above(|| {
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }

    /// Prints above the bars.
    pub(crate) fn above(&self, print: impl FnOnce()) {
        if self.detail == Detail::Bars {
            self.bars.above(print);
        } else {
            print();
        }
    }

    /// Removes the bars, and leaves a line for each plugin that is finished. Events that follow are
    /// not shown.
    pub(crate) fn end(&self) {
        self.bars.end();
    }

    /// Removes the bars, and leaves nothing of them.
    pub(crate) fn clear(&self) {
        let _ = self.bars.clear();
    }

    fn follow(&self, event: &Event) {
        let downloads = self.downloads.lock();
        let mut downloads = downloads.unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Progress { plugin, .. } if !downloads.contains(plugin) => {
                downloads.insert(plugin.clone());
            }
            Event::Finished {
                plugin,
                stage: Stage::Fetch,
                ..
            } => {
                downloads.remove(plugin);
            }
            _ => {}
        }
    }
}

/// Formats an event as a line, unless it is a small step.
fn line(event: &Event) -> Option<String> {
    match event {
        Event::Finished {
            plugin,
            stage,
            detail,
        } => Some(format!("{plugin}: {stage}: {detail}")),
        Event::Waiting { plugin, detail } => Some(format!("{plugin}: waiting: {detail}")),
        Event::Note { plugin, message } => Some(format!("{plugin}: {message}")),
        Event::Warning { plugin, message } => Some(format!("{plugin}: warning: {message}")),
        _ => None,
    }
}
