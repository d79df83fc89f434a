//! How long each source is waited for.

use std::time::Instant;

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

/// A mirror that accepts connections and stays silent is waited for once, for a short time; one that
/// answers late is used.
#[tokio::test]
async fn a_silent_mirror_is_waited_for_once() {
    let pair = Pair::start().await;
    let image = put_image(&pair.origin);
    let (small, large) = (pair.blob(&noise(1000)), pair.blob(&noise(2 << 20)));
    let pin = PinnedReference::new(pair.origin.repository("acme/echo"), image.digest().clone());
    pair.mirror.fault(Fault::on("*", "*").stall());
    let client = pair.limited(true, Limits::default());
    let start = Instant::now();
    client
        .resolve(&pair.origin.reference("acme/echo:1"))
        .await
        .unwrap();
    client.manifest(&pin, 1 << 20).await.unwrap();
    for blob in [&small, &large] {
        pair.pull(&client, blob).await.unwrap();
    }
    client.referrers(&pin).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(9));
    assert_eq!(pair.mirror.requests().len(), 1);
    assert_eq!(pair.skips(false), 1, "{:?}", pair.recorder.all());

    pair.mirror.clear_faults();
    pair.mirror
        .fault(Fault::on("*", "*").delay(Duration::from_millis(200)));
    let client = pair.limited(true, Limits::default());
    pair.origin.clear_requests();
    for blob in [&small, &large] {
        pair.pull(&client, blob).await.unwrap();
    }
    assert!(pair.origin.requests().is_empty());
}

/// A mirror that stalls in the middle of an answer is waited for once, for a short time; the
/// registry itself is requested again.
#[tokio::test]
async fn a_stalled_mirror_is_left_at_once() {
    let stalled = |path: &str| Fault::on("GET", path).stall_after(3);
    let cases = [
        (Auth::None, stalled("/v2/*/blobs/*")),
        (Auth::None, stalled("/v2/*/manifests/*")),
        (Auth::None, stalled("/v2/*").respond(500).body("too busy")),
        (Auth::token("alice", CANARY), stalled("/token")),
    ];
    let pulls = cases.map(|(auth, fault)| async move {
        let mirror = FakeRegistry::builder().auth(auth).serve().await;
        let pair = Pair {
            mirror,
            ..Pair::start().await
        };
        put_image(&pair.mirror);
        let image = put_image(&pair.origin);
        let (small, large) = (pair.blob(&noise(1000)), pair.blob(&noise(2 << 20)));
        pair.mirror.fault(fault);
        let client = pair.limited(false, Limits::default());
        let pin = PinnedReference::new(pair.origin.repository("acme/echo"), image.digest().clone());
        client.manifest(&pin, 1 << 20).await.unwrap();
        for blob in [&large, &small] {
            pair.pull(&client, blob).await.unwrap();
        }
        assert_eq!(pair.skips(false), 1, "{:?}", pair.recorder.all());
        let is_retry = |event: &RegistryEvent| matches!(event, RegistryEvent::Retry { .. });
        assert_eq!(pair.recorder.count(is_retry), 0);
    });
    let start = Instant::now();
    futures_util::future::join_all(pulls).await;
    assert!(start.elapsed() < Duration::from_secs(15));

    let server = FakeRegistry::builder().serve().await;
    let blob = server.put_blob("acme/echo", noise(1000));
    server.fault(stalled("/v2/*/blobs/*").once());
    let limits = quick().stall_window(Duration::from_millis(100));
    let client = builder(&server).limits(limits).build().unwrap();
    let repository = server.repository("acme/echo");
    pull(&client, &repository, &blob).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}

/// The next source has the content as well, so a pause for which a mirror asks is not made.
#[tokio::test]
async fn a_mirror_that_asks_for_a_long_pause_is_left_at_once() {
    for status in [429, 503] {
        let pair = Pair::start().await;
        let image = put_image(&pair.origin);
        let blob = pair.blob(&noise(1000));
        let busy = Fault::on("*", "*").respond(status);
        pair.mirror.fault(busy.header("retry-after", "20"));
        let client = pair.limited(true, Limits::default());
        let pin = PinnedReference::new(pair.origin.repository("acme/echo"), image.digest().clone());
        let start = Instant::now();
        let reference = pair.origin.reference("acme/echo:1");
        client.resolve(&reference).await.unwrap();
        client.manifest(&pin, 1 << 20).await.unwrap();
        pair.pull(&client, &blob).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(5));
        let is_retry = |event: &RegistryEvent| matches!(event, RegistryEvent::Retry { .. });
        assert_eq!(pair.recorder.count(is_retry), 0);
    }
}
