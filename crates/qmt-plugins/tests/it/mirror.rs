//! A mirror of the config, and what the host remembers about it.

use qmt_testkit::{FakeRegistry, Fault, ImageBuilder, plugins};

use crate::scene::{Scene, wasm_image};

/// One wrong answer of a mirror is enough: it is not queried for the other plugins of the host.
#[tokio::test]
async fn a_mirror_that_sent_wrong_content_is_not_asked_for_the_next_plugin() {
    let scene = Scene::new().await;
    let mirror = FakeRegistry::builder().serve().await;
    let other = ImageBuilder::dockerfile(plugins::echo_wasm()).build();
    for registry in [&scene.registry, &mirror] {
        wasm_image().push(registry, "acme/greeter", "1");
        other.push(registry, "acme/other", "1");
    }
    mirror.fault(Fault::on("GET", "/v2/*/blobs/*").flip_bit(0));

    let (host, mirror_host) = (scene.registry.host(), mirror.host());
    let config = scene
        .config_with(
            "insecure_skip_signature = true",
            &format!("[[providers]]\nname = \"other\"\npath = \"oci://{host}/acme/other:1\""),
        )
        .replace(
            "plain_http = true\n",
            &format!("plain_http = true\nmirrors = [\"http://{mirror_host}\"]\n"),
        );
    let plugins = scene.host(&config);
    for (name, requests) in [("greeter", 1), ("other", 1)] {
        plugins.fetch(name).await.unwrap();
        assert_eq!(
            mirror.requests().len(),
            requests,
            "{}",
            mirror.request_log()
        );
    }
}
