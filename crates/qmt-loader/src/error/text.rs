//! Lists of names that a plugin chose, in messages.

use qmt_oci_ref::text::escape;

/// Lists at most ten of `names`, so that a message stays readable.
pub(super) fn listed(names: &[String]) -> String {
    const LISTED: usize = 10;
    if names.is_empty() {
        return "none".to_owned();
    }
    let first = names.iter().take(LISTED);
    let first: Vec<_> = first.map(|name| format!("`{}`", escape(name))).collect();
    match names.len().checked_sub(LISTED) {
        Some(more @ 1..) => format!("{} and {more} more", first.join(", ")),
        Some(0) | None => first.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WASM-10: ANSI escapes never reach a terminal.
    #[test]
    fn lists_are_escaped_and_cut() {
        assert_eq!(listed(&[]), "none");
        assert_eq!(
            listed(&["a\u{1b}[31m\u{202e}".to_owned()]),
            "`a\\u{1b}[31m\\u{202e}`"
        );
        let names: Vec<String> = (0..11).map(|number| number.to_string()).collect();
        assert!(listed(&names[..10]).ends_with("`9`"));
        assert!(listed(&names).ends_with("`9` and 1 more"));
    }
}
