//! Rules about one file at a time.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned as _;
use syn::visit::Visit;
use syn::{Attribute, ImplItem, Item};

use super::Finding;

/// The most lines of a file, without its tests.
const LINES_MAX: usize = 400;

/// The only files that may hold `unsafe`: every call into a native library, with its tests, one system
/// call of worker processes, the mapping of compiled Wasm, and the example of a host with native
/// plugins of its own.
const UNSAFE_HOMES: [&str; 9] = [
    "crates/qmt-plugin-sdk/src/ffi.rs",
    "crates/qmt-plugin-sdk/src/ffi/native/tests.rs",
    "crates/qmt-loader/src/native/ffi.rs",
    "crates/qmt-loader/src/native/ffi/tests.rs",
    "crates/qmt-loader/src/native/worker/ffi.rs",
    "crates/qmt-loader/src/wasm/image.rs",
    "examples/querymt-adapter/src/native.rs",
    "examples/querymt-adapter/src/seam.rs",
    "examples/querymt-adapter/examples/native_provider.rs",
];
/// Sources of plugins export C symbols.
const PLUGIN_SOURCES: &str = "fixtures/plugins/";

/// Paths that exist on one machine only. Written in two halves, or this file would contain them.
const FOREIGN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "team"),
    concat!(".lib", "rary/"),
];

/// Finds paths of one machine in a text file; `name` is relative to the project's root.
pub(super) fn paths(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for foreign in FOREIGN.iter().filter(|foreign| names_path(line, foreign)) {
            let message = format!("`{foreign}` is a path of one machine");
            findings.push(Finding::error(format!("{name}:{}", at + 1), message));
        }
    }
    findings
}

/// Whether `path` begins in `line`, and not in the middle of an address or of base64.
fn names_path(line: &str, path: &str) -> bool {
    let goes_on = |letter: char| letter.is_alphanumeric() || "+/=_-~".contains(letter);
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(goes_on))
}

/// Checks one Rust file.
pub(super) fn rust(name: &str, text: &str, file: &syn::File) -> Vec<Finding> {
    let mut found = Found::default();
    found.visit_file(file);
    let Found {
        mut attributes,
        test_lines,
    } = found;
    // What documentation tests include can't begin with an inner attribute.
    if !name.contains("/tests/doc/")
        && !file
            .attrs
            .first()
            .is_some_and(|first| first.path().is_ident("doc"))
    {
        attributes.push((1, "starts without a `//!` module doc".to_owned()));
    }
    if !UNSAFE_HOMES.contains(&name) && !name.starts_with(PLUGIN_SOURCES) {
        let mut lines = Vec::new();
        unsafe_lines(file.to_token_stream(), &mut lines);
        let message = format!("only {} may hold `unsafe`", UNSAFE_HOMES.join(", "));
        attributes.extend(lines.into_iter().map(|line| (line, message.clone())));
    }
    let mut findings: Vec<Finding> = attributes
        .into_iter()
        .map(|(line, message)| Finding::error(format!("{name}:{line}"), message))
        .collect();
    let lines = text.lines().count().saturating_sub(test_lines);
    if lines > LINES_MAX && !is_test_file(name) {
        let message = format!("{lines} lines without its tests, the maximum is {LINES_MAX}");
        findings.push(Finding::error(name, message));
    }
    findings
}

/// What a visit collects.
#[derive(Default)]
struct Found {
    /// Lines and messages of attributes that break a rule.
    attributes: Vec<(usize, String)>,
    /// The number of lines in `#[cfg(test)]` items.
    test_lines: usize,
}

impl Found {
    /// Counts the lines of an item for tests.
    fn count(&mut self, attributes: &[Attribute], item: proc_macro2::Span) {
        let is_test = |one: &Attribute| one.path().is_ident("cfg") && super::is_cfg_test(one);
        if attributes.iter().any(is_test) {
            self.test_lines += item.end().line + 1 - item.start().line;
        }
    }
}

impl<'a> Visit<'a> for Found {
    fn visit_attribute(&mut self, attribute: &'a Attribute) {
        let is = |name: &str| attribute.path().is_ident(name);
        let line = attribute.span().start().line;
        let name = attribute.path().to_token_stream();
        if is("ignore") || is("should_panic") {
            let message = format!("`#[{name}]` hides what a test says; assert instead");
            self.attributes.push((line, message));
        }
        if (is("allow") || is("expect")) && !super::has_ident(attribute, "reason") {
            let message = format!("`#[{name}]` without a `reason`");
            self.attributes.push((line, message));
        }
    }

