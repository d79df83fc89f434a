//! Publishing.

mod answers;

use std::net::SocketAddr;

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, Digest, MediaType, RawManifest, Registry, manifest};
use qmt_registry::{ClientError, HttpRegistry, RegistryWriter};
use qmt_testkit::{Auth, Cut, FakeRegistry, Fault, LoggedRequest, PlainServer};

use crate::support::{
    CANARY, Detail as _, MANIFEST, builder, client, client_with_password, full_text, noise,
    password, pull, quick,
};

fn blob_of(content: &Bytes) -> Descriptor {
    Descriptor::of(MediaType::from("application/wasm"), content)
}

/// A client that sends what is over 30,000 bytes in parts.
fn in_parts(server: &FakeRegistry) -> HttpRegistry {
    builder(server)
        .limits(quick().upload_chunk(30_000))
        .build()
        .unwrap()
}

#[tokio::test]
async fn what_is_pushed_can_be_pulled() {
    for auth in [
        Auth::None,
        Auth::basic("alice", CANARY),
        Auth::token("alice", CANARY),
    ] {
        let server = FakeRegistry::builder().auth(auth).serve().await;
        let client = client_with_password(&server);
        let to = server.repository("acme/echo");
        for content in [Bytes::new(), Bytes::from_static(b"{}"), noise(100_000)] {
            let blob = blob_of(&content);
            client.push_blob(&to, &blob, &content, None).await.unwrap();
            assert!(pull(&client, &to, &blob).await.unwrap() == content);
        }
        let manifest = RawManifest::new(
            MediaType::from(manifest::OCI_MANIFEST),
            Bytes::from(MANIFEST),
        );
        let reference = server.reference("acme/echo:1");
        let pin = client.push_manifest(&reference, &manifest).await.unwrap();
        assert_eq!(pin.digest(), manifest.digest());
        assert_eq!(
            client.resolve(&reference).await.unwrap().digest(),
            pin.digest()
        );
    }
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_sent() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(1000);
    server.put_blob("acme/echo", content.clone());
    let to = server.repository("acme/echo");
    client(&server)
        .push_blob(&to, &blob_of(&content), &content, None)
        .await
        .unwrap();
    assert_eq!(server.requests().len(), 1, "{}", server.request_log());
}

#[tokio::test]
async fn a_blob_is_linked_where_the_registry_can() {
    for mounts in [true, false] {
        let server = FakeRegistry::builder().mounts(mounts).serve().await;
        let content = noise(1000);
        server.put_blob("acme/base", content.clone());
        let (to, from) = (
            server.repository("acme/echo"),
            server.repository("acme/base"),
        );
        let client = client(&server);
        client
            .push_blob(&to, &blob_of(&content), &content, Some(&from))
            .await
            .unwrap();
        assert_eq!(server.count("PUT", "*"), usize::from(!mounts));
        assert!(pull(&client, &to, &blob_of(&content)).await.unwrap() == content);
    }
}

/// Parts, one of which breaks off: the registry is asked where it stands.
#[tokio::test]
async fn a_chunked_upload_is_resumed() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(100_000);
    let client = in_parts(&server);
    let to = server.repository("acme/echo");
    client
        .push_blob(&to, &blob_of(&content), &content, None)
        .await
        .unwrap();
    assert_eq!(server.count("PATCH", "*"), 4);
    assert!(
        server
            .blob("acme/echo", blob_of(&content).digest())
            .unwrap()
            == content
    );

    for how in [Cut::Fin, Cut::Reset] {
        for after in [0, 10_000, 29_999] {
            let content = noise(100_001).slice(1..);
            server.delete_blob("acme/echo", blob_of(&content).digest());
            server.fault(Fault::on("PATCH", "*").nth(2).cut_request(after, how));
            client
                .push_blob(&to, &blob_of(&content), &content, None)
                .await
                .unwrap();
            assert!(
                server
                    .blob("acme/echo", blob_of(&content).digest())
                    .unwrap()
                    == content
            );
            server.clear_faults();
        }
    }
}

#[tokio::test]
async fn a_broken_upload_in_one_is_repeated() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(100_000);
    server.fault(
        Fault::on("PUT", "/v2/*/blobs/uploads/*")
            .once()
            .cut_request(50_000, Cut::Reset),
    );
    server.fault(
        Fault::on("PUT", "/v2/*/blobs/uploads/*")
            .once()
            .respond(503),
    );
    let to = server.repository("acme/echo");
    client(&server)
        .push_blob(&to, &blob_of(&content), &content, None)
        .await
        .unwrap();
    assert!(
        server
            .blob("acme/echo", blob_of(&content).digest())
            .unwrap()
            == content
    );
}

