//! Tests of tags.

use super::*;
use crate::digest::DigestAlgorithm;

#[test]
fn tags_at_and_past_the_limit() {
    assert!("a".repeat(Tag::MAX_BYTES).parse::<Tag>().is_ok());
    assert!("a".repeat(Tag::MAX_BYTES + 1).parse::<Tag>().is_err());
}

#[test]
fn the_tag_of_referrers_has_at_most_64_digits() {
    for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
        let subject = Digest::of(algorithm, "");
        let tag = Tag::for_referrers(&subject);
        let expected = format!("{}-{}", algorithm.as_str(), &subject.hex()[..64]);
        assert_eq!(tag.as_str(), expected);
        assert_eq!(expected.parse::<Tag>().unwrap(), tag);
    }
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
