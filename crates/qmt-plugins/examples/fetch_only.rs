//! Fetches and verifies one image and shows its signer, without loading it.
//!
//! `cargo run -p qmt-plugins --example fetch_only -- ghcr.io/my-org/my-plugin:1`
#![allow(clippy::print_stdout, reason = "an example")]

use qmt_plugins::config::ConfigFile;
use qmt_plugins::{PluginHost, Target};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let reference = std::env::args().nth(1).ok_or("give a reference")?;
    let host = PluginHost::builder(ConfigFile::discover()?).build()?;
    let target = Target::parse(host.config(), &reference)?;
    let artifact = host.fetch_target(&target).await?;
    println!(
        "{} plugin at {}",
        artifact.kind(),
        artifact.path().display()
    );
    if let Some(signer) = artifact.verification().and_then(|found| found.signer()) {
        println!("signed by {signer}");
    }
    Ok(())
}
