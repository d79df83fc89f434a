//! Referrers: by the API, by the tag, and bounded either way.

mod bounds;
mod denied;

use qmt_oci_ref::manifest::Index;
use qmt_oci_ref::{Descriptor, MediaType, PinnedReference, RawManifest, Registry, Tag, manifest};
use qmt_registry::{ClientError, HttpRegistry, RegistryEvent, RegistryWriter};
use qmt_testkit::{FakeRegistry, Fault};

use crate::support::{Detail as _, Recorder, builder, client, put_image, quick};

const REFERRERS: &str = "/v2/*/referrers/*";
const TAGGED: &str = "/v2/*/manifests/sha256-*";

fn subject(server: &FakeRegistry, image: &Descriptor) -> PinnedReference {
    PinnedReference::new(server.repository("acme/echo"), image.digest().clone())
}

/// Manifest number `n` of the given artifact type, which refers to `image`.
fn referring(image: &Descriptor, artifact_type: &str, n: usize) -> RawManifest {
    let (media_type, size) = (image.media_type().as_ref(), image.size());
    let content = format!(
        r#"{{"schemaVersion":2,"mediaType":"{manifest}","artifactType":"{artifact_type}",
        "config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}},"layers":[],
        "subject":{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}},
        "annotations":{{"n":"{n}"}}}}"#,
        manifest = manifest::OCI_MANIFEST,
        empty = qmt_oci_ref::Digest::sha256("{}"),
        digest = image.digest(),
    );
    RawManifest::new(MediaType::from(manifest::OCI_MANIFEST), content.into())
}

/// As [`referring`], for the tests of mirrors.
pub(crate) fn one_referring(image: &Descriptor) -> RawManifest {
    referring(image, "a/b", 1)
}

async fn push(client: &HttpRegistry, server: &FakeRegistry, manifest: &RawManifest) {
    server.put_blob("acme/echo", "{}");
    let to = PinnedReference::new(server.repository("acme/echo"), manifest.digest().clone());
    client.push_manifest(&to.into(), manifest).await.unwrap();
}

/// DIG-14: the same list by API, with pages, and by tag.
#[tokio::test]
async fn api_and_tag_list_the_same() {
    for (api, page) in [(true, 100), (true, 2), (false, 100)] {
        let server = FakeRegistry::builder()
            .referrers_api(api)
            .referrers_page(page)
            .serve()
            .await;
        let image = put_image(&server);
        let recorder = Recorder::default();
        let client = builder(&server).events(recorder.sink()).build().unwrap();
        let subject = subject(&server, &image);
        assert!(client.referrers(&subject).await.unwrap().is_empty());
        let mut expected = Vec::new();
        for n in 0..5 {
            let manifest = referring(&image, if n % 2 == 0 { "a/even" } else { "a/odd" }, n);
            push(&client, &server, &manifest).await;
            expected.push(manifest.digest().clone());
        }
        let mut found: Vec<_> = client
            .referrers(&subject)
            .await
            .unwrap()
            .iter()
            .map(|d| d.digest().clone())
            .collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "api {api}, page {page}");
        let listed = client.referrers(&subject).await.unwrap();
        let odd = MediaType::from("a/odd");
        let odd = listed.iter().filter(|d| d.artifact_type() == Some(&odd));
        assert_eq!(odd.count(), 2, "api {api}: {listed:?}");
        assert!(
            listed.iter().all(|d| d.annotation("n").is_some()),
            "api {api}: {listed:?}"
        );
        let fell_back =
            recorder.count(|event| matches!(event, RegistryEvent::ReferrersFallback { .. }));
        assert_eq!(fell_back > 0, !api);
    }
}

/// A registry that has the first page has the API, whatever it answers for the next one.
#[tokio::test]
async fn a_later_page_that_does_not_exist_is_a_failure() {
    let server = FakeRegistry::builder().referrers_page(2).serve().await;
    let image = put_image(&server);
    let client = client(&server);
    for n in 0..3 {
        push(&client, &server, &referring(&image, "a/b", n)).await;
    }
    let pinned = subject(&server, &image);
    assert_eq!(client.referrers(&pinned).await.unwrap().len(), 3);
    for status in [404, 500] {
        server.clear_faults();
        server.fault(Fault::on("GET", REFERRERS).skip(1).respond(status));
        let mut error = client.referrers(&pinned).await.unwrap_err();
        assert!(!error.is_not_found(), "{error:?}");
        assert!(
            matches!(error.detail(), Some(ClientError::Status { status: s, .. }) if *s == status),
            "{error:?}"
        );
        assert_eq!(error.take_listed().unwrap().len(), 2, "{status}");
    }
}

