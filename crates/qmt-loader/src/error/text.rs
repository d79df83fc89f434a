//! Lists of names that a plugin chose, in messages.

use std::collections::BTreeMap;

use qmt_oci_ref::text::escape;

/// The names that a message lists, so that it stays readable.
const LISTED: usize = 10;

/// The bytes of a name that is compared with others.
const COMPARED_MAX: usize = 64;

/// Lists at most ten of `names`.
fn listed(names: &[String]) -> String {
    list(names.iter().map(|name| format!("`{}`", escape(name))))
}

/// Lists at most ten of `known`, and the one that `name` may have been meant to be.
pub(super) fn known(name: &str, known: &[String]) -> String {
    format!("{}{}", listed(known), nearest(name, known))
}

/// Names the one of `known` that `name` may have been meant to be: at most a third of its letters
/// differ.
fn nearest(name: &str, known: &[String]) -> String {
    let limit = name.len() / 3;
    known
        .iter()
        .filter(|other| name.len() <= COMPARED_MAX && other.len().abs_diff(name.len()) <= limit)
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, other)| format!("; did you mean `{}`?", escape(other)))
        .unwrap_or_default()
}

/// Lists at most ten of `names`, each with the name that it may have been meant to be.
pub(super) fn suggested(names: &BTreeMap<String, Option<String>>) -> String {
    list(names.iter().map(|(name, nearest)| match nearest {
        Some(nearest) => format!("`{}` (did you mean `{}`?)", escape(name), escape(nearest)),
        None => format!("`{}`", escape(name)),
    }))
}

fn list(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let first: Vec<_> = names.take(LISTED).collect();
    match (first.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => first.join(", "),
        (false, more) => format!("{} and {more} more", first.join(", ")),
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
        let names = BTreeMap::from([
            ("a\u{1b}".to_owned(), None),
            ("b".to_owned(), Some("c\u{202e}".to_owned())),
        ]);
        assert_eq!(
            suggested(&names),
            "`a\\u{1b}`, `b` (did you mean `c\\u{202e}`?)"
        );
    }

    #[test]
    fn the_most_similar_name_is_suggested() {
        let known = ["length", "len", "large", "strength\u{1b}"].map(str::to_owned);
        assert_eq!(nearest("lenght", &known), "; did you mean `length`?");
        assert_eq!(
            nearest("strength", &known),
            "; did you mean `strength\\u{1b}`?"
        );
        for name in ["", "ab", "breadth", &"length".repeat(20)] {
            assert_eq!(nearest(name, &known), "", "{name}");
        }
    }
}
