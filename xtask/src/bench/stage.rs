//! What all rows need: a real registry, signed images in it, and the command in its release build.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use qmt_testkit::{
    FakeRegistry, Identity, Image, PrivateSigstore, SignatureImage, SignedSubject, Signing,
    SimpleSigning,
};
use xshell::{Shell, TempDir, cmd};

use crate::e2e::servers::{REGISTRIES, Registry};
use crate::{project, tools};

/// The registry program of the measurements, by its name among those of `e2e --real`.
const REGISTRY: &str = "CNCF distribution 3";
/// The key that signs, and the identity that does.
const KEY: &str = "team";
pub(super) const IDENTITY: &str = "signer@example.com";
pub(super) const ISSUER: &str = "https://accounts.example.com";

/// The programs that measure in process, and their packages.
const EXAMPLES: &[(&str, &str)] = &[
    ("qmt-cache", "lookup_time"),
    ("qmt-loader", "extism_alone"),
    ("qmt-plugins", "load_all_time"),
    ("qmt-verify", "judge_time"),
];

pub(super) struct Stage {
    sh: Shell,
    scratch: TempDir,
    registry: Registry,
    sigstore: PrivateSigstore,
    plugins: PathBuf,
    target: PathBuf,
    build: bool,
}

/// An image in the registry.
pub(super) struct Published {
    pub(super) reference: String,
    /// Where its one layer is served.
    pub(super) layer_url: String,
}

/// Who signs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    Key,
    Keyless,
}

impl Stage {
    /// Builds the command, unless what was built last is to be measured, and starts the registry.
    pub(super) fn start(build: bool) -> anyhow::Result<Self> {
        let sh = project::shell()?;
        if build {
            let cargo = project::cargo();
            cmd!(
                sh,
                "{cargo} build --release --locked --package qmt-plugins-cli"
            )
            .run()?;
        }
        let target = project::metadata()?.target_directory.into_std_path_buf();
        let plugins = target.join("release").join("qmt-plugins");
        let scratch = sh.create_temp_dir()?;
        let program = REGISTRIES
            .iter()
            .find(|program| program.name == REGISTRY)
            .context("the registry program has another name now")?;
        let missing = tools::missing(program.tools);
        anyhow::ensure!(
            missing.is_empty(),
            "not installed: {}; run `cargo xtask tools`",
            missing.join(", ")
        );
        let folder = scratch.path().join("registry");
        std::fs::create_dir(&folder)?;
        let registry = Registry::start(program, &folder)?;
        let stage = Self {
            sh,
            scratch,
            registry,
            sigstore: PrivateSigstore::new(),
            plugins,
            target,
            build,
        };
        stage.write_trust()?;
        Ok(stage)
    }

    pub(super) fn shell(&self) -> &Shell {
        &self.sh
    }

    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The command in its release build.
    pub(super) fn plugins(&self) -> &Path {
        &self.plugins
    }

    /// Cargo's target folder.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// The public key of [`Signer::Key`].
    pub(super) fn key(&self) -> PathBuf {
        self.scratch().join("team.pub")
    }

    pub(super) fn trusted_root(&self) -> PathBuf {
        self.scratch().join("trusted_root.json")
    }

    /// Builds the examples in release and returns the program of one.
    pub(super) fn example(&self, name: &str) -> anyhow::Result<PathBuf> {
        if self.build {
            // All at once: one by one, each would build what they share with features of its own.
            let cargo = project::cargo();
            let chosen = EXAMPLES
                .iter()
                .flat_map(|(package, example)| ["--package", package, "--example", example]);
            cmd!(self.sh, "{cargo} build --release --locked {chosen...}").run()?;
        }
        let program = self.target.join("release").join("examples").join(name);
        anyhow::ensure!(program.is_file(), "the example {name} was not built");
        Ok(program)
    }

