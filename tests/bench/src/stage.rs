//! What all rows need: a real registry, signed images in it, and the command in its release build.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use qmt_e2e_tests::embedded;
use qmt_interop::servers::{REGISTRIES, Registry};
use qmt_interop::tools;
use qmt_oci_ref::Digest;
use qmt_testkit::{
    FakeRegistry, Identity, Image, PrivateSigstore, SignedSubject, Signing, SimpleSigning,
};
use xshell::{Shell, TempDir, cmd};

/// The registry program of the measurements, by its name among those of `e2e --real`.
const REGISTRY: &str = "CNCF distribution 3";
/// The key that signs, and the identity that does.
const KEY: &str = "team";
pub(super) const IDENTITY: &str = "signer@example.com";
pub(super) const ISSUER: &str = "https://accounts.example.com";

pub(super) struct Stage {
    pub(super) sh: Shell,
    scratch: TempDir,
    registry: Registry,
    sigstore: PrivateSigstore,
    /// The command in its release build.
    pub(super) plugins: PathBuf,
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
    /// Starts the registry.
    pub(super) fn start() -> anyhow::Result<Self> {
        let sh = qmt_interop::shell()?;
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
            plugins: std::env::current_exe()?.with_file_name("qmt-plugins"),
        };
        stage.write_trust()?;
        Ok(stage)
    }

    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Cargo's target folder.
    pub(super) fn target(&self) -> &Path {
        let mut parents = self.plugins.ancestors();
        parents.nth(2).unwrap_or(&self.plugins)
    }

    /// The public key of [`Signer::Key`].
    pub(super) fn key(&self) -> PathBuf {
        self.scratch().join("team.pub")
    }

    pub(super) fn trusted_root(&self) -> PathBuf {
        self.scratch().join("trusted_root.json")
    }

    /// A program that was built together with this one.
    pub(super) fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let program = self.plugins.with_file_name(name);
        anyhow::ensure!(program.is_file(), "{} was not built", program.display());
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
        let layer = largest(image)?;
        Ok(Published {
            reference: format!("{to}/{repository}:1"),
            layer_url: format!("http://{to}/v2/{repository}/blobs/{layer}"),
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
        let subject = SignedSubject::new(root.media_type().as_ref(), &digest, root.size());
        let simple = self.sigstore.sign_simple(&digest, &signing);
        let bundle = self.sigstore.sign_bundle(&digest, &signing);
        let simple = SimpleSigning::image(&digest, &[simple]);
        embedded::push(registry, repository, &simple);
        embedded::push(registry, repository, &bundle.referrer(&subject));
        digest
    }
}

/// The digest of the image's largest blob, which is its layer.
pub(super) fn largest(image: &Image) -> anyhow::Result<&Digest> {
    let descriptors = image.blobs().iter().map(|(descriptor, _)| descriptor);
    let largest = descriptors.max_by_key(|descriptor| descriptor.size());
    Ok(largest.context("an image without a blob")?.digest())
}
