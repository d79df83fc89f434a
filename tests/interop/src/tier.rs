//! What every registry of the real tier is put through: images are copied and signed there, and
//! the built command must accept and refuse them as ever.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::real::{IDENTITY, ISSUER, PASSWORD, quietly, tool};
use qmt_e2e_tests::command::{Answer, Plugins};
use qmt_e2e_tests::embedded::{Published, Trust};

/// This machine as `publish --native` names it.
pub(super) fn platform() -> String {
    let platform = qmt_e2e_tests::image::host_platform();
    format!("{}/{}", platform.os(), platform.architecture())
}

/// Everything that is checked against one registry.
pub(super) struct Tier<'a> {
    pub(super) sh: &'a Shell,
    pub(super) plugins: Plugins,
    pub(super) folder: PathBuf,
    pub(super) trust: &'a Trust,
}

impl Tier<'_> {
    pub(super) fn play(
        &self,
        host: &str,
        image: &Published,
        keyless: &Published,
    ) -> anyhow::Result<usize> {
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
        let refused = self.keyless_config(host, &reference, "other@example.com", "other")?;
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
        quietly(copy.env("HOME", &self.folder)).map(drop)
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
            // Without it, cosign asks the public Sigstore for a trusted root that it does not need.
            let root = &self.trust.trusted_root;
            cmd!(
                self.sh,
                "{program} sign --key {private} --signing-config {services} --trusted-root {root} --allow-http-registry -y {image}"
            )
        };
        quietly(
            sign.env("COSIGN_PASSWORD", PASSWORD)
                .env("HOME", &self.folder),
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
        self.plugins.run(&self.folder, &arguments)
    }

    /// `cosign` verifies `image` with the options `right` and refuses it with `wrong`.
    pub(super) fn accepts_only<T: AsRef<OsStr>>(
        &self,
        cosign: &str,
        image: &str,
        right: &[T],
        wrong: &[T],
    ) -> anyhow::Result<usize> {
        let program = tool(cosign)?;
        let root = &self.trust.trusted_root;
        for (signer, holds) in [(right, true), (wrong, false)] {
            let verify = cmd!(
                self.sh,
                "{program} verify {signer...} --trusted-root {root} --offline=true --allow-http-registry {image}"
            )
            .env("HOME", &self.folder)
            .quiet()
            .ignore_status();
            let shown = verify.to_string();
            let output = verify.output()?;
            anyhow::ensure!(
                output.status.success() == holds,
                "`{shown}`: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(2)
    }
}
