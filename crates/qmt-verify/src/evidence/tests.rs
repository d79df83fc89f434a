//! Evidence comes back as it was stored.

use super::*;

fn subject() -> PinnedReference {
    PinnedReference::new(
        "registry.example/acme/echo".parse().unwrap(),
        Digest::sha256("x"),
    )
}

#[test]
fn every_kind_of_piece_comes_back_byte_for_byte() {
    let annotations = [("a".to_owned(), "\u{0}\n".to_owned())].into();
    let mut evidence = Evidence::empty(&subject())
        .with_bundle("a file", b"\xff\x00{")
        .unwrap();
    evidence
        .pieces
        .push(Piece::bundle("a".to_owned(), vec![0, 255]));
    evidence
        .pieces
        .push(Piece::envelope("b".to_owned(), vec![1], annotations));
    evidence
        .pieces
        .push(Piece::simple_signing("c".to_owned(), Vec::new(), [].into()));
    evidence.notes.push(Note {
        found: "d".to_owned(),
        reason: "e".to_owned(),
    });
    let read = Evidence::from_json(&evidence.to_json().unwrap()).unwrap();
    assert_eq!(read, evidence);
    assert_eq!((read.len(), read.is_empty()), (4, false));
    assert_eq!(read.subject(), subject().digest());
    assert!(Evidence::empty(&subject()).is_empty());
}

/// LIM-07: 1 MiB of bundle and a hundred of them, and one past each.
#[test]
fn a_bundle_file_is_bounded_as_one_from_a_registry_is() {
    let limit = usize::try_from(PIECE_BYTES_MAX).unwrap();
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

/// LIM-07: how many of each kind are kept, and how much in all.
#[test]
fn envelopes_and_notes_are_bounded() {
    let mut evidence = Evidence::empty(&subject());
    let envelope = || Piece::envelope("a".to_owned(), vec![1], [].into());
    evidence.pieces = (0..ENVELOPES_MAX).map(|_| envelope()).collect();
    evidence.notes = (0..NOTES_MAX)
        .map(|_| Note {
            found: String::new(),
            reason: String::new(),
        })
        .collect();
    check(&evidence.pieces, &evidence.notes).unwrap();
    let mut pieces = evidence.pieces.clone();
    pieces.push(envelope());
    check(&pieces, &[]).unwrap_err();
    let mut notes = evidence.notes.clone();
    notes.push(Note {
        found: String::new(),
        reason: String::new(),
    });
    check(&[], &notes).unwrap_err();
    let heavy = Piece::bundle("a".to_owned(), vec![b' '; TOTAL_BYTES_MAX / 16]);
    check(&vec![heavy.clone(); 16], &[]).unwrap();
    check(&vec![heavy; 17], &[]).unwrap_err();
}