    fn write_trust(&self) -> anyhow::Result<()> {
        std::fs::write(self.trusted_root(), self.sigstore.trusted_root_json())?;
        std::fs::write(self.key(), self.sigstore.key_pem(KEY))?;
        Ok(())
    }

    /// Writes a config in which `signer` is trusted, and returns its path.
    pub(super) fn config(
        &self,
        name: &str,
        signer: Signer,
        host: &str,
        rest: &str,
    ) -> anyhow::Result<PathBuf> {
        let authority = match signer {
            Signer::Key => format!("key = \"{}\"", self.key().display()),
            Signer::Keyless => {
                format!("issuer = \"{ISSUER}\", identity = \"{IDENTITY}\"")
            }
        };
        let trusted_root = self.trusted_root();
        let trusted_root = trusted_root.display();
        let text = format!(
            r#"[oci]
use_sigstore_tuf_data = false
trusted_root = "{trusted_root}"
max_artifact_size = "2 GiB"
[[oci.policy]]
scope = "**"
any_of = [{{ {authority} }}]
[registries."{host}"]
plain_http = true
{rest}"#
        );
        let folder = self.scratch().join(format!("config-{name}"));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("plugins.toml");
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// `127.0.0.1:PORT` of the real registry.
    pub(super) fn host(&self) -> String {
        self.registry.host()
    }

    /// Signs `image` in both of cosign's formats and brings all of it into the real registry.
    pub(super) fn publish(
        &self,
        repository: &str,
        image: &Image,
        signer: Signer,
    ) -> anyhow::Result<Published> {
        let oras = tools::find("oras").context("oras is not installed")?;
        let home = self.scratch();
        let source = FakeRegistry::builder().start()?;
        let digest = self.put(&source, repository, image, signer);
        let (from, to) = (source.host().to_string(), self.host());
        cmd!(
            self.sh,
            "{oras} cp --recursive --from-plain-http --to-plain-http {from}/{repository}:1 {to}/{repository}:1"
        )
        .env("HOME", home)
        .quiet()
        .ignore_stdout()
        .run()?;
        let tag = format!("{}.sig", digest.replace(':', "-"));
        cmd!(
            self.sh,
            "{oras} cp --from-plain-http --to-plain-http {from}/{repository}:{tag} {to}/{repository}:{tag}"
        )
        .env("HOME", home)
        .quiet()
        .ignore_stdout()
        .run()?;
        let layer = image
            .blobs()
            .iter()
            .map(|(descriptor, _)| descriptor)
            .max_by_key(|descriptor| descriptor.size())
            .context("an image without a blob")?;
        Ok(Published {
            reference: format!("{to}/{repository}:1"),
            layer_url: format!("http://{to}/v2/{repository}/blobs/{}", layer.digest()),
        })
    }

    /// The same in a registry of the test kit, which counts requests.
    pub(super) fn put(
        &self,
        registry: &FakeRegistry,
        repository: &str,
        image: &Image,
        signer: Signer,
    ) -> String {
        let root = image.push(registry, repository, "1");
        let digest = root.digest().to_string();
        let signing = match signer {
            Signer::Key => Signing::key(KEY),
            Signer::Keyless => Signing::keyless(Identity::email(IDENTITY, ISSUER)),
        };
        let signing = signing.docker_reference(repository);
        let subject = SignedSubject::new(root.media_type().as_str(), &digest, root.size());
        let simple = self.sigstore.sign_simple(&digest, &signing);
        let bundle = self.sigstore.sign_bundle(&digest, &signing);
        push(
            registry,
            repository,
            &SimpleSigning::image(&digest, &[simple]),
        );
        push(registry, repository, &bundle.referrer(&subject));
        digest
    }
}

fn push(registry: &FakeRegistry, repository: &str, signature: &SignatureImage) {
    for (_, blob) in &signature.blobs {
        registry.put_blob(repository, blob.clone());
    }
    registry.put_manifest(
        repository,
        signature.tag.as_deref(),
        &signature.manifest_media_type,
        signature.manifest.clone(),
    );
}
