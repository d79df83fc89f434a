//! Rules about one file at a time.

use std::path::Path;

use super::Finding;
use super::scan;

/// A file with more lines than this, tests apart, is an error.
const LINES_MAX: usize = 600;
/// A file with more lines than this, tests apart, is a warning.
const LINES_WARN: usize = 400;

/// The one file that may hold `unsafe`: every call into a native library goes through it.
const UNSAFE_HOME: &str = "crates/qmt-loader/src/native/ffi.rs";
/// That file's own tests.
const UNSAFE_TESTS: &str = "crates/qmt-loader/src/native/ffi/tests.rs";
/// Sources of plugins are other people's programs to us: they export C symbols.
const PLUGIN_SOURCES: &str = "fixtures/plugins/";

/// Paths that exist on one machine only. Written in two halves, or this file would find itself.
const FOREIGN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "team"),
    concat!(".lib", "rary/"),
];

/// Checks one tracked text file; `file` is relative to the project's root.
pub(super) fn check(file: &Path, text: &str) -> Vec<Finding> {
    let name = file.to_string_lossy().replace('\\', "/");
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for foreign in FOREIGN.iter().filter(|foreign| names_path(line, foreign)) {
            let message = format!("`{foreign}` is a path of one machine");
            findings.push(Finding::error(format!("{name}:{}", at + 1), message));
        }
    }
    if file.extension().is_some_and(|extension| extension == "rs") {
        findings.extend(rust(&name, text));
    }
    findings
}

/// Whether `path` begins in `line`, and not in the middle of an address or of base64.
fn names_path(line: &str, path: &str) -> bool {
    let goes_on = |letter: char| letter.is_alphanumeric() || "+/=_-~".contains(letter);
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(goes_on))
}

fn rust(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let code = scan::blank(text);
    if !starts_with_doc(text) {
        findings.push(Finding::error(name, "starts without a `//!` module doc"));
    }
    if !is_test_file(name) {
        let lines = scan::non_test_lines(&code);
        if lines > LINES_MAX {
            let message = format!("{lines} lines without its tests; at most {LINES_MAX}, split it");
            findings.push(Finding::error(name, message));
        } else if lines > LINES_WARN {
            let message = format!("{lines} lines without its tests; better at most {LINES_WARN}");
            findings.push(Finding::warning(name, message));
        }
    }
    if name != UNSAFE_HOME && name != UNSAFE_TESTS && !name.starts_with(PLUGIN_SOURCES) {
        for line in scan::lines_with_word(&code, "unsafe") {
            let message = format!("`unsafe` belongs into {UNSAFE_HOME} alone");
            findings.push(Finding::error(format!("{name}:{line}"), message));
        }
    }
    for attribute in ["ignore", "should_panic"] {
        for (line, _) in scan::attributes(text, &code, attribute) {
            let message = format!("`#[{attribute}]` hides what a test says; assert instead");
            findings.push(Finding::error(format!("{name}:{line}"), message));
        }
    }
    for attribute in ["allow", "expect"] {
        for (line, whole) in scan::attributes(text, &code, attribute) {
            if !whole.contains("reason =") {
                let message = format!("`#[{attribute}]` without a `reason`");
                findings.push(Finding::error(format!("{name}:{line}"), message));
            }
        }
    }
    findings
}

fn starts_with_doc(text: &str) -> bool {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("");
    // The facade's doc is its README.
    first.starts_with("//!") || first.starts_with("#![doc = include_str!")
}

/// Whether everything in the file is test code.
fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs")
        || name.contains("/tests/")
        || name.starts_with("tests/")
        || name.contains("/benches/")
        || name.starts_with("fuzz/")
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    const SRC: &str = "crates/x/src/a.rs";

    fn errors(name: &str, text: &str) -> Vec<String> {
        check(Path::new(name), text)
            .into_iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| format!("{}: {}", finding.place, finding.message))
            .collect()
    }

    #[test]
    fn a_good_file_passes() {
        let text = "//! Doc: not `unsafe`.\n#[expect(dead_code, reason = \"shown\")]\nfn f() {}\n";
        assert_eq!(errors(SRC, text), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_found_on_its_line() {
        let cases = [
            ("fn f() {}\n", "a.rs: starts without"),
            ("//! D\nfn f() { unsafe { g() } }\n", "a.rs:2: `unsafe`"),
            (
                "//! D\n\n#[ignore = \"slow\"]\nfn f() {}\n",
                "a.rs:3: `#[ignore]`",
            ),
            (
                "//! D\n#[should_panic]\nfn f() {}\n",
                "a.rs:2: `#[should_panic]`",
            ),
            (
                "//! D\n#![allow(dead_code)]\n",
                "a.rs:2: `#[allow]` without",
            ),
            (
                "//! D\n#[expect(\n  dead_code\n)]\nfn f() {}\n",
                "a.rs:2: `#[expect]` without",
            ),
            (concat!("//! D\n// see /wo", "rk/notes\n"), "a.rs:2: `/w"),
        ];
        for (text, expected) in cases {
            let found = errors(SRC, text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn unsafe_has_one_home_and_plugins_are_guests() {
        let text = "//! D\nunsafe fn f() {}\n";
        assert!(errors(UNSAFE_HOME, text).is_empty());
        assert!(errors("fixtures/plugins/native-rust/src/lib.rs", text).is_empty());
        assert_eq!(errors("crates/qmt-loader/src/native/mod.rs", text).len(), 1);
    }

    #[test]
    fn size_is_judged_at_its_limits_and_without_tests() {
        let lines = |count: usize| format!("//! D\n{}", "fn f() {}\n".repeat(count - 1));
        assert!(check(Path::new(SRC), &lines(LINES_WARN)).is_empty());
        assert_eq!(
            check(Path::new(SRC), &lines(LINES_WARN + 1))[0].severity,
            Severity::Warning
        );
        assert!(errors(SRC, &lines(LINES_MAX)).is_empty());
        assert_eq!(errors(SRC, &lines(LINES_MAX + 1)).len(), 1);
        let tested = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            lines(300),
            lines(400)
        );
        assert!(check(Path::new(SRC), &tested).is_empty());
        assert!(
            check(
                Path::new("crates/x/tests/it/main.rs"),
                &lines(LINES_MAX + 1)
            )
            .is_empty()
        );
    }

    #[test]
    fn foreign_paths_are_found_in_any_text() {
        assert_eq!(errors("README.md", concat!("cd /ro", "ot/x\n")).len(), 1);
        assert_eq!(
            errors("a.json", concat!("{\"x\": \"/wo", "rk/y\"}\n")).len(),
            1
        );
        assert!(errors("README.md", "cd /tmp/x\n.github/workflows/\n").is_empty());
        assert!(errors("a.json", concat!("\"MIIB+a/ro", "ot/9w==\"\n")).is_empty());
    }
}