/// What is not what its descriptor says does not arrive.
#[tokio::test]
async fn content_that_differs_is_not_published() {
    let server = FakeRegistry::builder().serve().await;
    let to = server.repository("acme/echo");
    let content = noise(1000);
    let client = client(&server);
    for wrong in [content.slice(1..), noise(999)] {
        assert!(
            client
                .push_blob(&to, &blob_of(&content), &wrong, None)
                .await
                .is_err()
        );
        assert!(
            server
                .blob("acme/echo", blob_of(&content).digest())
                .is_none()
        );
    }
    server.put_blob("acme/echo", "{}");
    let manifest = RawManifest::new(MediaType::from(manifest::OCI_MANIFEST), MANIFEST.into());
    let other = format!("{}/acme/echo@{}", server.host(), Digest::sha256("x"));
    let refused = client
        .push_manifest(&other.parse().unwrap(), &manifest)
        .await;
    assert!(
        matches!(refused.detail(), Some(ClientError::DigestMismatch { .. })),
        "{refused:?}"
    );
    server.fault(
        Fault::on("PUT", "/v2/*/manifests/*")
            .header("docker-content-digest", Digest::sha256("x").to_string()),
    );
    let refused = client
        .push_manifest(&server.reference("acme/echo:1"), &manifest)
        .await;
    assert!(
        matches!(refused.detail(), Some(ClientError::DigestMismatch { .. })),
        "{refused:?}"
    );
}

/// AUTH-14: an upload that is sent to another origin gets there without the credential.
#[tokio::test]
async fn an_upload_elsewhere_goes_without_the_credential() {
    let server = FakeRegistry::builder()
        .auth(Auth::token("alice", CANARY))
        .serve()
        .await;
    let elsewhere = PlainServer::start_at(SocketAddr::from(([127, 0, 0, 2], 0)), None).unwrap();
    elsewhere.fault(Fault::on("PUT", "/upload").respond(201));
    let content = noise(1000);
    let place = format!("{}/upload?signed", elsewhere.url());
    server.fault(
        Fault::on("POST", "*")
            .when(|r| r.header("authorization").is_some())
            .respond(202)
            .header("location", place),
    );
    let to = server.repository("acme/echo");
    client_with_password(&server)
        .push_blob(&to, &blob_of(&content), &content, None)
        .await
        .unwrap();
    let requests = elsewhere.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].header("authorization").is_none());
    assert_eq!(requests[0].body_len, 1000);
}

/// AUTH-02, AUTH-14: a server elsewhere that got a part of an upload does not get a request to the registry
/// sent with the credential.
#[tokio::test]
async fn an_upload_that_comes_back_has_no_credential() {
    let server = FakeRegistry::builder()
        .auth(Auth::token("alice", CANARY))
        .serve()
        .await;
    let elsewhere = PlainServer::start_at(SocketAddr::from(([127, 0, 0, 2], 0)), None).unwrap();
    let back = format!("http://{}/v2/acme/secret/blobs/uploads/x", server.host());
    let part = Fault::on("PATCH", "/upload").respond(202);
    elsewhere.fault(part.header("location", back).header("range", "0-499"));
    let session = Fault::on("POST", "*").when(|r| r.header("authorization").is_some());
    let place = format!("{}/upload", elsewhere.url());
    server.fault(session.respond(202).header("location", place));
    let client = builder(&server).credentials(password());
    let client = client.limits(quick().upload_chunk(500)).build().unwrap();
    let (to, content) = (server.repository("acme/echo"), noise(1000));
    let sent = client
        .push_blob(&to, &blob_of(&content), &content, None)
        .await;
    sent.unwrap_err();
    let mut requests = server.requests();
    requests.retain(|request| request.target.contains("/secret/"));
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|r| r.header("authorization").is_none()));
}

/// Reading falls back to anonymity; writing does not.
#[tokio::test]
async fn a_refused_push_is_an_error() {
    let server = FakeRegistry::builder()
        .auth(Auth::token("alice", "another"))
        .serve()
        .await;
    let content = noise(10);
    let to = server.repository("acme/echo");
    let error = client_with_password(&server)
        .push_blob(&to, &blob_of(&content), &content, None)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::TokenRefused { .. } | ClientError::Unauthorized { .. })
        ),
        "{error:?}"
    );
    assert_eq!(server.count("GET", "/token"), 1);
}

