//! The cache between runs: damage, broken downloads, several processes' worth of hosts.

use std::io::Write;
use std::time::SystemTime;

use qmt_oci_ref::{Digest, Platform, PluginKind, manifest};
use qmt_plugins::artifact_stage::HostPlatform;
use qmt_plugins::cache::maintenance::PruneOptions;
use qmt_plugins::{Error, ErrorKind, LockMode, Target};
use qmt_testkit::{Archive, Cut, Fault, ImageBuilder, IndexBuilder, Layer, TarEntry, plugins};

use crate::scene::{EMAIL, ISSUER, Scene, greet, messages, wasm_image};

/// Invariant 5: damaged bytes never run, and the cache mends itself.
#[tokio::test]
async fn a_damaged_file_is_fetched_again() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let config = scene.config();
    let path = scene
        .host(&config)
        .fetch("greeter")
        .await
        .unwrap()
        .path()
        .to_owned();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    #[expect(
        clippy::permissions_set_readonly_false,
        reason = "the folder is private"
    )]
    permissions.set_readonly(false);
    std::fs::set_permissions(&path, permissions).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all(&bytes)
        .unwrap();

    assert_eq!(
        greet(&scene.host(&config), "greeter").await,
        "Hello, world! (wasm)"
    );
}

/// A download that breaks off goes on where it stopped, also in the next run.
#[tokio::test]
async fn a_broken_download_goes_on_in_the_next_run() {
    let scene = Scene::new().await;
    // Large enough that a part of it arrives; the padding is a custom section.
    let module = padded_module(300_000);
    let image = ImageBuilder::wasm(module).build();
    scene.sign(&scene.push(&image, "1"));
    let config = scene.config();
    // The first answer breaks off, and the ones that would go on are refused.
    let layer = Fault::on("GET", "/v2/*/blobs/*").when(|request| request.header("range").is_some());
    scene.registry.fault(layer.respond(403));
    scene
        .registry
        .fault(Fault::on("GET", "/v2/*/blobs/*").cut(200_000, Cut::Reset));
    let error = scene.host(&config).fetch("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Network, "{}", messages(&error));

    scene.registry.clear_faults();
    scene.registry.clear_requests();
    assert_eq!(
        greet(&scene.host(&config), "greeter").await,
        "Hello, world! (wasm)"
    );
    let resumed = scene
        .registry
        .requests()
        .iter()
        .any(|request| request.header("range").is_some());
    assert!(resumed, "{}", scene.registry.request_log());
}

/// Layers of which only the content says where the module is, are cached as what it is.
#[tokio::test]
async fn a_module_out_of_an_odd_archive_is_cached() {
    let module = plugins::echo_wasm();
    let plain = Archive::new().file("plugin.wasm", module.clone());
    let linked = Archive::new()
        .file("deps/plugin.wasm", module)
        .entry(TarEntry::hardlink("plugin.wasm", "deps/plugin.wasm"));
    let typed_wasm = |archive: &Archive| {
        let bytes = archive.gzip();
        ImageBuilder::wasm_as("application/wasm", bytes).build()
    };
    let image = ImageBuilder::new().layer(Layer::tar_gzip(&linked)).build();
    for image in [typed_wasm(&plain), typed_wasm(&linked), image] {
        let scene = Scene::new().await;
        scene.sign(&scene.push(&image, "1"));
        let config = scene.config();
        let answer = greet(&scene.host(&config), "greeter").await;
        assert_eq!(answer, "Hello, world! (wasm)");
        let host = scene.builder(&config).offline(true).build().unwrap();
        assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");
    }
}

/// The head of a shared library for linux, for the machine with this number in ELF.
fn library(machine: u8) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
    bytes.extend([machine, 0]);
    bytes.extend([7; 5_000]);
    bytes
}

const AMD64: u8 = 0x3e;
const ARM64: u8 = 0xb7;

