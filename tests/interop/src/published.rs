//! What `qmt-plugins publish` makes, in the hands of others: cosign verifies its signature, and
//! oras, crane, regctl and skopeo pull it and keep its digest.

use std::path::Path;

use anyhow::Context as _;
use qmt_testkit::plugins;
use serde_json::Value;
use xshell::cmd;

use super::real::{PASSWORD, quietly, tool};
use super::tier::Tier;
use crate::tools;
use qmt_e2e_tests::command::Answer;

const EPOCH: &str = "1700000000";

impl Tier<'_> {
    pub(super) fn published(&self, host: &str) -> anyhow::Result<usize> {
        let key = self.new_key("cosign3", "publisher")?;
        let other = self.new_key("cosign3", "bystander")?;
        let reference = format!("{host}/e2e/published:1");
        let digest = self.publish(host, &reference, &key.with_extension("key"), true)?;
        anyhow::ensure!(
            self.digest_of(&reference)? == digest,
            "the tag does not name what was published"
        );
        let again = format!("{host}/e2e/published-again:1");
        let same = self.publish(host, &again, &key.with_extension("key"), true)?;
        anyhow::ensure!(
            same == digest,
            "the same input made {same}, and {digest} before"
        );
        let mut checks = 2;
        checks += self.verified(host, &reference, &digest, &key, &other)?;
        checks += self.pulled(host, &reference, &digest)?;

        checks += self.archived(host, &key.with_extension("key"), &digest)?;

        let single = format!("{host}/e2e/published-wasm:1");
        let digest = self.publish(host, &single, &key.with_extension("key"), false)?;
        checks += self.pulled(host, &single, &digest)?;
        // `oras pull` gives the file back, under the name that its layer is titled with.
        let (oras, folder) = (tool("oras")?, self.folder.join("pulled-by-oras"));
        let pull = cmd!(self.sh, "{oras} pull --plain-http -o {folder} {single}");
        quietly(pull.env("HOME", &self.folder))?;
        let file = std::fs::read(folder.join("plugin.wasm")).context("oras pull")?;
        anyhow::ensure!(file == plugins::echo_wasm(), "oras pulled another file");
        Ok(checks + 1)
    }

    /// The same into a layout in a tar archive: the same digest, and oras and skopeo read it.
    fn archived(&self, host: &str, key: &Path, digest: &str) -> anyhow::Result<usize> {
        let archive = self.folder.join("published.tar");
        let destination = format!("oci-layout://{}:1", text(&archive)?);
        let same = self.publish_to(host, &destination, key, true)?;
        anyhow::ensure!(
            same == digest,
            "the archive has {same} in place of {digest}"
        );
        let mut checks = 1;
        for program in ["oras", "skopeo"] {
            let Some(binary) = tools::find(program) else {
                continue; // That it is missing was said at the beginning.
            };
            let to = format!("{host}/e2e/archived-{program}:1");
            let copy = if program == "oras" {
                cmd!(
                    self.sh,
                    "{binary} cp --recursive --from-oci-layout --to-plain-http {archive}:1 {to}"
                )
            } else {
                cmd!(
                    self.sh,
                    "{binary} --insecure-policy copy --all --preserve-digests --dest-tls-verify=false oci-archive:{archive}:1 docker://{to}"
                )
            };
            quietly(copy.env("HOME", &self.folder))?;
            let found = self.digest_of(&to)?;
            anyhow::ensure!(found == digest, "{program} reads {found} from the archive");
            checks += 1;
        }
        Ok(checks)
    }

    /// Publishes, and returns the digest that was printed.
    pub(super) fn publish(
        &self,
        host: &str,
        reference: &str,
        key: &Path,
        native: bool,
    ) -> anyhow::Result<String> {
        self.publish_to(host, &format!("oci://{reference}"), key, native)
    }

    fn publish_to(
        &self,
        host: &str,
        destination: &str,
        key: &Path,
        native: bool,
    ) -> anyhow::Result<String> {
        let answer = self.try_publish(host, destination, key, native)?;
        anyhow::ensure!(answer.code == Some(0), "publish\n{}", answer.transcript());
        let said: Value = serde_json::from_str(&answer.stdout).context("publish prints JSON")?;
        let digest = said.pointer("/published/digest").and_then(Value::as_str);
        Ok(digest.context("publish prints no digest")?.to_owned())
    }

    /// Publishes, however it ends.
    pub(super) fn try_publish(
        &self,
        host: &str,
        destination: &str,
        key: &Path,
        native: bool,
    ) -> anyhow::Result<Answer> {
        let folder = self.folder.join("publish");
        std::fs::create_dir_all(&folder)?;
        let wasm = folder.join("greet.wasm");
        std::fs::write(&wasm, plugins::echo_wasm())?;
        let config = folder.join("plugins.toml");
        std::fs::write(
            &config,
            format!("[registries.\"{host}\"]\nplain_http = true\n"),
        )?;
        let (config, wasm, key) = (text(&config)?, text(&wasm)?, text(key)?);
        let mut arguments = vec![
            "publish",
            destination,
            "--config",
            config,
            "--format",
            "json",
            "--wasm",
            wasm,
            "--title",
            "greet",
            "--image-version",
            "1.0.0",
            "--annotation",
            "com.example.team=e2e",
            "--sign-key",
            key,
        ];
        let library = plugins::native_plugin(&folder).context("the C plugin does not compile")?;
        let platform = format!("{}={}", super::tier::platform(), text(&library)?);
        if native {
            arguments.extend(["--native", &platform]);
        }
        let environment = [("COSIGN_PASSWORD", PASSWORD), ("SOURCE_DATE_EPOCH", EPOCH)];
        self.plugins
            .run_with(&self.folder, &arguments, &environment)
    }

    fn verified(
        &self,
        host: &str,
        reference: &str,
        digest: &str,
        key: &Path,
        other: &Path,
    ) -> anyhow::Result<usize> {
        let checks = self.accepted_by_key(reference, digest, key, other)?;
        // cosign 2 reads bundles since its version 2.6.
        let (repository, _) = reference.rsplit_once(':').context("no tag")?;
        let image = format!("{repository}@{digest}");
        let checks =
            checks + self.accepts_only("cosign2", &image, &by_key(key)?, &by_key(other)?)?;
        let config = self.key_config(host, reference, key, "published")?;
        Ok(checks + self.greet(&config)?)
    }

    /// By cosign 3 and by our own command: its key, and no other.
    pub(super) fn accepted_by_key(
        &self,
        reference: &str,
        digest: &str,
        key: &Path,
        other: &Path,
    ) -> anyhow::Result<usize> {
        let (repository, _) = reference.rsplit_once(':').context("no tag")?;
        let image = format!("{repository}@{digest}");
        let checks = self.accepts_only("cosign3", &image, &by_key(key)?, &by_key(other)?)?;
        for (key, holds) in [(key, true), (other, false)] {
            let config = self.folder.join("publish/plugins.toml");
            let arguments = [
                "verify",
                reference,
                "--config",
                text(&config)?,
                "--key",
                text(key)?,
                "--insecure-ignore-tlog",
            ];
            let answer = self.plugins.run(&self.folder, &arguments)?;
            let expected = if holds { 0 } else { 3 };
            anyhow::ensure!(
                answer.code == Some(expected),
                "verify with {}\n{}",
                key.display(),
                answer.transcript()
            );
        }
        Ok(checks + 2)
    }

    /// Each tool copies the whole image into a layout; what its index names is the same digest.
    fn pulled(&self, host: &str, reference: &str, digest: &str) -> anyhow::Result<usize> {
        let mut checks = 0;
        for program in ["oras", "crane", "regctl", "skopeo"] {
            let Some(binary) = tools::find(program) else {
                continue;
            };
            let name = reference.replace(['/', ':'], "-");
            let folder = self.folder.join(format!("{program}-{name}"));
            let to = text(&folder)?;
            let sh = self.sh;
            let copy = match program {
                "oras" => cmd!(
                    sh,
                    "{binary} cp --from-plain-http --to-oci-layout {reference} {to}:1"
                ),
                "crane" => cmd!(sh, "{binary} pull --insecure --format=oci {reference} {to}"),
                "regctl" => cmd!(
                    sh,
                    "{binary} image copy --host reg={host},tls=disabled {reference} ocidir://{to}:1"
                ),
                _ => cmd!(
                    sh,
                    "{binary} --insecure-policy copy --all --preserve-digests --src-tls-verify=false docker://{reference} oci:{to}:1"
                ),
            };
            quietly(copy.env("HOME", &self.folder))?;
            let index = std::fs::read(folder.join("index.json"))?;
            let index: Value = serde_json::from_slice(&index)?;
            let listed = index["manifests"].as_array().context("no manifests")?;
            anyhow::ensure!(
                listed.iter().any(|entry| entry["digest"] == digest),
                "{program} keeps another digest than {digest}: {index}"
            );
            let blob = folder
                .join("blobs/sha256")
                .join(digest.trim_start_matches("sha256:"));
            anyhow::ensure!(blob.is_file(), "{program} did not copy {digest}");
            checks += 1;
        }
        Ok(checks)
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .context("the scratch folder's name is not UTF-8")
}

/// The options of cosign for a signature by a key without a log.
fn by_key(key: &Path) -> anyhow::Result<[&str; 3]> {
    Ok(["--key", text(key)?, "--insecure-ignore-tlog=true"])
}
