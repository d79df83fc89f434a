//! The most similar of several names.

/// Returns the candidate that is most similar to `name`, unless all of them are quite different.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= name.chars().count().div_ceil(3).max(2))
        .min()
        .map(|(_, candidate)| candidate)
}
