//! A host with this adapter: plugins of both kinds, signed, in a registry.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: what cannot go on fails the test"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use qmt_artifact::HostPlatform;
use qmt_oci_ref::Digest;
use qmt_plugins::PluginHost;
use qmt_plugins::config::ConfigFile;
use qmt_testkit::{
    FakeRegistry, Identity, Image, ImageBuilder, PrivateSigstore, Signing, attach_simple, plugins,
};
use querymt_adapter::seam::{
    DownloadPhase, PluginLoader, PluginType, ProgressCallback, ProviderConfig, ProviderError,
    ProviderFactory, ProviderPlugin,
};
use querymt_adapter::{Downloader, NativeLoader, WasmLoader};
use serde::Serialize;
use serde_json::{Value, json};

const EMAIL: &str = "dev@acme.example";
const ISSUER: &str = "https://accounts.acme.example";

/// A registry, a Sigstore, and the folder of the host.
struct Desk {
    registry: FakeRegistry,
    sigstore: PrivateSigstore,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            registry: FakeRegistry::builder().start().unwrap(),
            sigstore: PrivateSigstore::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        let root = desk.sigstore.trusted_root_json();
        std::fs::write(desk.path("trusted_root.json"), root).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Publishes an image under the tag 1, and returns its reference and digest.
    fn publish(&self, name: &str, image: &Image) -> (String, Digest) {
        let root = image.push(&self.registry, name, "1");
        let reference = format!("{}/{name}:1", self.registry.host());
        (reference, root.digest().clone())
    }

    fn sign(&self, name: &str, digest: &Digest) {
        let signing = Signing::keyless(Identity::email(EMAIL, ISSUER));
        let signature = self.sigstore.sign_simple(digest, &signing);
        attach_simple(&self.registry, name, digest, &[signature]);
    }

    fn downloader(&self) -> Arc<Downloader> {
        let host = self.registry.host();
        let config = format!(
            "[oci]\ntrusted_root = \"trusted_root.json\"\ncert_email = \"{EMAIL}\"\n\
             cert_issuer = \"{ISSUER}\"\n[registries.\"{host}\"]\nplain_http = true\n"
        );
        std::fs::write(self.path("plugins.toml"), config).unwrap();
        let file = ConfigFile::read(self.path("plugins.toml")).unwrap();
        let host = PluginHost::builder(file).cache_dir(self.path("cache"));
        Arc::new(Downloader::new(host.build().unwrap()))
    }
}

/// Collects the phases, each once in a row.
fn phases() -> (Arc<Mutex<Vec<DownloadPhase>>>, ProgressCallback) {
    let phases = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&phases);
    let callback: ProgressCallback = Arc::new(move |progress| {
        let mut seen = seen.lock().unwrap();
        if seen.last() != Some(&progress.phase) {
            seen.push(progress.phase);
        }
    });
    (phases, callback)
}

fn wasm_image() -> Image {
    ImageBuilder::wasm(plugins::wasm(include_str!("provider.wat"))).build()
}

/// Loads the provider from its module alone, as a local file.
async fn provider(desk: &Desk) -> Arc<dyn ProviderFactory> {
    let file = desk.path("provider.wasm");
    std::fs::write(&file, plugins::wasm(include_str!("provider.wat"))).unwrap();
    let loader = WasmLoader::new(desk.downloader()).unwrap();
    let plugin = ProviderPlugin {
        plugin_type: PluginType::Wasm,
        file_path: file,
    };
    let mut config = ProviderConfig::default();
    let hosts = json!(["127.0.0.1"]);
    config.config.insert("allowed_hosts".to_owned(), hosts);
    loader.load_plugin(plugin, &config).await.unwrap()
}

