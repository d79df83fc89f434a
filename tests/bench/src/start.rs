//! Starting: the bare command, a warm load next to Extism alone, many plugins, many processes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use qmt_testkit::{FakeRegistry, ImageBuilder};
use xshell::cmd;

use super::measure::{self, Call, Contender, Series, interleave};
use super::module;
use super::report::{Row, Verdict, time};
use super::stage::{Signer, Stage, largest};

/// The function that is called, and what it is given.
const EXPORT: &str = "greet";
const INPUT: &str = "World";

/// `--version`.
pub(super) fn version(stage: &Stage, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let contender = Contender::new("qmt-plugins --version", |_: &Path| {
        Call::new(&stage.plugins).arg("--version")
    });
    let series = Series::of_times(rounds * 4);
    let figures = interleave(&[contender], stage.scratch(), series)?;
    let wall = figures.first().context("nothing was measured")?.wall;
    Ok(vec![Row {
        work: "`qmt-plugins --version`".to_owned(),
        ours: time(wall),
        against: String::new(),
        result: String::new(),
        reach: "≤ 10 ms".to_owned(),
        verdict: Verdict::of(wall <= Duration::from_millis(10)),
    }])
}

/// Config to first call, offline and verified again, next to Extism alone with and without its
/// compilation cache.
pub(super) fn warm(stage: &Stage, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let alone = stage.program("extism_alone")?;
    let module = module::with_code(3 << 20);
    let file = stage.scratch().join("code.wasm");
    std::fs::write(&file, &module)?;
    let image = ImageBuilder::wasm(module).build();
    let published = stage.publish("bench/code", &image, Signer::Keyless)?;
    let providers = format!(
        "[[providers]]\nname = \"code\"\npath = \"oci://{}\"\n",
        published.reference
    );
    let config = stage.config("warm", Signer::Keyless, &stage.host(), &providers)?;
    let cache = stage.scratch().join("cache-warm");
    let run = |rest: &[&str]| {
        Call::new(&stage.plugins)
            .arg("--config")
            .arg(&config)
            .arg("--cache-dir")
            .arg(&cache)
            .args(rest.iter().copied())
            .args(["--quiet", "run", "code", EXPORT, "--input", INPUT])
    };
    measure::output(&run(&[]), stage.scratch())?;
    let extism_cache = stage.scratch().join("cache-extism");
    let alone = |cache: Option<&PathBuf>| {
        let call = Call::new(&alone).arg(&file).args([EXPORT, INPUT]);
        match cache {
            Some(cache) => call.arg(cache),
            None => call,
        }
    };
    let contenders = [
        Contender::new("qmt-plugins run", |_: &Path| run(&["--offline"])),
        Contender::new("Extism alone", |_: &Path| alone(Some(&extism_cache))),
    ];
    let series = Series::of_times(rounds * 2);
    let figures = interleave(&contenders, stage.scratch(), series)?;
    let (mine, others) = figures.split_first().context("nothing was measured")?;
    let theirs = others.first().context("nothing to compare with")?;
    let cold = [Contender::new("Extism, nothing kept", |_: &Path| {
        alone(None)
    })];
    let series = Series::of_times(3);
    let cold = interleave(&cold, stage.scratch(), series)?;
    let cold = cold.first().context("nothing was measured")?;
    let ratio = 1.0 / mine.faster_than(theirs);
    let faster = mine.faster_than(cold);
    Ok(vec![
        Row {
            work:
                "warm start of a 3 MB module: config to first call, verified again, offline, whole \
                   process"
                    .to_owned(),
            ours: time(mine.wall),
            against: format!(
                "Extism alone with its compilation cache: {}",
                time(theirs.wall)
            ),
            result: format!("{ratio:.2} × its time"),
            reach: "≤ 0.5 × its time".to_owned(),
            verdict: Verdict::of(ratio <= 0.5),
        },
        Row {
            work: "the same next to a compilation".to_owned(),
            ours: time(mine.wall),
            against: format!("Extism without a cache: {}", time(cold.wall)),
            result: format!("{faster:.0} × as fast"),
            reach: "≥ 30 × faster".to_owned(),
            verdict: Verdict::of(faster >= 30.0),
        },
    ])
}

