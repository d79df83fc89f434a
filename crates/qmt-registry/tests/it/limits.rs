//! LIM: each limit at its value and one past it, with the value in the error.

use std::time::Duration;

use qmt_oci_ref::{PinnedReference, Registry, RegistryError, manifest};
use qmt_registry::limits::Limits;
use qmt_registry::{ClientError, RegistryEvent};
use qmt_testkit::{Auth, FakeRegistry, Fault};

use crate::support::{
    Detail as _, MANIFEST, Recorder, builder, client, full_text, image_behind, put_image, quick,
    resolve,
};

/// A manifest of exactly `length` bytes.
fn manifest_of(length: usize) -> String {
    MANIFEST.replacen(
        '{',
        &format!("{{{}", " ".repeat(length - MANIFEST.len())),
        1,
    )
}

fn is_too_large(error: &RegistryError, value: u64) -> bool {
    let named = error.to_string().contains(&value.to_string());
    matches!(error.detail(), Some(ClientError::TooLarge { limit, .. }) if *limit == value) && named
}

/// DIG-09, LIM-01: 4 MiB of manifest, with and without an announced length.
#[tokio::test]
async fn a_manifest_has_4_mib_at_most() {
    let server = FakeRegistry::builder().serve().await;
    let reference = server.reference("acme/echo:1");
    server.put_manifest(
        "acme/echo",
        "1",
        manifest::OCI_MANIFEST,
        manifest_of(4_194_304),
    );
    client(&server).resolve(&reference).await.unwrap();
    server.put_manifest(
        "acme/echo",
        "1",
        manifest::OCI_MANIFEST,
        manifest_of(4_194_305),
    );
    let error = client(&server).resolve(&reference).await.unwrap_err();
    assert!(is_too_large(&error, 4_194_304), "{error:?}");
    server.fault(Fault::on("GET", "/v2/*").endless(" ".repeat(4096)));
    let error = client(&server).resolve(&reference).await.unwrap_err();
    assert!(is_too_large(&error, 4_194_304), "{error:?}");
}

/// The caller's own limit holds as well.
#[tokio::test]
async fn a_manifest_has_the_callers_limit() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let pin = PinnedReference::new(server.repository("acme/echo"), image.digest().clone());
    let size = MANIFEST.len() as u64;
    client(&server).manifest(&pin, size).await.unwrap();
    let error = client(&server).manifest(&pin, size - 1).await.unwrap_err();
    assert!(is_too_large(&error, size - 1), "{error:?}");
    let lower = builder(&server)
        .limits(quick().manifest(size - 1))
        .build()
        .unwrap();
    let error = resolve(&lower, &server).await.unwrap_err();
    assert!(is_too_large(&error, size - 1), "{error:?}");
}

/// AUTH-21, LIM-03: 100 header lines, 64 KiB of them; a flood is an error and no more.
#[tokio::test]
async fn the_head_of_an_answer_is_bounded() {
    let server = image_behind(Auth::None).await;
    let reference = server.reference("acme/echo:1");
    let client = builder(&server).limits(quick().tries(1)).build().unwrap();
    // How many header lines the server sends by itself is found by looking.
    let own = {
        let mut fits = 0;
        for flood in 80..101 {
            server.fault(Fault::on("GET", "/v2/*").once().header_flood(flood, 1));
            match client.resolve(&reference).await {
                Ok(_) => fits = flood,
                Err(error) => {
                    assert!(is_too_large(&error, 100), "{error:?}");
                    break;
                }
            }
        }
        100 - fits
    };
    assert!((1..15).contains(&own), "{own}");
    server.fault(Fault::on("GET", "/v2/*").once().header_flood(9, 7000));
    client.resolve(&reference).await.unwrap();
    server.fault(Fault::on("GET", "/v2/*").once().header_flood(9, 8000));
    let error = client.resolve(&reference).await.unwrap_err();
    assert!(is_too_large(&error, 65_536), "{error:?}");
    server.clear_faults();
    server.clear_requests();
    server.fault(Fault::on("GET", "/v2/*").header_flood(20_000, 100));
    let flooded = crate::support::client(&server).resolve(&reference).await;
    assert!(flooded.is_err());
    assert_eq!(server.requests().len(), 1, "a flood is not asked for again");
    // What the HTTP library refuses itself is not called something else than HTTP.
    for flood in [110, 20_000] {
        server.clear_faults();
        server.fault(Fault::on("GET", "/v2/*").header_flood(flood, 100));
        let error = client.resolve(&reference).await.unwrap_err();
        let text = full_text(&error);
        assert!(text.contains("head is too large"), "{text}");
        let hint = error.detail().unwrap().hint().unwrap();
        assert!(hint.contains("at most 100 header lines"), "{hint}");
    }
}

/// LIM-02: of an error body 64 KiB are read and 1 KiB shown; an endless one ends.
#[tokio::test]
async fn an_error_body_is_bounded() {
    let server = FakeRegistry::builder().serve().await;
    server.fault(
        Fault::on("GET", "/v2/*")
            .respond(403)
            .endless("x".repeat(4096)),
    );
    let error = resolve(&client(&server), &server).await.unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::Unauthorized { status: 403, .. })
        ),
        "{error:?}"
    );
    assert!(
        error.to_string().len() < 1400,
        "{}",
        error.to_string().len()
    );
}

