//! Progress on stderr: bars on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use qmt_plugins::{Event, EventSink, Stage};

use crate::output::Output;

/// Returns the sink that prints events in the form that `output` requires.
pub(crate) fn sink(output: &Output) -> EventSink {
    if output.is_quiet() || output.is_json() {
        // Warnings can be about trust, so they are always printed.
        return Arc::new(|event| {
            if matches!(event, Event::Warning { .. })
                && let Some(line) = line(&event)
            {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        });
    }
    if output.shows_progress() {
        let bars = Bars::default();
        return Arc::new(move |event| bars.show(event));
    }
    Arc::new(|event| {
        if let Some(line) = line(&event) {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    })
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
        Event::Warning { plugin, message } => Some(format!("{plugin}: warning: {message}")),
        _ => None,
    }
}

/// A bar per plugin.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    by_plugin: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn show(&self, event: Event) {
        match event {
            Event::Started { plugin, stage } => self.bar(&plugin).set_message(stage.to_string()),
            Event::Finished {
                plugin,
                stage,
                detail,
            } => {
                let bar = self.bar(&plugin);
                if matches!(stage, Stage::Cache | Stage::Load) {
                    bar.finish_with_message(format!("{stage}: {detail}"));
                } else {
                    bar.set_message(format!("{stage}: {detail}"));
                }
            }
            Event::Progress {
                plugin,
                done,
                total,
            } => {
                let bar = self.bar(&plugin);
                bar.set_length(total);
                bar.set_position(done);
            }
            Event::Waiting { plugin, detail } => {
                self.bar(&plugin).set_message(format!("waiting: {detail}"));
            }
            Event::Warning { plugin, message } => {
                let _ = self.all.println(format!("{plugin}: warning: {message}"));
            }
            _ => {}
        }
    }

    fn bar(&self, plugin: &str) -> ProgressBar {
        let mut bars = self
            .by_plugin
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bars.get(plugin) {
            return bar.clone();
        }
        let style = "{prefix:.bold} {bar:20} {bytes}/{total_bytes} {wide_msg}";
        let style =
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.all.add(
            ProgressBar::new(0)
                .with_style(style)
                .with_prefix(plugin.to_owned()),
        );
        bars.insert(plugin.to_owned(), bar.clone());
        bar
    }
}
