//! `cargo xtask e2e --real`: the same journey with the programs of others. Real registries serve,
//! oras copies, cosign 2 and 3 sign, and the built command must accept and refuse as ever.
//!
//! Needs what `cargo xtask tools` installs. Every server listens on loopback and is ended here.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::case::{Format, Image, Signature};
use super::servers::{self, REGISTRIES, Registry};
use super::tally::Tally;
use super::{conformance, keys, mirror};
use crate::command::{Answer, Plugins};
use crate::embedded::{Embedded, Published, Trust};
use crate::image::GREETING;
use crate::{project, tools};

/// Without these there is no real tier.
pub(crate) const NEEDED: &[&str] = &["cosign2", "cosign3", "oras"];

/// Programs without which a part of each registry's checks is left out, and what that is.
const OPTIONAL: &[(&str, &str)] = &[
    ("crane", "images by crane, pulls by crane"),
    ("buildah", "images and indexes by buildah"),
    ("regctl", "pulls by regctl"),
    ("skopeo", "pulls by skopeo"),
];

const IDENTITY: &str = "signer@example.com";
const ISSUER: &str = "https://accounts.example.com";

const MIRROR: &str = "pull-through mirror";
const KEYS: &str = "kinds of key that publish signs with";
const CONFORMANCE: &str = "OCI conformance of the test kit";

/// The word that cosign's key is encrypted with; the key lives as long as the run.
pub(super) const PASSWORD: &str = "throwaway";

/// Runs the tier against every registry program that is installed, at least one. With `parts`, only
/// what has one of them in its name.
pub(super) fn run(parts: &[String]) -> anyhow::Result<()> {
    let wanted = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part));
    let missing = tools::missing(NEEDED);
    anyhow::ensure!(
        missing.is_empty(),
        "not installed: {}; run `cargo xtask tools`",
        missing.join(", ")
    );
    let sh = project::shell()?;
    let scratch = sh.create_temp_dir()?;
    let plugins = Plugins::build(&sh, scratch.path())?;
    let embedded = Embedded::start()?;
    let trust = embedded.write_trust(scratch.path())?;
    let image = embedded.publish("e2e/greet", "1", Image::MultiPlatform, GREETING)?;
    let keyless = embedded.publish("e2e/keyless", "1", Image::MultiPlatform, GREETING)?;
    let signature = Signature {
        format: Format::Both,
        identity: Some(IDENTITY.to_owned()),
        issuer: Some(ISSUER.to_owned()),
        key: None,
        copied: false,
    };
    embedded.sign(&keyless, &signature);

    let mut tally = Tally::default();
    for (program, checks) in OPTIONAL {
        if tools::find(program).is_none() {
            tally.skipped(checks, program);
        }
    }
    for (at, program) in REGISTRIES.iter().enumerate() {
        if !wanted(program.name) {
            continue;
        }
        let missing = tools::missing(program.tools);
        if !missing.is_empty() {
            tally.skipped(program.name, &missing.join(", "));
            continue;
        }
        let folder = scratch.path().join(format!("registry-{at}"));
        std::fs::create_dir(&folder)?;
        let result = Registry::start(program, &folder).and_then(|registry| {
            let host = registry.host();
            if program.auth.is_some() {
                login(&sh, &folder, &host)?;
            }
            let plugins = plugins.at_home(&folder);
            let tier = Tier {
                sh: &sh,
                plugins: &plugins,
                folder: &folder,
                trust: &trust,
            };
            let behaviours = conformance::behaviours(&sh, &host, program.auth.is_some())?;
            Ok(behaviours
                + tier.play(&host, &image, &keyless)?
                + tier.built_by_others(&host)?
                + tier.published(&host).context("what publish makes")?)
        });
        tally.take(program.name, result.map(Some));
    }
    for name in [MIRROR, KEYS].into_iter().filter(|name| wanted(name)) {
        let folder = scratch.path().join(name.replace(' ', "-"));
        std::fs::create_dir(&folder)?;
        let home = plugins.at_home(&folder);
        let tier = Tier {
            sh: &sh,
            plugins: &home,
            folder: &folder,
            trust: &trust,
        };
        tally.take(
            name,
            if name == MIRROR {
                mirror::run(&tier, &image)
            } else {
                keys::run(&tier)
            },
        );
    }
    if wanted(CONFORMANCE) {
        let folder = scratch.path().join("conformance");
        std::fs::create_dir(&folder)?;
        tally.take(CONFORMANCE, conformance::official(&sh, &folder));
    }
    tally.finish()
}

