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
