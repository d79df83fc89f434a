//! Limits on lists of referrers.

use super::*;

/// DIG-14: an API that does not answer does not hide the list under the tag.
#[tokio::test]
async fn a_list_has_a_time_limit_of_its_own() {
    let server = FakeRegistry::builder().referrers_api(false).serve().await;
    let image = put_image(&server);
    push(&client(&server), &server, &referring(&image, "a/b", 1)).await;
    let limits = quick().referrers_timeout(std::time::Duration::from_millis(300));
    let client = builder(&server).limits(limits).build().unwrap();
    let asks_for_a_pause = Fault::on("GET", REFERRERS).respond(429);
    server.fault(asks_for_a_pause.header("retry-after", "12"));
    let mut error = client
        .referrers(&subject(&server, &image))
        .await
        .unwrap_err();
    assert!(error.is_network(), "{error:?}");
    assert_eq!(error.take_listed().unwrap().len(), 1);
}

/// DIG-14, LIM-01: pages without end, too many entries, a page of 4 MiB and one byte more.
#[tokio::test]
async fn the_list_is_bounded() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let pinned = subject(&server, &image);
    let page = |body: String| {
        Fault::on("GET", REFERRERS)
            .respond(200)
            .header("content-type", manifest::OCI_INDEX)
            .body(body)
    };
    let empty = r#"{"schemaVersion":2,"manifests":[]}"#;
    // A page that names itself as the next one.
    let own = format!("/v2/acme/echo/referrers/{}", image.digest());
    server.fault(page(empty.to_owned()).header("link", format!(r#"<{own}>; rel="next""#)));
    let error = client(&server).referrers(&pinned).await.unwrap_err();
    assert!(
        matches!(error.detail(), Some(ClientError::Protocol { .. })),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("names itself or an earlier page as the next")
    );
    assert!(server.requests().len() < 5);
    server.clear_faults();
    // A next page at another host.
    server.fault(page(empty.to_owned()).header("link", r#"<http://127.0.0.2/x>; rel="next""#));
    let error = client(&server).referrers(&pinned).await.unwrap_err();
    assert!(
        matches!(error.detail(), Some(ClientError::Protocol { .. })),
        "{error:?}"
    );
    server.clear_faults();
    // Behind a proxy, a registry may not know its own scheme and port. The next page is read all the same.
    let rest = format!("{own}?page=2");
    let link = format!(r#"<https://127.0.0.1{rest}>; rel="next""#);
    server.fault(page(empty.to_owned()).header("link", link).once());
    client(&server).referrers(&pinned).await.unwrap();
    assert!(
        server.request_log().contains("page=2"),
        "{}",
        server.request_log()
    );
    // Entries.
    let entries = |count: usize| {
        let list: Vec<String> = (0..count)
            .map(|n| {
                let digest = qmt_oci_ref::Digest::sha256(n.to_string());
                format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":1}}"#)
            })
            .collect();
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, list.join(","))
    };
    server.fault(page(entries(8192)));
    assert_eq!(
        client(&server).referrers(&pinned).await.unwrap().len(),
        8192
    );
    server.clear_faults();
    server.fault(page(entries(8193)));
    let mut error = client(&server).referrers(&pinned).await.unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::TooMany { limit: 8192, .. })
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("8192"), "{error}");
    assert_eq!(error.take_listed().unwrap().len(), 8192);
    server.clear_faults();
    // Bytes.
    let padded = |length: usize| format!("{}{}", entries(1), " ".repeat(length - entries(1).len()));
    server.fault(page(padded(4_194_304)));
    assert_eq!(client(&server).referrers(&pinned).await.unwrap().len(), 1);
    server.clear_faults();
    server.fault(page(padded(4_194_305)));
    let error = client(&server).referrers(&pinned).await.unwrap_err();
    assert!(
        matches!(
            error.detail(),
            Some(ClientError::TooLarge {
                limit: 4_194_304,
                ..
            })
        ),
        "{error:?}"
    );
}

fn entry(name: &str, annotations: usize) -> String {
    let digest = qmt_oci_ref::Digest::sha256(name);
    let annotations: Vec<String> = (0..annotations)
        .map(|n| format!(r#""{n:05x}":"b""#))
        .collect();
    format!(
        r#"{{"mediaType":"a/b","digest":"{digest}","size":1,"annotations":{{{}}}}}"#,
        annotations.join(",")
    )
}

/// DIG-14, SIG-19: pages of 3.9 MB, of which not all are read. What is listed in the others counts,
/// and of too many entries those at both ends do, because a flood is added at one end.
#[tokio::test]
async fn a_flood_of_large_pages_hides_neither_end_of_what_is_read() {
    // Many annotations in few entries, and many entries.
    for (annotations, per_page, count, listed_pages) in [
        (32_000, 10, 44, [true; 4]),
        (0, 27_000, 8192, [true, false, false, true]),
    ] {
        let server = FakeRegistry::builder().serve().await;
        let image = put_image(&server);
        for page in 0..6 {
            let entries = (0..per_page).map(|n| entry(&format!("{page}: {n}"), annotations));
            let mut entries: Vec<String> = entries.collect();
            // At the beginning of the first page, and at the end of the others.
            let place = if page == 0 { 0 } else { entries.len() };
            entries.insert(place, entry(&format!("good {page}"), 0));
            let own = format!("/v2/acme/echo/referrers/{}?page={page}", image.digest());
            let fault = Fault::on("GET", REFERRERS)
                .once()
                .respond(200)
                .header("content-type", manifest::OCI_INDEX)
                .header("link", format!(r#"<{own}>; rel="next""#));
            let list = entries.join(",");
            server.fault(fault.body(format!(r#"{{"schemaVersion":2,"manifests":[{list}]}}"#)));
        }
        let listed = client(&server).referrers(&subject(&server, &image)).await;
        let mut error = listed.unwrap_err();
        let detail = error.detail();
        assert!(
            matches!(
                detail,
                Some(ClientError::TooLarge {
                    limit: 16_777_216,
                    ..
                })
            ),
            "{error:?}"
        );
        let text = "the list of referrers with all its pages from";
        assert!(error.to_string().starts_with(text), "{error}");
        let listed = error.take_listed().unwrap();
        assert_eq!(listed.len(), count);
        let is_listed = [0, 1, 2, 3].map(|page| {
            let good = qmt_oci_ref::Digest::sha256(format!("good {page}"));
            listed.iter().any(|one| *one.digest() == good)
        });
        assert_eq!(is_listed, listed_pages);
        let remarks = listed.remarks().join("; ");
        assert_eq!(
            remarks.contains("only 8192 referrers"),
            count == 8192,
            "{remarks}"
        );
    }
}

/// DIG-14: a page over the limit hides no other page.
#[tokio::test]
async fn a_page_that_is_too_large_is_skipped() {
    let server = FakeRegistry::builder().referrers_page(1).serve().await;
    let image = put_image(&server);
    let client = client(&server);
    for n in 0..3 {
        push(&client, &server, &referring(&image, "a/b", n)).await;
    }
    let large = " ".repeat(4_194_305);
    for skip in 0..3 {
        server.fault(
            Fault::on("GET", REFERRERS)
                .skip(skip)
                .once()
                .body(large.clone()),
        );
        let error = client.referrers(&subject(&server, &image)).await;
        let mut error = error.unwrap_err();
        let detail = error.detail();
        assert!(
            matches!(detail, Some(ClientError::TooLarge { .. })),
            "{error:?}"
        );
        assert_eq!(error.take_listed().unwrap().len(), 2, "{skip}");
        server.clear_faults();
    }
}

/// LIM: the number of pages.
#[tokio::test]
async fn pages_are_counted() {
    for (entries, fits) in [(6, true), (7, false)] {
        let server = FakeRegistry::builder().referrers_page(2).serve().await;
        let image = put_image(&server);
        let client = builder(&server)
            .limits(quick().referrers_pages(3))
            .build()
            .unwrap();
        for n in 0..entries {
            push(&client, &server, &referring(&image, "a/b", n)).await;
        }
        let outcome = client.referrers(&subject(&server, &image)).await;
        assert_eq!(outcome.is_ok(), fits, "{entries}: {outcome:?}");
    }
}

/// The artifact type under which cosign lists bundles.
const BUNDLE: &str = manifest::SIGNATURE_TYPES[0];

/// A server with so many referrers of one type, and then one signature.
async fn crowded(count: usize, per_page: usize) -> (FakeRegistry, Descriptor, RawManifest) {
    let server = FakeRegistry::builder()
        .referrers_page(per_page)
        .serve()
        .await;
    let image = put_image(&server);
    let put = |manifest: &RawManifest| {
        let media_type = manifest.media_type().as_ref();
        server.put_manifest("acme/echo", None, media_type, manifest.bytes().clone());
    };
    for n in 0..count {
        put(&referring(&image, "application/spdx+json", n));
    }
    let good = referring(&image, BUNDLE, count);
    put(&good);
    (server, image, good)
}

fn lists(listed: &manifest::Referrers, good: &RawManifest) -> bool {
    listed.iter().any(|one| one.digest() == good.digest())
}

/// SIG-14: a registry that lists one artifact type alone is asked for those of signatures where its
/// pages can't all be read.
#[tokio::test]
async fn other_artifacts_do_not_hide_a_signature_in_a_filtered_list() {
    let (server, image, good) = crowded(100, 5).await;
    let pinned = subject(&server, &image);
    // Only the filtered pages are there.
    let unfiltered = Fault::on("GET", REFERRERS).skip(1);
    server.fault(
        unfiltered
            .when(|request| !request.target.contains("artifactType"))
            .respond(503),
    );
    let mut error = client(&server).referrers(&pinned).await.unwrap_err();
    assert!(error.is_network(), "{error:?}");
    assert!(lists(&error.take_listed().unwrap(), &good));
    // A first page that is too large has no next one.
    server.clear_faults();
    let large = Fault::on("GET", REFERRERS).once().without_header("link");
    server.fault(large.body(" ".repeat(4_194_305)));
    let mut error = client(&server).referrers(&pinned).await.unwrap_err();
    assert!(lists(&error.take_listed().unwrap(), &good));
    // One page needs no filter.
    let (server, image, good) = crowded(3, 5).await;
    let listed = client(&server).referrers(&subject(&server, &image)).await;
    assert!(lists(&listed.unwrap(), &good));
    let log = server.request_log();
    assert!(!log.contains("artifactType"), "{log}");
}

/// Other registries are read to the end, and an answer without the filter is not taken for one with it.
#[tokio::test]
async fn other_artifacts_do_not_hide_a_signature_in_an_unfiltered_list() {
    let (server, image, good) = crowded(1_000, 25).await;
    let all = Fault::on("GET", REFERRERS);
    let all = all.when(|request| request.target.contains("artifactType"));
    let page = r#"{"schemaVersion":2,"manifests":[]}"#;
    let page = all.respond(200).body(page).without_header("link");
    let page = page.header("content-type", manifest::OCI_INDEX);
    server.fault(page.without_header("oci-filters-applied"));
    let listed = client(&server).referrers(&subject(&server, &image)).await;
    let listed = listed.unwrap();
    assert_eq!(listed.len(), 1_001);
    assert!(lists(&listed, &good));
}

/// Of more referrers than are listed, those of other types are left out, wherever they are.
#[tokio::test]
async fn other_artifacts_are_left_out_of_a_long_list() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let entries = (0..15_000).map(|n| {
        let artifact_type = if n == 7_000 {
            BUNDLE
        } else {
            "application/spdx+json"
        };
        let digest = qmt_oci_ref::Digest::sha256(n.to_string());
        format!(
            r#"{{"mediaType":"a/b","digest":"{digest}","size":1,"artifactType":"{artifact_type}"}}"#
        )
    });
    let entries: Vec<String> = entries.collect();
    let list = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        entries.join(",")
    );
    let page = Fault::on("GET", REFERRERS).respond(200).body(list);
    server.fault(page.header("content-type", manifest::OCI_INDEX));
    let listed = client(&server).referrers(&subject(&server, &image)).await;
    let listed = listed.unwrap();
    let good = qmt_oci_ref::Digest::sha256("7000");
    assert!(listed.iter().any(|one| *one.digest() == good));
    assert_eq!(listed.len(), 1);
}
