//! Images that others build: oras push, crane append, buildah, and buildah's indexes must load.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use qmt_testkit::plugins;
use xshell::cmd;

use super::real::{quietly, tool};
use super::tier::Tier;
use crate::tools;

const DOCKERFILE: &str = "FROM scratch\nCOPY plugin.wasm /plugin.wasm\n";
const NATIVE_DOCKERFILE: &str = "FROM scratch\nCOPY plugin.so /plugin.so\n";

/// Buildah with a store of its own, which needs neither a daemon nor the machine's settings.
struct Buildah<'a> {
    tier: &'a Tier<'a>,
    program: PathBuf,
    policy: PathBuf,
}

impl Tier<'_> {
    /// All builders that are installed.
    pub(super) fn built_by_others(&self, host: &str) -> anyhow::Result<usize> {
        let context = self.folder.join("context");
        std::fs::create_dir_all(&context)?;
        std::fs::write(context.join("plugin.wasm"), plugins::echo_wasm())?;
        let mut checks = self.pushed_by_oras(host, &context)?;
        if tools::find("crane").is_some() {
            checks += self.appended_by_crane(host, &context)?;
        }
        if let Some(program) = tools::find("buildah") {
            checks += self.built_by_buildah(host, &context, program)?;
        }
        Ok(checks)
    }

    /// `oras push FILE:TYPE`, with each of the types of a Wasm layer that are in use, and of files
    /// without one.
    fn pushed_by_oras(&self, host: &str, context: &Path) -> anyhow::Result<usize> {
        let oras = tool("oras")?;
        let _there = self.sh.push_dir(context);
        std::fs::write(context.join("config.json"), "{}")?;
        let mut checks = 0;
        for (number, (layer, config)) in [
            ("application/vnd.wasm.v1.layer+wasm", None),
            (
                "application/wasm",
                Some("application/vnd.wasm.config.v0+json"),
            ),
            (
                "application/vnd.wasm.content.layer.v1+wasm",
                Some("application/vnd.wasm.config.v1+json"),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let reference = format!("{host}/e2e/oras-{number}:1");
            let config = config.map(|kind| format!("--config=config.json:{kind}"));
            let file = format!("plugin.wasm:{layer}");
            let push = cmd!(
                self.sh,
                "{oras} push --plain-http {config...} {reference} {file}"
            );
            quietly(push.env("HOME", &self.folder))?;
            checks += self
                .signed_loads(host, &reference, &format!("oras-{number}"), &["wasm"])
                .with_context(|| format!("oras push, {layer}"))?;
        }
        // Without any type, and not alone: each file is called a tar archive then.
        std::fs::write(context.join("README.md"), "# A plugin\n")?;
        let reference = format!("{host}/e2e/oras-files:1");
        let push = cmd!(
            self.sh,
            "{oras} push --plain-http {reference} plugin.wasm README.md"
        );
        quietly(push.env("HOME", &self.folder))?;
        checks += self
            .signed_loads(host, &reference, "oras-files", &["wasm"])
            .context("oras push of two files")?;
        Ok(checks)
    }

    /// `crane append` of an archive, onto nothing: docker's types, and OCI's.
    fn appended_by_crane(&self, host: &str, context: &Path) -> anyhow::Result<usize> {
        let crane = tool("crane")?;
        let archive = self.folder.join("layer.tar");
        cmd!(self.sh, "tar -C {context} -cf {archive} plugin.wasm")
            .quiet()
            .run()?;
        let mut checks = 0;
        for (name, base) in [("docker", None), ("oci", Some("--oci-empty-base"))] {
            let reference = format!("{host}/e2e/crane-{name}:1");
            let append = cmd!(
                self.sh,
                "{crane} append --insecure {base...} -f {archive} -t {reference}"
            );
            quietly(append.env("HOME", &self.folder))?;
            checks += self
                .signed_loads(host, &reference, &format!("crane-{name}"), &["wasm"])
                .with_context(|| format!("crane append, {name}"))?;
        }
        Ok(checks)
    }

    /// The two-line Dockerfile in both formats, and an index of it and of a native plugin.
    fn built_by_buildah(
        &self,
        host: &str,
        context: &Path,
        program: PathBuf,
    ) -> anyhow::Result<usize> {
        std::fs::write(context.join("Dockerfile"), DOCKERFILE)?;
        let library = plugins::native_plugin(context).context("the C plugin does not compile")?;
        let so = context.join("plugin.so");
        if library != so {
            std::fs::copy(library, &so)?;
        }
        std::fs::write(context.join("Dockerfile.native"), NATIVE_DOCKERFILE)?;
        let policy = self.folder.join("policy.json");
        std::fs::write(
            &policy,
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
        )?;
        let buildah = Buildah {
            tier: self,
            program,
            policy,
        };
        let mut checks = 0;
        for (format, pushed) in [("oci", "oci"), ("docker", "v2s2")] {
            let wasm = format!("plugin-{format}");
            buildah.build(context, "Dockerfile", format, &wasm, &[])?;
            let reference = format!("{host}/e2e/buildah-{format}:1");
            buildah.push("push", &wasm, &reference, pushed)?;
            checks += self
                .signed_loads(host, &reference, &wasm, &["wasm"])
                .with_context(|| format!("buildah bud, {format}"))?;

            let (of_wasi, native) = (format!("{wasm}-wasi"), format!("{wasm}-native"));
            let platform = ["--os", "wasi", "--arch", "wasm"];
            buildah.build(context, "Dockerfile", format, &of_wasi, &platform)?;
            buildah.build(context, "Dockerfile.native", format, &native, &[])?;
            let list = format!("list-{format}");
            buildah.list(&list, &[&of_wasi, &native])?;
            let reference = format!("{host}/e2e/buildah-index-{format}:1");
            buildah.push("manifest push --all", &list, &reference, pushed)?;
            checks += self
                .signed_loads(host, &reference, &list, &["wasm", "native"])
                .with_context(|| format!("buildah manifest, {format}"))?;
        }
        Ok(checks)
    }

    /// Signs what a tag names with cosign, and calls its plugins.
    fn signed_loads(
        &self,
        host: &str,
        reference: &str,
        name: &str,
        kinds: &[&str],
    ) -> anyhow::Result<usize> {
        let digest = self.digest_of(reference)?;
        let (repository, _) = reference.rsplit_once(':').context("no tag")?;
        let key = self.sign("cosign2", &format!("{repository}@{digest}"))?;
        let config = self.key_config(host, reference, &key, name)?;
        self.greets(&config, kinds)
    }

    /// The digest that a tag names, as oras sees it.
    pub(super) fn digest_of(&self, reference: &str) -> anyhow::Result<String> {
        let oras = tool("oras")?;
        let resolve = cmd!(self.sh, "{oras} resolve --plain-http {reference}");
        let digest = quietly(resolve.env("HOME", &self.folder))?;
        Ok(digest.trim().to_owned())
    }
}

