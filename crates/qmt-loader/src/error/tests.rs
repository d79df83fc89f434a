//! Text that a plugin chose, in messages.

use super::text::{SHOWN_MAX, listed, shown};

/// WASM-10: ANSI escapes never reach a terminal.
#[test]
fn text_of_a_plugin_is_escaped_and_cut() {
    assert_eq!(shown("a\u{1b}[31mb\tc\nd"), "a\\u{1b}[31mb\tc\\u{a}d");
    assert_eq!(shown("\u{202e}gnp"), "\\u{202e}gnp");
    assert_eq!(shown(&"x".repeat(SHOWN_MAX)).len(), SHOWN_MAX);
    assert_eq!(
        shown(&"x".repeat(SHOWN_MAX + 1)).len(),
        SHOWN_MAX + '…'.len_utf8()
    );
}

#[test]
fn long_lists_are_cut() {
    assert_eq!(listed(&[]), "none");
    let names: Vec<String> = (0..11).map(|number| number.to_string()).collect();
    assert!(listed(&names[..10]).ends_with("`9`"));
    assert!(listed(&names).ends_with("`9` and 1 more"));
}
