//! Lists that are denied: the list under the tag is still read, and the denial is reported.

use super::*;

const DENIED: &str = r#"{"errors":[{"code":"DENIED","message":"no rights"}]}"#;

#[tokio::test]
async fn a_denial_is_not_a_missing_api() {
    for has_list in [true, false] {
        let server = FakeRegistry::builder().referrers_api(false).serve().await;
        let image = put_image(&server);
        let client = client(&server);
        if has_list {
            push(&client, &server, &referring(&image, "a/b", 1)).await;
        }
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
