//! `cargo xtask fixtures`: writes `fixtures/oci-layouts` and `fixtures/sigstore` anew.
//!
//! Everything comes out of `qmt-testkit`. Images come out byte for byte the same each time; keys and
//! signatures are new each time, at the same moment of the calendar.
//!
//! With `--real` it records what cosign makes instead: `fixtures/sigstore/cosign`.

mod layouts;
mod sigstore;

use std::path::Path;

use xshell::cmd;

use crate::project;

/// What cosign made, in the folder of signatures.
const REAL: &str = "cosign";

/// Writes all fixtures of ours, or those of others.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let folder = project::root().join("fixtures");
    if let Some((_, rest)) = arguments
        .split_first()
        .filter(|(first, _)| *first == "--real")
    {
        project::no_arguments("fixtures --real", rest)?;
        return real(&folder.join("sigstore").join(REAL));
    }
    project::no_arguments("fixtures", arguments)?;
    let images = layouts::write(&folder.join("oci-layouts"))?;
    let signatures = sigstore::write(&folder.join("sigstore"))?;
    println!("fixtures: {images} image layouts, {signatures} signatures");
    Ok(())
}

/// Records first and replaces then, so that a run that fails leaves the old fixtures.
fn real(folder: &Path) -> anyhow::Result<()> {
    let sh = project::shell()?;
    let scratch = sh.create_temp_dir()?;
    let attempts = crate::e2e::sigstore::record(&sh, scratch.path())?;
    anew(folder)?;
    let fresh = scratch.path();
    cmd!(sh, "cp -R {fresh}/. {folder}").quiet().run()?;
    println!("fixtures: {attempts} attempts at what cosign signed");
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
