//! Ranges that are refused or do not fit, and what the next request is.

use super::*;

/// A request that was sent with a range, as [`on`] picks it.
fn on_range() -> Fault {
    on().when(|request: &LoggedRequest| request.header("range").is_some())
}

/// So does one that refuses them, whatever its status.
#[tokio::test]
async fn a_registry_that_refuses_ranges_is_resumed_as_well() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(2 << 20);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    for status in [400, 401, 403, 404, 405, 416, 500, 501, 503] {
        server.clear_faults();
        server.fault(on_range().respond(status).body("no ranges"));
        server.fault(on().once().cut(1_500_000, Cut::Fin));
        let whole = pull(&client(&server), &from, &blob).await;
        assert!(whole.unwrap() == content, "{status}");
        server.clear_requests();
        let rest = pull_rest(&client(&server), &from, &blob, &content[..77]).await;
        assert!(rest.unwrap() == content[77..], "{status}");
        assert_eq!(server.requests().len(), 2, "{status}: no other attempt");
    }
}

/// A store to which the registry redirects may refuse ranges, too.
#[tokio::test]
async fn a_store_that_refuses_ranges_is_resumed_as_well() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(1000);
    let blob = server.put_blob("acme/echo", content.clone());
    let store = qmt_testkit::PlainServer::start().unwrap();
    let url = store.put("/blob", content.clone());
    server.fault(on().redirect(307, &url));
    store.fault(
        Fault::on("GET", "/blob")
            .when(|request: &LoggedRequest| request.header("range").is_some())
            .respond(403),
    );
    let from = server.repository("acme/echo");
    let rest = pull_rest(&client(&server), &from, &blob, &content[..500]).await;
    assert!(rest.unwrap() == content[500..]);
}

/// What a request without a range is answered is reported; a limit of the rate is no refusal of
/// ranges.
#[tokio::test]
async fn the_answer_without_a_range_is_reported() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(1000);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    server.fault(on_range().respond(400).body("no ranges"));
    server.fault(on().respond(404).body("gone"));
    let refused = pull_rest(&client(&server), &from, &blob, &content[..500]).await;
    let text = refused.unwrap_err().to_string();
    assert!(
        text.ends_with("does not exist in its registry: gone"),
        "{text}"
    );

    server.clear_faults();
    server.clear_requests();
    server.fault(on().respond(429).header("retry-after", "600"));
    let refused = pull_rest(&client(&server), &from, &blob, &content[..500]).await;
    assert!(
        matches!(refused.detail(), Some(ClientError::RateLimited { .. })),
        "{refused:?}"
    );
    assert_eq!(server.requests().len(), 1);
}

/// A range that does not fit is not used: the blob is requested whole.
#[tokio::test]
async fn a_wrong_range_is_not_used() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(1000);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    let ranged = |range: &str| on_range().header("content-range", range);
    for wrong in [
        ranged("bytes 0-999/1000").body(content.clone()),
        ranged("bytes 0-999/1000"),
        ranged("bytes 501-999/1000"),
        ranged("bytes 500-999/2000"),
        ranged("500-999/1000"),
        ranged("bytes=500-999/1000"),
        ranged("nonsense"),
        on_range().without_header("content-range"),
        on_range().truncate(400),
        on_range().append("x"),
        on_range().respond(200).body(content.slice(500..)),
    ] {
        server.clear_faults();
        let name = format!("{wrong:?}");
        server.fault(wrong);
        let rest = pull_rest(&client(&server), &from, &blob, &content[..500]).await;
        assert!(rest.unwrap() == content[500..], "{name}");
        // Without a range, the whole is expected.
        server.fault(
            on().header("content-range", "bytes 1-999/1000")
                .respond(206),
        );
        let refused = pull_rest(&client(&server), &from, &blob, &content[..500]).await;
        assert!(
            matches!(refused.detail(), Some(ClientError::Protocol { .. })),
            "{name}: {refused:?}"
        );
    }
}

/// Where a transfer broke off, its first bytes may be wrong: another attempt from the start
/// can help. In one answer, wrong content is final.
#[tokio::test]
async fn wrong_bytes_before_a_break_are_worth_another_attempt() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(3 << 20);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    server.fault(on().once().flip_bit(0).cut(1_500_000, Cut::Fin));
    server.fault(on().nth(2).flip_bit(0));
    for is_retryable in [true, false] {
        let error = pull(&client(&server), &from, &blob).await.unwrap_err();
        assert!(
            matches!(error.detail(), Some(ClientError::DigestMismatch { .. })),
            "{error:?}"
        );
        assert_eq!(error.is_retryable(), is_retryable);
    }
    assert!(pull(&client(&server), &from, &blob).await.unwrap() == content);
}