impl Buildah<'_> {
    fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let Self { tier, program, .. } = self;
        let (root, runroot) = (tier.folder.join("storage"), tier.folder.join("run"));
        let buildah = cmd!(
            tier.sh,
            "{program} --storage-driver vfs --root {root} --runroot {runroot} {arguments...}"
        );
        quietly(buildah.env("HOME", &tier.folder)).map(drop)
    }

    fn build(
        &self,
        context: &Path,
        file: &str,
        format: &str,
        name: &str,
        more: &[&str],
    ) -> anyhow::Result<()> {
        let (file, context) = (text(&context.join(file))?, text(context)?);
        let mut arguments = vec!["bud", "--isolation", "chroot", "--format", format];
        let policy = text(&self.policy)?;
        arguments.extend(["--signature-policy", &policy, "-t", name, "-f", &file]);
        arguments.extend(more);
        arguments.push(&context);
        self.run(&arguments)
    }

    fn list(&self, name: &str, images: &[&str]) -> anyhow::Result<()> {
        self.run(&["manifest", "create", name])?;
        for image in images {
            let image = format!("containers-storage:localhost/{image}");
            self.run(&["manifest", "add", name, &image])?;
        }
        Ok(())
    }

    fn push(&self, verb: &str, name: &str, to: &str, format: &str) -> anyhow::Result<()> {
        let policy = text(&self.policy)?;
        let to = format!("docker://{to}");
        let mut arguments: Vec<&str> = verb.split(' ').collect();
        arguments.extend(["--tls-verify=false", "--signature-policy", &policy]);
        arguments.extend(["--format", format, name, &to]);
        self.run(&arguments)
    }
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str();
    Ok(text
        .context("the scratch folder's name is not UTF-8")?
        .to_owned())
}
