//! Evidence is read back as it was stored.

use super::*;

fn subject() -> PinnedReference {
    PinnedReference::new(
        "registry.example/acme/echo".parse().unwrap(),
        Digest::sha256("x"),
    )
}

fn item(content: Content) -> Item {
    let place = "a".to_owned();
    Item { place, content }
}

fn bundle(json: Vec<u8>) -> Item {
    item(Content::Bundle {
        json,
        from_file: false,
    })
}

fn note(place: &str, reason: &str) -> Note {
    let (place, reason) = (place.to_owned(), reason.to_owned());
    Note {
        place,
        reason,
        unread: 0,
        about: About::Item,
    }
}

fn envelope() -> Item {
    item(Content::Envelope {
        json: vec![1],
        annotations: [("a".to_owned(), "\u{0}\n".to_owned())].into(),
    })
}

#[test]
fn every_kind_of_item_is_read_back_byte_for_byte() {
    let mut evidence = Evidence::empty(&subject());
    evidence.items.push(bundle(b"\xff\x00{".to_vec()));
    evidence.items.push(bundle(vec![0, 255]));
    evidence.items.push(envelope());
    evidence.items.push(item(Content::SimpleSigning {
        payload: Vec::new(),
        annotations: [].into(),
    }));
    evidence.notes.push(note("d", "e"));
    let read = Evidence::from_json(&evidence.to_json().unwrap()).unwrap();
    assert_eq!(read, evidence);
    assert_eq!((read.len(), read.is_empty()), (4, false));
    assert_eq!(read.subject(), subject().digest());
    assert!(Evidence::empty(&subject()).is_empty());
}

/// The stored form of earlier releases stays readable.
#[test]
fn the_stored_form_is_stable() {
    let mut evidence = Evidence::empty(&subject());
    evidence.items.push(envelope());
    evidence.notes.push(note("b", "c"));
    let stored = format!(
        r#"{{"schema":1,"subject":"{}","pieces":[{{"found":"a","content":{{"envelope":{{"json":"AQ==","annotations":{{"a":"\u0000\n"}}}}}}}}],"notes":[{{"found":"b","reason":"c"}}]}}"#,
        subject().digest()
    );
    assert_eq!(evidence.to_json().unwrap(), stored.as_bytes());
    assert_eq!(Evidence::from_json(stored.as_bytes()).unwrap(), evidence);
}

/// LIM-07: 1 MiB of bundle and 256 of them, and one past each.
#[test]
fn a_bundle_file_is_bounded_as_one_from_a_registry_is() {
    let limit = usize::try_from(ITEM_BYTES_MAX).unwrap();
    let start = || Evidence::empty(&subject());
    start().with_bundle("a file", &vec![b' '; limit]).unwrap();
    assert!(
        start()
            .with_bundle("a file", &vec![b' '; limit + 1])
            .is_err()
    );
    let mut full = start();
    for _ in 0..SIGNATURES_MAX {
        full = full.with_bundle("a file", b"{}").unwrap();
    }
    assert!(full.with_bundle("a file", b"{}").is_err());
}

/// LIM-07: how many of each kind are stored, and how much in all.
#[test]
fn envelopes_and_notes_are_bounded() {
    let mut evidence = Evidence::empty(&subject());
    for _ in 0..ENVELOPES_MAX {
        evidence.items.push(envelope());
    }
    evidence.notes = vec![note("", ""); NOTES_MAX];
    evidence.check_limits().unwrap();
    let mut noted = evidence.clone();
    noted.notes.push(evidence.notes[0].clone());
    noted.check_limits().unwrap_err();
    evidence.items.push(envelope());
    evidence.check_limits().unwrap_err();
    let mut heavy = Evidence::empty(&subject());
    heavy.items = vec![bundle(vec![b' '; TOTAL_BYTES_MAX / 16]); 16];
    heavy.check_limits().unwrap();
    let stored = heavy.to_json().unwrap();
    assert_eq!(Evidence::from_json(&stored).unwrap(), heavy);
    heavy.items.push(heavy.items[0].clone());
    heavy.check_limits().unwrap_err();
}
