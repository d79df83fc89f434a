//! Tests of lists of referrers.

use http::HeaderValue;

use super::*;

/// DIG-14: paging stays at the registry and is read by RFC 8288.
#[test]
fn the_next_page_is_found() {
    let base = Url::parse("https://r.example/").unwrap();
    let url = Url::parse("https://r.example/v2/a/referrers/x").unwrap();
    let next = |link: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::LINK, HeaderValue::from_static(link));
        next_page(&url, &headers, &base).map(|next| next.map(String::from))
    };
    let expected = Some("https://r.example/v2/a?n=2".to_owned());
    assert_eq!(next(r#"</v2/a?n=2>; rel="next""#).unwrap(), expected);
    assert_eq!(
        next("<https://r.example/v2/a?n=2>;rel=next").unwrap(),
        expected
    );
    assert_eq!(
        next(r#"</x>; rel="prev", </v2/a?n=2>; rel="next""#).unwrap(),
        expected
    );
    assert_eq!(next(r#"</x>; rel="prev""#).unwrap(), None);
    assert!(next(r#"<https://evil.example/x>; rel="next""#).is_err());
    assert_eq!(next_page(&url, &HeaderMap::new(), &base).unwrap(), None);
}

/// DIG-14, LIM: the limit counts different entries; one more is an error that names it.
#[test]
fn the_list_is_bounded() {
    let entries = |range: std::ops::Range<u32>| -> Vec<Descriptor> {
        range
            .map(|n| Descriptor::of(MediaType::from("text/plain"), &n.to_be_bytes()))
            .collect()
    };
    let subject = subject();
    let mut listed = Listed::new(&subject, 3);
    listed.extend(entries(0..3)).unwrap();
    listed.extend(entries(0..3)).unwrap();
    let error = listed.extend(entries(3..4)).unwrap_err();
    assert!(
        matches!(error, ClientError::TooMany { limit: 3, .. }),
        "{error:?}"
    );
    assert_eq!(listed.entries.len(), 3);
}

/// DIG-14: only an index is a list.
#[test]
fn only_an_index_is_a_list() {
    let read = |text: &str| read_list(&subject(), text.as_bytes()).map(|_| ());
    read(&format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#
    ))
    .unwrap();
    read(r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    for wrong in [
        r#"{"schemaVersion":2,"mediaType":"text/plain","manifests":[]}"#,
        r#"{"schemaVersion":2}"#,
        r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
        r#"{"schemaVersion":2,"manifests":[{"digest":"md5:00"}]}"#,
        "[]",
        "<html>",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

fn subject() -> PinnedReference {
    format!("r.example/a@{}", Digest::sha256(b"subject"))
        .parse()
        .unwrap()
}
