//! Verification: the whole process next to cosign's, and one signature in process.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use qmt_testkit::ImageBuilder;

use super::measure::{self, Call, Contender, Series, interleave};
use super::report::{Row, Verdict, time};
use super::stage::{IDENTITY, ISSUER, Signer, Stage};
use qmt_interop::tools;

const REACH: &str = "≥ 3 × faster";

/// `verify REF` next to `cosign verify`, keyless and by key.
pub(super) fn whole(stage: &Stage, rounds: usize) -> anyhow::Result<Vec<Row>> {
    [Signer::Keyless, Signer::Key]
        .into_iter()
        .map(|signer| one(stage, signer, rounds))
        .collect()
}

fn one(stage: &Stage, signer: Signer, rounds: usize) -> anyhow::Result<Row> {
    let (name, how) = match signer {
        Signer::Keyless => ("keyless", "signed keyless, logged in Rekor"),
        Signer::Key => ("key", "signed by a key, logged in Rekor"),
    };
    let image = ImageBuilder::wasm(qmt_testkit::plugins::echo_wasm()).build();
    let published = stage.publish(&format!("bench/{name}"), &image, signer)?;
    let config = stage.config(name, signer, &stage.host(), "")?;
    let reference = published.reference.as_str();
    let trusted_root = stage.trusted_root();
    let key = stage.key();
    let cache = stage.scratch().join(format!("cache-{name}"));
    let mut contenders = vec![Contender::new("qmt-plugins verify", |_: &Path| {
        Call::new(&stage.plugins)
            .arg("--config")
            .arg(&config)
            .arg("--cache-dir")
            .arg(&cache)
            .args(["--quiet", "verify", reference])
    })];
    let mut refused = Vec::new();
    for cosign in ["cosign3", "cosign2"] {
        let Some(program) = tools::find(cosign) else {
            continue;
        };
        let (trusted_root, key) = (&trusted_root, &key);
        let call = move || {
            let call = Call::new(&program)
                .args(["verify", "--allow-http-registry", "--trusted-root"])
                .arg(trusted_root);
            let call = match signer {
                Signer::Keyless => call.args([
                    "--certificate-identity",
                    IDENTITY,
                    "--certificate-oidc-issuer",
                    ISSUER,
                ]),
                Signer::Key => call.arg("--key").arg(key),
            };
            call.arg(reference)
        };
        match measure::output(&call(), stage.scratch()) {
            Ok(_) => contenders.push(Contender::new(cosign, move |_: &Path| call())),
            Err(error) => refused.push(format!(
                "{cosign} refuses it: {}",
                error.to_string().lines().last().unwrap_or_default()
            )),
        }
    }
    let work = format!("`verify` of an image {how}, whole process, from loopback");
    if contenders.len() == 1 {
        return Ok(Row::skipped(&work, REACH, refused.join("; ")));
    }
    let series = Series::of_times(rounds * 4);
    let figures = interleave(&contenders, stage.scratch(), series)?;
    let (mine, others) = figures.split_first().context("nothing was measured")?;
    let against: Vec<String> = contenders
        .iter()
        .skip(1)
        .zip(others)
        .map(|(one, figures)| format!("{} verify: {}", one.name, time(figures.wall)))
        .chain(refused)
        .collect();
    let ratio = others
        .iter()
        .map(|theirs| mine.faster_than(theirs))
        .fold(f64::INFINITY, f64::min);
    Ok(Row {
        work,
        ours: time(mine.wall),
        against: against.join("; "),
        result: format!("{ratio:.1} × as fast"),
        reach: REACH.to_owned(),
        verdict: Verdict::of(ratio >= 3.0),
    })
}

/// The verification of one signature that is at hand.
pub(super) fn in_process(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let program = stage.program("verify_time")?;
    let said = measure::output(&Call::new(program), stage.scratch())?;
    let mut rows = Vec::new();
    for line in said.lines() {
        let (name, nanoseconds) = line
            .rsplit_once(' ')
            .context("`verify_time` says nothing")?;
        let took = Duration::from_nanos(nanoseconds.parse()?);
        rows.push(Row {
            work: format!("verify one cached keyless signature in process ({name})"),
            ours: time(took),
            against: String::new(),
            result: String::new(),
            reach: "≤ 1 ms".to_owned(),
            verdict: Verdict::of(took <= Duration::from_millis(1)),
        });
    }
    Ok(rows)
}