/// F8, LIM-09: five attempts, each reported; one after a final error.
#[tokio::test]
async fn a_request_is_tried_five_times() {
    let server = image_behind(Auth::None).await;
    let reference = server.reference("acme/echo:1");
    for (failures, fits) in [(4, true), (5, false)] {
        server.clear_faults();
        server.clear_requests();
        server.fault(Fault::on("GET", "/v2/*").times(failures).respond(503));
        let recorder = Recorder::default();
        let client = builder(&server).events(recorder.sink()).build().unwrap();
        assert_eq!(client.resolve(&reference).await.is_ok(), fits, "{failures}");
        assert_eq!(server.requests().len(), 5);
        assert_eq!(
            recorder.count(|event| matches!(event, RegistryEvent::Retry { .. })),
            4
        );
    }
    for last in [400, 403, 404, 410, 501] {
        server.clear_faults();
        server.clear_requests();
        server.fault(Fault::on("GET", "/v2/*").respond(last));
        assert!(client(&server).resolve(&reference).await.is_err());
        // The registry may have a challenge.
        let challenges = usize::from(matches!(last, 403 | 404));
        assert_eq!(server.count("GET", "/v2/"), challenges, "{last}");
        assert_eq!(server.requests().len(), 1 + challenges, "{last}");
    }
}

/// A tag that stands for a digest is one of many places where signatures may be: it gets three
/// attempts in a few seconds, and the last answer is the reason.
#[tokio::test]
async fn a_tag_of_a_digest_is_tried_three_times() {
    let server = image_behind(Auth::None).await;
    let tag = format!("acme/echo:release-sha256-{}.sig", "0".repeat(64));
    let reference = server.reference(&tag);
    for (fault, status, requests) in [
        (Fault::on("GET", "/v2/*").respond(500), "500", 3),
        (
            Fault::on("GET", "/v2/*")
                .respond(429)
                .header("retry-after", "9"),
            "limits the rate",
            1,
        ),
    ] {
        server.clear_faults();
        server.clear_requests();
        server.fault(fault);
        let error = client(&server).resolve(&reference).await.unwrap_err();
        assert!(error.is_network(), "{error:?}");
        assert!(error.to_string().contains(status), "{error}");
        assert_eq!(server.requests().len(), requests, "{error}");
    }
    server.clear_faults();
    let error = client(&server).resolve(&reference).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

/// F8: `Retry-After` is honoured, visible, and bounded.
#[tokio::test]
async fn a_registry_can_ask_for_a_pause() {
    let server = image_behind(Auth::None).await;
    let reference = server.reference("acme/echo:1");
    let busy = |wait: &str| {
        Fault::on("GET", "/v2/*")
            .once()
            .respond(429)
            .header("retry-after", wait)
    };
    server.fault(busy("1"));
    let recorder = Recorder::default();
    let client = builder(&server).events(recorder.sink()).build().unwrap();
    let started = std::time::Instant::now();
    client.resolve(&reference).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    let reported = recorder.count(|event| {
        matches!(event, RegistryEvent::Retry { wait, asked_for: true, .. } if *wait >= Duration::from_secs(1))
    });
    assert_eq!(reported, 1, "{:?}", recorder.all());
    server.fault(busy("86400"));
    let error = client.resolve(&reference).await.unwrap_err();
    let day = Some(Duration::from_hours(24));
    assert!(
        matches!(error.detail(), Some(ClientError::RateLimited { retry_after, .. }) if *retry_after == day),
        "{error:?}"
    );
    assert!(error.to_string().contains("86400 s"), "{error}");
    server.fault(busy("-5"));
    client.resolve(&reference).await.unwrap();
}

/// Docker Hub's rate-limit headers are events.
#[tokio::test]
async fn the_rate_limit_of_the_registry_is_reported() {
    let server = image_behind(Auth::None).await;
    server.fault(
        Fault::on("GET", "/v2/*")
            .header("ratelimit-limit", "100;w=21600")
            .header("ratelimit-remaining", "76;w=21600"),
    );
    let recorder = Recorder::default();
    let client = builder(&server).events(recorder.sink()).build().unwrap();
    resolve(&client, &server).await.unwrap();
    let six_hours = Some(Duration::from_hours(6));
    let reported = recorder.count(|event| {
        matches!(event, RegistryEvent::RateLimit { limit: Some(100), remaining: 76, window, .. } if *window == six_hours)
    });
    assert_eq!(reported, 1, "{:?}", recorder.all());
}

/// LIM-09: the time of a whole operation bounds everything in it.
#[tokio::test]
async fn an_operation_has_its_time() {
    let server = FakeRegistry::builder().serve().await;
    let blob = server.put_blob("acme/echo", vec![7; 1 << 20]);
    put_image(&server);
    server.fault(Fault::on("GET", "/v2/*/blobs/*").slow(1024, Duration::from_millis(20)));
    server.fault(Fault::on("GET", "/v2/*/manifests/*").stall());
    let client = builder(&server)
        .timeout(Duration::from_millis(400))
        .build()
        .unwrap();
    let started = std::time::Instant::now();
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(
        matches!(error.detail(), Some(ClientError::Timeout { .. })),
        "{error:?}"
    );
    let refused = crate::support::pull(&client, &server.repository("acme/echo"), &blob).await;
    assert!(
        matches!(refused.detail(), Some(ClientError::Timeout { .. })),
        "{refused:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(refused.unwrap_err().to_string().contains("400ms"));
}

/// Limits go downwards only, also through the builder.
#[test]
fn limits_can_not_be_raised() {
    let shown = format!(
        "{:?}",
        Limits::default().manifest(u64::MAX).tries(99).redirects(99)
    );
    assert_eq!(shown, format!("{:?}", Limits::default()));
}
