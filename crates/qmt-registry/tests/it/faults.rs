//! The short forms of the drills F5 (cuts), F6 (bit flips) and F7 (slow servers).

use std::time::Duration;

use qmt_oci_ref::{Descriptor, MediaType, Registry};
use qmt_registry::error::Phase;
use qmt_registry::{ClientError, HttpRegistry, Mirrors, RegistryEvent};
use qmt_testkit::{Cut, FakeRegistry, Fault};

use crate::support::{
    Detail as _, MANIFEST, Recorder, builder, client, noise, plain, pull, put_image, quick,
};

/// F5: the connection ends after every byte of a manifest and of a blob, by FIN and by RST: what
/// arrives in the end is whole.
#[tokio::test(flavor = "multi_thread")]
async fn cuts_at_every_byte_are_survived() {
    let server = FakeRegistry::builder().serve().await;
    put_image(&server);
    let content = noise(300);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    let reference = server.reference("acme/echo:1");
    let client = client(&server);
    for how in [Cut::Fin, Cut::Reset] {
        for at in 0..300 {
            server.fault(Fault::on("GET", "/v2/*/blobs/*").once().cut(at, how));
            let got = pull(&client, &from, &blob).await.unwrap();
            assert!(got == content, "blob, {at}, {how:?}");
        }
        for at in 0..MANIFEST.len() as u64 {
            server.fault(Fault::on("GET", "/v2/*/manifests/*").once().cut(at, how));
            let got = client.resolve(&reference).await.unwrap();
            assert_eq!(got.bytes(), MANIFEST, "manifest, {at}, {how:?}");
        }
    }
}

/// F5: a connection that ends every time, wherever, is an error after the allowed tries.
#[tokio::test]
async fn cuts_without_end_are_an_error() {
    let server = FakeRegistry::builder().serve().await;
    put_image(&server);
    let blob = server.put_blob("acme/echo", noise(10_000));
    for fault in [
        Fault::on("GET", "/v2/*").cut(7, Cut::Fin),
        Fault::on("GET", "/v2/*").cut(7, Cut::Reset),
        Fault::on("GET", "/v2/*").drop_connection(Cut::Fin),
        Fault::on("GET", "/v2/*").drop_connection(Cut::Reset),
    ] {
        server.clear_faults();
        server.fault(fault);
        server.clear_requests();
        let error = client(&server)
            .resolve(&server.reference("acme/echo:1"))
            .await
            .unwrap_err();
        assert!(error.is_network() && error.is_retryable(), "{error:?}");
        assert!(server.requests().len() <= 5);
        server.clear_requests();
        let error = pull(&client(&server), &server.repository("acme/echo"), &blob)
            .await
            .unwrap_err();
        assert!(error.is_network(), "{error:?}");
        assert!(server.requests().len() <= 5);
    }
}

