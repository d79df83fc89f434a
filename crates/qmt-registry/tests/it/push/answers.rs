//! What registries may answer to an upload: redirects, other statuses of success, no `HEAD`.

use super::*;

fn image() -> RawManifest {
    let media_type = MediaType::from(manifest::OCI_MANIFEST);
    RawManifest::new(media_type, Bytes::from(MANIFEST))
}

/// Pushes a blob of 100,000 bytes and a manifest.
async fn push(client: &HttpRegistry, server: &FakeRegistry) {
    let (to, content) = (server.repository("acme/echo"), noise(100_000));
    let blob = blob_of(&content);
    client.push_blob(&to, &blob, &content, None).await.unwrap();
    let reference = server.reference("acme/echo:1");
    client.push_manifest(&reference, &image()).await.unwrap();
}

/// Statuses that keep method and body are followed, with the whole body, in one piece and in parts.
#[tokio::test]
async fn a_redirected_upload_is_followed() {
    for status in [307, 308] {
        for chunk in [200_000, 30_000] {
            let auth = Auth::token("alice", CANARY);
            let server = FakeRegistry::builder().auth(auth).serve().await;
            server.put_blob("acme/echo", "{}");
            for (method, path) in [
                ("POST", "*"),
                ("PATCH", "*"),
                ("PUT", "*/uploads/*"),
                ("PUT", "*/manifests/*"),
            ] {
                let once = Fault::on(method, path)
                    .when(|request| request.header("authorization").is_some())
                    .once();
                server.fault(once.redirect_to_origin(status, server.url()));
            }
            let client = builder(&server)
                .credentials(password())
                .limits(quick().upload_chunk(chunk))
                .build()
                .unwrap();
            push(&client, &server).await;
            let blob = blob_of(&noise(100_000));
            let stored = server.blob("acme/echo", blob.digest()).unwrap();
            assert!(stored == noise(100_000), "{status}, {chunk}");
            client
                .resolve(&server.reference("acme/echo:1"))
                .await
                .unwrap();
        }
    }
}

/// The content goes to another origin, the credential does not.
#[tokio::test]
async fn a_redirected_upload_takes_no_credential_along() {
    let auth = Auth::token("alice", CANARY);
    let server = FakeRegistry::builder().auth(auth).serve().await;
    let other = FakeRegistry::builder().serve().await;
    other.put_blob("acme/echo", "{}");
    for method in ["POST", "PUT"] {
        let fault = Fault::on(method, "/v2/*");
        let fault = fault.when(|request| request.header("authorization").is_some());
        server.fault(fault.redirect_to_origin(307, other.url()));
    }
    push(&client_with_password(&server), &server).await;
    assert_eq!(other.count("PUT", "*/manifests/1"), 1);
    let blob = blob_of(&noise(100_000));
    assert!(other.blob("acme/echo", blob.digest()).is_some());
    let is_clean = |request: &LoggedRequest| request.header("authorization").is_none();
    assert!(other.requests().iter().all(is_clean));
}

