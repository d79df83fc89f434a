//! Every config in the documents is one that the command accepts.

use std::path::Path;
use std::sync::LazyLock;

use qmt_testkit::{Certificates, FakeRegistry, PrivateSigstore, TlsOptions};
use toml::{Table, Value};

use crate::command::{Desk, root};

/// A config in a document, with the line at which it begins.
struct Sample {
    place: String,
    text: String,
}

/// The documents with configs: README, guides, and the READMEs of the crates.
fn documents() -> Vec<std::path::PathBuf> {
    let mut documents = vec![root().join("README.md")];
    for (folder, name) in [("docs", None), ("crates", Some("README.md"))] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            match name {
                Some(name) if path.join(name).is_file() => documents.push(path.join(name)),
                None if path.extension().is_some_and(|ending| ending == "md") => {
                    documents.push(path);
                }
                _ => {}
            }
        }
    }
    documents.sort();
    documents
}

/// The blocks of `toml` in a document, and the files that its commands write.
fn samples(document: &Path) -> Vec<Sample> {
    let text = std::fs::read_to_string(document).unwrap();
    let name = document.strip_prefix(root()).unwrap().display();
    let (mut samples, mut current) = (Vec::new(), None::<(usize, &str, String)>);
    for (index, line) in text.lines().enumerate() {
        current = match current.take() {
            Some((start, end, text)) if line.trim() == end => {
                let place = format!("{name}:{start}");
                samples.push(Sample { place, text });
                None
            }
            Some((start, end, text)) => Some((start, end, text + line + "\n")),
            None if line.trim() == "```toml" => Some((index + 1, "```", String::new())),
            None if line.contains(".toml <<'END'") => Some((index + 1, "END", String::new())),
            None => None,
        };
    }
    samples
}

/// Writes the files that `value`, which stands at `key`, names.
fn write_files(desk: &Desk, sigstore: &PrivateSigstore, key: &str, value: &Value) {
    match value {
        Value::Table(table) if key == "paths" => {
            for folder in table.keys() {
                let folder = folder.trim_start_matches("ro:");
                let folder = folder
                    .strip_prefix("~/")
                    .expect("a folder in the home folder");
                let home = desk.path().join("home");
                std::fs::create_dir_all(home.join(folder)).unwrap();
            }
        }
        Value::Table(table) => {
            for (key, value) in table {
                write_files(desk, sigstore, key, value);
            }
        }
        Value::Array(values) => {
            for value in values {
                write_files(desk, sigstore, key, value);
            }
        }
        Value::String(name) => {
            let content = match key {
                "public_keys" | "key" => sigstore.key_pem("p256"),
                "rekor_pub_keys" => sigstore.rekor_pem(),
                "ctfe_keys" => sigstore.ctfe_pem(),
                "fulcio_certs" | "ca_file" => sigstore.fulcio_pem(),
                "client_cert" => client().client_certificate_pem().to_owned(),
                "tsa_certs" => sigstore.tsa_pem(),
                "trusted_root" if name != "embedded" => sigstore.trusted_root_json(),
                "client_key" => client().client_key_pem().to_owned(),
                "path" if name.starts_with("oci-layout://") => {
                    let folder = name.trim_start_matches("oci-layout://");
                    let folder = folder.split([':', '@']).next().unwrap();
                    copy(
                        &root().join("fixtures/oci-layouts/wasm"),
                        &desk.path().join(folder),
                    );
                    return;
                }
                _ => return,
            };
            desk.write(name, content);
        }
        _ => {}
    }
}

/// A client's certificate and its key.
fn client() -> &'static Certificates {
    static CLIENT: LazyLock<Certificates> = LazyLock::new(|| {
        let server = FakeRegistry::builder().tls(TlsOptions::new()).start();
        server.unwrap().certificates().unwrap().clone()
    });
    &CLIENT
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// CFG-04: what a reader copies is a valid config.
#[test]
fn every_config_in_the_documents_is_valid() {
    let sigstore = PrivateSigstore::new();
    let mut checked = Vec::new();
    for sample in documents().iter().flat_map(|path| samples(path)) {
        let Sample { place, text } = sample;
        let table: Table = text
            .parse()
            .unwrap_or_else(|error| panic!("{place}: {error}"));
        if table.contains_key("dependencies") {
            continue;
        }
        let desk = Desk::new();
        write_files(&desk, &sigstore, "", &Value::Table(table));
        desk.write("plugins.toml", text);
        let answer = desk.run(&["config", "check", "--config", "plugins.toml"]);
        assert_eq!(answer.code, Some(0), "{place}\n{}", answer.transcript());
        checked.push(place);
    }
    for document in [
        "README.md",
        "docs/operators.md",
        "docs/air-gap.md",
        "docs/plugin-authors.md",
    ] {
        let found = checked.iter().any(|place| place.starts_with(document));
        assert!(found, "no config was found in {document}: {checked:?}");
    }
    assert!(checked.len() >= 14, "{checked:?}");
}
