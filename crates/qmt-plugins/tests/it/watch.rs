//! Plugins that follow their file or tag.

use std::sync::Arc;
use std::time::Duration;

use qmt_plugins::{Event, LockMode, PluginHost};
use qmt_testkit::ImageBuilder;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::reload::{becomes, host_of_file, install, module, number, refusals, reloads};
use crate::scene::{REPOSITORY, Scene};

const LONG: Duration = Duration::from_secs(20);

fn watch(host: &Arc<PluginHost>) -> JoinHandle<()> {
    let host = Arc::clone(host);
    tokio::spawn(async move { host.watch("greeter").await.unwrap() })
}

/// Waits until that many versions were refused.
async fn refused(scene: &Scene, count: usize) {
    let reached = async {
        while refusals(scene).len() < count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, reached).await.unwrap();
}

#[tokio::test]
async fn a_file_is_followed_however_it_is_replaced() {
    let scene = Scene::new().await;
    let path = scene.folder.path().join("plugin.wasm");
    install(&scene, &module(1, ""));
    let host = Arc::new(host_of_file(&scene, ""));
    let plugin = host.reloadable("greeter").await.unwrap();
    // Between the load and the first check.
    install(&scene, &module(2, ""));
    let watching = watch(&host);
    becomes(&*plugin, 2).await;
    install(&scene, &module(3, ""));
    becomes(&*plugin, 3).await;
    std::fs::write(&path, module(4, "")).unwrap();
    becomes(&*plugin, 4).await;
    // Absent for a moment, and back with the old times and the same size.
    let times = std::fs::metadata(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(number(&*plugin, "version").await, 4);
    install(&scene, &module(5, ""));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(times.modified().unwrap()).unwrap();
    assert_eq!(file.metadata().unwrap().len(), times.len());
    becomes(&*plugin, 5).await;
    assert!(refusals(&scene).is_empty(), "{:?}", refusals(&scene));
    // A file with the same content is not another version.
    let count = reloads(&scene);
    install(&scene, &module(5, ""));
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(reloads(&scene), count);
    // A bad version is refused once, and a good one is taken after it.
    install(&scene, b"no module");
    refused(&scene, 1).await;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(refusals(&scene).len(), 1);
    assert_eq!(number(&*plugin, "version").await, 5);
    install(&scene, &module(6, ""));
    becomes(&*plugin, 6).await;
    // After the future is dropped, the file is no longer followed.
    watching.abort();
    let _ = watching.await;
    install(&scene, &module(7, ""));
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(number(&*plugin, "version").await, 6);
}

/// A file that is still being written is not read.
#[tokio::test]
async fn a_file_is_taken_when_it_no_longer_changes() {
    let scene = Scene::new().await;
    let path = scene.folder.path().join("plugin.wasm");
    install(&scene, &module(1, ""));
    let host = Arc::new(host_of_file(&scene, ""));
    let plugin = host.reloadable("greeter").await.unwrap();
    let watching = watch(&host);
    let next = module(2, "");
    let part = next.len() / 20;
    for end in 1..20 {
        std::fs::write(&path, &next[..end * part]).unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(number(&*plugin, "version").await, 1);
    std::fs::write(&path, &next).unwrap();
    becomes(&*plugin, 2).await;
    assert!(refusals(&scene).is_empty(), "{:?}", refusals(&scene));
    watching.abort();
}

#[tokio::test]
async fn a_tag_is_followed_each_refresh() {
    let scene = Scene::new().await;
    let push = |version| scene.push(&ImageBuilder::wasm(module(version, "")).build(), "1");
    scene.sign(&push(1));
    let config = scene.config_with(
        "cert_email = \"dev@acme.example\"\ncert_issuer = \"https://accounts.acme.example\"\n\
         refresh_after = \"1s\"",
        "",
    );
    let host = Arc::new(scene.host(&config));
    let plugin = host.reloadable("greeter").await.unwrap();
    let watching = watch(&host);
    let second = push(2);
    refused(&scene, 1).await;
    assert!(
        refusals(&scene)[0].contains("is not signed"),
        "{:?}",
        refusals(&scene)
    );
    assert_eq!(number(&*plugin, "version").await, 1);
    scene.sign(&second);
    becomes(&*plugin, 2).await;
    assert_eq!(host.lock_entry("greeter").unwrap().digest, *second.digest());
    assert_eq!(reloads(&scene), 1);
    watching.abort();
}

#[tokio::test]
async fn a_tag_of_a_layout_is_followed_as_well() {
    let scene = Scene::new().await;
    let layout = scene.folder.path().join("layout");
    let write = |version| {
        let image = ImageBuilder::wasm(module(version, "")).build();
        image.write_layout(&layout, "1").unwrap();
        image.root().clone()
    };
    write(1);
    let config = scene
        .config_with("insecure_skip_signature = true\nrefresh_after = \"1s\"", "")
        .replace(
            &format!("oci://{}/{REPOSITORY}:1", scene.registry.host()),
            "oci-layout://layout:1",
        );
    let host = Arc::new(scene.host(&config));
    let plugin = host.reloadable("greeter").await.unwrap();
    assert_eq!(number(&*plugin, "version").await, 1);
    let watching = watch(&host);
    let second = write(2);
    becomes(&*plugin, 2).await;
    assert_eq!(host.lock_entry("greeter").unwrap().digest, *second.digest());
    watching.abort();
}

#[tokio::test]
async fn what_cannot_change_is_not_followed() {
    let scene = Scene::new().await;
    let image = scene.push(&ImageBuilder::wasm(module(1, "")).build(), "1");
    scene.sign(&image);
    let tag = scene.config();
    let digest = scene
        .config_with("refresh_after = \"1s\"", "")
        .replace("greeter:1\"", &format!("greeter@{}\"", image.digest()));
    let refreshed = scene.config_with("refresh_after = \"1s\"", "");
    let never = scene.config_with("refresh_after = \"1s\"\npull_policy = \"never\"", "");
    let builder = |config: &String| scene.builder(config);
    for host in [
        builder(&tag),
        builder(&digest),
        builder(&refreshed).offline(true),
        builder(&refreshed).lock_mode(LockMode::Frozen),
        builder(&never),
    ] {
        let host = host.build().unwrap();
        scene.events.lock().unwrap().clear();
        timeout(LONG, host.watch("greeter")).await.unwrap().unwrap();
        let events = scene.events.lock().unwrap();
        let is_note = |event: &Event| matches!(event, Event::Note { message, .. } if message.contains("not followed"));
        assert!(events.iter().any(is_note), "{events:?}");
    }
    // The first version must load.
    let host = host_of_file(&scene, "");
    timeout(LONG, host.watch("greeter"))
        .await
        .unwrap()
        .unwrap_err();
}
