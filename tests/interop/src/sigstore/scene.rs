//! One case in one registry: the images, the signature, and every attempt at it by us and by cosign.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::attempts::{self, Attempt, CONFIG, Which};
use super::cases::{Case, Place, Program};
use super::cosign::Cosign;
use super::differences::Difference;
use super::images::{self, Image, Images};
use super::instance::Instance;
use qmt_e2e_tests::command::{Answer, Plugins};

/// What is not verified.
const NOT_VERIFIED: i32 = 3;

/// The images of a case.
pub(super) struct Scene {
    pub(super) own: Image,
    pub(super) copied: Image,
    pub(super) tampered: Image,
    moved: Option<Image>,
}

/// What an attempt came to.
pub(super) struct Outcome {
    pub(super) attempt: Attempt,
    /// The result of cosign 3, where it has options for the attempt.
    pub(super) cosign_accepts: Option<bool>,
}

/// Where a case is played.
pub(super) struct Stage<'a> {
    pub(super) case: &'a Case,
    pub(super) folder: PathBuf,
    pub(super) place: &'a images::Place,
    pub(super) cosign: Cosign<'a>,
    pub(super) plugins: Plugins,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        case: &'a Case,
        home: &'a Path,
        place: &'a images::Place,
        instance: &'a Instance,
        plugins: &Plugins,
    ) -> anyhow::Result<Self> {
        let folder = home.join(place.name).join(case.name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            case,
            place,
            cosign: Cosign::new(home, instance)?,
            plugins: plugins.at_home(&folder.join("home")),
            folder,
        })
    }

    /// Pushes the images and signs.
    pub(super) fn prepare(&self) -> anyhow::Result<Scene> {
        let name = self.case.name;
        let images = Images::new(&self.folder, self.place)?;
        let repository = format!("sigstore/{name}");
        let own = images.push(&repository, name)?;
        self.cosign.sign(self.case, &own.pinned())?;
        if let Some(second) = self.case.second() {
            self.cosign.sign(&second, &own.pinned())?;
        }

        let copied = images.push(&repository, &format!("{name}-copied"))?;
        images
            .transplant(self.case.place, &own, &copied, false)
            .context("a copied signature")?;

        let tampered = format!("{name}-tampered");
        let good = images.push(&format!("{repository}-intact"), &tampered)?;
        self.cosign.sign(self.case, &good.pinned())?;
        let tampered = images.push(&repository, &tampered)?;
        images
            .transplant(self.case.place, &good, &tampered, true)
            .context("a tampered signature")?;

        let moved = (self.case.place == Place::Sig)
            .then(|| images.copy(&own, name, &format!("{repository}-moved")))
            .transpose()?;
        Ok(Scene {
            own,
            copied,
            tampered,
            moved,
        })
    }

    /// Every attempt; `wrong` gets what came out otherwise than it should.
    pub(super) fn play(
        &self,
        scene: &Scene,
        wrong: &mut Vec<String>,
    ) -> anyhow::Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for attempt in attempts::of(self.case) {
            let image = scene.image(attempt.image).context("no such image")?;
            let answer = self.ask_us(&attempt, image)?;
            let place = format!("{} {} in {}", self.case.name, attempt.name, self.place.host);
            if let Err(problem) = check(&attempt, &answer, &image.digest) {
                wrong.push(format!("{place}: {problem}\n{}", answer.transcript()));
            }
            let cosign_accepts = self.ask_cosign(&attempt, image, wrong)?;
            outcomes.push(Outcome {
                attempt,
                cosign_accepts,
            });
        }
        Ok(outcomes)
    }

    fn ask_us(&self, attempt: &Attempt, image: &Image) -> anyhow::Result<Answer> {
        let file = self.folder.join("plugins.toml");
        let text = format!(
            "{}[registries.\"{}\"]\nplain_http = true\n",
            self.cosign.filled(&attempt.config()),
            self.place.host
        );
        std::fs::write(&file, text)?;
        let file = file.to_str().context("a path that is not UTF-8")?;
        let cache = self.folder.join("cache");
        let cache = cache.to_str().context("a path that is not UTF-8")?;
        let pinned = image.pinned();
        let arguments = ["verify", "--format", "json", "--config", file];
        let arguments = [&arguments[..], &["--cache-dir", cache, &pinned]].concat();
        self.plugins.run(&self.folder, &arguments)
    }

    /// Asks cosign 3, and cosign 2 about what it made itself.
    fn ask_cosign(
        &self,
        attempt: &Attempt,
        image: &Image,
        wrong: &mut Vec<String>,
    ) -> anyhow::Result<Option<bool>> {
        let Some(options) = &attempt.cosign else {
            return Ok(None);
        };
        let we_accept = attempt.refused.is_none();
        let known = Difference::of(self.case.name, attempt.name)
            .is_some_and(|known| known.we_accept == we_accept);
        let mut ask = |program: Program| {
            let said = self.cosign.verify(program, options, &image.pinned())?;
            let accepts = said.is_none();
            if known == (accepts == we_accept) {
                wrong.push(format!(
                    "{} {}: {} {}, we {}, and that is {} listed as a difference: {}",
                    self.case.name,
                    attempt.name,
                    program.tool(),
                    verb(accepts),
                    verb(we_accept),
                    if known { "still" } else { "not" },
                    said.unwrap_or_default()
                ));
            }
            anyhow::Ok(accepts)
        };
        // Each cosign must take what it made itself.
        if attempt.name == "right" && self.case.program == Program::Cosign2 {
            ask(Program::Cosign2)?;
        }
        ask(Program::Cosign3).map(Some)
    }
}

impl Scene {
    pub(super) fn image(&self, which: Which) -> Option<&Image> {
        match which {
            Which::Own => Some(&self.own),
            Which::Copied => Some(&self.copied),
            Which::Tampered => Some(&self.tampered),
            Which::Moved => self.moved.as_ref(),
        }
    }
}

/// The exit code, and that it is about this digest or that the refusal is of the right kind.
fn check(attempt: &Attempt, answer: &Answer, digest: &str) -> anyhow::Result<()> {
    let Some(kind) = attempt.refused else {
        anyhow::ensure!(answer.code == Some(0), "is not accepted");
        anyhow::ensure!(answer.stdout.contains(digest), "does not name the digest");
        return Ok(());
    };
    if kind == CONFIG {
        anyhow::ensure!(answer.code == Some(6), "is not refused with exit code 6");
        return Ok(());
    }
    anyhow::ensure!(
        answer.code == Some(NOT_VERIFIED),
        "is not refused with exit code {NOT_VERIFIED}"
    );
    let said: Value = serde_json::from_str(&answer.stdout).context("no JSON")?;
    let rejected = said.pointer("/error/rejected").and_then(Value::as_array);
    let rejected = rejected.context("nothing is said about signatures")?;
    anyhow::ensure!(
        rejected.iter().any(|one| one["code"] == kind),
        "is not refused as `{kind}`"
    );
    Ok(())
}

fn verb(accepts: bool) -> &'static str {
    if accepts { "accepts" } else { "refuses" }
}