/// A port that is bound and not listened on refuses every connection, and no other process can bind it.
fn closed_port() -> (tokio::net::TcpSocket, std::net::SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn client_of(address: std::net::SocketAddr, recorder: &Recorder) -> HttpRegistry {
    HttpRegistry::builder()
        .host(address.to_string().parse().unwrap(), plain())
        .limits(quick())
        .events(recorder.sink())
        .build()
        .unwrap()
}

fn retries(recorder: &Recorder) -> usize {
    recorder.count(|event| matches!(event, RegistryEvent::Retry { .. }))
}

/// What a warning about a retry says is the cause, not only that a request failed.
#[tokio::test]
async fn a_retry_names_the_cause() {
    let server = FakeRegistry::builder().serve().await;
    put_image(&server);
    let reference = server.reference("acme/echo:1");
    for (how, words) in [(Cut::Fin, "closed"), (Cut::Reset, "reset")] {
        let recorder = Recorder::default();
        let client = builder(&server).events(recorder.sink()).build().unwrap();
        let fault = Fault::on("GET", "/v2/*/manifests/*").once();
        server.fault(fault.drop_connection(how));
        client.resolve(&reference).await.unwrap();
        let is_named = |event: &RegistryEvent| matches!(event, RegistryEvent::Retry { reason, .. } if reason.contains(words));
        assert_eq!(recorder.count(is_named), 1, "{:?}", recorder.all());
    }
}

/// A refused connection is tried three times, and the error says what was tried and what to do.
#[tokio::test]
async fn a_closed_port_is_given_up_soon() {
    let (_held, address) = closed_port();
    let reference = format!("{address}/acme/echo:1").parse().unwrap();
    let recorder = Recorder::default();
    let client = client_of(address, &recorder);
    let error = client.resolve(&reference).await.unwrap_err();
    assert!(
        matches!(error.detail(), Some(ClientError::Unreachable { address: tried, .. }) if *tried == address.to_string()),
        "{error:?}"
    );
    assert!(error.is_network() && error.is_retryable());
    assert_eq!(retries(&recorder), 2, "{:?}", recorder.all());
    let text = error.to_string();
    assert!(text.contains(&address.to_string()), "{text}");
    assert!(text.contains("refused"), "{text}");
    let hint = error.detail().unwrap().hint().unwrap();
    for word in [
        "running",
        "port",
        "proxy",
        "mirrors",
        "resolve_tags",
        &address.to_string(),
    ] {
        assert!(hint.contains(word), "{word}: {hint}");
    }
    // The same for a blob.
    let blob = Descriptor::of(MediaType::from("text/plain"), b"blob");
    let from = format!("{address}/acme/echo").parse().unwrap();
    let recorder = Recorder::default();
    let refused = pull(&client_of(address, &recorder), &from, &blob).await;
    assert!(
        matches!(refused.detail(), Some(ClientError::Unreachable { .. })),
        "{refused:?}"
    );
    assert_eq!(retries(&recorder), 2, "{:?}", recorder.all());
}

/// LIM-09: who takes a connection and never shakes hands has the time to connect, and no more; it
/// is tried as often as a closed port.
#[tokio::test]
async fn lim_09_a_handshake_has_its_time() {
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let time = Duration::from_millis(150);
    let recorder = Recorder::default();
    let client = HttpRegistry::builder()
        .limits(quick().connect_timeout(time))
        .events(recorder.sink())
        .build()
        .unwrap();
    let reference = format!("{host}/acme/echo:1").parse().unwrap();
    let error = client.resolve(&reference).await.unwrap_err();
    assert!(
        matches!(error.detail(), Some(ClientError::Timeout { phase: Phase::Connect, limit, .. }) if *limit == time),
        "{error:?}"
    );
    assert!(error.to_string().contains("150ms"), "{error}");
    assert_eq!(retries(&recorder), 2, "{:?}", recorder.all());
}

/// F6: every bit of a manifest and of a blob, flipped: never accepted.
#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_are_never_accepted() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let content = noise(150);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    let pin = qmt_oci_ref::PinnedReference::new(from.clone(), image.digest().clone());
    let client = client(&server);
    assert!(
        pull(&client, &from, &blob).await.unwrap() == content,
        "the unmodified content"
    );
    client.manifest(&pin, 1 << 20).await.unwrap();
    for bit in 0..150 * 8 {
        server.fault(Fault::on("GET", "/v2/*/blobs/*").once().flip_bit(bit));
        let refused = pull(&client, &from, &blob).await;
        assert!(
            matches!(refused.detail(), Some(ClientError::DigestMismatch { .. })),
            "{bit}: {refused:?}"
        );
    }
    for bit in 0..MANIFEST.len() as u64 * 8 {
        server.fault(Fault::on("GET", "/v2/*/manifests/*").once().flip_bit(bit));
        let refused = client.manifest(&pin, 1 << 20).await;
        assert!(
            matches!(refused.detail(), Some(ClientError::DigestMismatch { .. })),
            "{bit}: {refused:?}"
        );
    }
}

