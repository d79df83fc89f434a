//! The log lines of plugins, as a subscriber of the process gets them.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use qmt_oci_ref::text;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber, span};

/// The targets of plugins' lines: crate `extism`, and `qmt-loader`.
const TARGETS: [&str; 2] = ["extism::pdk", "qmt_loader::plugin"];

/// What Extism logs in place of a line that is not UTF-8.
const UNABLE: &str = "unable to log message: ";

static LINES: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
static ONLY_INFO: AtomicBool = AtomicBool::new(false);

/// Returns what `call` returns, and the lines that plugins log meanwhile.
pub(super) fn listen<T>(_alone: &Alone, call: impl FnOnce() -> T) -> (T, Vec<(Level, String)>) {
    lines().clear();
    let result = call();
    (result, std::mem::take(&mut *lines()))
}

/// The right to run plugins: their lines do not say which call they are of.
pub(super) struct Alone(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Alone {
    /// Waits until no other thread of this process runs plugins, and listens from `level` on.
    pub(super) fn at(level: Level) -> Self {
        static ONCE: Once = Once::new();
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        ONCE.call_once(|| {
            // It fails if the process has one already; then the lines of both sides are missing.
            let _ = tracing::subscriber::set_global_default(Listener);
        });
        let alone = Self(guard);
        alone.listen_from(level);
        alone
    }

    /// Listens from another level on: `INFO`, or else all of them.
    #[expect(
        clippy::unused_self,
        reason = "the level is that of the process, so its holder must be alone"
    )]
    pub(super) fn listen_from(&self, level: Level) {
        ONLY_INFO.store(level == Level::INFO, Ordering::SeqCst);
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Escapes a line as `qmt-loader` does before it logs it.
fn escaped(line: &str) -> String {
    let parts: Vec<String> = line
        .split('\t')
        .map(|part| text::escape_to(part, usize::MAX))
        .collect();
    parts.join("\t")
}

fn lines() -> MutexGuard<'static, Vec<(Level, String)>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        TARGETS.contains(&metadata.target()) && *metadata.level() <= level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level().into())
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let line = if event.metadata().target() == TARGETS[0] {
            // What comes after the first line of such a message is a backtrace.
            let first = message
                .0
                .lines()
                .next()
                .filter(|line| line.starts_with(UNABLE));
            escaped(first.unwrap_or(&message.0))
        } else {
            message.0
        };
        lines().push((*event.metadata().level(), line));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn level() -> Level {
    if ONLY_INFO.load(Ordering::SeqCst) {
        Level::INFO
    } else {
        Level::TRACE
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string does not fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
