//! What is compared: a module, the calls of it, and what a host makes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tracing::Level;

/// A host that runs plugins.
pub(super) trait Host {
    /// Loads `module` freshly and makes `calls` one after the other in one instance.
    ///
    /// It ends with the call that stopped the instance: hosts differ in what they keep of it.
    fn run(&self, module: &Module, calls: &[Call]) -> anyhow::Result<Outcome>;
}

/// A module under a name, and what it is configured with.
#[derive(Clone)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) wasm: Vec<u8>,
    pub(super) config: BTreeMap<String, String>,
    pub(super) memory_max: u64,
    /// The time of one call.
    pub(super) timeout: Duration,
}

impl Module {
    pub(super) fn new(name: impl Into<String>, wasm: Vec<u8>) -> Self {
        let config = [
            ("present", "value"),
            ("empty", ""),
            ("", "of the empty key"),
            ("schlüssel", "wert \u{1f511}"),
        ];
        Self {
            name: name.into(),
            wasm,
            config: config.map(|(key, value)| (key.into(), value.into())).into(),
            memory_max: MEMORY_MAX,
            timeout: TIMEOUT,
        }
    }

    /// Compiles WebAssembly text.
    pub(super) fn text(name: impl Into<String>, text: &str) -> anyhow::Result<Self> {
        Ok(Self::new(name, wat::parse_str(text)?))
    }
}

/// The bytes of memory of an instance, unless a case says otherwise: 64 MiB.
const MEMORY_MAX: u64 = 64 * 1024 * 1024;
/// The time of a call, unless a case says otherwise.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) export: String,
    pub(super) input: Vec<u8>,
}

impl Call {
    pub(super) fn new(export: impl Into<String>, input: impl Into<Vec<u8>>) -> Self {
        Self {
            export: export.into(),
            input: input.into(),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.export, Bytes(&self.input))
    }
}

/// What the calls came to, as many as were made.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) calls: Vec<Called>,
}

/// What one call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Called {
    pub(super) answer: Answer,
    pub(super) logs: Vec<(Level, String)>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Output(Vec<u8>),
    /// The plugin reported an error; the text is escaped.
    Error(String),
    /// It returned another code than 0, and no error.
    Code(i32),
    /// It ended itself through WASI with another status than 0.
    Exit(i32),
    Stopped(Stop),
    /// The module does not load, or the export cannot be called.
    Refused,
}

/// What stopped a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Trap,
    Memory,
    Time,
}

impl Answer {
    /// Returns whether the instance may be called again on every host.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self, Self::Output(_) | Self::Error(_) | Self::Code(_))
    }
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.answer {
            Answer::Output(bytes) => write!(f, "output {}", Bytes(bytes))?,
            Answer::Error(message) => write!(f, "error `{message}`")?,
            Answer::Code(code) => write!(f, "code {code}")?,
            Answer::Exit(status) => write!(f, "exit status {status}")?,
            Answer::Stopped(stop) => write!(f, "stopped: {stop:?}")?,
            Answer::Refused => write!(f, "refused")?,
        }
        for (level, line) in &self.logs {
            write!(f, ", logs {level} `{}`", Bytes(line.as_bytes()))?;
        }
        Ok(())
    }
}

/// Bytes as text or their number and begin.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 160;
        let shown = &self.0[..self.0.len().min(SHOWN)];
        write!(f, "{}", shown.escape_ascii())?;
        if shown.len() < self.0.len() {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

/// What the host function `reverse` of both sides does.
pub(super) fn reverse(input: &[u8]) -> Result<Vec<u8>, &'static str> {
    if input == b"fail" {
        return Err("the host function fails on request");
    }
    Ok(input.iter().rev().copied().collect())
}