/// F7, LIM-09: no head, a head and nothing more, one byte at a time: all end, and others are not starved.
#[tokio::test(flavor = "multi_thread")]
async fn slow_servers_are_left() {
    let server = FakeRegistry::builder().serve().await;
    put_image(&server);
    let blob = server.put_blob("acme/echo", noise(100_000));
    let limits = quick()
        .tries(1)
        .header_timeout(Duration::from_millis(300))
        .stall_window(Duration::from_millis(300));
    let client = builder(&server).limits(limits).build().unwrap();
    let from = server.repository("acme/echo");
    let tick = Duration::from_millis(40);
    for slow in [
        Fault::on("GET", "/v2/*").stall(),
        Fault::on("GET", "/v2/*").stall_after(0),
        Fault::on("GET", "/v2/*").stall_after(50),
        Fault::on("GET", "/v2/*").slow(1, tick),
    ] {
        server.clear_faults();
        server.fault(slow);
        let started = std::time::Instant::now();
        let asking = (0..16).map(|_| pull(&client, &from, &blob));
        for refused in futures_util::future::join_all(asking).await {
            assert!(
                matches!(refused.detail(), Some(ClientError::Timeout { .. })),
                "{refused:?}"
            );
        }
        let error = client
            .resolve(&server.reference("acme/echo:1"))
            .await
            .unwrap_err();
        assert!(
            matches!(error.detail(), Some(ClientError::Timeout { .. })),
            "{error:?}"
        );
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        // Others are served meanwhile and after.
        server.clear_faults();
        client
            .resolve(&server.reference("acme/echo:1"))
            .await
            .unwrap();
    }
    // Slow, but not too slow: 2 KiB in each tick are 50 KiB/s.
    server.fault(Fault::on("GET", "/v2/*/blobs/*").slow(8192, tick));
    assert_eq!(pull(&client, &from, &blob).await.unwrap().len(), 100_000);
}

/// F7: a consumer that takes its time is not the server's fault.
#[tokio::test]
async fn a_slow_consumer_is_not_a_slow_server() {
    use futures_util::StreamExt as _;
    let server = FakeRegistry::builder().serve().await;
    let content = noise(8 << 20);
    let blob = server.put_blob("acme/echo", content.clone());
    let limits = quick().stall_window(Duration::from_millis(100));
    let client = builder(&server).limits(limits).build().unwrap();
    let fresh = qmt_oci_ref::Digester::new(blob.digest().algorithm());
    let mut stream = client
        .blob(&server.repository("acme/echo"), &blob, fresh)
        .await
        .unwrap();
    let mut length = 0;
    let mut pauses = 0;
    while let Some(chunk) = stream.next().await {
        length += chunk.unwrap().len();
        if pauses < 3 {
            pauses += 1;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }
    assert_eq!(length, content.len());
}

/// A caller that gives up soon gets the answer, and not only that time is up.
#[tokio::test]
async fn a_failed_request_is_repeated_only_while_the_caller_waits() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let blob = server.put_blob("acme/echo", noise(1000));
    let repository = server.repository("acme/echo");
    let pin = qmt_oci_ref::PinnedReference::new(repository.clone(), image.digest().clone());
    let limits = quick().retry_wait_min(Duration::from_millis(500));
    let client = builder(&server).limits(limits).build().unwrap();
    let mirrors = Mirrors::new(client.clone());
    let clients: [&dyn Registry; 2] = [&client, &mirrors];
    for (client, status) in clients.into_iter().flat_map(|one| [(one, 429), (one, 500)]) {
        let busy = Fault::on("GET", "/v2/*").respond(status);
        server.clear_faults();
        server.fault(busy.header("retry-after", "1"));
        let end = std::time::Instant::now() + Duration::from_millis(900);
        let mut errors = Vec::new();
        let reads = async {
            errors.push(client.manifest(&pin, 1 << 20).await.unwrap_err());
            errors.push(pull(client, &repository, &blob).await.unwrap_err());
            errors.push(client.referrers(&pin).await.unwrap_err());
        };
        client.until(end, Box::pin(reads)).await;
        assert!(std::time::Instant::now() < end);
        assert_eq!(errors.len(), 3);
        for error in errors {
            let text = error.to_string();
            assert!(text.contains(&format!("status {status}")), "{text}");
            assert_eq!(text.contains("limits the rate"), status == 429, "{text}");
        }
    }
}
