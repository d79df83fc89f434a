//! Tests of the list of differences.

use super::*;
use crate::sigstore::attempts;
use crate::sigstore::cases::{CASES, Case};

#[test]
fn stars_stand_for_anything() {
    for (pattern, name, fits) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "abcd", false),
        ("a*c*", "abcd", true),
        ("*", "", true),
    ] {
        assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
    }
}

#[test]
fn every_difference_is_about_an_attempt_that_cosign_is_asked_too() {
    for difference in DIFFERENCES {
        let mut about = CASES.iter().flat_map(|case: &Case| {
            attempts::of(case)
                .into_iter()
                .map(move |attempt| (case, attempt))
        });
        let found = about.any(|(case, attempt)| {
            difference.is_about(case.name, attempt.name)
                && attempt.cosign.is_some()
                && attempt.refused.is_none() == difference.we_accept
        });
        assert!(found, "{}", difference.row());
    }
}

#[test]
fn the_readme_lists_exactly_these_differences() {
    let readme = qmt_e2e_tests::root().join("fixtures/e2e/README.md");
    let text = std::fs::read_to_string(readme).unwrap();
    let listed: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `cosign"))
        .collect();
    let known: Vec<String> = DIFFERENCES.iter().map(Difference::row).collect();
    assert_eq!(listed, known, "the table is to be\n{}", known.join("\n"));
}
