//! Which offered import a missing one was meant to be.

use std::collections::BTreeSet;

use super::imports;

/// The bytes of a name that is compared. Names of offered functions are shorter.
const COMPARED_MAX: usize = 64;

/// Returns the offered function whose name is nearest to that of a missing import: `name` in the
/// same module, otherwise `module.name`.
///
/// The same name in another module is nearest. Otherwise at most a third of the letters differ.
pub(super) fn nearest(
    module: &str,
    name: &str,
    host: &BTreeSet<(String, String)>,
) -> Option<String> {
    if name.len() > COMPARED_MAX {
        return None;
    }
    let limit = name.len() / 3;
    let host = host
        .iter()
        .map(|(module, name)| (module.as_str(), name.as_str()));
    let (_, is_elsewhere, found_module, found) = host
        .chain(imports::offered())
        .filter(|(_, offered)| offered.len().abs_diff(name.len()) <= limit)
        .map(|(of, offered)| {
            let distance = strsim::damerau_levenshtein(name, offered);
            (distance, of != module, of, offered)
        })
        .filter(|(distance, ..)| *distance <= limit)
        .min()?;
    if is_elsewhere {
        Some(format!("{found_module}.{found}"))
    } else {
        Some(found.to_owned())
    }
}
