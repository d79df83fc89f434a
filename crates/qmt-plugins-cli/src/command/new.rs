//! `new`: writes a plugin project that builds.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use qmt_plugins::artifact_stage::HostPlatform;
use qmt_plugins::loader::native::abi;
use serde_json::json;

use super::CommandResult;
use crate::args::{Language, New};
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::text::counted;

/// A file's path in the project and its template.
type Template = (&'static str, &'static str);

macro_rules! templates {
    ($language:literal: $($path:literal from $file:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../templates/", $language, "/", $file)))),+]
    };
}

// Cargo and git take some of these names for their own in our repository.
const RUST: &[Template] = templates!("rust":
    "Cargo.toml" from "Cargo.toml.txt", "src/lib.rs" from "lib.rs", "README.md" from "README.md",
    ".gitignore" from "gitignore",
);
const C: &[Template] = templates!("c":
    "plugin.c" from "plugin.c", "test.c" from "test.c", "README.md" from "README.md",
    ".gitignore" from "gitignore",
);
const GO: &[Template] = templates!("go":
    "greet.go" from "greet.go", "greet_test.go" from "greet_test.go", "plugin.go" from "plugin.go",
    "go.mod" from "go.mod.txt", "go.sum" from "go.sum.txt", "README.md" from "README.md",
    ".gitignore" from "gitignore",
);
const ASSEMBLY_SCRIPT: &[Template] = templates!("assemblyscript":
    "index.ts" from "index.ts", "greet.test.mjs" from "greet.test.mjs",
    "package.json" from "package.json", "README.md" from "README.md", ".gitignore" from "gitignore",
);

/// Writes the project into a folder of its name, in the current folder.
pub(crate) fn new(output: &Output, new: &New) -> CommandResult {
    let folder = Path::new(&new.name);
    let failed = |error| {
        Failure::other(
            format!("the project `{}` can't be written", new.name),
            error,
        )
    };
    if is_occupied(folder).map_err(failed)? {
        return Err(Failure::Usage {
            message: format!("`{}` exists and is not empty", new.name),
            hint: Some("choose another name, or another folder to run this in".to_owned()),
        });
    }
    let mut files = Vec::new();
    for (path, template) in project(new.lang) {
        if let Err(error) = write(&folder.join(path), &filled(template, &new.name)) {
            remove(folder, &files, path);
            return Err(failed(error));
        }
        files.push(path);
    }
    let readme = folder.join("README.md").display().to_string();
    let rows = [
        (
            "created",
            format!("{}, {}", new.name, counted(files.len(), "file")),
        ),
        ("next", format!("build, run and publish it: {readme}")),
    ];
    let data = json!({ "project": new.name, "files": files, "readme": readme });
    output.result(&data, &output::table(&rows))
}

/// Accepts a name that Cargo, Go, npm and registries accept.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn project_name(text: &str) -> Result<String, String> {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let is_name = text.len() <= NAME_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.split('-').all(is_part);
    if !is_name {
        return Err(format!(
            "expected at most {NAME_MAX} lowercase letters, digits and single hyphens, with a \
             letter first, such as my-plugin"
        ));
    }
    if RESERVED.split(' ').any(|name| name == text) {
        return Err("this name has another meaning for Rust, Cargo or Windows".to_owned());
    }
    Ok(text.to_owned())
}

/// The characters that a name may have.
const NAME_MAX: usize = 64;

/// Names that Cargo refuses or warns of: keywords, crates of Rust, folders of Cargo and devices of
/// Windows; and the SDK.
const RESERVED: &str = "\
    abstract alloc as async aux await become box break build com1 com2 com3 com4 com5 com6 com7 \
    com8 com9 con const continue core crate deps do dyn else enum examples extern false final fn \
    for gen if impl in incremental let loop lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8 lpt9 macro \
    match mod move mut nul override priv prn proc-macro pub qmt-plugin qmt-plugin-sdk ref \
    return self static std struct super test trait true try type typeof unsafe \
    unsized use virtual where while yield";

fn project(language: Language) -> impl Iterator<Item = Template> {
    let (files, header): (_, Option<Template>) = match language {
        Language::Rust => (RUST, None),
        Language::C => (C, Some(("qmt_plugin.h", abi::HEADER))),
        Language::Go => (GO, None),
        Language::Assemblyscript => (ASSEMBLY_SCRIPT, None),
    };
    files.iter().copied().chain(header)
}

fn filled(template: &str, name: &str) -> String {
    let crate_name = name.replace('-', "_");
    let host = HostPlatform::current();
    let platform = host.platform();
    template
        .replace(
            "{{library}}",
            &format!("{DLL_PREFIX}{crate_name}{DLL_SUFFIX}"),
        )
        .replace("{{plugin}}", &format!("plugin{DLL_SUFFIX}"))
        .replace(
            "{{platform}}",
            &format!("{}/{}", platform.os(), platform.architecture()),
        )
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{crate}}", &crate_name)
        .replace("{{name}}", name)
}

fn is_occupied(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().transpose()?.is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what was written before the file `failed`, so that the same command can be run again.
/// Folders that have something else stay.
fn remove(folder: &Path, files: &[&str], failed: &str) {
    for path in files.iter().map(|path| folder.join(path)) {
        let _ = fs::remove_file(&path);
    }
    for path in files.iter().chain([&failed]) {
        let _ = folder.join(path).parent().map(fs::remove_dir);
    }
    let _ = fs::remove_dir(folder);
}

/// Writes a new file, or leaves none.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let written = File::create_new(path)?.write_all(text.as_bytes());
    written.inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_for_cargo_go_npm_and_registries() {
        let longest = "a".repeat(NAME_MAX);
        for good in ["greeter", "my-plugin2", "a", &longest] {
            assert_eq!(project_name(good).unwrap(), good);
        }
        let too_long = "a".repeat(NAME_MAX + 1);
        for bad in [
            "", "-a", "a-", "a--b", "2a", "A", "a_b", "a/b", "..", "a b", "ä", "a.b", &too_long,
        ] {
            let rule = project_name(bad).unwrap_err();
            assert!(rule.contains("lowercase"), "{bad}: {rule}");
        }
        for reserved in [
            "abstract",
            "com1",
            "con",
            "fn",
            "lpt9",
            "qmt-plugin-sdk",
            "return",
            "yield",
        ] {
            let rule = project_name(reserved).unwrap_err();
            assert!(rule.contains("another meaning"), "{reserved}: {rule}");
        }
    }

    #[test]
    fn every_placeholder_is_filled() {
        for language in [
            Language::Rust,
            Language::C,
            Language::Go,
            Language::Assemblyscript,
        ] {
            let files: Vec<_> = project(language).collect();
            assert!(files.iter().any(|(path, _)| *path == "README.md"));
            for (path, template) in files {
                let text = filled(template, "my-plugin");
                let is_placeholder = |rest: &str| rest.starts_with(|c: char| c.is_alphabetic());
                let mut rests = text.split("{{").skip(1);
                assert!(!rests.any(is_placeholder) && text.ends_with('\n'), "{path}");
            }
        }
    }
}
