//! Tests of tags.

use super::*;

#[test]
fn tags_at_and_past_the_limit() {
    assert!("a".repeat(Tag::MAX_BYTES).parse::<Tag>().is_ok());
    assert!("a".repeat(Tag::MAX_BYTES + 1).parse::<Tag>().is_err());
}

#[test]
fn the_tag_of_a_digest() {
    let digest = Digest::sha256("");
    let tag = Tag::for_digest(&digest, ".sig").unwrap();
    assert_eq!(tag.as_str(), format!("sha256-{}.sig", digest.hex()));
    assert!(Tag::for_digest(&digest, "/x").is_err());
}

#[test]
fn tags_that_stand_for_a_digest() {
    let hex = Digest::sha256("").hex().to_owned();
    let upper = hex.to_uppercase();
    for (text, expected) in [
        (format!("sha256-{hex}"), true),
        (format!("sha256-{hex}.sig"), true),
        (format!("sha256-release-sha256-{hex}.att"), true),
        (format!("sha256-{}.sig", &hex[1..]), false),
        (format!("sha256-{upper}.sig"), false),
        ("sha256-1.2.sig".to_owned(), false),
        ("latest".to_owned(), false),
    ] {
        let tag: Tag = text.parse().unwrap();
        assert_eq!(tag.stands_for_digest(), expected, "{text}");
    }
}