/// One manifest can hold several plugins: what the cache has of it does not decide which is used.
#[tokio::test]
async fn a_cached_plugin_of_another_kind_is_not_used() {
    let both = Archive::new()
        .file("plugin.wasm", plugins::echo_wasm())
        .file("plugin.so", library(AMD64));
    let amd64 = manifest::platform("linux", "amd64");
    let with_platform = ImageBuilder::new().platform(amd64.clone());
    for image in [with_platform, ImageBuilder::new()] {
        let scene = Scene::new().await;
        let image = image.layer(Layer::tar_gzip(&both)).build();
        scene.sign(&scene.push(&image, "1"));
        let oci = format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"");
        let kind = async |cache: &str, kind: &str, offline: bool| {
            let _ = std::fs::remove_file(scene.folder.path().join("plugins.lock"));
            let config = scene.config_with(&oci, kind);
            let config = config.replace("\"cache\"", &format!("\"{cache}\""));
            let platform = HostPlatform::new(&amd64);
            let builder = scene.builder(&config).platform(platform).offline(offline);
            let plugin = builder.build().unwrap().fetch("greeter").await.unwrap();
            plugin.kind()
        };
        let (wasm, native) = (PluginKind::Wasm, PluginKind::Native);
        let rules = [
            ("", native),
            ("kind = \"wasm\"", wasm),
            ("kind = \"native\"", native),
        ];
        for (nth, (first, of_first)) in rules.into_iter().enumerate() {
            let cache = format!("cache-{nth}");
            assert_eq!(kind(&cache, first, false).await, of_first, "{first}");
            for (then, expected) in rules {
                let found = kind(&cache, then, true).await;
                assert_eq!(found, expected, "`{first}`, then `{then}`");
            }
        }
    }
}

/// The cache may have what was exported for another machine.
#[tokio::test]
async fn a_cached_plugin_for_another_platform_is_not_used() {
    let scene = Scene::new().await;
    let (amd64, arm64) = (
        manifest::platform("linux", "amd64"),
        manifest::platform("linux", "arm64"),
    );
    for (tag, platform, machine) in [("1", &arm64, ARM64), ("2", &amd64, AMD64)] {
        let archive = Archive::new().file("plugin.so", library(machine));
        let image = ImageBuilder::new().layer(Layer::tar_gzip(&archive));
        let image = image.platform(platform.clone()).build();
        let index = IndexBuilder::new().platform(&image, platform.clone());
        scene.sign(&scene.push(&index.build(), tag));
    }
    for (tag, has, lacks) in [("1", &arm64, &amd64), ("2", &amd64, &arm64)] {
        let config = scene
            .config()
            .replace("greeter:1", &format!("greeter:{tag}"));
        let fetch = async |platform: &Platform| {
            let _ = std::fs::remove_file(scene.folder.path().join("plugins.lock"));
            let builder = scene.builder(&config).platform(HostPlatform::new(platform));
            let host = builder.build().unwrap();
            host.fetch("greeter").await.map(|plugin| plugin.kind())
        };
        let before = messages(&fetch(lacks).await.unwrap_err());
        assert_eq!(fetch(has).await.unwrap(), PluginKind::Native);
        let after = messages(&fetch(lacks).await.unwrap_err());
        assert_eq!(after, before);
    }
}

fn padded_module(size: usize) -> Vec<u8> {
    let mut module = plugins::echo_wasm();
    let content = size + 4;
    module.push(0); // A custom section, its size in LEB128, its name of three bytes.
    let mut rest = content;
    loop {
        let byte = u8::try_from(rest & 0x7f).unwrap();
        rest >>= 7;
        module.push(if rest == 0 { byte } else { byte | 0x80 });
        if rest == 0 {
            break;
        }
    }
    module.extend(b"\x03pad");
    module.extend((0..size).map(|n| u8::try_from(n % 251).unwrap()));
    module
}

