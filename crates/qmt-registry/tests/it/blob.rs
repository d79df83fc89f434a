//! Blobs: streamed, proven, resumed.

mod ranges;

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use qmt_oci_ref::{
    Descriptor, Digest, DigestAlgorithm, Digester, MediaType, Registry, RegistryError,
};
use qmt_registry::{ClientError, RegistryEvent};
use qmt_testkit::{Cut, FakeRegistry, Fault, LoggedRequest};

use crate::support::{Detail as _, Recorder, builder, client, noise, pull, pull_rest, quick};

const BLOBS: &str = "/v2/*/blobs/*";

fn on() -> Fault {
    Fault::on("GET", BLOBS)
}

#[tokio::test]
async fn a_blob_arrives_whole() {
    let server = FakeRegistry::builder().serve().await;
    for length in [0, 1, 1000, 3 << 20] {
        let content = noise(length);
        let blob = server.put_blob("acme/echo", content.clone());
        let got = pull(&client(&server), &server.repository("acme/echo"), &blob)
            .await
            .unwrap();
        assert!(got == content, "{length} bytes");
    }
}

#[tokio::test]
async fn a_missing_blob_is_reported_on_opening() {
    let server = FakeRegistry::builder().serve().await;
    server.put_blob("acme/echo", "here");
    let gone = Descriptor::of(MediaType::from("a/b"), b"gone");
    let fresh = Digester::new(DigestAlgorithm::Sha256);
    let from = server.repository("acme/echo");
    let refused = client(&server).blob(&from, &gone, fresh).await.map(|_| ());
    assert!(refused.unwrap_err().is_not_found());
}

/// DIG-02: other bytes under the digest, of the right size, small and large.
#[tokio::test]
async fn another_content_under_the_digest_is_refused() {
    let server = FakeRegistry::builder().serve().await;
    for length in [100, 3 << 20] {
        let content = noise(length);
        let blob = server.put_blob("acme/echo", content.clone());
        let mut other = content.to_vec();
        other[length / 2] ^= 1;
        server.plant_blob("acme/echo", blob.digest(), other);
        let refused = pull(&client(&server), &server.repository("acme/echo"), &blob).await;
        assert!(
            matches!(refused.detail(), Some(ClientError::DigestMismatch { .. })),
            "{refused:?}"
        );
    }
}

/// DIG-07: SHA-512 blobs.
#[tokio::test]
async fn sha512_blobs_are_proven() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(2 << 20);
    let digest = Digest::of(DigestAlgorithm::Sha512, &content);
    let blob = Descriptor::new(MediaType::from("a/b"), digest.clone(), content.len() as u64);
    server.plant_blob("acme/echo", &digest, content.clone());
    let from = server.repository("acme/echo");
    assert!(pull(&client(&server), &from, &blob).await.unwrap() == content);
    server.plant_blob("acme/echo", &digest, noise(2 << 20).slice(1..));
    assert!(pull(&client(&server), &from, &blob).await.is_err());
}

/// DIG-08: a size that differs from the descriptor's, announced or not, ends it at size + 1.
#[tokio::test]
async fn the_size_is_the_descriptors() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(10_000);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    let mismatch = |error: &RegistryError| {
        matches!(
            error.detail(),
            Some(ClientError::SizeMismatch {
                expected: 10_000,
                ..
            })
        )
    };
    for lie in [
        on().once().truncate(9_999),
        on().once().append("x"),
        on().once().body(""),
        on().once().endless(Bytes::from(vec![0; 4096])),
    ] {
        server.fault(lie);
        let error = pull(&client(&server), &from, &blob).await.unwrap_err();
        assert!(mismatch(&error), "{error:?}");
    }
    for size in [0, 9_999, 10_001, 1 << 63] {
        let wrong = Descriptor::new(blob.media_type().clone(), blob.digest().clone(), size);
        assert!(
            pull(&client(&server), &from, &wrong).await.is_err(),
            "{size}"
        );
    }
    assert!(
        pull(&client(&server), &from, &blob).await.unwrap() == content,
        "the unmodified blob"
    );
}

/// DIG-08: an endless body without a length hands out the promised bytes at most.
#[tokio::test]
async fn no_byte_beyond_the_size_is_handed_out() {
    let server = FakeRegistry::builder().serve().await;
    let blob = server.put_blob("acme/echo", noise(10_000));
    server.fault(on().endless(Bytes::from(vec![0; 4096])));
    let fresh = Digester::new(DigestAlgorithm::Sha256);
    let client = client(&server);
    let mut stream = client
        .blob(&server.repository("acme/echo"), &blob, fresh)
        .await
        .unwrap();
    let mut handed_out = 0;
    let mut failed = false;
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => handed_out += chunk.len(),
            Err(_) => failed = true,
        }
    }
    assert!(failed && handed_out <= 10_000, "{handed_out}");
}

