//! The seam, as a host's own tests use it.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use qmt_loader::native::NativePlugin;
use qmt_loader::{LoadError, LoadOptions, Loader, MockLoader, MockPlugin, Plugin};
use qmt_oci_ref::PluginKind;

use crate::support::artifact;

#[tokio::test]
async fn a_host_is_tested_without_any_plugin() {
    let mut loader = MockLoader::new();
    loader.expect_load().times(1).returning(|artifact, _| {
        let mut plugin = MockPlugin::new();
        let name = artifact.name().to_owned();
        plugin
            .expect_call()
            .returning(move |export, _| Ok(Bytes::from(format!("{name}.{export}"))));
        Ok(Arc::new(plugin))
    });
    let loader: Arc<dyn Loader> = Arc::new(loader);
    let plugin = loader
        .load(artifact(PluginKind::Wasm, "x"), LoadOptions::default())
        .await
        .unwrap();
    let answer = plugin.call("greet", Bytes::new()).await.unwrap();
    assert_eq!(answer, "fixture.greet");
    let plugin: Arc<dyn Plugin> = plugin;
    assert!(
        (&*plugin as &dyn Any)
            .downcast_ref::<NativePlugin>()
            .is_none()
    );
}

/// What the SDK writes for `()` is no output.
#[tokio::test]
async fn no_output_reads_as_null() {
    let mut plugin = MockPlugin::new();
    plugin.expect_call().returning(|_, _| Ok(Bytes::new()));
    let plugin: &dyn Plugin = &plugin;
    plugin.call_json::<_, ()>("reset", &()).await.unwrap();
    let found: Option<u8> = plugin.call_json("find", "x").await.unwrap();
    assert_eq!(found, None);
    let error = plugin.call_json::<_, u8>("count", &()).await.unwrap_err();
    assert!(matches!(error, LoadError::Json { what: "output", .. }));
}
