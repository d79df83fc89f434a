//! What `inspect` reports.

use qmt_plugins::{Event, Stage, Target};
use qmt_testkit::{ImageBuilder, IndexBuilder};

use crate::scene::{Scene, messages, this_platform};

/// The platform is reported in the JSON form of the image specification.
#[tokio::test]
async fn the_platform_has_the_names_of_the_specification() {
    let scene = Scene::new().await;
    let mut platform = this_platform();
    platform.set_os_version(Some("6.1".to_owned()));
    let image = ImageBuilder::native(this_platform(), "plugin.so", "a library").build();
    let index = IndexBuilder::new().platform(&image, platform).build();
    scene.push(&index, "1");

    let host = scene.host(&scene.config());
    let name = format!("{}/acme/greeter:1", scene.registry.host());
    let target = Target::parse(host.config(), &name).unwrap();
    let inspection = host.inspect(&target).await.unwrap();
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!(json["platform"]["os.version"], "6.1", "{json:#}");
    assert!(json["platform"].get("os_version").is_none(), "{json:#}");
}

/// All platforms are listed by one look at the image, so that both parts of the answer are about the
/// same digest. An index without images says so.
#[tokio::test]
async fn all_platforms_are_listed_by_one_look() {
    let scene = Scene::new().await;
    let index = IndexBuilder::new().build();
    scene.push(&index, "1");
    let host = scene.host(&scene.config());
    let target = Target::parse(host.config(), "greeter").unwrap();
    let offers = host.offers(&target).await.unwrap();
    let error = messages(&offers.inspection.unwrap_err());
    assert!(error.contains("lists no image"), "{error}");
    let events = scene.events.lock().unwrap();
    let resolved = events.iter().filter(|event| {
        matches!(
            event,
            Event::Finished {
                stage: Stage::Resolve,
                ..
            }
        )
    });
    assert_eq!(resolved.count(), 1, "{events:?}");
}
