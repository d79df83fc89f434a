//! Writes a run down as fixtures: an OCI layout with every image and signature, what is trusted, and
//! each attempt with its result, so that the plain tests can play it again without any program.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use super::attempts::Which;
use super::cases::{Log, Place, Program};
use super::images::Image;
use super::instance::Instance;
use super::scene::Outcome;
use super::{Played, images};
use crate::real;
use crate::tools;

/// Where a run is written down.
pub(super) struct Recorder<'a> {
    pub(super) sh: &'a Shell,
    pub(super) folder: &'a Path,
    pub(super) instance: &'a Instance,
    pub(super) place: &'a images::Place,
}

impl Recorder<'_> {
    /// Writes the layout, the trust and `cases.json`.
    pub(super) fn write(&self, played: &[Played]) -> anyhow::Result<()> {
        let trust = self.folder.join("trust");
        std::fs::create_dir_all(&trust)?;
        for entry in std::fs::read_dir(&self.instance.trust)? {
            let entry = entry?;
            std::fs::copy(entry.path(), trust.join(entry.file_name()))?;
        }
        let mut cases = Vec::new();
        for one in played {
            let name = one.case.name;
            for (which, image) in [
                (Which::Own, &one.scene.own),
                (Which::Copied, &one.scene.copied),
                (Which::Tampered, &one.scene.tampered),
            ] {
                let is_asked = |outcome: &Outcome| outcome.attempt.image == which;
                if one.outcomes.iter().any(is_asked) {
                    self.copy(image, &tag(name, which))?;
                }
            }
            let attempts: Vec<Value> = one
                .outcomes
                .iter()
                // The layout is no repository of that name.
                .filter(|outcome| outcome.attempt.name != "signed-name")
                .map(|outcome| self.attempt(one, outcome))
                .collect::<anyhow::Result<_>>()?;
            cases.push(json!({
                "name": name,
                "signed_by": one.case.program.tool(),
                "log": log(one.case.log),
                "place": place(one.case.place),
                "attempts": attempts,
            }));
        }
        let about = json!({
            "cosign2": tools::version(Program::Cosign2.tool()),
            "cosign3": tools::version(Program::Cosign3.tool()),
            "cases": cases,
        });
        let text = serde_json::to_string_pretty(&about)? + "\n";
        std::fs::write(self.folder.join("cases.json"), text)?;
        Ok(())
    }

    fn attempt(&self, played: &Played, outcome: &Outcome) -> anyhow::Result<Value> {
        let attempt = &outcome.attempt;
        // In a layout, every image has moved.
        let which = match attempt.image {
            Which::Moved => Which::Own,
            which => which,
        };
        let image = played.scene.image(which).context("no such image")?;
        let instance = self.instance;
        let config = attempt
            .config()
            .replace("{people}", &instance.people.url())
            .replace("{workflows}", &instance.workflows.url());
        Ok(json!({
            "name": attempt.name,
            "tag": tag(played.case.name, which),
            "digest": image.digest,
            "config": config,
            "refused": attempt.refused,
            "cosign3_accepts": outcome.cosign_accepts,
        }))
    }

    fn copy(&self, image: &Image, tag: &str) -> anyhow::Result<()> {
        let regctl = real::tool("regctl")?;
        let host = format!("reg={},tls=disabled", self.place.host);
        let from = image.pinned();
        let to = format!("ocidir://{}:{tag}", self.folder.join("layout").display());
        real::quietly(cmd!(
            self.sh,
            "{regctl} image copy --digest-tags --referrers --host {host} {from} {to}"
        ))
        .map(drop)
    }
}

fn tag(case: &str, which: Which) -> String {
    match which {
        Which::Own | Which::Moved => case.to_owned(),
        Which::Copied => format!("{case}-copied"),
        Which::Tampered => format!("{case}-tampered"),
    }
}

fn log(log: Log) -> &'static str {
    match log {
        Log::None => "none",
        Log::Rekor1 => "Rekor v1",
        Log::Rekor2 => "Rekor v2",
    }
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Sig => ".sig",
        Place::Referrer => "cosign 2 referrer",
        Place::Bundle => "bundle",
    }
}
