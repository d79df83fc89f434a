//! Runs programs in turn, and takes their time and memory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use qmt_e2e_tests::command::isolate;
use qmt_interop::tools;

/// One way to do the work that is measured.
pub(super) struct Contender<'a> {
    pub(super) name: String,
    /// Makes the call; what it writes goes into the empty folder that is given.
    pub(super) call: Box<dyn Fn(&Path) -> Call + 'a>,
}

impl<'a> Contender<'a> {
    pub(super) fn new(name: impl Into<String>, call: impl Fn(&Path) -> Call + 'a) -> Self {
        Self {
            name: name.into(),
            call: Box::new(call),
        }
    }
}

/// A program and its arguments.
pub(super) struct Call {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Call {
    pub(super) fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
        }
    }

    /// A line for `bash`, which fails if any part of a pipe does.
    pub(super) fn script(line: &str) -> Self {
        Self::new("bash").args(["-o", "pipefail", "-ec", line])
    }

    pub(super) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(super) fn args<T: Into<OsString>>(
        mut self,
        arguments: impl IntoIterator<Item = T>,
    ) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(super) fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        isolate(&mut command, home);
        command
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

/// What came out of several runs of one contender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// The median.
    pub(super) wall: Duration,
    /// Processor time in user mode, in seconds, the median; 0 where it was not taken.
    pub(super) user: f64,
    /// The largest peak, in KiB; 0 where it was not taken.
    pub(super) peak: u64,
}

impl Figures {
    /// How many times as fast as `other` this is.
    pub(super) fn faster_than(&self, other: &Self) -> f64 {
        other.wall.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// How a series is taken.
#[derive(Clone, Copy)]
pub(super) struct Series {
    rounds: usize,
    /// Takes processor time and peak memory too, which costs a millisecond of start.
    resources: bool,
}

impl Series {
    pub(super) fn of_times(rounds: usize) -> Self {
        let resources = false;
        Self { rounds, resources }
    }

    pub(super) fn with_resources(rounds: usize) -> Self {
        let resources = true;
        Self { rounds, resources }
    }
}

/// Runs the contenders in turn, `rounds` times each after one round that does not count.
///
/// # Errors
///
/// Where one of them fails: a failure is no measurement.
pub(super) fn interleave(
    contenders: &[Contender<'_>],
    scratch: &Path,
    series: Series,
) -> anyhow::Result<Vec<Figures>> {
    let home = scratch.join("home");
    std::fs::create_dir_all(&home)?;
    let mut taken: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=series.rounds {
        for (contender, samples) in contenders.iter().zip(&mut taken) {
            let folder = scratch.join("out");
            std::fs::create_dir_all(&folder)?;
            // What the last one wrote must not be brought to the disk at this one's expense.
            settle();
            let sample = run(&(contender.call)(&folder), &home, scratch, series.resources)
                .with_context(|| contender.name.clone())?;
            std::fs::remove_dir_all(&folder)?;
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(taken.iter().map(|samples| summary(samples)).collect())
}

#[derive(Clone, Copy)]
struct Sample {
    wall: Duration,
    user: f64,
    peak: u64,
}

fn run(call: &Call, home: &Path, scratch: &Path, resources: bool) -> anyhow::Result<Sample> {
    let resources = resources.then(time_program).flatten();
    let report = scratch.join("resources");
    let mut command = match &resources {
        Some(time) => {
            let wrapped = Call::new(time)
                .args(["-f", "%U %M", "-o"])
                .arg(&report)
                .arg(&call.program)
                .args(&call.arguments);
            wrapped.command(home)
        }
        None => call.command(home),
    };
    let start = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", call.program.display()))?;
    let wall = start.elapsed();
    anyhow::ensure!(
        status.success(),
        "{status}: {} {}",
        call.program.display(),
        shown(&call.arguments)
    );
    let (user, peak) = match resources {
        Some(_) => parse(&std::fs::read_to_string(&report)?).context("`time` printed nothing")?,
        None => (0.0, 0),
    };
    Ok(Sample { wall, user, peak })
}

/// GNU time, which gets the figures of a program from the kernel. It is small, so that a program's
/// peak is not that of the process that started it.
pub(super) fn time_program() -> Option<PathBuf> {
    tools::find("time")
}

fn parse(text: &str) -> Option<(f64, u64)> {
    let (user, peak) = text.trim().split_once(' ')?;
    Some((user.parse().ok()?, peak.parse().ok()?))
}

fn summary(samples: &[Sample]) -> Figures {
    let mut walls: Vec<Duration> = samples.iter().map(|sample| sample.wall).collect();
    walls.sort_unstable();
    let mut users: Vec<f64> = samples.iter().map(|sample| sample.user).collect();
    users.sort_unstable_by(f64::total_cmp);
    Figures {
        wall: walls.get(walls.len() / 2).copied().unwrap_or_default(),
        user: users.get(users.len() / 2).copied().unwrap_or_default(),
        peak: samples.iter().map(|sample| sample.peak).max().unwrap_or(0),
    }
}

/// Brings everything to the disk.
pub(super) fn settle() {
    // Where there is no `sync`, the next run is measured with what is left of the last one.
    let _ = Command::new("sync").status();
}

fn shown(arguments: &[OsString]) -> String {
    let words: Vec<_> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .collect();
    words.join(" ")
}

/// Runs a program once and returns what it prints.
pub(super) fn output(call: &Call, home: &Path) -> anyhow::Result<String> {
    let mut command = call.command(home);
    let output = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{} {}: {}\n{}",
        call.program.display(),
        shown(&call.arguments),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Starts `count` of a program at once and returns how long all took; every one must succeed.
pub(super) fn together(call: &Call, home: &Path, count: usize) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let children = (0..count)
        .map(|_| Ok(call.command(home).spawn()?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for mut child in children {
        let status = child.wait()?;
        anyhow::ensure!(status.success(), "one of {count} failed: {status}");
    }
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_no_measurement() {
        let scratch = tempfile::tempdir().unwrap();
        let series = Series::with_resources(3);
        let good = [Contender::new("good", |_: &Path| Call::script("exit 0"))];
        let figures = interleave(&good, scratch.path(), series).unwrap();
        assert!(figures[0].wall > Duration::ZERO);
        let bad = [Contender::new("bad", |_: &Path| {
            Call::script("false | true")
        })];
        let error = interleave(&bad, scratch.path(), series).unwrap_err();
        assert_eq!(error.to_string(), "bad");
    }

    #[test]
    fn the_median_counts_and_the_largest_peak() {
        let sample = |wall, user, peak| Sample {
            wall: Duration::from_millis(wall),
            user,
            peak,
        };
        let figures = summary(&[sample(9, 0.3, 1), sample(1, 0.1, 7), sample(2, 0.2, 3)]);
        assert_eq!(figures.wall, Duration::from_millis(2));
        assert!((figures.user - 0.2).abs() < f64::EPSILON);
        assert_eq!(figures.peak, 7);
        assert_eq!(parse("0.25 13312\n"), Some((0.25, 13312)));
    }
}
