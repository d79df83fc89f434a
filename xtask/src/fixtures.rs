//! `cargo xtask fixtures`: writes `fixtures/oci-layouts` and `fixtures/sigstore` anew.
//!
//! Everything comes out of `qmt-testkit`. Images come out byte for byte the same each time; keys and
//! signatures are new each time, at the same moment of the calendar.

mod layouts;
mod sigstore;

use std::path::Path;

use crate::project;

/// Writes all fixtures.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    project::no_arguments("fixtures", arguments)?;
    let folder = project::root().join("fixtures");
    let images = layouts::write(&folder.join("oci-layouts"))?;
    let signatures = sigstore::write(&folder.join("sigstore"))?;
    println!("fixtures: {images} image layouts, {signatures} signatures");
    Ok(())
}

/// An empty folder at `path`, whatever was there before.
fn anew(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        std::fs::remove_dir_all(path)?;
    }
    std::fs::create_dir_all(path)?;
    Ok(())
}
