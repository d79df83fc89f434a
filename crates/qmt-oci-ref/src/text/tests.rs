//! Tests of escaping.

use super::*;

#[test]
fn text_from_outside_cannot_steer_a_terminal() {
    assert_eq!(escape("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
    assert_eq!(escape("x\u{202e}y\u{200b}"), "x\\u{202e}y\\u{200b}");
    assert_eq!(escape("\u{9b}2J"), "\\u{9b}2J");
    assert_eq!(escape("grün"), "grün");
    assert_eq!(escape_ascii("grün"), "gr\\u{fc}n");
    assert_eq!(quoted('\n'), "`\\n`");
}

#[test]
fn long_text_is_cut_at_its_limit() {
    assert_eq!(escape(&"x".repeat(1024)), "x".repeat(1024));
    let long = escape(&"x".repeat(1025));
    assert_eq!((long.chars().count(), long.ends_with('…')), (1025, true));
    assert_eq!(escape_ascii(&"x".repeat(9000)).chars().count(), 201);
    assert_eq!(escape_to("abc", 2), "ab…");
    // What an escape is written with counts.
    assert_eq!(escape_to("a\n\nb", 4), "a\\n…");
    assert!(escape(&"\u{202e}".repeat(1024)).chars().count() <= 1025);
}

#[test]
fn media_types_lose_parameters_and_odd_characters() {
    let index = "application/vnd.oci.image.index.v1+json";
    assert_eq!(
        media_type(&format!(" {index} ; q=1")),
        MediaType::ImageIndex
    );
    assert_eq!(media_type("a/\u{1b}[31m").to_string(), "a/\\u{1b}[31m");
    assert_eq!(media_type(&"x".repeat(300)).as_ref().chars().count(), 256);
}