/// P9: many at once, one download.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hosts_at_the_same_time_download_once() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let config = scene.config();
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let host = scene.host(&config);
        tasks.push(tokio::spawn(async move {
            host.fetch("greeter")
                .await
                .map(|fetched| fetched.digest().clone())
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let layer = wasm_image().blobs().last().unwrap().0.digest().clone();
    assert_eq!(
        scene
            .registry
            .count("GET", &format!("/v2/acme/greeter/blobs/{layer}")),
        1
    );
}

#[tokio::test]
async fn locked_and_frozen_change_nothing() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let config = scene.config();
    let locked = scene
        .builder(&config)
        .lock_mode(LockMode::Locked)
        .build()
        .unwrap();
    let error = locked.load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{}", messages(&error));
    let frozen = scene
        .builder(&config)
        .lock_mode(LockMode::Frozen)
        .build()
        .unwrap();
    assert!(frozen.load("greeter").await.is_err());

    scene.host(&config).load("greeter").await.unwrap();
    scene.registry.clear_requests();
    for mode in [LockMode::Locked, LockMode::Frozen] {
        let host = scene.builder(&config).lock_mode(mode).build().unwrap();
        assert_eq!(greet(&host, "greeter").await, "Hello, world! (wasm)");
    }
    assert_eq!(scene.registry.requests().len(), 0);
}

/// An unwritable lockfile is a warning where it is a by-product, and an error where it is the purpose.
#[tokio::test]
async fn an_unwritable_lockfile_fails_what_is_to_write_it() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let config = scene.config();
    let host = |lockfile: &str| {
        let path = scene.folder.path().join(lockfile);
        scene.builder(&config).lockfile(path).build().unwrap()
    };
    let unwritable = host("absent/plugins.lock");
    let targets = [Target::named(unwritable.config(), "greeter").unwrap()];
    let fetched = unwritable.fetch_all(&targets).await;
    fetched[0].1.as_ref().unwrap();
    let warnings = scene.warnings();
    assert!(warnings.contains("can't be written"), "{warnings}");
    for result in [
        unwritable.lock_all(&targets).await.remove(0).1,
        unwritable.update("greeter").await,
    ] {
        let error = result.err().unwrap();
        assert!(messages(&error).contains("absent"), "{}", messages(&error));
    }
    let writable = host("plugins.lock");
    writable.lock_all(&targets).await.remove(0).1.unwrap();
    assert!(writable.lock_entry("greeter").is_some());
}

/// A lockfile under version control serves machines of all platforms of an index.
#[tokio::test]
async fn a_lockfile_that_was_written_on_another_platform_stays() {
    let scene = Scene::new().await;
    let (amd64, arm64) = (
        manifest::platform("linux", "amd64"),
        manifest::platform("linux", "arm64"),
    );
    let image = |platform: &Platform, module: Vec<u8>| {
        let image = ImageBuilder::dockerfile(module);
        image.platform(platform.clone()).build()
    };
    let other = plugins::wasm("(module (memory (export \"memory\") 1))");
    let index = IndexBuilder::new()
        .platform(&image(&amd64, plugins::echo_wasm()), amd64.clone())
        .platform(&image(&arm64, other), arm64.clone())
        .build();
    scene.sign(&scene.push(&index, "1"));
    let config = scene.config();
    let host = |platform: &Platform, mode: LockMode| {
        let builder = scene.builder(&config).lock_mode(mode);
        builder
            .platform(HostPlatform::new(platform))
            .build()
            .unwrap()
    };
    let written = host(&arm64, LockMode::Update);
    let before = written.fetch("greeter").await.unwrap().summary();
    let lockfile = || std::fs::read(scene.folder.path().join("plugins.lock")).unwrap();
    let text = lockfile();
    for mode in [LockMode::Locked, LockMode::Frozen, LockMode::Update] {
        let artifact = host(&amd64, mode).fetch("greeter").await.unwrap();
        assert_ne!(
            artifact.summary().file_digest,
            before.file_digest,
            "{mode:?}"
        );
        assert_eq!(lockfile(), text, "{mode:?}");
    }
    let locked = host(&amd64, LockMode::Update);
    let targets = [Target::named(locked.config(), "greeter").unwrap()];
    locked.lock_all(&targets).await.remove(0).1.unwrap();
    assert_eq!(lockfile(), text);
    // What this host has of the index is kept, although the entry names the other manifest.
    let keep = locked.locked().into_iter();
    let keep = keep.flat_map(|entry| [entry.digest, entry.manifest]);
    let options = PruneOptions::default().with_keep(keep).with_max_size(0);
    let report = locked.cache().prune(options, SystemTime::now()).await;
    assert!(report.unwrap().evicted.is_empty());
    host(&amd64, LockMode::Frozen)
        .fetch("greeter")
        .await
        .unwrap();
}