/// A page is made by the registry, so no publisher can make one unreadable: something else was sent.
#[tokio::test]
async fn an_unreadable_page_is_other_content() {
    let server = FakeRegistry::builder().referrers_page(2).serve().await;
    let image = put_image(&server);
    let client = client(&server);
    for n in 0..3 {
        push(&client, &server, &referring(&image, "a/b", n)).await;
    }
    let pinned = subject(&server, &image);
    for earlier in [0, 1] {
        for body in [
            "oops",
            r#"{"schemaVersion":2,"manif"#,
            "null",
            "[]",
            r#"{"schemaVersion":2}"#,
            r#"{"errors":[{"code":"UNKNOWN","message":"try again"}]}"#,
        ] {
            server.clear_faults();
            let page = Fault::on("GET", REFERRERS).skip(earlier).respond(200);
            server.fault(
                page.header("content-type", manifest::OCI_INDEX)
                    .body(body.to_owned()),
            );
            let mut error = client.referrers(&pinned).await.unwrap_err();
            assert!(error.is_other_content(), "{earlier}, {body}: {error:?}");
            let listed = error.take_listed().map(|listed| listed.len());
            assert_eq!(listed, (earlier > 0).then_some(2), "{body}");
        }
    }
}

/// DIG-14: all the answers of registries without the API.
#[tokio::test]
async fn a_missing_api_is_reported_in_many_ways() {
    let server = FakeRegistry::builder().referrers_api(false).serve().await;
    let image = put_image(&server);
    let client = client(&server);
    push(&client, &server, &referring(&image, "a/b", 1)).await;
    for fault in [
        Fault::on("GET", REFERRERS).once().respond(404),
        Fault::on("GET", REFERRERS).once().respond(405),
        Fault::on("GET", REFERRERS).once().respond(406),
    ] {
        server.fault(fault);
        assert_eq!(
            client
                .referrers(&subject(&server, &image))
                .await
                .unwrap()
                .len(),
            1
        );
    }
    // What is not "I don't know that" is an error, because the list may be incomplete (P3). It has
    // what the tag lists.
    for code in [400, 401, 403, 422, 429, 500, 503] {
        server.clear_faults();
        server.fault(Fault::on("GET", REFERRERS).respond(code));
        let mut error = client
            .referrers(&subject(&server, &image))
            .await
            .unwrap_err();
        assert_eq!(error.take_listed().unwrap().len(), 1, "{code}: {error}");
    }
    // Without a list under the tag nothing is known.
    let other = FakeRegistry::builder().serve().await;
    let image = put_image(&other);
    other.fault(Fault::on("GET", REFERRERS).respond(403));
    let client = self::client(&other);
    let mut error = client
        .referrers(&subject(&other, &image))
        .await
        .unwrap_err();
    assert_eq!(error.take_listed(), None);
    assert!(error.to_string().contains("403"), "{error}");
    let (host, subject) = (other.host(), subject(&other, &image));
    let words = format!("`{host}` refuses access to the list of referrers of `{subject}` without");
    assert!(error.to_string().starts_with(&words), "{error}");
}

