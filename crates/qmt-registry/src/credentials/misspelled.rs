//! Variables whose names resemble those of a registry, and are not read.

use std::ffi::OsString;

use super::environment::SUFFIXES;
use crate::error::{ClientError, CredentialError};

/// What other programs call the same, and the suffix that it has here.
const OTHER_NAMES: [(&str, &str); 12] = [
    ("USER", "USERNAME"),
    ("USER_NAME", "USERNAME"),
    ("LOGIN", "USERNAME"),
    ("NAME", "USERNAME"),
    ("PASS", "PASSWORD"),
    ("PASSWD", "PASSWORD"),
    ("PW", "PASSWORD"),
    ("PWD", "PASSWORD"),
    ("SECRET", "PASSWORD"),
    ("BEARER", "TOKEN"),
    ("KEY", "TOKEN"),
    ("PAT", "TOKEN"),
];

/// Returns the error for the first of the variables that begins with `prefix` and has no suffix
/// that is read. A longer name can be right for another registry, so only single words are refused.
pub(super) fn find<'a>(
    prefix: &str,
    set: impl Iterator<Item = &'a OsString>,
) -> Option<ClientError> {
    let mut names = set.filter_map(|name| name.to_str());
    Some(names.find_map(|name| unknown(prefix, name))?.into())
}

fn unknown(prefix: &str, name: &str) -> Option<CredentialError> {
    let upper = name.to_ascii_uppercase();
    let suffix = upper.strip_prefix(prefix)?.strip_prefix('_')?;
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == suffix);
    let is_read = SUFFIXES.contains(&suffix);
    let is_word = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_alphabetic());
    if (is_read && name == upper) || !(is_word || other.is_some()) {
        return None;
    }
    let nearest = other.map(|(_, nearest)| *nearest);
    let nearest = nearest.or(is_read.then_some(suffix));
    let suggestion = if let Some(nearest) = nearest {
        format!("did you mean `{prefix}_{nearest}`?")
    } else {
        let names = SUFFIXES.map(|suffix| format!("`{prefix}_{suffix}`"));
        format!("the variables of the registry are {}", names.join(", "))
    };
    Some(CredentialError::UnknownVariable {
        variable: name.to_owned(),
        suggestion,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "QMT_REGISTRY_GHCR_IO";

    fn text(name: &str) -> Option<String> {
        let name = OsString::from(name);
        find(PREFIX, [name].iter()).map(|error| error.to_string())
    }

    #[test]
    fn the_right_variable_is_named() {
        for (suffix, nearest) in [
            ("USER", "USERNAME"),
            ("USER_NAME", "USERNAME"),
            ("Pass", "PASSWORD"),
            ("PWD", "PASSWORD"),
            ("username", "USERNAME"),
            ("Token", "TOKEN"),
        ] {
            let text = text(&format!("{PREFIX}_{suffix}")).unwrap();
            let start = format!("`{PREFIX}_{suffix}` is not a setting");
            assert_eq!(text, format!("{start}; did you mean `{PREFIX}_{nearest}`?"));
        }
        let text = text(&format!("{PREFIX}_AUTH")).unwrap();
        assert!(
            text.contains(&format!("`{PREFIX}_TOKEN`, `{PREFIX}_USERNAME`")),
            "{text}"
        );
    }

    #[test]
    fn variables_of_other_registries_are_not_refused() {
        for name in [
            "QMT_REGISTRY_GHCR_IO_TOKEN",
            "QMT_REGISTRY_GHCR_IO_USERNAME",
            "QMT_REGISTRY_GHCR_IO_5000_TOKEN",
            "QMT_REGISTRY_GHCR_IO_5000_USER",
            "QMT_REGISTRY_GHCR_IO_EXAMPLE_COM_PASSWORD",
            "QMT_REGISTRY_GHCR_IO__X_TOKEN",
            "QMT_REGISTRY_GHCR_IO_",
            "QMT_REGISTRY_GHCR_IO",
            "QMT_REGISTRY_QUAY_IO_USER",
            "GHCR_IO_USER",
        ] {
            assert_eq!(text(name), None, "{name}");
        }
    }
}