/// A registry that removes old versions leaves the lockfile behind.
#[tokio::test]
async fn a_locked_version_that_is_gone_is_called_that() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let config = scene.config();
    scene.host(&config).fetch("greeter").await.unwrap();
    std::fs::remove_dir_all(scene.folder.path().join("cache")).unwrap();
    let next = scene.push(&ImageBuilder::dockerfile(plugins::echo_wasm()).build(), "1");
    scene.sign(&next);
    let manifest = Fault::on("GET", "/v2/*/manifests/sha256:*");
    scene.registry.fault(manifest.respond(404));
    let host = scene.host(&config);
    let error = host.fetch("greeter").await.err().unwrap();
    assert!(matches!(error, Error::LockedVersionGone { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("update greeter"));
    scene.registry.clear_faults();
    host.update("greeter").await.unwrap();
    host.fetch("greeter").await.unwrap();
}

/// The registry is at fault, not the image.
#[tokio::test]
async fn a_layer_that_cannot_be_fetched_is_not_blamed_on_the_image() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let layer = Digest::sha256(plugins::echo_wasm());
    let path = format!("/v2/*/blobs/{layer}");
    scene.registry.fault(Fault::on("GET", &path).respond(403));
    let error = scene.host(&scene.config()).fetch("greeter").await.err();
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Network, "{}", messages(&error));
    let text = error.to_string();
    assert!(text.contains("fetching the layer of"), "{text}");
}

#[tokio::test]
async fn offline_without_a_cache_says_what_is_missing() {
    let scene = Scene::new().await;
    let host = scene
        .builder(&scene.config())
        .offline(true)
        .build()
        .unwrap();
    let error = host.load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("--offline"), "{error}");
    assert_eq!(scene.registry.requests().len(), 0);
}

/// Invariant 7: a registry that is gone does not take away what was good.
#[tokio::test]
async fn a_tag_that_cannot_be_refreshed_stays_as_it_was() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let oci =
        format!("cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"\nrefresh_after = \"0s\"");
    let config = scene.config_with(&oci, "");
    scene.host(&config).load("greeter").await.unwrap();
    let fault = || Fault::on("GET", "/v2/acme/greeter/manifests/1");
    let page = fault().respond(200).body("<html>Log in</html>");
    let faults = [
        fault().respond(503),
        fault().respond(401),
        fault().respond(403),
        page.header("content-type", "text/html"),
        fault().stall(),
    ];
    for (nth, fault) in faults.into_iter().enumerate() {
        scene.registry.clear_faults();
        scene.registry.fault(fault);
        std::thread::sleep(std::time::Duration::from_millis(5));
        let begin = std::time::Instant::now();
        assert_eq!(
            greet(&scene.host(&config), "greeter").await,
            "Hello, world! (wasm)"
        );
        assert!(begin.elapsed() < std::time::Duration::from_secs(15));
        let warnings = scene.warnings();
        let continued = warnings.matches("continuing with sha256:").count();
        assert_eq!(continued, nth + 1, "{warnings}");
    }
    // A tag that is gone is another answer.
    scene.registry.clear_faults();
    scene.registry.fault(fault().respond(404));
    let host = scene.host(&config);
    let error = host.load("greeter").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
