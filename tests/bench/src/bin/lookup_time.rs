//! Times the look-up of one artifact in a small cache and in a large one, side by side.
//!
//! Prints a line per cache: how many artifacts it has and the nanoseconds of the median.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::time::Instant;

use anyhow::Context as _;
use qmt_cache::{Begin, Cache, CacheOptions, FsCache, Record};
use qmt_oci_ref::{Digest, PluginKind};

/// How many artifacts the caches have.
const SIZES: [usize; 2] = [10, 10_000];
/// How many look-ups are timed in each.
const ROUNDS: usize = 5_001;
const CONTENT: &[u8] = b"\0asm\x01\0\0\0";

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut caches = Vec::new();
    for size in SIZES {
        let root = folder.path().join(size.to_string());
        let cache = FsCache::open(CacheOptions::at(root))?;
        let mut keys = Vec::new();
        for nth in 0..size {
            let key = Digest::sha256(format!("manifest {nth}"));
            fill(&cache, &key).await?;
            keys.push(key);
        }
        caches.push((cache, keys, Vec::new()));
    }
    // In turn, so that whatever else happens on the machine happens to both.
    for round in 0..ROUNDS {
        for (cache, keys, times) in &mut caches {
            // A step that has no divisor in common with the sizes: all are looked up.
            let key = keys.get(round * 7 % keys.len()).context("an empty cache")?;
            let start = Instant::now();
            let found = cache.lookup(key).await?;
            times.push(start.elapsed().as_nanos());
            found.context("an artifact is gone")?;
        }
    }
    let mut out = std::io::stdout();
    for (_, keys, times) in &mut caches {
        times.sort_unstable();
        let median = times.get(ROUNDS / 2).context("nothing was timed")?;
        writeln!(out, "{} {median}", keys.len())?;
    }
    Ok(())
}

async fn fill(cache: &FsCache, key: &Digest) -> anyhow::Result<()> {
    let Begin::Fill(mut staging) = cache.begin(key).await? else {
        anyhow::bail!("an artifact is there before it was put");
    };
    staging.write_all(CONTENT)?;
    let (root, size) = (
        Digest::sha256("one index for all"),
        u64::try_from(CONTENT.len())?,
    );
    let file = Digest::sha256(CONTENT);
    let record = Record::new(
        key.clone(),
        root,
        PluginKind::Wasm,
        "plugin.wasm",
        file,
        size,
    );
    staging.commit(record)?;
    Ok(())
}
