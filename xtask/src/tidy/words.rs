//! Words that the code and the documents do not use: metaphors, and words of our own where the field
//! has one. CONTRIBUTING.md says what to write instead.

use std::path::Path;

use super::Finding;

/// A word is found as a whole word and as a part of `snake_case` and `CamelCase`, a phrase in text
/// only; upper case does not matter.
const WORDS: &[&str] = &[
    "judge",
    "docket",
    "prover",
    "signatory",
    "twin",
    "flaw",
    "whoever",
    "nobody",
    "somebody",
    "anew",
    "beside",
    "unflat",
    "obtain",
    "in clothes",
    "knock",
    "word of its own",
    "takes its place",
    "eaten",
    "intake",
    "stands twice",
];

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
];

/// One word of a text.
struct Word {
    line: usize,
    text: String,
    /// Whether only white space (and the marks of a comment) is between it and the word before.
    follows: bool,
}

/// Finds the words in one file; `name` is relative to the project's root.
pub(super) fn check(name: &str, text: &str) -> Vec<Finding> {
    if !applies(Path::new(name)) {
        return Vec::new();
    }
    let words = split(text);
    let mut findings = Vec::new();
    for phrase in WORDS {
        let parts: Vec<&str> = phrase.split(' ').collect();
        for found in words.windows(parts.len()) {
            let same = found
                .iter()
                .zip(&parts)
                .all(|(word, part)| word.text == *part);
            if same && found.iter().skip(1).all(|word| word.follows) {
                let line = found.first().map_or(0, |word| word.line);
                let message = format!("`{phrase}` is on the list of words not to use");
                findings.push(Finding::error(format!("{name}:{line}"), message));
            }
        }
    }
    findings
}

/// Whether the rule applies: lists of tests and measured tables are not prose.
fn applies(file: &Path) -> bool {
    if file.starts_with("docs/internal") {
        return false;
    }
    let mut parts = file.iter().filter_map(|part| part.to_str());
    match (parts.next(), parts.next(), parts.next()) {
        (Some("crates"), _, Some("src")) | (Some("docs"), Some(_), _) => true,
        (Some(document), None, None) => DOCUMENTS.contains(&document),
        _ => false,
    }
}

fn split(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let content = line.trim_start().trim_start_matches(['/', '!', '#', '>']);
        let mut word = String::new();
        let mut follows = true;
        let mut before = ' ';
        for letter in content.chars().chain(['\n']) {
            let is_part = letter.is_alphanumeric();
            let hump = letter.is_uppercase() && before.is_lowercase();
            if (!is_part || hump) && !word.is_empty() {
                words.push(Word {
                    line: at + 1,
                    text: std::mem::take(&mut word).to_lowercase(),
                    follows,
                });
                follows = !hump;
            }
            if is_part {
                word.push(letter);
            } else if !letter.is_whitespace() {
                follows = false;
            }
            before = letter;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, text: &str) -> Vec<String> {
        let places = check(name, text).into_iter().map(|finding| finding.place);
        places.collect()
    }

    #[test]
    fn words_and_phrases_are_found_where_they_count() {
        const SRC: &str = "crates/x/src/a.rs";
        for (text, found) in [
            ("fn judge_it() {}", true),
            ("struct BadTwin;", true),
            ("/// Nobody knows.", true),
            ("/// A value that\n/// stands twice.", true),
            ("let stands_twice = true;", false),
            ("entwined, judgement, judges", false),
            ("It stands. Twice a day", false),
        ] {
            assert_eq!(!lines(SRC, text).is_empty(), found, "{text}");
        }
        assert_eq!(lines(SRC, "a\n// beside\n"), ["crates/x/src/a.rs:2"]);
        assert!(lines("xtask/src/main.rs", "twin").is_empty());
        assert!(lines("crates/x/tests/it/main.rs", "twin").is_empty());
        assert_eq!(lines("docs/operators.md", "twin").len(), 1);
        assert_eq!(lines("README.md", "twin").len(), 1);
        assert!(lines("docs/internal/x.md", "twin").is_empty());
    }
}
