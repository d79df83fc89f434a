//! From a name to proven bytes.

use qmt_oci_ref::manifest::ManifestError;
use qmt_oci_ref::{Digest, DigestAlgorithm, MediaType, PinnedReference, Registry, manifest};
use qmt_registry::ClientError;
use qmt_testkit::{Auth, FakeRegistry, Fault};

use crate::support::{Detail as _, MANIFEST, client, image_behind, put_image, resolve};

const MANIFESTS: &str = "/v2/*/manifests/*";

#[tokio::test]
async fn a_tag_is_pinned_by_one_get() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let resolved = resolve(&client(&server), &server).await.unwrap();
    assert_eq!(resolved.digest(), image.digest());
    assert_eq!(resolved.bytes(), MANIFEST);
    assert_eq!(resolved.media_type(), &MediaType::ImageManifest);
    assert_eq!(
        server
            .reference("acme/echo:1")
            .with_digest(resolved.digest().clone())
            .to_string(),
        format!("{}/acme/echo:1@{}", server.host(), image.digest())
    );
    let asked: Vec<_> = server
        .requests()
        .iter()
        .map(|r| format!("{} {}", r.method, r.target))
        .collect();
    assert_eq!(asked, ["GET /v2/acme/echo/manifests/1"]);
    let accept = server.requests()[0].header("accept").unwrap().to_owned();
    for media_type in [
        manifest::OCI_INDEX,
        manifest::OCI_MANIFEST,
        manifest::DOCKER_INDEX,
        manifest::DOCKER_MANIFEST,
    ] {
        assert!(accept.contains(media_type), "{accept}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let server = FakeRegistry::builder().serve().await;
    let error = resolve(&client(&server), &server).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert!(error.to_string().contains("acme/echo:1"), "{error}");
    let paths: Vec<_> = server.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(paths.len(), 2, "404 is not tried again: {paths:?}");
    assert_eq!(paths[1], "/v2/", "the registry may have a challenge");
}

/// The error for a login page or a web site in place of the registry says so.
#[tokio::test]
async fn an_html_page_is_called_that() {
    let server = image_behind(Auth::None).await;
    let image = put_image(&server);
    let blob = server.put_blob("acme/echo", "content");
    let page = "<!DOCTYPE html><html>please log in</html>";
    server.fault(
        Fault::on("GET", "/v2/*")
            .header("content-type", "text/html; charset=utf-8")
            .respond(200)
            .body(page),
    );
    let client = client(&server);
    let by_digest = server
        .reference("acme/echo:1")
        .with_digest(image.digest().clone());
    for error in [
        resolve(&client, &server).await.unwrap_err(),
        client.manifest(&by_digest, 4 << 20).await.unwrap_err(),
        crate::support::pull(&client, &server.repository("acme/echo"), &blob)
            .await
            .unwrap_err(),
    ] {
        assert!(
            matches!(error.detail(), Some(ClientError::WebPage { .. })),
            "{error:?}"
        );
        assert!(error.to_string().contains("HTML page"), "{error}");
    }
    server.clear_faults();
    server.fault(Fault::on("GET", "/v2/*").respond(503).body(page));
    let error = resolve(&client, &server).await.unwrap_err();
    assert!(error.to_string().ends_with(": an HTML page"), "{error}");
}

/// Old servers fold long lines; curl reads them as well.
#[tokio::test]
async fn a_folded_header_is_read() {
    let server = FakeRegistry::builder().serve().await;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Security-Policy: default-src 'none';\r\n \
         sandbox\r\nContent-Length: {}\r\n\r\n{MANIFEST}",
        manifest::OCI_MANIFEST,
        MANIFEST.len()
    );
    server.fault(Fault::on("*", "/v2/*/manifests/1").raw(answer));
    let reference = server.reference("acme/echo:1");
    let resolved = client(&server).resolve(&reference).await.unwrap();
    assert_eq!(resolved.bytes(), MANIFEST);
}

