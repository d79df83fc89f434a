//! Downloads an artifact into a cache, once for all processes: `download ROOT`.
//!
//! The download is simulated. If it is interrupted, the next run resumes it.

use std::error::Error;
use std::io::Write;

use qmt_cache::{Begin, Cache, CacheOptions, CachedArtifact, FsCache, Record, Staging};
use qmt_oci_ref::{Digest, PluginKind};

const LAYER: &[u8] = b"\0asm\x01\0\0\0";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args().nth(1).ok_or("usage: download ROOT")?;
    let cache = FsCache::open(CacheOptions::at(root))?;
    let manifest = Digest::sha256("a manifest");
    let artifact = match cache.begin(&manifest).await? {
        Begin::Hit(hit) => hit,
        Begin::Fill(staging) => download(staging, &manifest)?,
    };
    let bytes = artifact.read_proven()?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{} bytes in {}",
        bytes.len(),
        artifact.path().display()
    )?;
    Ok(())
}

/// Downloads the one layer of the image, which is the plugin.
fn download(staging: Staging, manifest: &Digest) -> Result<CachedArtifact, Box<dyn Error>> {
    let (layer, size) = (Digest::sha256(LAYER), LAYER.len() as u64);
    let mut partial = staging.partial(&layer)?;
    if !partial.is_complete() {
        let start = usize::try_from(partial.digester().count())?;
        partial.write_all(LAYER.get(start..).unwrap_or_default())?;
    }
    partial.finish(size)?;
    let (kind, root) = (PluginKind::Wasm, manifest.clone());
    let record = Record::new(manifest.clone(), root, kind, "plugin.wasm", layer, size);
    Ok(staging.commit(record)?)
}
