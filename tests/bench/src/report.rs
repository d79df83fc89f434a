//! What was measured, as the table of `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::time::Duration;

use qmt_interop::tools;
use xshell::{Shell, cmd};

/// One line of the table.
pub(super) struct Row {
    pub(super) work: String,
    pub(super) ours: String,
    pub(super) against: String,
    pub(super) result: String,
    pub(super) reach: String,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Holds,
    Fails,
    NotMeasured,
}

impl Verdict {
    pub(super) fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Holds => "yes",
            Self::Fails => "**no**",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Row {
    /// A row that could not be measured here, and why.
    pub(super) fn skipped(work: &str, reach: &str, reason: impl Into<String>) -> Self {
        // The rest of an error is not for the table.
        let reason: String = reason.into();
        let reason = reason.lines().next().unwrap_or_default();
        Self {
            work: work.to_owned(),
            ours: String::new(),
            against: reason.to_owned(),
            result: String::new(),
            reach: reach.to_owned(),
            verdict: Verdict::NotMeasured,
        }
    }

    pub(super) fn line(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {} | {} |",
            self.work,
            self.ours,
            self.against,
            self.result,
            self.reach,
            self.verdict.word()
        )
    }
}

/// A time with as many digits as it has meaning.
pub(super) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 0.001 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{:.0} µs", seconds * 1e6)
    }
}

/// KiB as MiB.
pub(super) fn mebibytes(kib: u64) -> String {
    let tenths = kib.saturating_mul(10) / 1024;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// The programs whose versions are in the report, and the options that print them.
const PEERS: &[(&str, &[&str])] = &[
    ("crane", &["version"]),
    ("oras", &["version"]),
    ("skopeo", &["--version"]),
    ("cosign3", &["version"]),
    ("cosign2", &["version"]),
    ("distribution3", &["--version"]),
    ("curl", &["--version"]),
    ("tar", &["--version"]),
    ("gzip", &["--version"]),
];

/// The whole document.
pub(super) fn document(sh: &Shell, rows: &[Row], notes: &str) -> anyhow::Result<String> {
    let mut text = String::from(
        "# Benchmarks\n\nWritten by `cargo xtask bench`, which measures ours and other \
         programs in turn, in the same run; each figure is the median of several runs. Ratios are what \
         counts: absolute times are this machine's.\n\n",
    );
    text.push_str(
        "| work | ours | against | result | to reach | holds |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        text.push_str(&row.line());
        text.push('\n');
    }
    text.push_str("\n## How\n\n");
    text.push_str(notes.trim());
    text.push_str("\n\n## Machine and versions\n\n");
    for (what, value) in machine(sh)? {
        let _ = writeln!(text, "- {what}: {value}");
    }
    Ok(text)
}

fn machine(sh: &Shell) -> anyhow::Result<Vec<(String, String)>> {
    let mut lines = Vec::new();
    let field = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism()?.get();
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    lines.push(("processor".to_owned(), format!("{model}, {cores} cores")));
    if let Some(memory) = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
    {
        lines.push(("memory".to_owned(), mebibytes(memory)));
    }
    lines.push(("system".to_owned(), cmd!(sh, "uname -srm").quiet().read()?));
    lines.push((
        "Rust".to_owned(),
        cmd!(sh, "rustc --version").quiet().read()?,
    ));
    let revision = cmd!(sh, "git rev-parse --short HEAD").quiet().read()?;
    lines.push((
        "qmt-plugins".to_owned(),
        format!("revision {revision}, release profile"),
    ));
    for &(name, arguments) in PEERS {
        let Some(program) = tools::find(name) else {
            continue;
        };
        let said = cmd!(sh, "{program} {arguments...}")
            .quiet()
            .ignore_stderr()
            .read()
            .unwrap_or_default();
        lines.push((name.to_owned(), version(&said)));
    }
    Ok(lines)
}

/// The first word that looks like a version.
fn version(said: &str) -> String {
    let is_version = |word: &&str| {
        let word = word.trim_start_matches('v');
        word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.')
    };
    said.split_whitespace()
        .find(is_version)
        .unwrap_or("unknown")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        assert_eq!(version("skopeo version 1.18.0\n"), "1.18.0");
        assert_eq!(
            version("Version:        1.3.3\nGo version: go1.26"),
            "1.3.3"
        );
        assert_eq!(version("GitVersion:    v3.1.2\n"), "v3.1.2");
        assert_eq!(version(""), "unknown");
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        assert_eq!(time(Duration::from_millis(1500)), "1.50 s");
        assert_eq!(time(Duration::from_micros(1500)), "1.5 ms");
        assert_eq!(time(Duration::from_micros(150)), "150 µs");
        assert_eq!(mebibytes(13_312), "13.0 MiB");
    }
}
