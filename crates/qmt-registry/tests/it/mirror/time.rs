//! How long each source is waited for.

use super::*;

/// A mirror that does not answer gets a share of the time, the registry the rest; each is named by
/// its own URL.
#[tokio::test]
async fn the_time_is_shared_and_the_slow_source_is_named() {
    let pair = Pair::start().await;
    put_image(&pair.origin);
    let (small, large) = (pair.blob(&noise(1000)), pair.blob(&noise(2 << 20)));
    let silent = || Fault::on("GET", "/v2/*").slow(1, Duration::from_secs(1));
    pair.mirror.fault(silent());
    let client = pair.timed(Duration::from_millis(1500));
    let resolved = client.resolve(&pair.origin.reference("acme/echo:1")).await;
    let repository = pair.origin.repository("acme/echo");
    let pin = PinnedReference::new(repository, resolved.unwrap().digest().clone());
    client.manifest(&pin, 1 << 20).await.unwrap();
    for blob in [&small, &large] {
        pair.pull(&client, blob).await.unwrap();
    }
    client.referrers(&pin).await.unwrap();
    assert!(pair.skips(false) >= 3);
    let mirror = format!(
        "`http://{}/` did not finish within 750ms",
        pair.mirror.host()
    );
    let is_named = |e: &RegistryEvent| matches!(e, RegistryEvent::MirrorSkipped { reason, .. } if *reason == mirror);
    assert_eq!(
        pair.recorder.count(is_named),
        3,
        "{:?}",
        pair.recorder.all()
    );

    pair.origin.fault(silent());
    let origin = format!("`http://{}/` did not finish within ", pair.origin.host());
    let error = client.manifest(&pin, 1 << 20).await.unwrap_err();
    assert!(error.to_string().starts_with(&origin), "{error}");
}
