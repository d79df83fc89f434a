//! Dependencies that a manifest names and no source file mentions.

use std::path::{Path, PathBuf};

use super::Finding;
use super::edges::is_used;

/// Looks through the sources of each member; `files` are relative to `root`.
pub(super) fn check(
    root: &Path,
    metadata: &cargo_metadata::Metadata,
    files: &[PathBuf],
) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let manifest = package.manifest_path.as_std_path();
        let folder = manifest.parent();
        let folder = folder
            .and_then(|folder| folder.strip_prefix(root).ok())
            .unwrap_or(root);
        let mut sources = Vec::new();
        for file in files.iter().filter(|file| file.starts_with(folder)) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                sources.push(std::fs::read_to_string(root.join(file))?);
            }
        }
        let used = package.dependencies.iter();
        let used = used.filter(|dependency| is_used(package, dependency));
        let names = used.map(|dependency| {
            dependency
                .rename
                .as_deref()
                .unwrap_or(dependency.name.as_str())
        });
        for name in unmentioned(names, &sources, &package.name) {
            let place = format!("{}/Cargo.toml", folder.display());
            findings.push(Finding::error(
                place,
                format!("`{name}` is named and never used"),
            ));
        }
    }
    Ok(findings)
}

/// The dependencies without a mention; a crate may name itself, for the features of its tests.
fn unmentioned<'a>(
    names: impl Iterator<Item = &'a str>,
    sources: &[String],
    package: &str,
) -> Vec<&'a str> {
    let mut unmentioned: Vec<&str> = names
        .filter(|name| *name != package)
        .filter(|name| {
            let word = name.replace('-', "_");
            // Doc tests are uses as well, so comments count.
            !sources.iter().any(|source| has_word(source, &word))
        })
        .collect();
    unmentioned.sort_unstable();
    unmentioned.dedup();
    unmentioned
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .any(|other| other == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_source_mentions_is_found() {
        let sources = ["use serde_json::json;\nuse bytes_like::Other;\n".to_owned()];
        let names = ["serde-json", "bytes", "qmt-cache", "bytes"];
        assert_eq!(
            unmentioned(names.into_iter(), &sources, "qmt-cache"),
            ["bytes"]
        );
    }
}