/// DIG-14: lists that are served under generic types, or are `null`.
#[tokio::test]
async fn a_list_is_known_by_its_content_where_the_type_claims_nothing() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let client = client(&server);
    let entry = serde_json::to_string(&referring(&image, "a/b", 1).descriptor()).unwrap();
    let list = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
    let null = format!(
        r#"{{"mediaType":"{}","manifests":null}}"#,
        manifest::OCI_INDEX
    );
    for (content_type, body, count) in [
        ("application/json", list.clone(), 1),
        ("application/json; charset=utf-8", list.clone(), 1),
        ("Application/JSON", list.clone(), 1),
        ("application/octet-stream", list.clone(), 1),
        ("text/plain", list.clone(), 1),
        (manifest::DOCKER_INDEX, list.clone(), 1),
        (manifest::OCI_INDEX, list.clone(), 1),
        (manifest::OCI_INDEX, null.clone(), 0),
        (
            manifest::OCI_INDEX,
            r#"{"schemaVersion":2,"manifests":null}"#.to_owned(),
            0,
        ),
        ("application/json", null, 0),
        // No list at all: the API is missing.
        (
            "application/json",
            r#"{"errors":[{"code":"UNSUPPORTED"}]}"#.to_owned(),
            0,
        ),
        ("application/json", "{}".to_owned(), 0),
        ("text/plain", "not found".to_owned(), 0),
        (
            manifest::OCI_MANIFEST,
            crate::support::MANIFEST.to_owned(),
            0,
        ),
    ] {
        server.clear_faults();
        let fault = Fault::on("GET", REFERRERS).respond(200);
        server.fault(
            fault
                .header("content-type", content_type)
                .body(body.clone()),
        );
        let listed = client.referrers(&subject(&server, &image)).await;
        assert_eq!(listed.unwrap().len(), count, "{content_type}: {body}");
    }
    // A list by its type, and broken, or a list of another type: nothing is known.
    for (content_type, body) in [
        (manifest::OCI_INDEX, "<"),
        (manifest::OCI_INDEX, ""),
        (manifest::OCI_INDEX, "[]"),
        (manifest::OCI_MANIFEST, &list),
        ("application/vnd.acme.list", &list),
    ] {
        server.clear_faults();
        let fault = Fault::on("GET", REFERRERS).respond(200);
        server.fault(
            fault
                .header("content-type", content_type)
                .body(body.to_owned()),
        );
        let error = client
            .referrers(&subject(&server, &image))
            .await
            .unwrap_err();
        assert!(
            matches!(error.detail(), Some(ClientError::NotAManifest { .. })),
            "{error:?}"
        );
    }
}