/// What can't be read is not sent again and again, in one request or in parts.
#[tokio::test]
async fn content_that_is_too_short_is_reported_at_once() {
    for chunk in [200_000, 30_000] {
        let server = FakeRegistry::builder().serve().await;
        let client = builder(&server)
            .limits(quick().upload_chunk(chunk))
            .build()
            .unwrap();
        let blob = blob_of(&noise(100_000));
        let to = server.repository("acme/echo");
        let short = noise(99_999);
        let error = client.push_blob(&to, &blob, &short, None).await;
        assert!(
            matches!(error.detail(), Some(ClientError::Content(_))),
            "{error:?}"
        );
        assert_eq!(server.count("POST", "*"), 1, "{}", server.request_log());
    }
}

/// A registry that claims bytes that were never sent would cause a gap in the content.
#[tokio::test]
async fn an_upload_has_no_more_bytes_than_were_sent() {
    for (claimed, is_true) in [("0-9999", true), ("0-30000", false), ("0-99999", false)] {
        let server = FakeRegistry::builder().serve().await;
        let client = in_parts(&server);
        let content = noise(100_000);
        let broken = Fault::on("PATCH", "*").once();
        server.fault(broken.cut_request(10_000, Cut::Fin));
        let asked = Fault::on("GET", "/v2/*/blobs/uploads/*").once();
        server.fault(asked.respond(204).header("range", claimed));
        let to = server.repository("acme/echo");
        let pushed = client
            .push_blob(&to, &blob_of(&content), &content, None)
            .await;
        if is_true {
            pushed.unwrap();
            let kept = server.blob("acme/echo", blob_of(&content).digest());
            assert!(kept.unwrap() == content);
        } else {
            let error = pushed.unwrap_err().to_string();
            assert!(error.contains("more bytes than were sent"), "{error}");
            assert_eq!(server.count("PUT", "*"), 0, "{}", server.request_log());
        }
    }
}

/// Where a registry loses an upload each time it breaks off, the upload fails.
#[tokio::test]
async fn an_upload_that_is_lost_again_and_again_ends() {
    let server = FakeRegistry::builder().serve().await;
    let client = in_parts(&server);
    let content = noise(100_000);
    let second = |request: &LoggedRequest| {
        let range = request.header("content-range");
        range.is_some_and(|range| range.starts_with("30000-"))
    };
    server.fault(Fault::on("PATCH", "*").when(second).respond(503));
    server.fault(Fault::on("GET", "/v2/*/blobs/uploads/*").respond(404));
    let to = server.repository("acme/echo");
    let error = client
        .push_blob(&to, &blob_of(&content), &content, None)
        .await;
    assert!(error.is_err());
    assert_eq!(server.count("POST", "*"), 5, "{}", server.request_log());
}

/// Servers behind one address that do not share uploads, and a registry that was restarted.
#[tokio::test]
async fn an_upload_that_the_registry_lost_is_started_again() {
    let to_end = || Fault::on("PUT", "/v2/*/blobs/uploads/*").respond(404);
    for chunked in [false, true] {
        let server = FakeRegistry::builder().serve().await;
        let client = if chunked {
            in_parts(&server)
        } else {
            client(&server)
        };
        let (to, content) = (server.repository("acme/echo"), noise(100_000));
        let blob = blob_of(&content);
        server.fault(to_end().times(2));
        client.push_blob(&to, &blob, &content, None).await.unwrap();
        assert!(server.blob("acme/echo", blob.digest()).unwrap() == content);
        let other = noise(90_000);
        server.fault(to_end());
        let error = client.push_blob(&to, &blob_of(&other), &other, None).await;
        let error = error.unwrap_err();
        assert!(error.is_not_found(), "{error:?}");
        let hint = error.detail().unwrap().hint().unwrap();
        assert!(hint.contains("several servers"), "{hint}");
    }
}

/// Pushes an image to `acme/echo`, and returns it with a manifest that refers to it.
async fn image_and_referrer(
    server: &FakeRegistry,
    client: &HttpRegistry,
) -> (RawManifest, RawManifest) {
    let manifest = |content: String| {
        let media_type = MediaType::from(manifest::OCI_MANIFEST);
        RawManifest::new(media_type, Bytes::from(content))
    };
    let image = manifest(MANIFEST.to_owned());
    server.put_blob("acme/echo", "{}");
    let reference = server.reference("acme/echo:1");
    client.push_manifest(&reference, &image).await.unwrap();
    let subject = Descriptor::of(MediaType::from(manifest::OCI_MANIFEST), image.bytes());
    let referrer = manifest(format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","artifactType":"a/b","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}},"layers":[],"subject":{{"mediaType":"{}","digest":"{}","size":{}}}}}"#,
        manifest::OCI_MANIFEST,
        Digest::sha256("{}"),
        manifest::OCI_MANIFEST,
        subject.digest(),
        subject.size(),
    ));
    (image, referrer)
}

