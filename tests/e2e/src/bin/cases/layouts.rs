//! Every layout of `fixtures/oci-layouts` through the built command: the good ones are pulled, of
//! the kind that is stated; each hostile one is refused, and leaves nothing in the cache.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use qmt_e2e_tests::command::Plugins;

/// One entry of `fixtures/oci-layouts/cases.json`.
#[derive(Debug, Deserialize)]
struct Layout {
    #[serde(rename = "layout")]
    name: String,
    about: String,
    kind: Option<String>,
}

/// Pulls each layout; returns how many there are and the names of those that went wrong.
pub(super) fn run(plugins: &Plugins, scratch: &Path) -> anyhow::Result<(usize, Vec<String>)> {
    let folder = qmt_e2e_tests::root().join("fixtures/oci-layouts");
    let cases = std::fs::read_to_string(folder.join("cases.json"))?;
    let layouts: Vec<Layout> = serde_json::from_str(&cases).context("oci-layouts/cases.json")?;
    anyhow::ensure!(!layouts.is_empty(), "oci-layouts/cases.json lists nothing");
    let mut failed = Vec::new();
    for layout in &layouts {
        let name = format!("layout-{}", layout.name);
        let work = scratch.join(&name);
        std::fs::create_dir(&work)?;
        match pull(layout, &folder, plugins, &work) {
            Ok(()) => println!("ok      {name:<32} {}", layout.about),
            Err(error) => {
                println!("FAILED  {name:<32} {}\n{error:#}\n", layout.about);
                failed.push(name);
            }
        }
    }
    Ok((layouts.len(), failed))
}

fn pull(layout: &Layout, folder: &Path, plugins: &Plugins, work: &Path) -> anyhow::Result<()> {
    let path = folder.join(&layout.name);
    let cache = work.join("cache");
    // The form of the image is what is checked here; the fixtures are not signed.
    let config = format!(
        "[oci]\ninsecure_skip_signature = true\ncache_dir = \"{}\"\n\n\
         [[providers]]\nname = \"it\"\npath = \"oci-layout://{}:1\"\n{}\
         [providers.allow]\nnative = true\n",
        cache.display(),
        path.display(),
        layout
            .kind
            .as_ref()
            .map_or_else(String::new, |kind| format!("kind = \"{kind}\"\n")),
    );
    let file = work.join("plugins.toml");
    std::fs::write(&file, config)?;
    let file = file
        .to_str()
        .context("the scratch folder's name is not UTF-8")?;
    let answer = plugins.run(work, &["pull", "it", "--config", file])?;
    let expected = i32::from(layout.kind.is_none());
    anyhow::ensure!(
        answer.code == Some(expected),
        "expected exit code {expected}\n{}",
        answer.transcript()
    );
    let kept = artifacts(&cache)?;
    let wanted = usize::from(layout.kind.is_some());
    anyhow::ensure!(
        kept == wanted,
        "the cache holds {kept} artifacts where it should {wanted}"
    );
    Ok(())
}

/// The number of finished artifacts in a cache.
fn artifacts(cache: &Path) -> anyhow::Result<usize> {
    let folder = cache.join("v1").join("artifacts");
    if !folder.exists() {
        return Ok(0);
    }
    Ok(std::fs::read_dir(folder)?.count())
}
