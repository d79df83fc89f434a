//! Hosts that describe plugins in code, and hosts that pull many.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use qmt_oci_ref::{PluginKind, manifest};
use qmt_plugins::config::{ByteSize, Config, ConfigError, ConfigFile, ProviderConfig, Span};
use qmt_plugins::loader::{Limits, LoadOptions};
use qmt_plugins::{Error, Event, EventSink, PluginHost, Stage, Target};
use qmt_testkit::{
    FakeRegistry, Fault, Identity, ImageBuilder, IndexBuilder, PlainServer, Signing, TlsOptions,
    attach_simple, plugins,
};

use crate::scene::{EMAIL, ISSUER, REPOSITORY, Scene, messages, this_platform, wasm_image};

fn provider(scene: &Scene, name: &str) -> ProviderConfig {
    ProviderConfig::new(
        name,
        format!("oci://{}/{REPOSITORY}:1", scene.registry.host()),
    )
}

/// Another module than the others.
fn variant(number: u8) -> qmt_testkit::Image {
    let mut module = plugins::echo_wasm();
    // A custom section: its size, the length of its name, its name.
    module.extend([0, 2, 1, b'a' + number]);
    ImageBuilder::wasm(module).build()
}

fn collect() -> (Arc<Mutex<Vec<Event>>>, EventSink) {
    let seen: Arc<Mutex<Vec<Event>>> = Arc::default();
    let sink = Arc::clone(&seen);
    (
        seen,
        Arc::new(move |event| sink.lock().unwrap().push(event)),
    )
}

#[tokio::test]
async fn a_provider_in_code_has_its_name_file_limits_and_rights() {
    let scene = Scene::new().await;
    let archive = ImageBuilder::dockerfile(plugins::echo_wasm()).build();
    scene.sign(&scene.push(&archive, "1"));
    let host = scene.host(
        &scene
            .config_with("", "")
            .replace("\"greeter\"", "\"other\""),
    );
    let mut provider = provider(&scene, "Greeter of the host");
    provider.kind = Some(PluginKind::Wasm);
    provider.file = Some("absent.wasm".to_owned());
    let target = Target::from_provider(provider.clone()).unwrap();
    let error = host.load_target(&target).await.err().unwrap();
    assert!(messages(&error).contains("absent.wasm"), "{error:?}");

    provider.file = None;
    provider.limits.timeout = Some(Span::new(Duration::from_secs(7)));
    provider.allow.hosts = vec!["api.example.com".to_owned()];
    let target = Target::from_provider(provider).unwrap();
    assert_eq!(target.name(), "Greeter of the host");
    let options = host.load_options(&target);
    assert_eq!(options.limits.timeout, Duration::from_secs(7));
    assert_eq!(options.allow.hosts, ["api.example.com"]);
    let plugin = host.load_target(&target).await.unwrap();
    assert_eq!(plugin.kind(), PluginKind::Wasm);
    // It is pinned as a plugin of the config is.
    let entry = host.lock_entry("Greeter of the host").unwrap();
    assert_eq!(entry.granted.hosts, ["api.example.com"]);
    let image = scene.push(&variant(0), "1");
    scene.sign_as(&image, "mallory@evil.example");
    let error = host.update_target(&target).await.unwrap_err();
    assert!(matches!(error, Error::NotVerified { .. }), "{error}");
}

#[tokio::test]
async fn a_provider_in_code_is_checked_as_one_of_the_config() {
    let scene = Scene::new().await;
    let good = provider(&scene, "greeter");
    Target::from_provider(good.clone()).unwrap();
    let mut nameless = good.clone();
    nameless.name.clear();
    let mut outside = good.clone();
    outside.file = Some("../x".to_owned());
    let mut shell = good;
    shell.allow.paths.insert("$HOME/x".to_owned(), "/x".into());
    for (provider, key) in [
        (nameless, "providers[0].name"),
        (outside, "providers[0].file"),
        (shell, "providers[0].allow.paths"),
        (
            ProviderConfig::new("p", "http://a.b/c"),
            "providers[0].path",
        ),
    ] {
        let error = Target::from_provider(provider).unwrap_err();
        let Error::Config(ConfigError::Contradiction { key: found, .. }) = &error else {
            panic!("{error}");
        };
        assert!(found.starts_with(key), "{error}");
    }
}

