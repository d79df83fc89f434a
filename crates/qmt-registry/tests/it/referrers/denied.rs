//! Lists that are denied: the list under the tag is still read, and the denial is reported.

use super::*;

const DENIED: &str = r#"{"errors":[{"code":"DENIED","message":"no rights"}]}"#;

/// A registry without the API, an image there, and perhaps a list under its tag.
async fn without_api(has_list: bool) -> (FakeRegistry, Descriptor, HttpRegistry) {
    let server = FakeRegistry::builder().referrers_api(false).serve().await;
    let (image, client) = (put_image(&server), client(&server));
    if has_list {
        push(&client, &server, &referring(&image, "a/b", 1)).await;
    }
    (server, image, client)
}

#[tokio::test]
async fn a_denial_is_not_a_missing_api() {
    for has_list in [true, false] {
        let (server, image, client) = without_api(has_list).await;
        let answer = |status: u16, content_type: &str, body: &'static str| {
            let fault = Fault::on("GET", REFERRERS).respond(status).body(body);
            fault.header("content-type", content_type)
        };
        for (fault, words) in [
            (answer(200, "text/html", "<html>sign in"), "an HTML page"),
            (answer(200, "text/plain", "<html>sign in"), "an HTML page"),
            (answer(200, "application/json", DENIED), "DENIED: no rights"),
            (answer(400, "application/json", DENIED), "DENIED: no rights"),
            (answer(422, "application/json", DENIED), "DENIED: no rights"),
        ] {
            server.clear_faults();
            server.fault(fault);
            let listed = client.referrers(&subject(&server, &image)).await;
            let mut error = listed.unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            let listed = error.take_listed().map(|list| list.len());
            assert_eq!(listed, has_list.then_some(1), "{error}");
        }
        // A registry without the API.
        for status in [404, 405, 501] {
            server.clear_faults();
            server.fault(answer(status, "text/html", "<html>not found"));
            let listed = client.referrers(&subject(&server, &image)).await.unwrap();
            assert_eq!(listed.len(), usize::from(has_list));
        }
    }
}

/// Another server, to which the registry redirects, does not speak for it.
#[tokio::test]
async fn a_denial_of_another_server_is_not_that_of_the_registry() {
    let (server, image, client) = without_api(true).await;
    let unsupported = r#"{"errors":[{"code":"UNSUPPORTED","message":"no such request"}]}"#;
    for (status, body) in [(400, DENIED), (400, unsupported), (200, DENIED)] {
        let store = FakeRegistry::builder().serve().await;
        let answer = Fault::on("GET", "*").respond(status).body(body);
        store.fault(answer.header("content-type", "application/json"));
        server.clear_faults();
        server.fault(Fault::on("GET", REFERRERS).redirect_to_origin(307, store.url()));
        let listed = client.referrers(&subject(&server, &image)).await;
        let mut error = listed.unwrap_err();
        let (found, url, from) = match error.detail() {
            Some(ClientError::Status {
                status, url, from, ..
            }) => (*status, url, from),
            Some(ClientError::ErrorContent { url, from, .. }) => (200, url, from),
            other => panic!("{other:?}"),
        };
        assert_eq!((found, from), (status, &Some(server.host().clone())));
        assert!(url.to_string().contains(&store.host().to_string()), "{url}");
        assert_eq!(error.take_listed().unwrap().len(), 1, "{error:?}");
    }
}

/// Amazon ECR answers 400 in place of 404, with an error of the specification.
#[tokio::test]
async fn an_unsupported_request_is_a_missing_api() {
    let body = r#"{"errors":[{"code":"UNSUPPORTED","message":"no such request"}]}"#;
    for has_list in [true, false] {
        let (server, image, client) = without_api(has_list).await;
        server.fault(Fault::on("GET", REFERRERS).respond(400).body(body));
        let listed = client.referrers(&subject(&server, &image)).await.unwrap();
        assert_eq!(listed.len(), usize::from(has_list));
    }
}

/// A registry may refuse the tags of signatures in place of having none.
#[tokio::test]
async fn a_refused_tag_of_a_signature_does_not_exist() {
    let invalid = r#"{"errors":[{"code":"TAG_INVALID","message":"bad tag"}]}"#;
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let client = client(&server);
    for end in ["sig", "att"] {
        let tag = format!("acme/echo:sha256-{}.{end}", image.digest().hex());
        let reference = server.reference(&tag);
        server.clear_faults();
        let error = client.resolve(&reference).await.unwrap_err();
        assert_eq!((error.is_not_found(), error.remark()), (true, None));
        for (status, body) in [(400, invalid), (405, ""), (422, invalid)] {
            server.clear_faults();
            let fault = Fault::on("GET", "/v2/*/manifests/*");
            server.fault(fault.respond(status).body(body));
            let error = client.resolve(&reference).await.unwrap_err();
            assert!(error.is_not_found(), "{status}: {error:?}");
            let remark = error.remark().unwrap();
            let expected = format!("the registry answers with status {status}");
            assert!(remark.starts_with(&expected), "{remark}");
            assert_eq!(remark.ends_with("bad tag"), !body.is_empty(), "{remark}");
            // Other tags, and other errors.
            let error = client.resolve(&server.reference("acme/echo:1")).await;
            assert!(!error.unwrap_err().is_not_found());
        }
        for (status, body) in [(400, DENIED), (403, ""), (500, "")] {
            server.clear_faults();
            let fault = Fault::on("GET", "/v2/*/manifests/*");
            server.fault(fault.respond(status).body(body));
            let error = client.resolve(&reference).await.unwrap_err();
            assert!(!error.is_not_found(), "{status}: {error:?}");
        }
    }
}
