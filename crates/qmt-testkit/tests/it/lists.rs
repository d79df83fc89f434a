//! Tag lists and referrers lists, with paging and filter.

use qmt_oci_ref::{Digest, manifest};
use qmt_testkit::{FakeRegistry, ImageBuilder, Layer};

use crate::http::{get, request};

#[tokio::test]
async fn the_base_answers() {
    let registry = FakeRegistry::builder().serve().await;
    let reply = get(registry.address(), "/v2/");
    assert_eq!((reply.status, reply.text()), (200, "{}"));
    assert_eq!(
        reply.header("docker-distribution-api-version"),
        "registry/2.0"
    );
    assert_eq!(get(registry.address(), "/v2").status, 200);
    assert_eq!(
        request(registry.address(), "PUT", "/v2/").send().status,
        405
    );
}

#[tokio::test]
async fn tags_are_listed_in_order_and_in_pages() {
    let registry = FakeRegistry::builder().serve().await;
    for tag in ["c", "a", "d", "b"] {
        ImageBuilder::new().build().push(&registry, "a/b", tag);
    }
    let reply = get(registry.address(), "/v2/a/b/tags/list");
    assert_eq!(reply.text(), r#"{"name":"a/b","tags":["a","b","c","d"]}"#);
    assert_eq!(reply.header("link"), "");
    let reply = get(registry.address(), "/v2/a/b/tags/list?n=3");
    assert_eq!(reply.json()["tags"], serde_json::json!(["a", "b", "c"]));
    assert_eq!(
        reply.header("link"),
        r#"</v2/a/b/tags/list?n=3&last=c>; rel="next""#
    );
    let reply = get(registry.address(), "/v2/a/b/tags/list?n=3&last=c");
    assert_eq!(reply.json()["tags"], serde_json::json!(["d"]));
    assert_eq!(reply.header("link"), "");
    let reply = get(registry.address(), "/v2/a/b/tags/list?n=0");
    assert_eq!(
        (reply.json()["tags"].clone(), reply.header("link")),
        (serde_json::json!([]), "")
    );
    assert_eq!(
        get(registry.address(), "/v2/a/b/tags/list?n=x").code(),
        "PAGINATION_NUMBER_INVALID"
    );
    assert_eq!(
        get(registry.address(), "/v2/no/such/tags/list").code(),
        "NAME_UNKNOWN"
    );
    assert_eq!(registry.repositories(), ["a/b"]);
}

/// Three referrers of one subject: two of the type `t/1`, one typed by its config.
fn with_referrers(registry: &FakeRegistry) -> Digest {
    let subject = ImageBuilder::new().build().push(registry, "a/b", "v1");
    for number in ["1", "2"] {
        ImageBuilder::new()
            .artifact_type("t/1")
            .layer(Layer::raw("text/plain", number.as_bytes().to_vec()))
            .annotation("number", number)
            .subject(subject.clone())
            .build()
            .push(registry, "a/b", None);
    }
    ImageBuilder::new()
        .config("t/config", b"{}".as_slice())
        .subject(subject.clone())
        .build()
        .push(registry, "a/b", None);
    subject.digest().clone()
}

#[tokio::test]
async fn referrers_are_computed_from_subjects_and_filtered() {
    let registry = FakeRegistry::builder().serve().await;
    let subject = with_referrers(&registry);
    let reply = get(registry.address(), &format!("/v2/a/b/referrers/{subject}"));
    assert_eq!(reply.header("content-type"), manifest::OCI_INDEX);
    assert_eq!(reply.json()["manifests"].as_array().unwrap().len(), 3);
    assert_eq!(reply.header("oci-filters-applied"), "");
    let reply = get(
        registry.address(),
        &format!("/v2/a/b/referrers/{subject}?artifactType=t/1"),
    );
    assert_eq!(reply.header("oci-filters-applied"), "artifactType");
    let mut numbers: Vec<String> = Vec::new();
    for entry in reply.json()["manifests"].as_array().unwrap() {
        assert_eq!(entry["artifactType"], "t/1");
        numbers.push(entry["annotations"]["number"].as_str().unwrap().to_owned());
    }
    numbers.sort();
    assert_eq!(numbers, ["1", "2"]);
    let path = format!("/v2/a/b/referrers/{subject}?artifactType=t/config");
    assert_eq!(
        get(registry.address(), &path).json()["manifests"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let none = Digest::sha256(b"nothing");
    let reply = get(registry.address(), &format!("/v2/a/b/referrers/{none}"));
    assert_eq!(
        (reply.status, reply.json()["manifests"].clone()),
        (200, serde_json::json!([]))
    );
    assert_eq!(
        get(registry.address(), "/v2/a/b/referrers/v1").code(),
        "DIGEST_INVALID"
    );
}

#[tokio::test]
async fn referrers_come_in_pages_that_keep_the_filter() {
    let registry = FakeRegistry::builder().referrers_page(1).serve().await;
    let subject = with_referrers(&registry);
    let mut next = format!("/v2/a/b/referrers/{subject}?artifactType=t%2F1");
    let mut found = Vec::new();
    loop {
        let reply = get(registry.address(), &next);
        let entries = reply.json()["manifests"].as_array().unwrap().clone();
        assert_eq!(entries.len(), 1);
        found.push(entries[0]["digest"].as_str().unwrap().to_owned());
        match reply
            .header("link")
            .strip_prefix('<')
            .and_then(|link| link.split_once('>'))
        {
            Some((link, rel)) => {
                assert_eq!(rel, r#"; rel="next""#);
                next = link.to_owned();
            }
            None => break,
        }
    }
    found.dedup();
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn without_the_api_referrers_are_404_and_pushes_say_nothing() {
    let registry = FakeRegistry::builder().referrers_api(false).serve().await;
    let subject = with_referrers(&registry);
    let path = format!("/v2/a/b/referrers/{subject}");
    let body = format!(
        r#"{{"schemaVersion":2,"subject":{{"mediaType":"m/m","digest":"{subject}","size":1}}}}"#
    );
    let push = || {
        request(registry.address(), "PUT", "/v2/a/b/manifests/ref")
            .header("content-type", manifest::OCI_MANIFEST)
            .body(&body)
            .send()
    };
    assert_eq!(get(registry.address(), &path).status, 404);
    assert_eq!(push().header("oci-subject"), "");
    registry.set_referrers_api(true);
    assert_eq!(get(registry.address(), &path).status, 200);
    assert_eq!(push().header("oci-subject"), subject.to_string());
}
