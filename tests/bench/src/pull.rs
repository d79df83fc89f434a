//! Pulls: a raw Wasm layer and tar+gzip layers, to a verified file, next to other programs.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use qmt_testkit::ImageBuilder;

use super::measure::{self, Call, Contender, Figures, Series, interleave};
use super::module;
use super::report::{Row, Verdict, mebibytes, time};
use super::stage::{Published, Signer, Stage};
use qmt_interop::tools;

const MIB: usize = 1 << 20;
/// The most memory that a pull may take, in KiB, whatever the layer's size.
const PEAK_MAX: u64 = 16 * 1024;

const MEMORY_REACH: &str = "≤ 16 MiB, the same at both sizes";

/// `pull` of a raw layer of 256 MiB.
pub(super) fn raw(stage: &Stage, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let image = ImageBuilder::wasm(module::random(256 * MIB)).build();
    let published = stage.publish("bench/raw256", &image, Signer::Key)?;
    drop(image);
    let config = stage.config("pull", Signer::Key, &stage.host(), "")?;
    let mut contenders = vec![ours(stage, &config, &published)];
    let reference = published.reference.as_str();
    contenders.extend(crane(reference));
    contenders.extend(oras(reference));
    if let Some(skopeo) = tools::find("skopeo") {
        contenders.push(Contender::new("skopeo copy", move |folder: &Path| {
            Call::new(&skopeo)
                .args(["copy", "--insecure-policy", "--src-tls-verify=false"])
                .arg(format!("docker://{reference}"))
                .arg(format!("dir:{}", folder.join("image").display()))
        }));
    }
    let series = Series::with_resources(rounds);
    let figures = interleave(&contenders, stage.scratch(), series)?;
    let (mine, others) = split(&contenders, &figures)?;
    let fastest = than_the_fastest(mine, &others);
    Ok(vec![Row {
        work:
            "pull a Wasm layer of 256 MiB from distribution 3 to a file whose digest and signature \
               hold"
                .to_owned(),
        ours: told(mine),
        against: list(&others),
        result: format!("{fastest:.2} × as fast as the fastest"),
        reach: "≥ 1.2 × the fastest".to_owned(),
        verdict: Verdict::of(fastest >= 1.2),
    }])
}

/// The peak of `pull`, for a layer of 256 MiB and one of 1 GiB.
pub(super) fn memory(stage: &Stage, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let work = "peak memory of `pull`, layers of 256 MiB and 1 GiB, whole process";
    if measure::time_program().is_none() {
        return Ok(vec![Row::skipped(
            work,
            MEMORY_REACH,
            "GNU time is not installed",
        )]);
    }
    let config = stage.config("memory", Signer::Key, &stage.host(), "")?;
    let mut peaks = Vec::new();
    let mut theirs = Vec::new();
    for size in [256, 1024] {
        let image = ImageBuilder::wasm(module::random(size * MIB)).build();
        let published = stage.publish(&format!("bench/memory{size}"), &image, Signer::Key)?;
        drop(image);
        let mut contenders = vec![ours(stage, &config, &published)];
        let reference = published.reference.as_str();
        if size == 1024 {
            contenders.extend(crane(reference));
            contenders.extend(oras(reference));
        }
        let series = Series::with_resources(rounds.min(3));
        let figures = interleave(&contenders, stage.scratch(), series)?;
        let (mine, others) = split(&contenders, &figures)?;
        peaks.push(mine.peak);
        theirs.extend(
            others
                .iter()
                .map(|(name, figures)| format!("{name} of 1 GiB: {}", mebibytes(figures.peak))),
        );
    }
    let largest = peaks.iter().copied().max().unwrap_or(u64::MAX);
    let both: Vec<String> = peaks.iter().copied().map(mebibytes).collect();
    Ok(vec![Row {
        work: work.to_owned(),
        ours: both.join(" and "),
        against: theirs.join(", "),
        result: String::new(),
        reach: MEMORY_REACH.to_owned(),
        verdict: Verdict::of(largest <= PEAK_MAX),
    }])
}

