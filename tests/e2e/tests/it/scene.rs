//! A registry with a signed and an unsigned plugin, and the folder of an operator.

use std::time::Duration;

use qmt_artifact::HostPlatform;
use qmt_oci_ref::Digest;
use qmt_testkit::{
    FakeRegistry, Identity, ImageBuilder, PrivateSigstore, Signing, attach_simple, plugins,
};

use crate::command::{Answer, Desk};

pub(crate) const EMAIL: &str = "dev@acme.example";
pub(crate) const ISSUER: &str = "https://accounts.acme.example";

/// Switches verification off in a config that [`Scene::config`] made.
pub(crate) fn without_verification(config: &str) -> String {
    let config = config.replace("cert_email", "insecure_skip_signature = true\n#");
    config.replace("cert_issuer", "#")
}

/// A signed plugin `greet` in a registry, an unsigned one, and an operator's folder.
pub(crate) struct Scene {
    pub(crate) registry: FakeRegistry,
    sigstore: PrivateSigstore,
    pub(crate) desk: Desk,
    pub(crate) signed: String,
    pub(crate) unsigned: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let registry = FakeRegistry::builder().start().unwrap();
        let sigstore = PrivateSigstore::new();
        let desk = Desk::new();
        let image = ImageBuilder::wasm(plugins::echo_wasm()).build();
        let signed = image.push(&registry, "acme/greet", "1");
        let signing = Signing::keyless(Identity::email(EMAIL, ISSUER));
        let signature = sigstore.sign_simple(signed.digest(), &signing);
        attach_simple(&registry, "acme/greet", signed.digest(), &[signature]);
        let image = ImageBuilder::dockerfile(plugins::echo_wasm()).build();
        let unsigned = image.push(&registry, "acme/unsigned", "1");
        desk.write("trusted_root.json", sigstore.trusted_root_json());
        let scene = Self {
            registry,
            sigstore,
            desk,
            signed: signed.digest().to_string(),
            unsigned: unsigned.digest().to_string(),
        };
        scene.desk.write("plugins.toml", scene.config(""));
        scene
    }

    /// A config that trusts one signer; `more` is added to its end.
    pub(crate) fn config(&self, more: &str) -> String {
        let host = self.registry.host();
        format!(
            "[oci]\ntrusted_root = \"trusted_root.json\"\ncache_dir = \"cache\"\n\
             cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"\n\
             [registries.\"{host}\"]\nplain_http = true\n\
             [[providers]]\nname = \"greet\"\npath = \"oci://{host}/acme/greet:1\"\n\
             [[providers]]\nname = \"unsigned\"\npath = \"oci://{host}/acme/unsigned:1\"\n{more}"
        )
    }

    /// Runs with another config than the good one.
    pub(crate) fn with(&self, config: &str, arguments: &[&str]) -> Answer {
        self.desk.write("other.toml", config);
        self.desk
            .run(&[arguments, &["--config", "other.toml"]].concat())
    }

    /// Moves the tag of the signed plugin to an image without a signature, and returns its digest.
    pub(crate) fn move_tag_to_unsigned(&self) -> String {
        let image = ImageBuilder::wasm(plugins::echo_wasm())
            .annotation("moved", "yes")
            .build();
        let moved = image.push(&self.registry, "acme/greet", "1");
        moved.digest().to_string()
    }

    /// Pushes a native plugin with a tag into the repository of the signed one, signs it, and returns its
    /// digest.
    pub(crate) fn push_native(&self, tag: &str) -> String {
        let library = plugins::native_plugin(self.desk.path()).unwrap();
        let library = std::fs::read(library).unwrap();
        let file = plugins::native_file_name();
        let platform = HostPlatform::current().platform().clone();
        let image = ImageBuilder::native(platform, &file, library).build();
        let pushed = image.push(&self.registry, "acme/greet", tag);
        let digest = pushed.digest().to_string();
        self.sign(&digest, [Signing::keyless(Identity::email(EMAIL, ISSUER))]);
        digest
    }

    /// Moves the tag of the signed plugin to another image, which the same signer signed an hour earlier,
    /// and returns its digest.
    pub(crate) fn move_tag_to_signed_earlier(&self) -> String {
        let image = ImageBuilder::wasm(plugins::echo_wasm())
            .annotation("version", "2")
            .build();
        let moved = image.push(&self.registry, "acme/greet", "1");
        let moved = moved.digest().to_string();
        let signing = Signing::keyless(Identity::email(EMAIL, ISSUER));
        self.sign(&moved, [signing.earlier(Duration::from_hours(1))]);
        moved
    }

    /// Replaces the signatures of an image in the repository of the signed plugin.
    pub(crate) fn sign<const N: usize>(&self, digest: &str, signings: [Signing; N]) {
        let digest: Digest = digest.parse().unwrap();
        let signatures = signings.map(|signing| self.sigstore.sign_simple(&digest, &signing));
        attach_simple(&self.registry, "acme/greet", &digest, &signatures);
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        self.desk.run(arguments)
    }
}
