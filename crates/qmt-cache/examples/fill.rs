//! Fills a cache with one artifact, as one of many processes does: `fill ROOT NAME SIZE LOG`.
//!
//! It appends one byte to the file `LOG` if it is the one that downloads. The "download" is made
//! up from `NAME`, and goes on where an earlier process was killed. In the end the artifact is read
//! back and compared.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write;

use qmt_cache::{Begin, Cache, CacheOptions, CachedArtifact, FsCache, Record, Staging};
use qmt_oci_ref::{Digest, PluginKind};

/// How much arrives at once, in bytes.
const PIECE: usize = 64 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: fill ROOT NAME SIZE LOG");
    let (root, name, size, log) = (next()?, next()?, next()?.parse()?, next()?);
    let content = content(&name, size);
    let manifest = Digest::sha256(&name);
    let cache = FsCache::open(CacheOptions::at(root))?;
    let artifact = match cache.begin(&manifest).await? {
        Begin::Hit(hit) => hit,
        Begin::Fill(staging) => {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(log)?
                .write_all(b".")?;
            fill(staging, &manifest, &content)?
        }
    };
    if artifact.read_proven()? != content {
        return Err("the cache handed out other bytes".into());
    }
    Ok(())
}

/// Downloads the one layer and makes it the artifact.
fn fill(
    staging: Staging,
    manifest: &Digest,
    content: &[u8],
) -> Result<CachedArtifact, Box<dyn Error>> {
    let layer = Digest::sha256(content);
    let mut partial = staging.partial(&layer)?;
    let there = usize::try_from(partial.digester().count())?;
    let rest = content
        .get(there..)
        .ok_or("more is there than there should be")?;
    for piece in rest.chunks(PIECE) {
        partial.write_all(piece)?;
    }
    let size = content.len() as u64;
    partial.finish(size)?;
    let root = manifest.clone();
    let record = Record::new(
        manifest.clone(),
        root,
        PluginKind::Wasm,
        "plugin.wasm",
        layer,
        size,
    );
    Ok(staging.commit(record)?)
}

/// Bytes that depend on the name.
fn content(name: &str, size: usize) -> Vec<u8> {
    let seed = name.bytes().fold(1_u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(byte.into())
    });
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes().first().copied().unwrap_or_default()
    };
    let block: Vec<u8> = std::iter::repeat_with(&mut next).take(4093).collect();
    let mut content = block.repeat(size.div_ceil(block.len()));
    content.truncate(size);
    content
}
