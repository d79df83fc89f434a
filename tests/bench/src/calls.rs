//! Calls that do nothing, and instances made for one call, next to crate `extism`.

use std::time::Duration;

use anyhow::Context as _;

use super::measure::{self, Call};
use super::report::{Row, Verdict};
use super::stage::Stage;

/// The figures of `calls_time`, by name: what is measured, and how long it may take.
const FIGURES: [(&str, &str, Duration); 3] = [
    (
        "call",
        "call of an empty export, awaited",
        Duration::from_micros(5),
    ),
    (
        "blocking",
        "call of an empty export, blocking",
        Duration::from_micros(1),
    ),
    (
        "instance",
        "instance made and called",
        Duration::from_micros(50),
    ),
];

pub(super) fn calls(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let program = stage.program("calls_time")?;
    let said = measure::output(&Call::new(program), stage.scratch())?;
    let mut rows = Vec::new();
    for (name, work, limit) in FIGURES {
        let (ours, theirs) = pair(&said, name)?;
        let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
        rows.push(Row {
            work: work.to_owned(),
            ours: microseconds(ours),
            against: format!("crate `extism`: {}", microseconds(theirs)),
            result: format!("{ratio:.1} × as fast"),
            reach: format!("≤ {} µs", limit.as_micros()),
            verdict: Verdict::of(ours <= limit),
        });
    }
    let (ours, engine) = pair(&said, "engine")?;
    let ratio = ours.as_secs_f64() / engine.as_secs_f64();
    rows.push(Row {
        work: "call of an empty export, blocking, next to wasmtime's own call".to_owned(),
        ours: microseconds(ours),
        against: format!("wasmtime: {}", microseconds(engine)),
        result: format!("{ratio:.2} × its time"),
        reach: "≤ 1.2 × its time".to_owned(),
        verdict: Verdict::of(ratio <= 1.2),
    });
    Ok(rows)
}

/// Returns the two times of the figure `name`: ours, and the other.
fn pair(said: &str, name: &str) -> anyhow::Result<(Duration, Duration)> {
    let line = said.lines().find_map(|line| line.strip_prefix(name));
    let mut times = line
        .context("`calls_time` says too little")?
        .split_whitespace()
        .map(str::parse::<u64>);
    let mut next = || {
        let time = times.next().context("`calls_time` says too little")??;
        anyhow::Ok(Duration::from_nanos(time))
    };
    Ok((next()?, next()?))
}

fn microseconds(time: Duration) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6)
}
