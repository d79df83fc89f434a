//! Rules about crate roots: `unsafe` is forbidden, and `lib.rs` lists few public names.

use super::Finding;
use super::scan;

/// Public names of a stage crate.
const STAGE_NAMES: usize = 15;
/// Public names of the vocabulary and of the facade.
const WIDE_NAMES: usize = 25;
const WIDE: &[&str] = &["qmt-oci-ref", "qmt-plugins"];
/// The tool box for tests has no ceiling: each of its knobs is a name.
const UNCOUNTED: &[&str] = &["qmt-testkit", "qmt-e2e-tests", "xtask"];

/// The crate whose one file may hold `unsafe`, so that its root cannot forbid it.
const UNSAFE_CRATE: &str = "qmt-loader";

/// Checks that the crate root forbids unsafe code.
pub(super) fn forbids_unsafe(package: &str, place: &str, text: &str) -> Option<Finding> {
    let code = scan::blank(text);
    if package == UNSAFE_CRATE || code.contains("#![forbid(unsafe_code)]") {
        return None;
    }
    Some(Finding::error(
        place,
        "a crate root without `#![forbid(unsafe_code)]`",
    ))
}

/// Warns of a `lib.rs` that lists more public names than a reader can keep in mind.
pub(super) fn ceiling(package: &str, place: &str, text: &str) -> Option<Finding> {
    if UNCOUNTED.contains(&package) {
        return None;
    }
    let names = public_names(text);
    let most = if WIDE.contains(&package) {
        WIDE_NAMES
    } else {
        STAGE_NAMES
    };
    (names.len() > most).then(|| {
        let message = format!(
            "{} public names, ceiling {most}: {}",
            names.len(),
            names.join(", ")
        );
        Finding::warning(place, message)
    })
}

/// The names that the crate root offers; those of test features are not counted.
fn public_names(text: &str) -> Vec<String> {
    let code = scan::blank(text);
    let mut names = Vec::new();
    let mut for_tests = false;
    let mut statement = String::new();
    // `feature = "test-util"` is blank in the code view, so the source is asked line by line.
    for (line, source) in code.lines().zip(text.lines()) {
        if statement.is_empty() && line.trim_start().starts_with("#[cfg(") {
            for_tests = source.contains("test-util") || source.contains("cfg(test)");
            continue;
        }
        statement.push_str(line.trim());
        statement.push(' ');
        if !(line.contains(';') || line.contains('{') && !statement.starts_with("pub use")) {
            if !statement.trim_start().starts_with("pub ") {
                statement.clear();
            }
            continue;
        }
        if !for_tests {
            names.extend(names_of(statement.trim()));
        }
        for_tests = false;
        statement.clear();
    }
    names
}

fn names_of(statement: &str) -> Vec<String> {
    let Some(rest) = statement.strip_prefix("pub ") else {
        return Vec::new();
    };
    if let Some(tree) = rest.strip_prefix("use ") {
        return leaves(tree.trim_end_matches([';', ' ']));
    }
    let words: Vec<&str> = rest
        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let kinds = [
        "mod", "struct", "enum", "trait", "fn", "type", "const", "static",
    ];
    let kind = words.iter().position(|word| kinds.contains(word));
    kind.and_then(|at| words.get(at + 1))
        .map(|name| vec![(*name).to_owned()])
        .unwrap_or_default()
}

/// The names at the ends of a `use` tree, renamed ones under their new name.
fn leaves(tree: &str) -> Vec<String> {
    tree.replace(['{', '}'], ",")
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty() && !part.ends_with("::"))
        .filter_map(|part| part.rsplit([' ', ':']).next())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_names_are_counted_as_a_reader_sees_them() {
        let text = "
//! pub use not::Counted;
#![forbid(unsafe_code)]
mod error;
pub mod danger;
pub use self::error::Error;
pub use self::http::{
    Builder, Client as HttpClient,
    options::{HostOptions, Mirror},
};
#[cfg(feature = \"test-util\")]
pub use self::registry::MockRegistry;
#[cfg(feature = \"http\")]
pub use self::registry::Registry;
pub const LIMIT: u64 = 3;
pub(crate) use self::x::Hidden;
";
        let names = public_names(text);
        let expected = [
            "danger",
            "Error",
            "Builder",
            "HttpClient",
            "HostOptions",
            "Mirror",
            "Registry",
            "LIMIT",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_ceiling_is_judged_at_its_limit() {
        let lib = |count: usize| {
            let lines: Vec<String> = (0..count)
                .map(|at| format!("pub use self::m::N{at};\n"))
                .collect();
            lines.concat()
        };
        assert!(ceiling("qmt-cache", "lib.rs", &lib(STAGE_NAMES)).is_none());
        assert!(ceiling("qmt-cache", "lib.rs", &lib(STAGE_NAMES + 1)).is_some());
        assert!(ceiling("qmt-oci-ref", "lib.rs", &lib(WIDE_NAMES)).is_none());
        assert!(ceiling("qmt-oci-ref", "lib.rs", &lib(WIDE_NAMES + 1)).is_some());
        assert!(ceiling("qmt-testkit", "lib.rs", &lib(99)).is_none());
    }

    #[test]
    fn a_root_forbids_unsafe_or_is_the_loader() {
        assert!(forbids_unsafe("qmt-cache", "lib.rs", "#![forbid(unsafe_code)]\n").is_none());
        assert!(forbids_unsafe("qmt-cache", "lib.rs", "// #![forbid(unsafe_code)]\n").is_some());
        assert!(forbids_unsafe("qmt-loader", "lib.rs", "").is_none());
    }
}