    fn visit_item(&mut self, item: &'a Item) {
        if let Some(attributes) = attributes(item) {
            self.count(attributes, item.span());
        }
        syn::visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        if let ImplItem::Fn(function) = item {
            self.count(&function.attrs, item.span());
        }
        syn::visit::visit_impl_item(self, item);
    }
}

fn attributes(item: &Item) -> Option<&[Attribute]> {
    match item {
        Item::Mod(item) => Some(&item.attrs),
        Item::Use(item) => Some(&item.attrs),
        Item::Fn(item) => Some(&item.attrs),
        Item::Impl(item) => Some(&item.attrs),
        Item::Struct(item) => Some(&item.attrs),
        Item::Enum(item) => Some(&item.attrs),
        Item::Trait(item) => Some(&item.attrs),
        Item::Const(item) => Some(&item.attrs),
        Item::Static(item) => Some(&item.attrs),
        Item::Macro(item) => Some(&item.attrs),
        _ => None,
    }
}

/// The lines with the word `unsafe`, inside of macro calls as well.
fn unsafe_lines(tokens: TokenStream, lines: &mut Vec<usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => unsafe_lines(group.stream(), lines),
            TokenTree::Ident(ident) if ident == "unsafe" => {
                lines.push(ident.span().start().line);
            }
            _ => {}
        }
    }
}

/// Whether everything in the file is test code.
fn is_test_file(name: &str) -> bool {
    name.ends_with("/tests.rs")
        || name.contains("/tests/")
        || name.contains("/benches/")
        || name.starts_with("fuzz/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SRC: &str = "crates/x/src/a.rs";

    fn errors(name: &str, text: &str) -> Vec<String> {
        let findings = rust(name, text, &syn::parse_file(text).unwrap());
        let shown = findings.into_iter();
        shown
            .map(|finding| format!("{}: {}", finding.place, finding.message))
            .collect()
    }

    #[test]
    fn a_good_file_passes() {
        let text = "//! Doc: not `unsafe`.\n#[expect(dead_code, reason = \"shown\")]\nfn f() {}\n";
        assert_eq!(errors(SRC, text), Vec::<String>::new());
    }

    #[test]
    fn each_broken_rule_is_found_on_its_line() {
        for (text, expected) in [
            ("fn f() {}\n", "a.rs:1: starts without"),
            ("//! D\nfn f() { unsafe { g() } }\n", "a.rs:2: only"),
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
            ("//! D\nm! {\n unsafe\n}\n", "a.rs:3: only"),
        ] {
            let found = errors(SRC, text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains(expected), "{found:?}");
        }
    }

    #[test]
    fn unsafe_has_its_homes_and_plugins_are_exempt() {
        let text = "//! D\nunsafe fn f() {}\n";
        for home in UNSAFE_HOMES {
            assert!(errors(home, text).is_empty());
        }
        assert!(errors("fixtures/plugins/native-rust/src/lib.rs", text).is_empty());
        assert_eq!(errors("crates/qmt-loader/src/native/mod.rs", text).len(), 1);
    }

    #[test]
    fn size_is_checked_at_its_limit_and_without_tests() {
        let lines = |count: usize| format!("//! D\n{}", "fn f() {}\n".repeat(count - 1));
        assert!(errors(SRC, &lines(LINES_MAX)).is_empty());
        assert_eq!(errors(SRC, &lines(LINES_MAX + 1)).len(), 1);
        let tests = format!(
            "#[cfg(test)]\nmod tests {{\n{}}}\n",
            "fn f() {}\n".repeat(400)
        );
        assert!(errors(SRC, &(lines(300) + &tests)).is_empty());
        assert!(errors("crates/x/tests/it/main.rs", &lines(LINES_MAX + 1)).is_empty());
    }

    #[test]
    fn foreign_paths_are_found_in_any_text() {
        for (text, count) in [
            (concat!("cd /ro", "ot/x\n"), 1),
            (concat!("{\"x\": \"/wo", "rk/y\"}\n"), 1),
            ("cd /tmp/x\n.github/workflows/\n", 0),
            (concat!("\"MIIB+a/ro", "ot/9w==\"\n"), 0),
        ] {
            assert_eq!(paths("a", text).len(), count, "{text}");
        }
    }
}