/// A request as plugins of the host write it.
fn request(url: &str) -> Value {
    #[derive(Serialize)]
    struct Request {
        #[serde(with = "http_serde_ext::request")]
        req: http::Request<Vec<u8>>,
    }
    let req = http::Request::get(url).body(Vec::new()).unwrap();
    serde_json::to_value(Request { req }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_plugins_of_both_kinds_are_downloaded_loaded_and_asked() {
    let desk = Desk::new();
    let downloader = desk.downloader();
    let native = std::fs::read(native_library()).unwrap();
    let platform = HostPlatform::current().platform().clone();
    let native = ImageBuilder::native(platform, "libprovider.so", native).build();
    let wasm = WasmLoader::new(Arc::clone(&downloader)).unwrap();
    let libraries = NativeLoader::new(desk.path("private"), Arc::clone(&downloader));
    let loaders: [&dyn PluginLoader; 2] = [&wasm, &libraries];
    for (name, image, kind, calls_itself) in [
        ("acme/greeter", wasm_image(), PluginType::Wasm, "greeter"),
        ("acme/capitals", native, PluginType::Native, "capitals"),
    ] {
        let (reference, digest) = desk.publish(name, &image);
        desk.sign(name, &digest);
        let (phases, progress) = phases();
        let plugin = downloader
            .pull_and_extract(&reference, false, progress)
            .await
            .unwrap();
        assert_eq!(plugin.plugin_type, kind);
        let expected = [
            DownloadPhase::Resolving,
            DownloadPhase::VerifyingSignature,
            DownloadPhase::Resolving,
            DownloadPhase::Downloading,
            DownloadPhase::Persisting,
            DownloadPhase::Completed,
        ];
        assert_eq!(*phases.lock().unwrap(), expected);
        let loader = loaders
            .iter()
            .find(|loader| loader.supported_type() == kind)
            .unwrap();
        let provider = loader
            .load_plugin(plugin, &ProviderConfig::default())
            .await
            .unwrap();
        assert_eq!(provider.name(), calls_itself);
        if kind == PluginType::Native {
            assert_eq!(
                provider.chat(&json!("hello")).await.unwrap(),
                json!("\"HELLO\"")
            );
            let parts: Vec<_> = provider.chat_stream(&json!("a b")).collect().await;
            assert_eq!(parts.len(), 2);
        }
    }
}

#[tokio::test]
async fn an_unsigned_plugin_is_not_downloaded() {
    let desk = Desk::new();
    let (reference, _) = desk.publish("acme/greeter", &wasm_image());
    let (phases, progress) = phases();
    let refused = desk
        .downloader()
        .pull_and_extract(&reference, false, progress)
        .await;
    let ProviderError::Plugin(message) = refused.unwrap_err() else {
        panic!("not a refusal");
    };
    assert!(
        message.contains(&reference) && message.contains("is not signed"),
        "{message}"
    );
    let phases = phases.lock().unwrap();
    assert_eq!(phases.last(), Some(&DownloadPhase::Failed(message)));
    assert!(!phases.contains(&DownloadPhase::Downloading), "{phases:?}");
}

#[tokio::test]
async fn an_update_takes_what_the_tag_names_now() {
    let desk = Desk::new();
    let downloader = desk.downloader();
    let (reference, first) = desk.publish("acme/greeter", &wasm_image());
    desk.sign("acme/greeter", &first);
    let quiet: ProgressCallback = Arc::new(|_| {});
    let pull = |update| downloader.pull_and_extract(&reference, update, Arc::clone(&quiet));
    let old = pull(false).await.unwrap();
    let text = include_str!("provider.wat").replace("greeter", "another");
    let image = ImageBuilder::wasm(plugins::wasm(&text)).build();
    let (_, second) = desk.publish("acme/greeter", &image);
    desk.sign("acme/greeter", &second);
    let new = pull(true).await.unwrap();
    assert_ne!(old.file_path, new.file_path);
    let loader = WasmLoader::new(Arc::clone(&downloader)).unwrap();
    let provider = loader
        .load_plugin(new, &ProviderConfig::default())
        .await
        .unwrap();
    assert_eq!(provider.name(), "another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wasm_provider_reaches_the_hosts_of_the_config_only() {
    let desk = Desk::new();
    let provider = provider(&desk).await;
    let blob = desk.registry.put_blob("acme/words", "one two three");
    let path = format!("v2/acme/words/blobs/{}", blob.digest());
    let port = desk
        .registry
        .host()
        .to_string()
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    let answer = provider
        .chat(&request(&format!("http://127.0.0.1:{port}/{path}")))
        .await
        .unwrap();
    assert_eq!(answer["resp"]["head"]["status"], 200, "{answer}");
    assert_eq!(answer["resp"]["body"], json!(b"one two three"));
    // The plugin says that this is its host; the config decides.
    let other = format!("http://localhost:{port}/{path}");
    let answer = provider.chat(&request(&other)).await.unwrap();
    assert_eq!(answer["resp"]["head"]["status"], 403, "{answer}");
    let parts = provider.chat_stream(&request(&format!("http://127.0.0.1:{port}/{path}")));
    let parts: Vec<_> = parts.map(Result::unwrap).collect().await;
    assert_eq!(parts.concat(), b"one two three");
    let refused: Vec<_> = provider.chat_stream(&request(&other)).collect().await;
    let [Err(ProviderError::Plugin(message))] = &refused[..] else {
        panic!("{refused:?}");
    };
    assert!(
        message.contains("`localhost` is not an allowed host"),
        "{message}"
    );
}

#[tokio::test]
async fn an_error_object_of_a_plugin_arrives_as_data() {
    let desk = Desk::new();
    let limited = provider(&desk).await.chat(&Value::Null).await.unwrap_err();
    assert!(
        matches!(
            limited,
            ProviderError::RateLimited {
                retry_after_secs: 7
            }
        ),
        "{limited}"
    );
}

/// Both ways of a request: one that waits for its response, one for the next part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_answer_ends_the_request() {
    let desk = Desk::new();
    let provider = provider(&desk).await;
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", server.local_addr().unwrap());
    for is_stream in [false, true] {
        let server = server.try_clone().unwrap();
        let (asked, asking) = tokio::sync::oneshot::channel();
        let ended = std::thread::spawn(move || {
            let (mut client, _) = server.accept().unwrap();
            client
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let mut head = [0; 4096];
            let count = client.read(&mut head).unwrap();
            if is_stream {
                client
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\none ")
                    .unwrap();
            }
            asked.send(()).unwrap();
            // The client closes the connection, and sends nothing more.
            count > 0 && client.read(&mut head).unwrap() == 0
        });
        let message = request(&url);
        if is_stream {
            let mut parts = provider.chat_stream(&message);
            assert_eq!(parts.next().await.unwrap().unwrap(), "one ");
            drop(parts);
        } else {
            tokio::select! {
                answer = provider.chat(&message) => panic!("{answer:?}"),
                _ = asking => {}
            }
        }
        assert!(ended.join().unwrap());
    }
}

/// The example `native_provider`, which `cargo test -p querymt-adapter` builds before the tests.
fn native_library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let name = format!(
        "{}native_provider{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let library = Path::new(profile).join("examples").join(name);
    let command = "cargo build -p querymt-adapter --example native_provider";
    assert!(
        library.is_file(),
        "no {}; run `{command}`",
        library.display()
    );
    library
}