/// This machine as `publish --native` names it.
pub(super) fn platform() -> String {
    let platform = crate::image::host_platform();
    format!("{}/{}", platform.os, platform.architecture)
}

/// Everything that is checked against one registry.
pub(super) struct Tier<'a> {
    pub(super) sh: &'a Shell,
    pub(super) plugins: &'a Plugins,
    pub(super) folder: &'a Path,
    pub(super) trust: &'a Trust,
}

impl Tier<'_> {
    fn play(&self, host: &str, image: &Published, keyless: &Published) -> anyhow::Result<usize> {
        let mut checks = 0;
        for cosign in ["cosign2", "cosign3"] {
            let reference = format!("{host}/e2e/{cosign}:1");
            self.copy(&image.reference, &reference, false)?;
            let key = self.sign(cosign, &format!("{host}/e2e/{cosign}@{}", image.digest))?;
            let other = self.new_key(cosign, "other")?;
            let accepted = self.key_config(host, &reference, &key, cosign)?;
            let refused = self.key_config(host, &reference, &other, &format!("{cosign}-other"))?;
            checks += self
                .greet(&accepted)
                .with_context(|| format!("{cosign}, its key"))?;
            checks += self
                .refused(&refused)
                .with_context(|| format!("{cosign}, another key"))?;
        }
        // Signatures of the embedded Sigstore, moved by oras with the referrers and by tag.
        let reference = format!("{host}/e2e/keyless:1");
        self.copy(&keyless.reference, &reference, true)?;
        let accepted = self.keyless_config(host, &reference, IDENTITY, "keyless")?;
        let refused = self.keyless_config(host, &reference, "nobody@example.com", "nobody")?;
        checks += self.greet(&accepted).context("keyless")?;
        checks += self
            .refused(&refused)
            .context("keyless, another identity")?;

        let reference = format!("{host}/e2e/unsigned:1");
        self.copy(&image.reference, &reference, false)?;
        let refused = self.keyless_config(host, &reference, IDENTITY, "unsigned")?;
        checks += self.refused(&refused).context("unsigned")?;
        Ok(checks)
    }

    pub(super) fn copy(&self, from: &str, to: &str, with_referrers: bool) -> anyhow::Result<()> {
        let oras = tool("oras")?;
        let recursive: &[&str] = if with_referrers {
            &["--recursive"]
        } else {
            &[]
        };
        let copy = cmd!(
            self.sh,
            "{oras} cp {recursive...} --from-plain-http --to-plain-http {from} {to}"
        );
        quietly(copy.env("HOME", self.folder))
    }

    /// Signs with a fresh key and no log: what leaves this machine is nothing.
    pub(super) fn sign(&self, cosign: &str, image: &str) -> anyhow::Result<PathBuf> {
        let public = self.new_key(cosign, "signer")?;
        let private = public.with_extension("key");
        let program = tool(cosign)?;
        let sign = if cosign == "cosign2" {
            cmd!(
                self.sh,
                "{program} sign --key {private} --tlog-upload=false --allow-http-registry -y {image}"
            )
        } else {
            // A signing configuration without services: cosign 3's way to say "no log".
            let services = self.folder.join("signing-config.json");
            cmd!(self.sh, "{program} signing-config create --out {services}")
                .quiet()
                .run()?;
            cmd!(
                self.sh,
                "{program} sign --key {private} --signing-config {services} --allow-http-registry -y {image}"
            )
        };
        quietly(
            sign.env("COSIGN_PASSWORD", PASSWORD)
                .env("HOME", self.folder),
        )?;
        Ok(public)
    }

    pub(super) fn new_key(&self, cosign: &str, name: &str) -> anyhow::Result<PathBuf> {
        let program = tool(cosign)?;
        let prefix = self.folder.join(format!("{cosign}-{name}"));
        let public = prefix.with_extension("pub");
        if public.is_file() {
            return Ok(public);
        }
        let generate = cmd!(
            self.sh,
            "{program} generate-key-pair --output-key-prefix {prefix}"
        );
        quietly(generate.env("COSIGN_PASSWORD", PASSWORD))?;
        Ok(public)
    }

    pub(super) fn key_config(
        &self,
        host: &str,
        reference: &str,
        key: &Path,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let key = key.display();
        let policy = format!(
            r#"
[[oci.policy]]
scope = "**"
any_of = [{{ key = "{key}", transparency_log = "optional" }}]
"#
        );
        self.config(host, reference, "", &policy, name)
    }

    fn keyless_config(
        &self,
        host: &str,
        reference: &str,
        identity: &str,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let lines = format!("cert_email = \"{identity}\"\ncert_issuer = \"{ISSUER}\"\n");
        self.config(host, reference, &lines, "", name)
    }

    fn config(
        &self,
        host: &str,
        reference: &str,
        lines: &str,
        policy: &str,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let trusted_root = self.trust.trusted_root.display();
        let cache = self.folder.join(format!("cache-{name}"));
        let cache = cache.display();
        let text = format!(
            r#"[oci]
use_sigstore_tuf_data = false
trusted_root = "{trusted_root}"
cache_dir = "{cache}"
{lines}{policy}
[registries."{host}"]
plain_http = true

[[providers]]
name = "wasm"
path = "oci://{reference}"
kind = "wasm"

[[providers]]
name = "native"
path = "oci://{reference}"
kind = "native"
"#
        );
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("plugins.toml");
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// Both plugins of a configuration greet.
    pub(super) fn greet(&self, config: &Path) -> anyhow::Result<usize> {
        self.greets(config, &["wasm", "native"])
    }

    pub(super) fn greets(&self, config: &Path, names: &[&str]) -> anyhow::Result<usize> {
        for name in names {
            let answer = self.run(config, name)?;
            anyhow::ensure!(
                answer.code == Some(0)
                    && answer.stdout.contains(&format!("Hello, World! ({name})")),
                "{name} does not greet\n{}",
                answer.transcript()
            );
        }
        Ok(names.len())
    }

    /// Both plugins of a configuration are refused as not verified.
    pub(super) fn refused(&self, config: &Path) -> anyhow::Result<usize> {
        let names = ["wasm", "native"];
        for name in names {
            let answer = self.run(config, name)?;
            anyhow::ensure!(
                answer.code == Some(3) && !answer.stdout.contains("Hello"),
                "{name} is not refused with exit code 3\n{}",
                answer.transcript()
            );
        }
        Ok(names.len())
    }

    fn run(&self, config: &Path, name: &str) -> anyhow::Result<Answer> {
        let config = config
            .to_str()
            .context("the scratch folder's name is not UTF-8")?;
        let arguments = ["run", "--config", config, name, "greet", "--input", "World"];
        self.plugins.run(self.folder, &arguments)
    }
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
    quietly(login.stdin(servers::PASSWORD).env("HOME", home))
}

/// Runs a program of others; what it says is seen only where it fails.
pub(super) fn quietly(command: xshell::Cmd<'_>) -> anyhow::Result<()> {
    let shown = command.to_string();
    let output = command.quiet().ignore_status().output()?;
    anyhow::ensure!(
        output.status.success(),
        "`{shown}` ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

pub(super) fn tool(name: &str) -> anyhow::Result<PathBuf> {
    tools::find(name).with_context(|| format!("{name} is not installed"))
}
