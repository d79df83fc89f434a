//! Tests of lists of referrers.

use http::{HeaderMap, HeaderValue, header};

use qmt_oci_ref::Descriptor;
use qmt_oci_ref::manifest::OCI_INDEX;

use super::pages::next_page;
use super::*;
use crate::limits::REFERRERS_ANNOTATIONS_MAX;

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
    for link in [
        r#"</v2/a?n=2>; rel="last next""#,
        r#"</v2/a?n=2>; rel="next last", </x>; rel="first""#,
        r#"</x>; rel="prev",</v2/a?n=2>; title="page 2"; REL = "Next""#,
    ] {
        assert_eq!(next(link).unwrap(), expected, "{link}");
    }
    for link in [
        r#"</x>; rel="prev""#,
        r#"</x>; rel="next-archive""#,
        r#"</x>; rev="next""#,
        r#"</x>; title="next""#,
    ] {
        assert_eq!(next(link).unwrap(), None, "{link}");
    }
    assert!(next(r#"<https://evil.example/x>; rel="next""#).is_err());
    assert_eq!(next_page(&url, &HeaderMap::new(), &base).unwrap(), None);
}

/// A page with these entries.
fn page(entries: &[String]) -> String {
    format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        entries.join(",")
    )
}

fn entries(range: std::ops::Range<u32>) -> Vec<String> {
    let digests = range.map(|n| Digest::sha256(n.to_be_bytes()));
    digests
        .map(|digest| format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":1}}"#))
        .collect()
}

/// DIG-14, LIM: the limit counts different entries; of more, the first are listed.
#[test]
fn the_list_is_bounded() {
    let subject = subject();
    let mut listed = Listed::new(&subject, 3);
    listed.add(page(&entries(0..3)).as_bytes()).unwrap();
    listed.add(page(&entries(0..3)).as_bytes()).unwrap();
    assert!(listed.incomplete().is_none());
    listed.add(page(&entries(3..4)).as_bytes()).unwrap();
    let error = listed.incomplete().unwrap();
    assert!(
        matches!(error, ClientError::TooMany { limit: 3, .. }),
        "{error:?}"
    );
    assert_eq!(listed.entries.into_vec().len(), 3);
    let mut long = Listed::new(&subject, 3);
    long.add(page(&entries(0..9)).as_bytes()).unwrap();
    assert!(long.incomplete().is_some());
    assert_eq!(long.entries.into_vec().len(), 3);
}

/// DIG-14: entries that cannot be read are counted, and hide no other.
#[test]
fn odd_entries_are_counted() {
    let mut all = entries(0..2);
    all.insert(
        0,
        r#"{"mediaType":"a/b","digest":"md5:00","size":1}"#.to_owned(),
    );
    all.push("null".to_owned());
    let subject = subject();
    let mut listed = Listed::new(&subject, 10);
    listed.add(page(&all).as_bytes()).unwrap();
    let error = listed.incomplete().unwrap();
    assert_eq!(listed.entries.into_vec().len(), 2);
    let text = error.to_string();
    assert!(text.starts_with("2 of the referrers of"), "{text}");
    assert!(
        text.ends_with("malformed or of an unknown algorithm"),
        "{text}"
    );
}

/// LIM: annotations are held within a limit over all pages; the entries stay.
#[test]
fn annotations_are_bounded_over_all_pages() {
    let subject = subject();
    let mut listed = Listed::new(&subject, 10_000);
    let text = "x".repeat(3_000);
    for number in 0..3_u32 {
        let annotated = (number * 400..number * 400 + 400).map(|n| {
            let digest = Digest::sha256(n.to_be_bytes());
            format!(r#"{{"digest":"{digest}","annotations":{{"a":"{text}"}}}}"#)
        });
        let annotated: Vec<String> = annotated.collect();
        listed.add(page(&annotated).as_bytes()).unwrap();
    }
    let entries = listed.entries.into_vec();
    assert_eq!(entries.len(), 1_200);
    let held: usize = entries
        .iter()
        .flat_map(Descriptor::annotations)
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert!(
        (2_000_000..=REFERRERS_ANNOTATIONS_MAX).contains(&held),
        "{held}"
    );
}

/// DIG-14: only an index is a list; an absent list, or `null`, is an empty one.
#[test]
fn only_an_index_is_a_list() {
    let subject = subject();
    let read = |text: &str| Listed::new(&subject, 10).add(text.as_bytes());
    for list in [
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#),
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":null}}"#),
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}"}}"#),
        r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(),
        r#"{"manifests":null,"mediaType":null,"annotations":null}"#.to_owned(),
        "\u{feff}{\"manifests\":[]}".to_owned(),
    ] {
        read(&list).unwrap();
    }
    for wrong in [
        r#"{"schemaVersion":2,"mediaType":"text/plain","manifests":[]}"#,
        r#"{"schemaVersion":2}"#,
        r#"{"errors":[]}"#,
        r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#,
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

/// A claim of a size that is not read does not hide another claim for the same content.
#[test]
fn the_smallest_claim_for_a_digest_is_kept() {
    let subject = subject();
    let digest = Digest::sha256("x");
    let entry = |size| format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":{size}}}"#);
    let mut listed = Listed::new(&subject, 3);
    let claims = [1_000_000_000, 5, 7].map(entry);
    listed.add(page(&claims).as_bytes()).unwrap();
    let entries = listed.entries.into_vec();
    let sizes: Vec<_> = entries.iter().map(Descriptor::size).collect();
    assert_eq!(sizes, [5]);
}
