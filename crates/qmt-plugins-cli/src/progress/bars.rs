//! A bar for each plugin, drawn by `indicatif`.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use qmt_plugins::oci_ref::text;
use qmt_plugins::{Event, Stage};

use crate::text::{Width, width_of_stderr};

/// The step that runs.
const STEP: &str = "{prefix:.bold}  {spinner} {wide_msg}";
/// A download.
const DOWNLOAD: &str = "{prefix:.bold}  {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}";
/// A finished plugin.
const DONE: &str = "{prefix:.bold}  {wide_msg}";
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);
/// Most and fewest characters of a name. It gets a third of the terminal; the end of a reference
/// says more than its beginning.
const NAME_CHARS: (usize, usize) = (8, 32);

/// A bar for each plugin.
#[derive(Default)]
pub(super) struct Bars {
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which the plugins began.
    bars: Vec<Bar>,
    /// The length of the longest name.
    width: usize,
    /// Whether the result is being printed, so that nothing may be drawn any more.
    is_over: bool,
}

struct Bar {
    drawn: ProgressBar,
    plugin: String,
    /// The name of the plugin, short enough for the terminal.
    name: String,
    /// How many bytes were downloaded, if any were.
    downloaded: Option<u64>,
    /// How it ended, once it is finished.
    outcome: Option<String>,
}

impl Bars {
    /// Shows the event, and reports whether it is about the work on one plugin.
    pub(super) fn show(&self, event: &Event) -> bool {
        let (Event::Started { plugin, .. }
        | Event::Finished { plugin, .. }
        | Event::Progress { plugin, .. }
        | Event::Refused { plugin, .. }) = event
        else {
            return false;
        };
        let mut state = self.state();
        if !state.is_over
            && let Some(bar) = self.bar(&mut state, plugin)
        {
            bar.show(event);
        }
        true
    }

    /// Prints above the bars. `MultiProgress::println` pads lines instead of ending them.
    pub(super) fn above(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    /// Removes all bars, and leaves a line for each plugin that is finished.
    pub(super) fn end(&self) {
        for line in self.clear() {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    /// Removes all bars, and returns the lines of the plugins that are finished.
    pub(super) fn clear(&self) -> Vec<String> {
        let mut state = self.state();
        if std::mem::replace(&mut state.is_over, true) {
            return Vec::new();
        }
        for bar in &state.bars {
            bar.drawn.finish_and_clear();
        }
        let _ = self.all.clear();
        let (bars, width) = (state.bars.iter(), state.width);
        let line = |bar: &Bar| Some(format!("{:width$}  {}", bar.name, bar.outcome.as_ref()?));
        bars.filter_map(line).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bar<'a>(&self, state: &'a mut State, plugin: &str) -> Option<&'a mut Bar> {
        let known = state.bars.iter().position(|bar| bar.plugin == plugin);
        let place = known.unwrap_or(state.bars.len()); // A new one is added at the end.
        if known.is_none() {
            let name = short(plugin, width_of_stderr());
            state.width = state.width.max(name.chars().count());
            state.bars.push(Bar {
                drawn: self.all.add(ProgressBar::new(0).with_style(style(STEP))),
                plugin: plugin.to_owned(),
                name,
                downloaded: None,
                outcome: None,
            });
            for bar in &state.bars {
                bar.drawn
                    .set_prefix(format!("{:width$}", bar.name, width = state.width));
            }
        }
        state.bars.get_mut(place)
    }
}

impl Bar {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Started { stage, .. } => {
                if self.drawn.is_finished() {
                    self.drawn.reset();
                }
                self.drawn.set_message(stage.to_string());
                self.drawn.set_style(style(STEP));
                self.drawn.enable_steady_tick(TICK);
            }
            Event::Progress { done, total, .. } => {
                if self.downloaded.is_none() {
                    // The speed is that of the download, not of the steps before it.
                    self.drawn.reset();
                }
                self.drawn.set_length(*total);
                self.drawn.set_position(*done);
                if self.downloaded.replace(*done).is_none() {
                    self.drawn.set_message(Stage::Fetch.to_string());
                    self.drawn.set_style(style(DOWNLOAD));
                }
            }
            Event::Finished { stage, .. } => {
                let outcome = match (stage, self.downloaded) {
                    (Stage::Cache, None) => "cached".to_owned(),
                    (Stage::Cache, Some(bytes)) => format!("fetched, {}", HumanBytes(bytes)),
                    (Stage::Load, _) => "loaded".to_owned(),
                    _ => return,
                };
                self.drawn.disable_steady_tick();
                self.drawn.set_style(style(DONE));
                self.drawn.finish_with_message(outcome.clone());
                self.outcome = Some(outcome);
            }
            // The error is printed where the result is.
            Event::Refused { .. } => {
                self.outcome = None;
                self.drawn.finish_and_clear();
            }
            _ => {}
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Cuts the beginning of a name that is too long for a terminal of `width`.
fn short(name: &str, width: Width) -> String {
    let (min, max) = NAME_CHARS;
    let room = width.map_or(max, |width| (width / 3).clamp(min, max));
    let name = text::escape_to(name, usize::MAX);
    let count = name.chars().count();
    if count <= room {
        return name;
    }
    let end = name.chars().skip(count - room + 1);
    std::iter::once('…').chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_loses_its_beginning() {
        assert_eq!(short("greet", Some(20)), "greet");
        let long = "oci://registry.example.com/my-org/my-plugin:1.2.3";
        assert_eq!(short(long, Some(60)), "…org/my-plugin:1.2.3");
        let name = short(long, None);
        assert!(
            name.starts_with('…') && name.ends_with("my-plugin:1.2.3"),
            "{name}"
        );
        assert_eq!(name.chars().count(), 32);
    }
}
