//! Calls of an isolated native plugin, next to a round trip to another process.

use std::time::Duration;

use anyhow::Context as _;

use super::measure::{self, Call};
use super::report::{Row, Verdict};
use super::stage::Stage;

/// What a call may take beyond the round trip.
const OVERHEAD: Duration = Duration::from_micros(30);

pub(super) fn calls(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let program = stage.program("isolated_time")?;
    let said = measure::output(&Call::new(program), stage.scratch())?;
    [
        ("call", "call of an isolated native plugin, awaited"),
        ("blocking", "call of an isolated native plugin, blocking"),
    ]
    .into_iter()
    .map(|(name, work)| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        let times = line
            .context("`isolated_time` says too little")?
            .split_whitespace();
        let times: Vec<u64> = times.map(str::parse).collect::<Result<_, _>>()?;
        let [ours, pipe] = times[..] else {
            anyhow::bail!("`isolated_time` says too little");
        };
        let overhead = Duration::from_nanos(ours.saturating_sub(pipe));
        Ok(Row {
            work: work.to_owned(),
            ours: microseconds(Duration::from_nanos(ours)),
            against: format!(
                "round trip to a child over a pair of sockets: {}",
                microseconds(Duration::from_nanos(pipe))
            ),
            result: format!("+{}", microseconds(overhead)),
            reach: format!("≤ +{} µs", OVERHEAD.as_micros()),
            verdict: Verdict::of(overhead <= OVERHEAD),
        })
    })
    .collect()
}

fn microseconds(time: Duration) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6)
}
