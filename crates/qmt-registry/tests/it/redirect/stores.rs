//! What is said about the store to which a registry redirects.

use qmt_oci_ref::RegistryError;

use super::*;

/// An expired URL of an object store: its words, under its name, without the signed query.
#[tokio::test]
async fn a_store_that_refuses_is_named_with_its_words() {
    let server = FakeRegistry::builder().serve().await;
    put_image(&server);
    let blob = server.put_blob("acme/echo", "content");
    let expired = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has \
                   expired</Message><Signature>canary</Signature></Error>";
    for status in [400, 401, 403] {
        server.clear_faults();
        let store = elsewhere([127, 0, 0, 2]);
        let target = format!("{}/x?X-Amz-Signature=canary", store.url());
        server.fault(Fault::on("GET", "/v2/*/blobs/*").redirect(307, &target));
        store.fault(Fault::on("GET", "/x").respond(status).body(expired));
        let error = pull(&client(&server), &server.repository("acme/echo"), &blob)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error.detail(),
                Some(ClientError::Status { from: Some(_), .. })
            ),
            "{error:?}"
        );
        let text = full_text(&error);
        assert!(text.contains("AccessDenied: Request has expired"), "{text}");
        assert!(text.contains(&format!("{}/x`", store.url())), "{text}");
        assert!(
            !text.contains("canary") && !text.contains("credential"),
            "{text}"
        );
    }
}

/// A store at the registry's own address, outside of its API, is no registry: no login helps.
#[tokio::test]
async fn a_store_at_the_address_of_the_registry_is_named() {
    let server = FakeRegistry::builder().serve().await;
    put_image(&server);
    let blob = server.put_blob("acme/echo", "content");
    let store = format!("http://{}/storage/x", server.host());
    for status in [403, 404] {
        server.clear_faults();
        let target = format!("{store}?X-Amz-Signature=canary");
        server.fault(Fault::on("GET", "/v2/*/blobs/*").redirect(307, &target));
        let expired = Fault::on("GET", "/storage/x").respond(status);
        server.fault(expired.body("<Error><Code>AccessDenied</Code></Error>"));
        let error = pull(&client(&server), &server.repository("acme/echo"), &blob)
            .await
            .unwrap_err();
        let text = full_text(&error);
        assert!(text.contains(&format!("{store}`")), "{text}");
        assert!(
            text.contains("redirects") && text.contains(": AccessDenied"),
            "{text}"
        );
        let hint = error.detail().unwrap().hint().unwrap_or_default();
        for word in ["canary", "credential", "log in"] {
            assert!(
                !text.contains(word) && !hint.contains(word),
                "{text}: {hint}"
            );
        }
    }
}

/// A store that does not exist, or lacks the blob, is named, and the registry that redirects there.
/// Only options that apply to redirects are suggested.
#[tokio::test]
async fn a_store_that_is_absent_or_lacks_a_blob_is_named() {
    let server = FakeRegistry::builder().serve().await;
    let blob = server.put_blob("acme/echo", "content");
    let from = server.repository("acme/echo");
    let store = elsewhere([127, 0, 0, 2]);
    let redirects = |url: String| {
        server.clear_faults();
        let target = format!("{url}/x?X-Amz-Signature=canary");
        server.fault(Fault::on("GET", "/v2/*/blobs/*").redirect(307, &target));
    };
    let message = |error: &RegistryError| {
        let text = full_text(error);
        assert!(
            text.contains("redirects") && !text.contains("canary"),
            "{text}"
        );
        let hint = error.detail().unwrap().hint().unwrap();
        (error.to_string(), hint)
    };
    store.put("/x", "content");
    redirects(store.url());
    assert_eq!(
        pull(&client(&server), &from, &blob).await.unwrap(),
        "content"
    );

    store.fault(
        Fault::on("GET", "/x")
            .respond(404)
            .body("<Error><Code>NoSuchKey</Code></Error>"),
    );
    let error = pull(&client(&server), &from, &blob).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    let (text, hint) = message(&error);
    assert!(text.contains(&format!("{}/x`", store.url())), "{text}");
    assert!(text.ends_with("NoSuchKey"), "{text}");
    assert!(hint.contains("publish it again"), "{hint}");

    redirects("http://store.corp.invalid".to_owned());
    let error = pull(&client(&server), &from, &blob).await.unwrap_err();
    let (text, hint) = message(&error);
    assert!(text.contains("`store.corp.invalid:80`"), "{text}");
    assert!(text.contains(&format!("`{}`", server.host())), "{text}");
    for word in ["firewall", "`HTTPS_PROXY`", "`NO_PROXY`"] {
        assert!(hint.contains(word), "{hint}");
    }
    assert!(!hint.contains("[registries.\"store"), "{hint}");

    // The registry itself does not redirect.
    let missing = Descriptor::of(blob.media_type().clone(), b"missing");
    server.clear_faults();
    let error = pull(&client(&server), &from, &missing).await.unwrap_err();
    assert!(error.to_string().contains("in its registry"), "{error}");
}