/// `load_all` of 100 plugins, next to one after another.
pub(super) fn many(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    const COUNT: usize = 100;
    let program = stage.program("load_all_time")?;
    let mut providers = String::new();
    let registry = FakeRegistry::builder().start()?;
    for nth in 0..COUNT {
        // Modules of their own: one that is shared would be compiled and read once.
        let module = module::with_code((64 << 10) + nth * 685);
        let repository = format!("bench/many{nth}");
        let image = ImageBuilder::wasm(module).build();
        stage.put(&registry, &repository, &image, Signer::Keyless);
        let path = format!("oci://{}/{repository}:1", registry.host());
        let _ = writeln!(
            providers,
            "[[providers]]\nname = \"p{nth}\"\npath = \"{path}\""
        );
    }
    let host = registry.host().to_string();
    let config = stage.config("many", Signer::Keyless, &host, &providers)?;
    let cache = stage.scratch().join("cache-many");
    let said = measure::output(
        &Call::new(program).arg(&config).arg(&cache),
        stage.scratch(),
    )?;
    let mut times = said.split_whitespace().map(str::parse::<u64>);
    let mut next = || {
        let nanoseconds = times.next().context("`load_all_time` says too little")??;
        anyhow::Ok(Duration::from_nanos(nanoseconds))
    };
    let (one_by_one, together) = (next()?, next()?);
    let ratio = one_by_one.as_secs_f64() / together.as_secs_f64();
    Ok(vec![Row {
        work: format!("`load_all` of {COUNT} plugins in one config, warm, in process"),
        ours: time(together),
        against: format!("one after another: {}", time(one_by_one)),
        result: format!("{ratio:.2} × as fast"),
        reach: "≥ 1.5 × on 2 cores".to_owned(),
        verdict: Verdict::of(ratio >= 1.5),
    }])
}

/// The look-up in a cache of many artifacts, next to a cache of few.
pub(super) fn lookup(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let program = stage.program("lookup_time")?;
    let said = measure::output(&Call::new(program), stage.scratch())?;
    let mut lines = said.lines().map(|line| -> anyhow::Result<_> {
        let (count, nanoseconds) = line
            .split_once(' ')
            .context("`lookup_time` says too little")?;
        Ok((count.to_owned(), Duration::from_nanos(nanoseconds.parse()?)))
    });
    let mut next = || lines.next().context("`lookup_time` says too little")?;
    let ((few, small), (many, large)) = (next()?, next()?);
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    Ok(vec![Row {
        work: format!("look-up in a cache of {many} artifacts"),
        ours: format!("{:.1} µs", large.as_secs_f64() * 1e6),
        against: format!("of {few} artifacts: {:.1} µs", small.as_secs_f64() * 1e6),
        result: format!("{ratio:.2} × its time"),
        reach: "≤ 1.2 ×".to_owned(),
        verdict: Verdict::of(ratio <= 1.2),
    }])
}

/// Many processes that pull the same digest into one cache at once.
pub(super) fn herd(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for count in [16, 64] {
        let registry = FakeRegistry::builder().start()?;
        let image = ImageBuilder::wasm(module::random(8 << 20)).build();
        let layer = largest(&image)?.clone();
        stage.put(&registry, "bench/herd", &image, Signer::Key);
        let host = registry.host().to_string();
        let config = stage.config("herd", Signer::Key, &host, "")?;
        let cache = stage.scratch().join(format!("cache-herd{count}"));
        let call = Call::new(&stage.plugins)
            .arg("--config")
            .arg(&config)
            .arg("--cache-dir")
            .arg(&cache)
            .args(["--quiet", "pull"])
            .arg(format!("{host}/bench/herd:1"));
        let took = measure::together(&call, stage.scratch(), count)?;
        let downloads = registry.count("GET", &format!("*{layer}*"));
        rows.push(Row {
            work: format!("{count} processes pull the same 8 MiB into one cache at once"),
            ours: format!("{}, all succeed", time(took)),
            against: String::new(),
            result: format!("{downloads} download"),
            reach: "1 download, all succeed".to_owned(),
            verdict: Verdict::of(downloads == 1),
        });
    }
    Ok(rows)
}

/// `cargo build -p qmt-oci-ref` into an empty target folder.
pub(super) fn vocabulary(stage: &Stage) -> anyhow::Result<Vec<Row>> {
    let sh = &stage.sh;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let tree = cmd!(
        sh,
        "{cargo} tree --locked --package qmt-oci-ref --edges normal --prefix none"
    )
    .quiet()
    .read()?;
    let heavy = ["tokio ", "reqwest "]
        .iter()
        .filter(|name| tree.lines().any(|line| line.starts_with(**name)))
        .count();
    let target = stage.scratch().join("cold");
    let start = Instant::now();
    cmd!(
        sh,
        "{cargo} build --locked --package qmt-oci-ref --target-dir {target}"
    )
    .quiet()
    .ignore_stderr()
    .run()?;
    let took = start.elapsed();
    sh.remove_path(target)?;
    let crates = tree.lines().count();
    Ok(vec![Row {
        work: "`cargo build -p qmt-oci-ref`, cold".to_owned(),
        ours: time(took),
        against: String::new(),
        result: format!("{crates} crates, {heavy} of tokio and reqwest"),
        reach: "≤ 10 s, no tokio, no reqwest".to_owned(),
        verdict: Verdict::of(took <= Duration::from_secs(10) && heavy == 0),
    }])
}