/// The content of an answer with another status of success is not quoted as a message.
#[tokio::test]
async fn a_transformed_answer_is_not_quoted() {
    let server = FakeRegistry::builder().serve().await;
    put_image(&server);
    let answer = Fault::on("GET", "/v2/*").respond(203).body(MANIFEST);
    server.fault(answer.header("content-type", manifest::OCI_MANIFEST));
    let reference = server.reference("acme/echo:1");
    let error = client(&server).resolve(&reference).await.unwrap_err();
    assert!(error.to_string().ends_with("with status 203"), "{error}");
}

/// A port at which something else than HTTP is spoken.
#[tokio::test]
async fn a_server_that_speaks_no_http_is_explained() {
    let server = FakeRegistry::builder().serve().await;
    server.fault(Fault::on("*", "*").raw("SSH-2.0-OpenSSH_9.6\r\n"));
    let reference = server.reference("acme/echo:1");
    let error = client(&server).resolve(&reference).await.unwrap_err();
    let hint = error.detail().unwrap().hint().unwrap();
    let words = format!("check that `{}` is the port of a registry", server.host());
    assert!(hint.contains(&words), "{hint}");
}

/// DIG-01: what the header says never makes a digest, and a lie in it is an error.
#[tokio::test]
async fn the_digest_header_is_a_hint() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let reference = server.reference("acme/echo:1");
    let upper = image.digest().to_string().to_uppercase();
    let header = "docker-content-digest";
    let on = || Fault::on("GET", MANIFESTS).once();
    // Absent, empty, of an unknown algorithm, in upper case: ignored.
    for harmless in [
        on().without_header(header),
        on().header(header, ""),
        on().header(header, "md5:d41d8cd98f00b204e9800998ecf8427e"),
        on().header(header, upper),
        on().header(
            header,
            Digest::of(DigestAlgorithm::Sha512, MANIFEST).to_string(),
        ),
    ] {
        server.fault(harmless);
        let resolved = client(&server).resolve(&reference).await.unwrap();
        assert_eq!(*resolved.digest(), Digest::sha256(MANIFEST));
    }
    let other = Digest::sha256("another").to_string();
    // Wrong, wrong in the other algorithm, one right and one wrong: an error.
    for lie in [
        on().header(header, &other),
        on().header(
            header,
            Digest::of(DigestAlgorithm::Sha512, "another").to_string(),
        ),
        on().add_header(header, &other),
    ] {
        server.fault(lie);
        let error = client(&server).resolve(&reference).await.unwrap_err();
        assert!(
            matches!(
                error.detail(),
                Some(ClientError::DigestMismatch {
                    header: Some(_),
                    ..
                })
            ),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains("`Docker-Content-Digest: sha"), "{text}");
    }
}

/// DIG-02: a registry that answers any digest with another manifest.
#[tokio::test]
async fn another_manifest_under_the_digest_is_refused() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let pin = PinnedReference::new(server.repository("acme/echo"), image.digest().clone());
    let limit = 1 << 20;
    assert_eq!(
        client(&server).manifest(&pin, limit).await.unwrap().bytes(),
        MANIFEST
    );

    let other = MANIFEST.replace("[]", "[ ]");
    server.plant_manifest("acme/echo", image.digest(), manifest::OCI_MANIFEST, other);
    let refused = client(&server).manifest(&pin, limit).await;
    assert!(
        matches!(refused.detail(), Some(ClientError::DigestMismatch { .. })),
        "{refused:?}"
    );
    let by_reference = format!("{}/acme/echo:1@{}", server.host(), image.digest());
    let refused = client(&server)
        .resolve(&by_reference.parse().unwrap())
        .await;
    assert!(
        matches!(refused.detail(), Some(ClientError::DigestMismatch { .. })),
        "{refused:?}"
    );
}

/// DIG-03: the tag moves after any of our requests; the pin does not.
#[tokio::test]
async fn a_moved_tag_does_not_move_the_pin() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let client = client(&server);
    let resolved = resolve(&client, &server).await.unwrap();
    let other = server.put_manifest(
        "acme/echo",
        "1",
        manifest::OCI_MANIFEST,
        MANIFEST.replace("[]", "[ ]"),
    );
    assert_ne!(other.digest(), image.digest());
    let pin = server
        .reference("acme/echo:1")
        .with_digest(resolved.digest().clone());
    let again = client.manifest(&pin, 1 << 20).await.unwrap();
    assert_eq!(again.digest(), image.digest());
    let moved = resolve(&client, &server).await.unwrap();
    assert_eq!(moved.digest(), other.digest());
}

