//! A real Sigstore in the real tier: Fulcio, Rekor v1 and v2, a timestamp authority and two OIDC
//! issuers on loopback. cosign 2 and 3 sign there; every signature is accepted by us under the right
//! constraints and refused under wrong ones, and cosign verifies the same.

mod attempts;
mod authority;
mod cases;
mod cosign;
mod ct_log;
mod differences;
mod images;
mod instance;
mod oidc;
mod processes;
mod record;
mod rekor1;
mod scene;
mod services;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use self::cases::{CASES, Case, Log};
use self::differences::DIFFERENCES;
use self::instance::Instance;
use self::record::Recorder;
use self::scene::{Outcome, Scene, Stage};
use super::servers::{REGISTRIES, Registry};
use crate::tools;
use qmt_e2e_tests::command::Plugins;

/// One registry with the referrers API and one without.
const PROGRAMS: [&str; 2] = ["ggcr-registry", "distribution3"];
/// How many cases are played at the same time.
const WORKERS: usize = 4;

/// A case that was played.
struct Played {
    case: &'static Case,
    scene: Scene,
    outcomes: Vec<Outcome>,
}

/// Plays every case in both registries, where nothing is [`missing`].
pub(super) fn run(sh: &Shell, plugins: &Plugins, folder: &Path) -> anyhow::Result<usize> {
    let instance = Instance::start(sh, folder).context("the private Sigstore")?;
    cosign::make_keys(sh, folder, &instance.trust)?;
    let mut checks = 0;
    for program in PROGRAMS {
        let (place, _registry) = start(program, folder)?;
        let played = play(&instance, plugins, folder, &place)?;
        checks += count(&played);
    }
    println!("        known to differ: case, attempt, we, cosign 3, why");
    for difference in DIFFERENCES {
        println!("        {}", difference.row());
    }
    Ok(checks)
}

/// Records `fixtures/sigstore/cosign`. The old recording is replaced only by a complete new one.
pub fn record_fixtures() -> anyhow::Result<()> {
    let sh = crate::shell()?;
    let scratch = sh.create_temp_dir()?;
    let attempts = record(&sh, scratch.path())?;
    let folder = qmt_e2e_tests::root().join("fixtures/sigstore/cosign");
    sh.remove_path(&folder)?;
    sh.create_dir(&folder)?;
    let fresh = scratch.path();
    cmd!(sh, "cp -R {fresh}/. {folder}").quiet().run()?;
    println!("fixtures: {attempts} attempts at what cosign signed");
    Ok(())
}

/// Plays every case in the first registry and writes it down in the folder `target`; returns how
/// many attempts there are.
fn record(sh: &Shell, target: &Path) -> anyhow::Result<usize> {
    let mut missing = missing();
    missing.extend(tools::missing(rekor1::NEEDED));
    anyhow::ensure!(
        missing.is_empty(),
        "not installed: {}; run `cargo xtask tools`",
        missing.join(", ")
    );
    let scratch = sh.create_temp_dir()?;
    let folder = scratch.path();
    let plugins = Plugins::built(folder)?;
    let instance = Instance::start(sh, folder).context("the private Sigstore")?;
    cosign::make_keys(sh, folder, &instance.trust)?;
    let (place, _registry) = start(PROGRAMS[0], folder)?;
    let played = play(&instance, &plugins, folder, &place)?;
    let recorder = Recorder {
        sh,
        folder: target,
        instance: &instance,
        place: &place,
    };
    recorder.write(&played)?;
    Ok(played.iter().map(|played| played.outcomes.len()).sum())
}

/// What must be installed and is not.
pub(super) fn missing() -> Vec<&'static str> {
    let needed = [instance::NEEDED, &["cosign2", "oras", "regctl"], &PROGRAMS].concat();
    tools::missing(&needed)
}

/// The number of our results and cosign's.
fn count(played: &[Played]) -> usize {
    let outcomes = played.iter().flat_map(|played| &played.outcomes);
    outcomes
        .map(|outcome| 1 + usize::from(outcome.cosign_accepts.is_some()))
        .sum()
}

/// Starts a registry with a folder of its own.
fn start(tool: &'static str, folder: &Path) -> anyhow::Result<(images::Place, Registry)> {
    let own = folder.join(tool);
    std::fs::create_dir(&own)?;
    let program = REGISTRIES.iter().find(|registry| registry.tools == [tool]);
    let registry = Registry::start(program.context("no such registry")?, &own)?;
    let place = images::Place {
        host: registry.host(),
        name: tool,
    };
    Ok((place, registry))
}

/// Plays every case that the services allow, several at a time.
fn play(
    instance: &Instance,
    plugins: &Plugins,
    home: &Path,
    place: &images::Place,
) -> anyhow::Result<Vec<Played>> {
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| case.log != Log::Rekor1 || instance.rekor1.is_some())
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut wrong = Vec::new();
            let result = play_one(case, instance, plugins, home, place, &mut wrong);
            done.push((result.with_context(|| case.name), wrong));
        }
        done
    };
    let results = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(std::thread::ScopedJoinHandle::join);
        results.collect::<Result<Vec<_>, _>>()
    });
    let results = results.map_err(|_| anyhow::anyhow!("a worker panicked"))?;
    let (mut played, mut problems) = (Vec::new(), Vec::new());
    for (result, wrong) in results.into_iter().flatten() {
        problems.extend(wrong);
        match result {
            Ok(one) => played.push(one),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n\n"));
    played.sort_by_key(|played| played.case.name);
    Ok(played)
}

fn play_one(
    case: &'static Case,
    instance: &Instance,
    plugins: &Plugins,
    home: &Path,
    place: &images::Place,
    wrong: &mut Vec<String>,
) -> anyhow::Result<Played> {
    let stage = Stage::new(case, home, place, instance, plugins)?;
    let scene = stage.prepare()?;
    let outcomes = stage.play(&scene, wrong)?;
    Ok(Played {
        case,
        scene,
        outcomes,
    })
}