/// The rules of redirects are the same; what does not keep the method is an error.
#[tokio::test]
async fn an_upload_is_not_redirected_anywhere() {
    let server = FakeRegistry::builder().serve().await;
    let reference = server.reference("acme/echo:1");
    for target in [
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "http://user:pass@127.0.0.1/",
    ] {
        server.clear_faults();
        server.fault(Fault::on("PUT", "*").redirect(307, target));
        let pushed = client(&server).push_manifest(&reference, &image()).await;
        assert!(
            matches!(pushed.detail(), Some(ClientError::RedirectRefused { .. })),
            "{target}: {pushed:?}"
        );
    }
    for status in [301, 302, 303] {
        server.clear_faults();
        server.clear_requests();
        server.fault(Fault::on("PUT", "*").redirect_to_origin(status, server.url()));
        let pushed = client(&server).push_manifest(&reference, &image()).await;
        assert!(pushed.is_err(), "{status}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_upload_is_confirmed_with_several_statuses() {
    for status in [200, 201, 202, 204] {
        let server = FakeRegistry::builder().serve().await;
        server.fault(Fault::on("PUT", "*").respond(status));
        push(&client(&server), &server).await;
        push(&in_parts(&server), &server).await;
        assert_eq!(server.count("PUT", "*"), 4, "{status}");

        // A digest in the answer is compared, whatever the status is.
        let digest = Digest::sha256("other").to_string();
        server.clear_faults();
        let wrong = Fault::on("PUT", "*").respond(status);
        server.fault(wrong.header("docker-content-digest", digest));
        let (to, content) = (server.repository("acme/echo"), noise(1000));
        let (client, blob) = (client(&server), blob_of(&content));
        let pushed = client.push_blob(&to, &blob, &content, None).await;
        assert!(
            matches!(pushed.detail(), Some(ClientError::DigestMismatch { .. })),
            "{status}"
        );
    }
    let server = FakeRegistry::builder().serve().await;
    server.fault(Fault::on("PUT", "*").respond(205));
    let reference = server.reference("acme/echo:1");
    let pushed = client(&server).push_manifest(&reference, &image()).await;
    assert!(pushed.is_err());
}

/// Where a registry does not say whether it has a blob, the blob is sent; a denial is reported.
#[tokio::test]
async fn a_registry_without_head_gets_the_blob() {
    for status in [400, 404, 405, 410, 418] {
        let server = FakeRegistry::builder().serve().await;
        server.put_blob("acme/echo", "{}");
        server.fault(Fault::on("HEAD", "*").respond(status));
        push(&client(&server), &server).await;
        let blob = blob_of(&noise(100_000));
        assert!(server.blob("acme/echo", blob.digest()).is_some());
    }
    for status in [401, 403, 500] {
        let server = FakeRegistry::builder().serve().await;
        server.fault(Fault::on("HEAD", "*").respond(status));
        let (to, content) = (server.repository("acme/echo"), noise(1000));
        let (client, blob) = (client(&server), blob_of(&content));
        let pushed = client.push_blob(&to, &blob, &content, None).await;
        assert!(pushed.is_err(), "{status}");
        assert_eq!(server.count("POST", "*"), 0);
    }
}

/// An upload that succeeds, where the registry only redirects the question whether it has the blob
/// without end.
#[tokio::test]
async fn a_check_that_is_redirected_without_end_is_no_obstacle() {
    let server = FakeRegistry::builder().serve().await;
    server.put_blob("acme/echo", "{}");
    server.fault(Fault::on("HEAD", "*").redirect_to_origin(307, server.url()));
    push(&client(&server), &server).await;
    let blob = blob_of(&noise(100_000));
    assert!(server.blob("acme/echo", blob.digest()).is_some());
}

/// What a registry lacks is a part of the image, not the repository. It may have it a moment later.
#[tokio::test]
async fn a_manifest_whose_part_is_missing_is_sent_again() {
    let body = r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry",
                  "detail":{"digest":"sha256:0123"}}]}"#;
    for status in [400, 404] {
        let server = FakeRegistry::builder().serve().await;
        server.put_blob("acme/echo", "{}");
        let reference = server.reference("acme/echo:1");
        let fault = || Fault::on("PUT", "*/manifests/*").respond(status).body(body);
        server.fault(fault().once());
        let client = client(&server);
        client.push_manifest(&reference, &image()).await.unwrap();
        assert_eq!(server.count("PUT", "*"), 2);

        server.clear_requests();
        server.fault(fault());
        let pushed = client.push_manifest(&reference, &image()).await;
        let error = pushed.unwrap_err();
        let text = full_text(&error);
        for words in [
            "does not have a blob or manifest that the pushed manifest names: MANIFEST_BLOB_UNKNOWN",
            "blob unknown to registry",
            &server.host().to_string(),
        ] {
            assert!(text.contains(words), "{text}");
        }
        let hint = error.detail().and_then(ClientError::hint).unwrap();
        assert_eq!(hint, "push again, so that the missing part is uploaded");
        assert!(!error.is_not_found(), "{error:?}");
        assert_eq!(server.count("PUT", "*"), 2);
    }
}

/// The header of an answer names another digest: nothing was hashed there.
#[tokio::test]
async fn another_digest_in_the_answer_is_named_as_that_of_the_header() {
    let server = FakeRegistry::builder().serve().await;
    let other = Digest::sha256("other").to_string();
    let answer = Fault::on("PUT", "*").respond(201);
    server.fault(answer.header("docker-content-digest", &other));
    let reference = server.reference("acme/echo:1");
    let pushed = client(&server).push_manifest(&reference, &image()).await;
    let text = pushed.unwrap_err().to_string();
    let header = format!("sends `Docker-Content-Digest: {other}`, but");
    let hashed = format!("hashes to `{}`", image().digest());
    for words in [&*header, &*hashed, "/v2/acme/echo/manifests/1`"] {
        assert!(text.contains(words), "{text}");
    }
}

/// A registry behind a proxy may name an address for uploads that only it can reach.
#[tokio::test]
async fn an_upload_elsewhere_is_not_a_redirect() {
    let server = FakeRegistry::builder().serve().await;
    let session = Fault::on("POST", "*").respond(202);
    server.fault(session.header("location", "http://registry.corp.invalid/v2/x"));
    let (to, content) = (server.repository("acme/echo"), noise(1000));
    let (client, blob) = (client(&server), blob_of(&content));
    let error = client.push_blob(&to, &blob, &content, None).await;
    let error = error.unwrap_err();
    let text = error.to_string();
    let named = format!("which `{}` names for the upload", server.host());
    for words in ["`registry.corp.invalid:80`", &*named] {
        assert!(text.contains(words), "{text}");
    }
    assert!(!text.contains("redirect"), "{text}");
    let hint = error.detail().unwrap().hint().unwrap();
    assert!(hint.contains("behind a proxy"), "{hint}");
    assert!(!hint.contains("firewall"), "{hint}");
}