/// DIG-04: the type in the header and the type in the content are one.
#[tokio::test]
async fn a_manifest_has_one_media_type() {
    let server = image_behind(Auth::None).await;
    let reference = server.reference("acme/echo:1");
    for (content_type, fits) in [
        (
            "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
            true,
        ),
        ("Application/Vnd.OCI.image.manifest.v1+JSON", true),
        (manifest::OCI_INDEX, false),
        (manifest::DOCKER_MANIFEST, false),
    ] {
        server.fault(
            Fault::on("GET", MANIFESTS)
                .once()
                .header("content-type", content_type),
        );
        let outcome = client(&server).resolve(&reference).await;
        match outcome {
            Ok(_) => assert!(fits, "{content_type}"),
            Err(error) => {
                let is_mismatch = matches!(
                    error.detail(),
                    Some(ClientError::NotAManifest {
                        source: ManifestError::MediaTypeMismatch { .. },
                        ..
                    })
                );
                assert!(is_mismatch && !fits, "{content_type}: {error:?}");
            }
        }
    }
    for both in [
        r#"{"manifests":[],"layers":[]}"#,
        r#"{"manifests":[],"config":{}}"#,
    ] {
        server.put_manifest("acme/echo", "both", manifest::OCI_INDEX, both);
        let refused = client(&server)
            .resolve(&server.reference("acme/echo:both"))
            .await;
        assert!(
            matches!(refused.detail(), Some(ClientError::NotAManifest { .. })),
            "{refused:?}"
        );
    }
}

/// DIG-07: SHA-512 from the tag to the manifest.
#[tokio::test]
async fn sha512_is_proven_too() {
    let server = FakeRegistry::builder().serve().await;
    let digest = Digest::of(DigestAlgorithm::Sha512, MANIFEST);
    server.plant_manifest("acme/echo", &digest, manifest::OCI_MANIFEST, MANIFEST);
    let pin = PinnedReference::new(server.repository("acme/echo"), digest.clone());
    assert_eq!(
        client(&server)
            .manifest(&pin, 1 << 20)
            .await
            .unwrap()
            .digest(),
        &digest
    );

    server.plant_manifest(
        "acme/echo",
        &digest,
        manifest::OCI_MANIFEST,
        MANIFEST.replace("[]", "[ ]"),
    );
    let refused = client(&server).manifest(&pin, 1 << 20).await;
    assert!(
        matches!(refused.detail(), Some(ClientError::DigestMismatch { .. })),
        "{refused:?}"
    );
}

/// AUTH-20: the digest is that of the bytes as stored. A label does not make them gzip, and gzip data
/// that has no document is refused.
#[tokio::test]
async fn content_encodings_are_left_alone() {
    let server = image_behind(Auth::None).await;
    let reference = server.reference("acme/echo:1");
    server.fault(
        Fault::on("GET", MANIFESTS)
            .once()
            .header("content-encoding", "gzip"),
    );
    // The bytes are unchanged: a header does not make them gzip.
    assert_eq!(
        client(&server).resolve(&reference).await.unwrap().bytes(),
        MANIFEST
    );
    let gzip = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    server.fault(
        Fault::on("GET", MANIFESTS)
            .once()
            .header("content-encoding", "gzip")
            .without_header("docker-content-digest")
            .body(gzip.to_vec()),
    );
    let refused = client(&server).resolve(&reference).await;
    assert!(
        matches!(refused.detail(), Some(ClientError::Protocol { rule, .. }) if rule.contains("`gzip`")),
        "{refused:?}"
    );
    assert!(
        server
            .requests()
            .iter()
            .all(|r| r.header("accept-encoding") == Some("identity"))
    );
}
