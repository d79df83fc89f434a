//! The nearest right word for a mistyped one.

/// Finds the candidate nearest to `word`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The number of single-letter edits (Levenshtein) between two words.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replace = previous[column] + usize::from(letter != *other);
            current.push(
                replace
                    .min(previous[column + 1] + 1)
                    .min(current[column] + 1),
            );
        }
        previous = current;
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        let words = ["demo", "test", "tidy", "fixtures"];
        assert_eq!(nearest("dmeo", &words), Some("demo"));
        assert_eq!(nearest("tst", &words), Some("test"));
        assert_eq!(nearest("fixture", &words), Some("fixtures"));
    }

    #[test]
    fn another_word_finds_nothing() {
        assert_eq!(nearest("publish", &["demo", "test", "tidy"]), None);
        assert_eq!(nearest("", &["demo"]), None);
    }

    #[test]
    fn the_distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