#[tokio::test]
async fn an_update_of_a_target_follows_its_tag() {
    let scene = Scene::new().await;
    let first = scene.push(&variant(0), "1");
    scene.sign(&first);
    let host = scene.host(&scene.config());
    let reference = format!("{}/{REPOSITORY}:1", scene.registry.host());
    let targets = [
        // Without an entry in the lockfile, the cache decides which version is used.
        Target::parse(host.config(), &reference).unwrap(),
        Target::named(host.config(), "greeter").unwrap(),
        Target::from_provider(provider(&scene, "in code")).unwrap(),
    ];
    let digest = |fetched: Result<qmt_plugins::PluginArtifact, Error>| {
        fetched.unwrap().reference().unwrap().digest().clone()
    };
    for target in &targets {
        assert_eq!(digest(host.fetch_target(target).await), *first.digest());
    }
    let second = scene.push(&variant(1), "1");
    scene.sign(&second);
    for target in &targets {
        let name = target.name();
        assert_eq!(
            digest(host.fetch_target(target).await),
            *first.digest(),
            "{name}"
        );
        assert_eq!(
            digest(host.update_target(target).await),
            *second.digest(),
            "{name}"
        );
        assert_eq!(
            digest(host.fetch_target(target).await),
            *second.digest(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn each_call_can_have_an_event_sink() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let host = scene.host(&scene.config());
    let (one_events, one_sink) = collect();
    let (two_events, two_sink) = collect();
    let target = |name, sink| {
        Target::from_provider(provider(&scene, name))
            .unwrap()
            .with_events(sink)
    };
    let (one_target, two_target) = (target("one", one_sink), target("two", two_sink));
    let (first, second) = tokio::join!(
        host.fetch_target(&one_target),
        host.fetch_target(&two_target)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.digest(), second.digest());
    let shown = |events: &Mutex<Vec<Event>>| format!("{:?}", events.lock().unwrap());
    let (one, two, all) = (shown(&one_events), shown(&two_events), shown(&scene.events));
    assert!(one.contains("\"one\"") && !one.contains("\"two\""), "{one}");
    assert!(two.contains("\"two\"") && !two.contains("\"one\""), "{two}");
    assert!(all.contains("\"one\"") && all.contains("\"two\""), "{all}");
    assert!(
        one.contains("Finished") && one.contains("stage: Cache"),
        "{one}"
    );
    // Without one, the host's sink gets the events alone.
    host.fetch("greeter").await.unwrap();
    assert!(shown(&scene.events).contains("\"greeter\""));
    assert_eq!(shown(&one_events), one);
}

/// The stages that failed and those that were refused, in their order.
async fn failures(scene: &Scene) -> Vec<String> {
    let host = scene.host(&scene.config());
    let (seen, sink) = collect();
    let target = Target::named(host.config(), "greeter")
        .unwrap()
        .with_events(sink);
    host.load_target(&target).await.err();
    let seen = seen.lock().unwrap();
    let failures = seen.iter().filter_map(|event| match event {
        Event::Failed { stage, reason, .. } => {
            assert!(!reason.is_empty());
            Some(stage.to_string())
        }
        Event::Refused { .. } => Some("refused".to_owned()),
        _ => None,
    });
    failures.collect()
}

#[tokio::test]
async fn a_stage_that_fails_is_an_event_with_the_stage() {
    let refused = |stage: Stage| vec![stage.to_string(), "refused".to_owned()];
    let scene = Scene::new().await;
    assert_eq!(failures(&scene).await, refused(Stage::Resolve));
    let image = scene.push(&variant(0), "1");
    assert_eq!(failures(&scene).await, refused(Stage::Verify));
    scene.sign(&image);
    let blobs = Fault::on("GET", format!("/v2/{REPOSITORY}/blobs/*"));
    let layer = variant(0).blobs().last().unwrap().0.digest().to_string();
    let blobs = blobs.when(move |request| request.target.ends_with(&layer));
    scene.registry.fault(blobs.respond(404));
    assert_eq!(failures(&scene).await, refused(Stage::Fetch));
    scene.registry.clear_faults();
    assert!(failures(&scene).await.is_empty());

    let scene = Scene::new().await;
    let plan9 = manifest::platform("plan9", "mips");
    let foreign = ImageBuilder::native(plan9.clone(), "plugin.so", "code").build();
    let foreign = IndexBuilder::new().platform(&foreign, plan9).build();
    scene.sign(&scene.push(&foreign, "1"));
    assert_eq!(failures(&scene).await, refused(Stage::Select));
    let scene = Scene::new().await;
    let unloadable = plugins::wasm("(module (import \"env\" \"absent\" (func)))");
    scene.sign(&scene.push(&ImageBuilder::wasm(unloadable).build(), "1"));
    assert_eq!(failures(&scene).await, refused(Stage::Load));
}

#[tokio::test]
async fn a_host_loads_what_it_fetched_with_its_own_loader() {
    use qmt_plugins::loader::{Loader as _, wasm::WasmLoader};
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let host = scene.host(&scene.config());
    let target = Target::named(host.config(), "greeter").unwrap();
    let fetched = host.fetch_target(&target).await.unwrap();
    let artifact = fetched.to_loader_artifact().unwrap();
    assert_eq!(artifact.digest(), fetched.digest());
    assert_eq!(
        (artifact.name(), artifact.kind()),
        ("greeter", PluginKind::Wasm)
    );
    let loader = WasmLoader::builder().build().unwrap();
    let plugin = loader
        .load(artifact, host.load_options(&target))
        .await
        .unwrap();
    let answer = plugin.call("greet", "world".into()).await.unwrap();
    assert_eq!(answer, "Hello, world! (wasm)");
}

#[tokio::test]
async fn the_host_sets_defaults_limits_and_the_place_of_the_lockfile() {
    let scene = Scene::new().await;
    // Other tests don't load this library: it takes one configuration in the life of a process.
    let library = plugins::native_plugin_with_marker(
        scene.folder.path(),
        &scene.folder.path().join("marker"),
    );
    let library = std::fs::read(library.unwrap()).unwrap();
    let native = ImageBuilder::native(this_platform(), &plugins::native_file_name(), library);
    let both = IndexBuilder::new()
        .wasm(&wasm_image())
        .platform(&native.build(), this_platform())
        .build();
    scene.sign(&scene.push(&both, "1"));
    let mut limits = Limits::default();
    (limits.timeout, limits.fuel) = (Duration::from_secs(5), Some(1 << 30));
    let mut defaults = LoadOptions::default();
    defaults.config.insert("locale".to_owned(), "eo".to_owned());
    defaults.config.insert("mode".to_owned(), "host".to_owned());
    defaults.allow.hosts.push("host.example".to_owned());
    // The module has no such start function: the default reaches the loader.
    defaults.at_start = Some("absent".to_owned());
    let lines = "kind = \"wasm\"\n[providers.config]\nmode = \"provider\"\n[providers.limits]\n\
                 timeout = \"3s\"\ncompile_timeout = \"9m\"\n[providers.allow]\nhosts = [\"provider.example\"]";
    let path = scene.folder.path().join("state").join("host.lock");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let host = |lines: &str| {
        let builder = scene.builder(&scene.config_with("", lines));
        let builder = builder.defaults(defaults.clone()).limits(limits.clone());
        builder.lockfile(&path).build().unwrap()
    };
    let wasm = host(lines);
    let options = wasm.load_options(&Target::named(wasm.config(), "greeter").unwrap());
    assert_eq!(options.config["locale"], "eo");
    assert_eq!(options.config["mode"], "provider");
    assert_eq!(options.limits.timeout, Duration::from_secs(3));
    assert_eq!(options.limits.compile_timeout, Duration::from_mins(9));
    assert_eq!(options.limits.fuel, Some(1 << 30));
    assert_eq!(options.limits.memory_max, Limits::default().memory_max);
    assert_eq!(options.allow.hosts, ["host.example", "provider.example"]);
    let error = wasm.load("greeter").await.err().unwrap();
    assert!(messages(&error).contains("absent"), "{error:?}");
    // A native library has no instances to start.
    host("kind = \"native\"").load("greeter").await.unwrap();

    assert!(path.exists() && !scene.folder.path().join("plugins.lock").exists());
    assert!(host("").lock_entry("greeter").is_some());
    assert!(
        scene
            .host(&scene.config_with("", ""))
            .lock_entry("greeter")
            .is_none()
    );
}

/// One client and one trust root, however many plugins are pulled.
#[tokio::test]
async fn one_host_pulls_many_plugins_with_one_connection_and_one_trust_root() {
    let scene = Scene::new().await;
    // A connection of HTTP/2 serves requests at the same time.
    let tls = TlsOptions::new().http2();
    let registry = FakeRegistry::builder().tls(tls).serve().await;
    scene.write("ca.pem", registry.certificates().unwrap().ca_pem());
    let tuf = PlainServer::start().unwrap();
    let repository = scene.sigstore.tuf_repository();
    for (name, content) in repository.files().iter() {
        tuf.put(&format!("/tuf/{name}"), content.clone());
    }
    let root = String::from_utf8(repository.initial_root().to_vec()).unwrap();
    scene.write("root.json", &root);
    let mut targets = Vec::new();
    for number in 0..6 {
        let repository = format!("acme/plugin-{number}");
        let image = variant(number).push(&registry, &repository, "1");
        let signing = Signing::keyless(Identity::email(EMAIL, ISSUER));
        let signature = scene.sigstore.sign_simple(image.digest(), &signing);
        attach_simple(&registry, &repository, image.digest(), &[signature]);
        let path = format!("oci://{}/{repository}:1", registry.host());
        let provider = ProviderConfig::new(format!("plugin {number}"), path);
        targets.push(Target::from_provider(provider).unwrap());
    }
    let host = scene.host(&format!(
        "[oci]\ntuf_url = \"{}/tuf\"\ntuf_root = \"root.json\"\ncache_dir = \"cache\"\n\
         cert_email = \"{EMAIL}\"\ncert_issuer = \"{ISSUER}\"\n\
         [registries.\"{}\"]\nca_file = \"ca.pem\"\n[registries.\"{}\"]\nplain_http = true\n",
        tuf.url(),
        registry.host(),
        tuf.address(),
    ));
    // The first three one after the other, the others at the same time.
    for target in &targets[..3] {
        host.fetch_target(target).await.unwrap();
    }
    for (target, fetched) in host.fetch_all(&targets[3..]).await {
        assert!(fetched.is_ok(), "{}: {:?}", target.name(), fetched.err());
    }
    let connections: BTreeSet<u64> = registry
        .requests()
        .iter()
        .map(|one| one.connection)
        .collect();
    assert_eq!(connections.len(), 1, "{}", registry.request_log());
    assert_eq!(
        tuf.count("GET", "/tuf/timestamp.json"),
        1,
        "{:?}",
        tuf.requests()
    );
}

/// A host without a config file.
#[tokio::test]
async fn a_config_in_memory_goes_with_a_lockfile_elsewhere() {
    let scene = Scene::new().await;
    scene.sign(&scene.push(&wasm_image(), "1"));
    let mut config: Config =
        ConfigFile::read(scene.write("plugins.toml", &scene.config_with("", "")))
            .unwrap()
            .config()
            .clone();
    config.providers.clear();
    config.oci.max_artifact_size = Some(ByteSize::new(1 << 20));
    let file = ConfigFile::in_memory(scene.folder.path().join("my-host"), config).unwrap();
    let path = scene.folder.path().join("my-host.lock");
    let host = PluginHost::builder(file).lockfile(&path).build().unwrap();
    let target = Target::from_provider(provider(&scene, "greeter")).unwrap();
    host.fetch_target(&target).await.unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().contains("greeter"));
}
