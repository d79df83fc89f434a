//! Variables whose names resemble those of a registry, and are not read.

use std::ffi::OsString;

use super::environment::{START, SUFFIXES};
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
    let (suffix, is_doubled) = suffix_of(prefix, &upper)?;
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == suffix);
    let is_read = SUFFIXES.contains(&suffix);
    let is_word = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_alphabetic());
    if (is_read && !is_doubled && name == upper) || !(is_word || other.is_some()) {
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

/// The part of a name after that of the registry, and whether an underscore before or after the
/// registry is doubled, as in `QMT_OCI__…`.
fn suffix_of<'a>(prefix: &str, name: &'a str) -> Option<(&'a str, bool)> {
    let (host, rest) = (prefix.strip_prefix(START)?, name.strip_prefix(START)?);
    let doubled = rest.strip_prefix('_').filter(|_| !can_be_ipv6(host));
    let mut names = [Some((rest, false)), doubled.map(|rest| (rest, true))]
        .into_iter()
        .flatten();
    names.find_map(|(rest, is_doubled)| {
        let suffix = rest.strip_prefix(host)?.strip_prefix('_')?;
        let single = suffix.strip_prefix('_');
        Some((single.unwrap_or(suffix), is_doubled || single.is_some()))
    })
}

/// Whether this part of a name can be an IPv6 address, whose bracket is an underscore as well. Such an
/// address has seven colons, or two in a row.
fn can_be_ipv6(host: &str) -> bool {
    let is_of_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b'_';
    let has_colons = host.contains("__") || host.matches('_').count() >= 7;
    has_colons && host.bytes().all(is_of_address)
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

    /// As the variables `QMT_OCI__…` are written.
    #[test]
    fn doubled_underscores_are_recognised() {
        for (name, suffix) in [
            ("QMT_REGISTRY__GHCR_IO__TOKEN", "TOKEN"),
            ("QMT_REGISTRY__GHCR_IO_USERNAME", "USERNAME"),
            ("QMT_REGISTRY_GHCR_IO__PASSWORD", "PASSWORD"),
            ("QMT_REGISTRY__GHCR_IO__PASS", "PASSWORD"),
            ("QMT_REGISTRY__ghcr_io__token", "TOKEN"),
        ] {
            let text = text(name).unwrap_or_else(|| panic!("{name} is not refused"));
            let start = format!("`{name}` is not a setting");
            assert_eq!(text, format!("{start}; did you mean `{PREFIX}_{suffix}`?"));
        }
        for name in [
            "QMT_REGISTRY_127_0_0_1_5000__TOKEN",
            "QMT_REGISTRY__127_0_0_1_5000__TOKEN",
        ] {
            let name = OsString::from(name);
            assert!(find("QMT_REGISTRY_127_0_0_1_5000", [name].iter()).is_some());
        }
    }

    /// `[fe80::1]` has a variable with two underscores, which is not that of `fe80-1.example`.
    #[test]
    fn an_address_of_ipv6_may_begin_with_underscores() {
        for (prefix, name) in [
            (
                "QMT_REGISTRY_FE80__1_5000",
                "QMT_REGISTRY__FE80__1_5000__TOKEN",
            ),
            ("QMT_REGISTRY_FE80__1", "QMT_REGISTRY__FE80__1__TOKEN"),
            (
                "QMT_REGISTRY_1_2_3_4_5_6_7_8",
                "QMT_REGISTRY__1_2_3_4_5_6_7_8__TOKEN",
            ),
        ] {
            let name = OsString::from(name);
            assert!(find(prefix, [name].iter()).is_none());
        }
        let doubled = OsString::from("QMT_REGISTRY____1__5000__TOKEN");
        let error = find("QMT_REGISTRY____1__5000", [doubled].iter()).unwrap();
        assert!(
            error
                .to_string()
                .contains("mean `QMT_REGISTRY____1__5000_TOKEN`")
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
            "QMT_REGISTRY__QUAY_IO__TOKEN",
            "QMT_REGISTRY__GHCR_IO_5000__TOKEN",
            "GHCR_IO_USER",
        ] {
            assert_eq!(text(name), None, "{name}");
        }
    }
}
