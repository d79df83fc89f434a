//! A registry, a Sigstore, and a config that trusts it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use qmt_oci_ref::{Descriptor, Platform, manifest};
use qmt_plugins::config::ConfigFile;
use qmt_plugins::{Event, PluginHost, PluginHostBuilder};
use qmt_testkit::{
    FakeRegistry, Identity, Image, ImageBuilder, IndexBuilder, PrivateSigstore, Signing,
    attach_bundle, attach_simple, plugins,
};
use tempfile::TempDir;

pub(crate) const EMAIL: &str = "dev@acme.example";
pub(crate) const ISSUER: &str = "https://accounts.acme.example";
pub(crate) const REPOSITORY: &str = "acme/greeter";

/// What a test plays with.
pub(crate) struct Scene {
    pub(crate) registry: FakeRegistry,
    pub(crate) sigstore: PrivateSigstore,
    pub(crate) folder: TempDir,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let scene = Self {
            registry: FakeRegistry::builder().serve().await,
            sigstore: PrivateSigstore::new(),
            folder: tempfile::tempdir().unwrap(),
            events: Arc::default(),
        };
        scene.write("trusted_root.json", &scene.sigstore.trusted_root_json());
        scene
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Pushes `image` as `acme/greeter:tag`.
    pub(crate) fn push(&self, image: &Image, tag: &str) -> Descriptor {
        image.push(&self.registry, REPOSITORY, tag)
    }

    /// Signs as cosign 2 does, by the usual signer.
    pub(crate) fn sign(&self, image: &Descriptor) {
        self.sign_as(image, EMAIL);
    }

    pub(crate) fn sign_as(&self, image: &Descriptor, email: &str) {
        let signing = Signing::keyless(Identity::email(email, ISSUER));
        let signature = self.sigstore.sign_simple(image.digest(), &signing);
        attach_simple(&self.registry, REPOSITORY, image.digest(), &[signature]);
    }

    /// Signs as cosign 3 does, by the usual signer.
    pub(crate) fn sign_bundle(&self, image: &Descriptor) {
        let signing = Signing::keyless(Identity::email(EMAIL, ISSUER));
        let bundle = self.sigstore.sign_bundle(image.digest(), &signing);
        attach_bundle(&self.registry, REPOSITORY, image, &bundle);
    }

    /// A config with one provider, `greeter`, that trusts the usual signer alone.
    pub(crate) fn config(&self) -> String {
        self.config_with(
            &format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\""),
            "",
        )
    }

    /// A config with more lines in `[oci]` and in `[[providers]]`.
    pub(crate) fn config_with(&self, oci: &str, provider: &str) -> String {
        let host = self.registry.host();
        format!(
            "[oci]\ntrusted_root = \"trusted_root.json\"\ncache_dir = \"cache\"\n{oci}\n\
             [registries.\"{host}\"]\nplain_http = true\n\
             [[providers]]\nname = \"greeter\"\npath = \"oci://{host}/{REPOSITORY}:1\"\n{provider}\n"
        )
    }

    pub(crate) fn builder(&self, config: &str) -> PluginHostBuilder {
        let path = self.write("plugins.toml", config);
        let events = Arc::clone(&self.events);
        PluginHost::builder(ConfigFile::read(path).unwrap())
            .events(Arc::new(move |event| events.lock().unwrap().push(event)))
    }

    pub(crate) fn host(&self, config: &str) -> PluginHost {
        self.builder(config).build().unwrap()
    }

    /// Reports whether the cache holds any artifact.
    pub(crate) async fn is_cache_empty(&self, host: &PluginHost) -> bool {
        host.cache().list().await.unwrap().is_empty()
    }

    pub(crate) fn warnings(&self) -> String {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter_map(|event| match event {
                Event::Warning { message, .. } => Some(message.clone()),
                _ => None,
            })
            .collect::<Vec<_>>()
            .join("\n")
    }
}

pub(crate) fn wasm_image() -> Image {
    ImageBuilder::wasm(plugins::echo_wasm()).build()
}

/// A native plugin for this machine, compiled from C.
pub(crate) fn native_image(scene: &Scene) -> Image {
    let library = plugins::native_plugin(scene.folder.path()).unwrap();
    ImageBuilder::native(
        this_platform(),
        &plugins::native_file_name(),
        std::fs::read(library).unwrap(),
    )
    .build()
}

pub(crate) fn both_kinds(scene: &Scene) -> Image {
    IndexBuilder::new()
        .wasm(&wasm_image())
        .platform(&native_image(scene), this_platform())
        .build()
}

pub(crate) fn this_platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let os = if cfg!(target_os = "macos") {
        "darwin"
    } else {
        std::env::consts::OS
    };
    manifest::platform(os, architecture)
}

/// Calls `greet` and returns the answer as text.
pub(crate) async fn greet(host: &PluginHost, name: &str) -> String {
    let plugin = host
        .load(name)
        .await
        .unwrap_or_else(|error| panic!("{error:?}"));
    let answer = plugin.call("greet", "world".into()).await.unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

/// Joins the messages of an error and its causes.
pub(crate) fn messages(error: &dyn std::error::Error) -> String {
    qmt_oci_ref::text::messages(error).join(": ")
}