/// A transfer that breaks off goes on by range in the same stream.
#[tokio::test]
async fn a_broken_transfer_is_resumed() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(3 << 20);
    let blob = server.put_blob("acme/echo", content.clone());
    server.fault(on().once().cut(1_000_000, Cut::Fin));
    server.fault(on().once().cut(500_000, Cut::Reset));
    let recorder = Recorder::default();
    let client = builder(&server).events(recorder.sink()).build().unwrap();
    let got = pull(&client, &server.repository("acme/echo"), &blob)
        .await
        .unwrap();
    assert!(got == content);
    let resumed = recorder.count(|event| matches!(event, RegistryEvent::Resumed { .. }));
    assert!(resumed >= 1, "{:?}", recorder.all());
    let ranges = server
        .requests()
        .iter()
        .filter(|r| r.header("range").is_some())
        .count();
    assert_eq!(ranges, resumed);
}

/// The next run goes on from the bytes that the last one kept.
#[tokio::test]
async fn a_later_run_resumes_from_the_bytes_of_the_last_one() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(100_000);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    for at in [1, 50_000, 99_999, 100_000] {
        server.clear_requests();
        let rest = pull_rest(&client(&server), &from, &blob, &content[..at])
            .await
            .unwrap();
        assert!(rest == content[at..], "{at}");
        let ranges: Vec<_> = server
            .requests()
            .iter()
            .filter_map(|r| r.header("range").map(str::to_owned))
            .collect();
        let expected = if at == 100_000 {
            vec![]
        } else {
            // With an end: go-containerregistry's registry takes no other.
            vec![format!("bytes={at}-99999")]
        };
        assert_eq!(ranges, expected);
    }
    // What was kept is part of the proof: wrong bytes in it are noticed.
    let refused = pull_rest(&client(&server), &from, &blob, &vec![0; 50_000]).await;
    assert!(
        matches!(refused.detail(), Some(ClientError::DigestMismatch { .. })),
        "{refused:?}"
    );
    let refused = pull_rest(&client(&server), &from, &blob, &vec![0; 100_000]).await;
    assert!(
        matches!(refused.detail(), Some(ClientError::DigestMismatch { .. })),
        "{refused:?}"
    );
    let refused = pull_rest(&client(&server), &from, &blob, &vec![0; 100_001]).await;
    assert!(
        matches!(refused.detail(), Some(ClientError::CannotResume { .. })),
        "{refused:?}"
    );
}

/// A registry without ranges sends all again; what is known of it is passed over.
#[tokio::test]
async fn a_registry_without_ranges_is_resumed_as_well() {
    let server = FakeRegistry::builder().ranges(false).serve().await;
    let content = noise(2 << 20);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    server.fault(on().once().cut(1_500_000, Cut::Fin));
    assert!(pull(&client(&server), &from, &blob).await.unwrap() == content);
    let rest = pull_rest(&client(&server), &from, &blob, &content[..77])
        .await
        .unwrap();
    assert!(rest == content[77..]);
}

/// Some servers answer with the range of the whole where none was requested.
#[tokio::test]
async fn a_range_that_was_not_requested_is_accepted_from_the_start() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(1000);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    let partial = |range: &str, bytes: &[u8]| {
        let fault = on().once().respond(206).header("content-range", range);
        server.fault(fault.body(bytes.to_vec()));
    };
    partial("bytes 0-999/1000", &content);
    let whole = pull(&client(&server), &from, &blob).await.unwrap();
    assert!(whole == content);

    for (range, bytes) in [
        ("bytes 0-999/1000", &noise(1001)[1..]),
        ("bytes 1-999/1000", &content[1..]),
        ("bytes 0-499/1000", &content[..500]),
    ] {
        partial(range, bytes);
        let refused = pull(&client(&server), &from, &blob).await;
        assert!(refused.is_err(), "{range}");
    }
}

/// A stream that is dropped stops the download.
#[tokio::test]
async fn dropping_the_stream_ends_the_transfer() {
    let server = FakeRegistry::builder().serve().await;
    let blob = server.put_blob("acme/echo", noise(2 << 20));
    server.fault(on().slow(1024, Duration::from_millis(5)));
    let limits = quick().streams(1);
    let client = builder(&server).limits(limits).build().unwrap();
    let from = server.repository("acme/echo");
    let fresh = || Digester::new(DigestAlgorithm::Sha256);
    let mut stream = client.blob(&from, &blob, fresh()).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    // LIM: with one stream allowed, a second one starts only when the first is gone.
    let second = tokio::time::timeout(Duration::from_secs(5), client.blob(&from, &blob, fresh()));
    assert!(second.await.unwrap().is_ok());
}

/// AUTH-13: the addresses in a foreign layer's descriptor are never asked.
#[tokio::test]
async fn urls_in_a_descriptor_are_ignored() {
    let server = FakeRegistry::builder().serve().await;
    let elsewhere = qmt_testkit::PlainServer::start().unwrap();
    let url = elsewhere.put("/layer", "content");
    let digest = Digest::sha256("content");
    let descriptor =
        format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":7,"urls":["{url}"]}}"#);
    let blob: Descriptor = serde_json::from_str(&descriptor).unwrap();
    let from = server.repository("acme/echo");
    assert!(
        pull(&client(&server), &from, &blob)
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert!(elsewhere.requests().is_empty());
    server.put_blob("acme/echo", "content");
    assert_eq!(
        pull(&client(&server), &from, &blob).await.unwrap(),
        "content"
    );
    assert!(elsewhere.requests().is_empty());
}
