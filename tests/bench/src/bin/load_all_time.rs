//! Times the loading of all plugins of a config: `load_all_time CONFIG CACHE`.
//!
//! Prints the nanoseconds of one after another, and those of `load_all`, both warm and offline.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use qmt_plugins::PluginHost;
use qmt_plugins::config::ConfigFile;

/// How often each way is timed; the quickest counts.
const ROUNDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || {
        arguments
            .next()
            .context("usage: load_all_time CONFIG CACHE")
    };
    let (config, cache) = (next()?, next()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let host = |offline| {
        let builder = PluginHost::builder(ConfigFile::read(&config)?);
        builder.cache_dir(&cache).offline(offline).build()
    };
    runtime.block_on(async {
        all(&host(false)?).await?;
        let (mut one_by_one, mut together) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            let warm = host(true)?;
            let start = Instant::now();
            let mut loaded = Vec::new();
            for provider in &warm.config().providers {
                loaded.push(warm.load(&provider.name).await?);
            }
            one_by_one = one_by_one.min(start.elapsed());
            drop(loaded);
            let warm = host(true)?;
            let start = Instant::now();
            let loaded = all(&warm).await?;
            together = together.min(start.elapsed());
            drop(loaded);
        }
        let mut out = std::io::stdout();
        writeln!(out, "{} {}", one_by_one.as_nanos(), together.as_nanos())?;
        Ok(())
    })
}

async fn all(
    host: &PluginHost,
) -> Result<Vec<std::sync::Arc<dyn qmt_plugins::loader::Plugin>>, qmt_plugins::Error> {
    let loaded = host.load_all().await;
    loaded.into_iter().map(|(_, plugin)| plugin).collect()
}