/// A registry can have rules about tags. The list of referrers has a tag of its own.
#[tokio::test]
async fn a_refused_tag_is_named() {
    let server = FakeRegistry::builder().referrers_api(false).serve().await;
    let client = client(&server);
    let (image, referrer) = image_and_referrer(&server, &client).await;
    server.fault(Fault::on("PUT", "/v2/*/manifests/sha256-*").respond(403));
    let to = server.reference(&format!("acme/echo@{}", referrer.digest()));
    let error = client.push_manifest(&to, &referrer).await.unwrap_err();
    let tag = format!("acme/echo:sha256-{}", image.digest().hex());
    assert!(error.to_string().contains(&tag), "{error}");
}

/// GitLab takes the tag of the list for the digest of the image, whatever was stored under it.
#[tokio::test]
async fn a_registry_that_keeps_no_list_of_referrers_is_called_that() {
    let answers: [fn(Fault) -> Fault; 2] = [
        |get| get.respond(404),
        |get| {
            let media_type = manifest::OCI_MANIFEST;
            get.respond(200)
                .header("content-type", media_type)
                .body(MANIFEST)
        },
    ];
    for answer in answers {
        let server = FakeRegistry::builder().referrers_api(false).serve().await;
        let client = client(&server);
        let (image, referrer) = image_and_referrer(&server, &client).await;
        server.fault(answer(Fault::on("GET", "/v2/*/manifests/sha256-*")));
        let to = server.reference(&format!("acme/echo@{}", referrer.digest()));
        let error = client.push_manifest(&to, &referrer).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("can't be read again"), "{text}");
        let shown = format!("/manifests/sha256-{}", &image.digest().hex()[..6]);
        assert!(text.contains(&shown), "{text}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("--new-bundle-format=false"), "{hint}");
    }
}

/// Registries that take no parts, one part only, or do not say what they have of them: the blob
/// goes in one request after all. What is wrong with the credential is not tried like that.
#[tokio::test]
async fn where_parts_are_refused_the_blob_goes_in_one() {
    let second = |request: &LoggedRequest| {
        let range = request.header("content-range");
        range.is_some_and(|range| range.starts_with("30000-"))
    };
    let part = || Fault::on("PATCH", "*");
    for (name, fault) in [
        ("no parts", part().respond(405)),
        ("no ranges", part().respond(416)),
        ("one part", part().when(second).respond(400)),
        (
            "no progress",
            part().when(second).header("range", "0-29999"),
        ),
        ("no beginning", part().header("range", "0-0")),
    ] {
        let server = FakeRegistry::builder().serve().await;
        server.fault(fault);
        let content = noise(100_000);
        let to = server.repository("acme/echo");
        let pushed = in_parts(&server)
            .push_blob(&to, &blob_of(&content), &content, None)
            .await;
        pushed.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let kept = server.blob("acme/echo", blob_of(&content).digest());
        assert!(kept.unwrap() == content, "{name}");
        assert_eq!(server.count("POST", "*"), 2, "{}", server.request_log());
    }
    let server = FakeRegistry::builder().serve().await;
    server.fault(part().respond(403));
    let content = noise(100_000);
    let to = server.repository("acme/echo");
    let pushed = in_parts(&server)
        .push_blob(&to, &blob_of(&content), &content, None)
        .await;
    assert!(matches!(
        pushed.detail(),
        Some(ClientError::Unauthorized { .. })
    ));
    assert_eq!(server.count("POST", "*"), 1, "{}", server.request_log());
}

/// The registry has the blob and its answer is lost: that is no failure, and nothing is sent twice.
#[tokio::test]
async fn an_answer_that_is_lost_at_the_end_is_no_failure() {
    for chunk in [30_000, 200_000] {
        let server = FakeRegistry::builder().serve().await;
        let client = builder(&server)
            .limits(quick().upload_chunk(chunk))
            .build()
            .unwrap();
        server.fault(
            Fault::on("PUT", "/v2/*/blobs/uploads/*")
                .once()
                .cut_request(u64::MAX, Cut::Reset),
        );
        let content = noise(100_000);
        let to = server.repository("acme/echo");
        client
            .push_blob(&to, &blob_of(&content), &content, None)
            .await
            .unwrap();
        let kept = server.blob("acme/echo", blob_of(&content).digest());
        assert!(kept.unwrap() == content);
        assert_eq!(server.count("PUT", "*"), 1, "{}", server.request_log());
    }
}