/// `pull` of tar+gzip layers, next to `crane export | tar` and `curl | gzip | tar`.
pub(super) fn archives(stage: &Stage, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let reach = "at least as fast as either";
    let mut rows = Vec::new();
    let work = |what: &str| format!("pull a tar+gzip layer with {what} to the extracted file");
    let what = work("a real Wasm module of 14 MB");
    rows.push(match module::real(&stage.sh, stage.target()) {
        Ok(module) => archive(stage, "bench/real", module, what, reach, rounds * 2)?,
        Err(error) => Row::skipped(&what, reach, format!("{error:#}")),
    });
    let module = module::compressible(64 * MIB);
    let what = work("one of 64 MiB");
    rows.push(archive(stage, "bench/tar64", module, what, reach, rounds)?);
    Ok(rows)
}

fn archive(
    stage: &Stage,
    repository: &str,
    module: Vec<u8>,
    work: String,
    reach: &str,
    rounds: usize,
) -> anyhow::Result<Row> {
    let image = ImageBuilder::dockerfile(module).build();
    let published = stage.publish(repository, &image, Signer::Key)?;
    let config = stage.config("archive", Signer::Key, &stage.host(), "")?;
    let reference = published.reference.as_str();
    let url = published.layer_url.as_str();
    let crane = tools::find("crane").context("crane is not installed")?;
    let contenders = vec![
        ours(stage, &config, &published),
        Contender::new("`crane export \\| tar -x`", |folder: &Path| {
            Call::script(&format!(
                "{} export --insecure {reference} - | tar -x -C {}",
                crane.display(),
                folder.display()
            ))
        }),
        Contender::new(
            "`curl \\| tee >(sha256sum) \\| gzip -dc \\| tar -x`",
            |folder: &Path| {
                let folder = folder.display();
                Call::script(&format!(
                    "curl -sf {url} | tee >(sha256sum > {folder}/sum) | gzip -dc | tar -x -C {folder}"
                ))
            },
        ),
    ];
    let series = Series::with_resources(rounds);
    let figures = interleave(&contenders, stage.scratch(), series)?;
    let (mine, others) = split(&contenders, &figures)?;
    let fastest = than_the_fastest(mine, &others);
    Ok(Row {
        work,
        ours: told(mine),
        against: list(&others),
        result: format!("{fastest:.2} × as fast as the faster one"),
        reach: reach.to_owned(),
        verdict: Verdict::of(fastest >= 1.0),
    })
}

/// The command, into an empty cache.
fn ours<'a>(stage: &'a Stage, config: &'a Path, published: &'a Published) -> Contender<'a> {
    Contender::new("qmt-plugins pull", move |folder: &Path| {
        Call::new(&stage.plugins)
            .arg("--config")
            .arg(config)
            .arg("--cache-dir")
            .arg(folder.join("cache"))
            .args(["--quiet", "pull", &published.reference])
    })
}

fn crane(reference: &str) -> Option<Contender<'_>> {
    let crane = tools::find("crane")?;
    Some(Contender::new("crane pull", move |folder: &Path| {
        Call::new(&crane)
            .args(["pull", "--insecure", "--format=oci", reference])
            .arg(folder.join("image"))
    }))
}

fn oras(reference: &str) -> Option<Contender<'_>> {
    let oras = tools::find("oras")?;
    let name = "oras copy --to-oci-layout";
    Some(Contender::new(name, move |folder: &Path| {
        Call::new(&oras)
            .args(["cp", "--from-plain-http", "--no-tty", reference])
            .arg("--to-oci-layout")
            .arg(format!("{}:1", folder.join("image").display()))
    }))
}

type Named<'a> = (&'a str, &'a Figures);

fn split<'a>(
    contenders: &'a [Contender<'_>],
    figures: &'a [Figures],
) -> anyhow::Result<(&'a Figures, Vec<Named<'a>>)> {
    let (mine, others) = figures.split_first().context("nothing was measured")?;
    let names = contenders.iter().skip(1).map(|one| one.name.as_str());
    Ok((mine, names.zip(others).collect()))
}

/// How many times as fast as the fastest of the others.
fn than_the_fastest(mine: &Figures, others: &[Named<'_>]) -> f64 {
    let ratios = others.iter().map(|(_, theirs)| mine.faster_than(theirs));
    ratios.fold(f64::INFINITY, f64::min)
}

fn told(figures: &Figures) -> String {
    let mut text = time(figures.wall);
    if figures.peak > 0 {
        let peak = mebibytes(figures.peak);
        let _ = write!(text, " (user {:.2} s, {peak})", figures.user);
    }
    text
}

fn list(others: &[Named<'_>]) -> String {
    let parts: Vec<String> = others
        .iter()
        .map(|(name, figures)| format!("{name}: {}", told(figures)))
        .collect();
    parts.join("; ")
}
