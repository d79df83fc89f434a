//! `cargo xtask e2e --real`: the same journey with the programs of others. Real registries serve,
//! oras copies, cosign 2 and 3 sign, and the built command must accept and refuse as ever.
//!
//! Needs what `cargo xtask tools` installs. Every server listens on loopback and is ended here.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::servers::{self, REGISTRIES, Registry};
use super::tally::Tally;
use super::tier::Tier;
use super::{conformance, differential, keyless, keys, mirror, sigstore};
use crate::tools;
use qmt_e2e_tests::case::{Format, Image, Signature};
use qmt_e2e_tests::command::Plugins;
use qmt_e2e_tests::embedded::Embedded;
use qmt_e2e_tests::image::GREETING;

/// Without these there is no real tier.
pub const NEEDED: &[&str] = &["cosign2", "cosign3", "oras"];

/// Programs without which a part of each registry's checks is left out, and what that is.
const OPTIONAL: &[(&str, &str)] = &[
    ("crane", "images by crane, pulls by crane"),
    ("buildah", "images and indexes by buildah"),
    ("regctl", "pulls by regctl"),
    ("skopeo", "pulls by skopeo"),
];

pub(super) const IDENTITY: &str = "signer@example.com";
pub(super) const ISSUER: &str = "https://accounts.example.com";

const MIRROR: &str = "pull-through mirror";
const KEYS: &str = "kinds of key that publish signs with";
const CONFORMANCE: &str = "OCI conformance of the test kit";
const DIFFERENTIAL: &str = "differential against crate extism";
const SIGSTORE: &str = "real sigstore, cosign 2 and 3";

/// The word that cosign's key is encrypted with; the key lives as long as the run.
pub(super) const PASSWORD: &str = "throwaway";

/// Runs the tier against every registry program that is installed, at least one. With `parts`, only
/// what has one of them in its name.
pub fn run(parts: &[String]) -> anyhow::Result<()> {
    let wanted = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part));
    let missing = tools::missing(NEEDED);
    anyhow::ensure!(
        missing.is_empty(),
        "not installed: {}; run `cargo xtask tools`",
        missing.join(", ")
    );
    let sh = crate::shell()?;
    let scratch = sh.create_temp_dir()?;
    let plugins = Plugins::built(scratch.path())?;
    let embedded = Embedded::start()?;
    let trust = embedded.write_trust(scratch.path())?;
    let image = embedded.publish("e2e/greet", "1", Image::MultiPlatform, GREETING)?;
    let keyless = embedded.publish("e2e/keyless", "1", Image::MultiPlatform, GREETING)?;
    let signature = Signature::keyless(Format::Both, IDENTITY, ISSUER);
    embedded.sign(&keyless, &signature);
    let formats = keyless::publish(&embedded)?;

    let mut tally = Tally::default();
    for (program, checks) in OPTIONAL {
        if tools::find(program).is_none() {
            tally.skipped(checks, program);
        }
    }
    let folder = |name: &str| {
        // Some programs take few characters in a path.
        let name = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let folder = scratch.path().join(name);
        std::fs::create_dir(&folder).map(|()| folder)
    };
    let tier = |name: &str| {
        let folder = folder(name)?;
        anyhow::Ok(Tier {
            sh: &sh,
            plugins: plugins.at_home(&folder),
            folder,
            trust: &trust,
        })
    };
    for program in REGISTRIES.iter().filter(|program| wanted(program.name)) {
        let missing = tools::missing(program.tools);
        if !missing.is_empty() {
            tally.skipped(program.name, &missing.join(", "));
            continue;
        }
        let tier = tier(program.name)?;
        let result = Registry::start(program, &tier.folder).and_then(|registry| {
            let host = registry.host();
            if program.auth.is_some() {
                login(&sh, &tier.folder, &host)?;
            }
            let behaviours = conformance::behaviours(&sh, &host, program.auth.is_some())?;
            Ok(behaviours
                + tier.play(&host, &image, &keyless)?
                + tier.accepted_by_cosign(&host, &formats)?
                + tier.built_by_others(&host)?
                + tier.published(&host).context("what publish makes")?)
        });
        tally.take(program.name, result.map(Some));
    }
    if wanted(MIRROR) {
        tally.take(MIRROR, mirror::run(&tier(MIRROR)?, &image));
    }
    if wanted(KEYS) {
        tally.take(KEYS, keys::run(&tier(KEYS)?));
    }
    if wanted(CONFORMANCE) {
        let folder = folder("conformance")?;
        tally.take(CONFORMANCE, conformance::official(&sh, &folder));
    }
    if wanted(SIGSTORE) {
        let folder = folder("sigstore")?;
        let missing = sigstore::missing();
        if missing.is_empty() {
            tally.take(SIGSTORE, sigstore::run(&sh, &plugins, &folder).map(Some));
        } else {
            tally.skipped(SIGSTORE, &missing.join(", "));
        }
    }
    if wanted(DIFFERENTIAL) {
        let result = differential::run(&sh, &folder("differential")?, &mut tally);
        tally.take(DIFFERENTIAL, result.map(Some));
    }
    tally.finish()
}

/// Logs in with oras, which leaves a docker configuration in `home`; oras, cosign, buildah and our
/// command all read it.
fn login(sh: &Shell, home: &Path, host: &str) -> anyhow::Result<()> {
    let oras = tool("oras")?;
    let user = servers::USER;
    let login = cmd!(
        sh,
        "{oras} login --plain-http --username {user} --password-stdin {host}"
    );
    quietly(login.stdin(servers::PASSWORD).env("HOME", home)).map(drop)
}

/// Runs a program and returns its output; its messages are shown only if it fails.
pub(super) fn quietly(command: xshell::Cmd<'_>) -> anyhow::Result<String> {
    let shown = command.to_string();
    let output = command.quiet().ignore_status().output()?;
    anyhow::ensure!(
        output.status.success(),
        "`{shown}` ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

pub(super) fn tool(name: &str) -> anyhow::Result<PathBuf> {
    tools::find(name).with_context(|| format!("{name} is not installed"))
}