/// CFG-01: a store that repeats the signed URL in its answer is quoted without the values of the
/// query, in any form.
#[tokio::test]
async fn cfg_01_a_store_that_repeats_the_signed_query_is_quoted_without_it() {
    let query =
        "X-Amz-Credential=KEYID%2F20260101%2Fs3&X-Amz-Expires=900&X-Amz-Signature=canary0123";
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let blob = server.put_blob("acme/echo", "content");
    let from = server.repository("acme/echo");
    let client = client(&server);
    for same_origin in [false, true] {
        for (status, echo) in [
            (403, format!("no such key: /x?{query}")),
            (
                401,
                "KEYID/20260101/s3 lacks rights; expires in 900".to_owned(),
            ),
            (
                400,
                format!(r#"{{"errors":[{{"code":"DENIED","message":"/x?{query}"}}]}}"#),
            ),
            (
                404,
                "<Error><Code>No</Code><Message>canary0123</Message></Error>".to_owned(),
            ),
            (
                200,
                r#"{"errors":[{"code":"DENIED","message":"canary0123"}]}"#.to_owned(),
            ),
        ] {
            let store = elsewhere([127, 0, 0, 2]);
            let target = if same_origin {
                format!("http://{}/x?{query}", server.host())
            } else {
                format!("{}/x?{query}", store.url())
            };
            server.clear_faults();
            for pattern in ["/v2/*/blobs/*", "/v2/*/manifests/*", "/v2/*/referrers/*"] {
                server.fault(Fault::on("GET", pattern).redirect(307, &target));
            }
            let answer = || Fault::on("GET", "/x").respond(status).body(echo.clone());
            server.fault(answer());
            store.fault(answer());
            let errors = [
                pull(&client, &from, &blob).await.map(|_| ()),
                resolve(&client, &server).await.map(|_| ()),
                client
                    .referrers(&image_subject(&server, &image))
                    .await
                    .map(|_| ()),
            ];
            for error in errors.into_iter().filter_map(Result::err) {
                let text = full_text(&error);
                assert!(!text.contains("canary"), "{status}: {text}");
                assert!(!text.contains("KEYID"), "{status}: {text}");
            }
        }
    }
    // What has no secret of the URL is quoted in full.
    server.clear_faults();
    let store = elsewhere([127, 0, 0, 2]);
    let target = format!("{}/x?{query}", store.url());
    server.fault(Fault::on("GET", "/v2/*/blobs/*").redirect(307, &target));
    let answer = Fault::on("GET", "/x").respond(403);
    store.fault(answer.body("the URL expired 900 seconds ago, X-Amz-Expires=900"));
    let error = pull(&client, &from, &blob).await.unwrap_err();
    let text = error.to_string();
    let words = "the URL expired 900 seconds ago, X-Amz-Expires=900";
    assert!(text.ends_with(words), "{text}");
}

/// A page in place of the blob is that of the store, or of a network on the way.
#[tokio::test]
async fn a_store_that_answers_with_a_page_is_named() {
    let server = FakeRegistry::builder().serve().await;
    let blob = server.put_blob("acme/echo", "content");
    let from = server.repository("acme/echo");
    let store = elsewhere([127, 0, 0, 2]);
    let target = format!("{}/x?X-Amz-Signature=canary", store.url());
    server.fault(Fault::on("GET", "/v2/*/blobs/*").redirect(307, &target));
    let page = Fault::on("GET", "/x")
        .respond(200)
        .body("<!DOCTYPE html><html>");
    store.fault(page.header("content-type", "text/html"));
    let error = pull(&client(&server), &from, &blob).await.unwrap_err();
    let text = full_text(&error);
    for words in ["HTML page instead of the blob", "redirects", &*store.url()] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("canary"), "{text}");
    let hint = error.detail().unwrap().hint().unwrap();
    assert!(hint.contains("keeps its content there"), "{hint}");
}
