//! `cargo xtask tidy`: the house rules that a machine can check. Any finding makes it fail.

mod edges;
mod names;
mod sources;
mod unused;
mod words;

use std::path::Path;

use anyhow::Context as _;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::Attribute;

use crate::{project, readme};

/// What breaks a rule, and where.
#[derive(Debug)]
struct Finding {
    place: String,
    message: String,
}

impl Finding {
    fn error(place: impl Into<String>, message: impl Into<String>) -> Self {
        let (place, message) = (place.into(), message.into());
        Self { place, message }
    }
}

/// Checks the whole tree and prints what it found.
pub(crate) fn run() -> anyhow::Result<()> {
    let sh = project::shell()?;
    let root = project::root();
    let metadata = project::metadata()?;
    let files = project::files(&sh)?;

    let mut findings = edges::check(&metadata);
    findings.extend(crate_roots(&root, &metadata)?);
    findings.extend(unused::check(&root, &metadata, &files)?);
    for file in &files {
        let bytes = std::fs::read(root.join(file))?;
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let name = file.to_string_lossy().replace('\\', "/");
        findings.extend(sources::paths(&name, &text));
        findings.extend(words::check(&name, &text));
        if file.extension().is_some_and(|extension| extension == "rs") {
            let parsed = syn::parse_file(&text).with_context(|| name.clone())?;
            findings.extend(sources::rust(&name, &text, &parsed));
        }
    }
    for Finding { place, message } in &findings {
        println!("error: {place}: {message}");
    }
    for block in readme::blocks_of(&root, &files)? {
        println!("note: {block}");
    }
    let (files, errors) = (files.len(), findings.len());
    println!("tidy: {files} files, {errors} errors");
    anyhow::ensure!(errors == 0, "tidy found {errors} errors");
    Ok(())
}

/// Rules about crate roots: unsafe code is forbidden, and public names stay few.
fn crate_roots(root: &Path, metadata: &cargo_metadata::Metadata) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        for target in &package.targets {
            if !(target.is_lib() || target.is_bin()) {
                continue;
            }
            let path = target.src_path.as_std_path();
            let place = path
                .strip_prefix(root)
                .unwrap_or(path)
                .display()
                .to_string();
            let parsed =
                syn::parse_file(&std::fs::read_to_string(path)?).with_context(|| place.clone())?;
            findings.extend(names::forbids_unsafe(&package.name, &place, &parsed));
            if target.is_lib() {
                findings.extend(names::ceiling(&package.name, &place, &parsed));
            }
        }
    }
    Ok(findings)
}

/// Whether an attribute names `word` somewhere.
fn has_ident(attribute: &Attribute, word: &str) -> bool {
    fn in_tokens(tokens: TokenStream, word: &str) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Group(group) => in_tokens(group.stream(), word),
            TokenTree::Ident(ident) => ident == word,
            _ => false,
        })
    }
    in_tokens(attribute.to_token_stream(), word)
}

/// Whether `part` occurs in the text of an attribute, literals included.
fn renders(attribute: &Attribute, part: &str) -> bool {
    attribute.to_token_stream().to_string().contains(part)
}

/// Whether it is `#[cfg(test)]` as a whole.
fn is_cfg_test(attribute: &Attribute) -> bool {
    attribute
        .parse_args::<syn::Ident>()
        .is_ok_and(|ident| ident == "test")
}