/// DIG-14: what is under the tag and is not a list: the subject itself, as GitLab sends it, another
/// manifest, and what else registries send for a tag that does not exist.
#[tokio::test]
async fn not_everything_under_the_tag_is_a_list() {
    let server = FakeRegistry::builder().referrers_api(false).serve().await;
    let image = put_image(&server);
    let (_, content) = server
        .manifest("acme/echo", &image.digest().to_string())
        .unwrap();
    let client = client(&server);
    let typed = |content_type: &str, body: Vec<u8>| {
        let fault = Fault::on("GET", TAGGED).respond(200);
        fault.header("content-type", content_type).body(body)
    };
    let other = referring(&image, "a/b", 1);
    for fault in [
        typed(manifest::OCI_MANIFEST, content.to_vec()),
        typed("application/json", content.to_vec()),
        typed(manifest::OCI_MANIFEST, other.bytes().to_vec()),
        typed(
            manifest::OCI_INDEX,
            br#"{"schemaVersion":2,"manifests":null}"#.to_vec(),
        ),
        Fault::on("GET", TAGGED).respond(404),
        Fault::on("GET", TAGGED).respond(400),
        Fault::on("GET", TAGGED).respond(405),
        Fault::on("GET", TAGGED).respond(422),
    ] {
        server.clear_faults();
        server.fault(fault);
        let listed = client.referrers(&subject(&server, &image)).await;
        assert!(listed.unwrap().is_empty());
    }
    // An index as the subject is a list of its children, not of its referrers.
    let index = Index::new(vec![image.clone()]);
    let index = RawManifest::new(
        MediaType::ImageIndex,
        serde_json::to_vec(&index).unwrap().into(),
    );
    server.clear_faults();
    server.fault(typed(manifest::OCI_INDEX, index.bytes().to_vec()));
    let itself = subject(&server, &index.descriptor());
    assert!(client.referrers(&itself).await.unwrap().is_empty());
    // An HTML page is an error.
    server.clear_faults();
    server.fault(typed("text/html", b"<html>".to_vec()));
    client
        .referrers(&subject(&server, &image))
        .await
        .unwrap_err();
    // Entries that cannot be read hide no other.
    let unknown = image.digest().to_string().replace("sha256:", "blake3:");
    let unknown = format!(r#"{{"mediaType":"a/b","digest":"{unknown}","size":1}}"#);
    for odd in [r#"{"digest":"md5:00"}"#, &unknown] {
        let list = format!(
            r#"{{"schemaVersion":2,"manifests":[{odd},{}]}}"#,
            serde_json::to_string(&other.descriptor()).unwrap()
        );
        server.clear_faults();
        server.fault(typed(manifest::OCI_INDEX, list.into_bytes()));
        let mut error = client
            .referrers(&subject(&server, &image))
            .await
            .unwrap_err();
        assert_eq!(error.take_listed().unwrap().len(), 1);
    }
}

/// A list that was kept under the tag before the registry learned the API, and what the API knows
/// of later, or of others.
#[tokio::test]
async fn the_api_does_not_hide_the_tag() {
    let server = FakeRegistry::builder().referrers_api(false).serve().await;
    let image = put_image(&server);
    let client = client(&server);
    let kept = referring(&image, "a/b", 1);
    push(&client, &server, &kept).await;
    let other = referring(&image, "sbom/x", 2);
    let known = serde_json::to_string(&other.descriptor()).unwrap();
    for (by_api, count) in [(String::new(), 1), (known, 2)] {
        server.clear_faults();
        server.fault(
            Fault::on("GET", REFERRERS)
                .respond(200)
                .header("content-type", manifest::OCI_INDEX)
                .body(format!(r#"{{"schemaVersion":2,"manifests":[{by_api}]}}"#)),
        );
        let listed = client.referrers(&subject(&server, &image)).await.unwrap();
        assert_eq!(listed.len(), count);
        assert!(listed.iter().any(|one| one.digest() == kept.digest()));
    }
}

/// The list under the tag keeps the entries of other clients.
#[tokio::test]
async fn the_fallback_list_is_extended() {
    let server = FakeRegistry::builder().referrers_api(false).serve().await;
    let image = put_image(&server);
    let client = client(&server);
    for n in 0..3 {
        push(&client, &server, &referring(&image, "a/b", n)).await;
        push(&client, &server, &referring(&image, "a/b", n)).await; // Twice is once.
    }
    let tag = Tag::for_referrers(image.digest());
    let (descriptor, _) = server.manifest("acme/echo", tag.as_str()).unwrap();
    assert_eq!(descriptor.media_type(), &MediaType::ImageIndex);
    assert_eq!(
        client
            .referrers(&subject(&server, &image))
            .await
            .unwrap()
            .len(),
        3
    );
}

/// What is unexpected and changes nothing is remarked, whatever is listed.
#[tokio::test]
async fn unexpected_answers_are_remarked() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    push(&client(&server), &server, &referring(&image, "a/b", 1)).await;
    let (_, itself) = server
        .manifest("acme/echo", &image.digest().to_string())
        .unwrap();
    let other = referring(&image, "a/b", 2);
    let other = str::from_utf8(other.bytes()).unwrap();
    let api = || Fault::on("GET", REFERRERS).respond(200);
    let tag = || Fault::on("GET", TAGGED);
    let null = r#"{"schemaVersion":2,"manifests":null}"#;
    let typed = |fault: Fault, media_type: &str, body: &str| {
        fault
            .header("content-type", media_type)
            .body(body.to_owned())
    };
    for (fault, count, remark) in [
        (typed(api(), "text/plain", "not found"), 0, "sends no list"),
        (
            typed(api(), manifest::OCI_MANIFEST, other),
            0,
            "sends no list",
        ),
        (
            typed(api(), manifest::OCI_INDEX, null),
            0,
            "`manifests` is absent or null",
        ),
        (
            typed(api(), "application/json", null),
            0,
            "the media type `application/json`",
        ),
        (
            typed(tag().respond(200), manifest::OCI_INDEX, null),
            1,
            "`manifests` is absent or null",
        ),
        (
            tag()
                .respond(200)
                .header("content-type", manifest::OCI_MANIFEST)
                .body(itself),
            1,
            "sends the image itself",
        ),
        (
            typed(tag().respond(200), manifest::OCI_MANIFEST, other),
            1,
            "a manifest and no index",
        ),
        (tag().respond(422), 1, "answers with status 422"),
    ] {
        server.clear_faults();
        server.fault(fault);
        let listed = client(&server).referrers(&subject(&server, &image)).await;
        let listed = listed.unwrap();
        assert_eq!(listed.len(), count, "{remark}");
        let remarks = listed.remarks().join("; ");
        assert!(remarks.contains(remark), "{remark}: {remarks}");
    }
    server.clear_faults();
    let listed = client(&server).referrers(&subject(&server, &image)).await;
    assert_eq!(listed.unwrap().remarks(), [""; 0]);
}
