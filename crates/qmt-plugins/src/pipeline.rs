//! The pipeline, top to bottom. Read this file first.
//!
//! reference → resolve → select → verify → fetch → extract → cache → load
//!
//! A tag is resolved once; from there on only digests travel. Signatures are looked for beside the
//! download, but nothing gets a name in the cache before both have ended well.

use qmt_cache::Begin;

use crate::error::Error;
use crate::stage::cache::{self, Cached};
use crate::stage::verify::Freshness;
use crate::stage::{Context, Request, extract, moved, resolve, select, verify};

/// Runs every stage up to the cache: what comes out is verified and on disk.
pub(crate) async fn run(context: &Context, request: &Request) -> Result<Cached, Error> {
    let pinned = resolve::resolve(context, request).await?;
    let selected = select::select(context, request, &pinned).await?;
    let verdict = async {
        let verified = verify::verify(context, request, &pinned, Freshness::CacheFirst).await?;
        moved::check(context, request, &pinned, &verified).await?;
        verified.warn(context);
        Ok(verified)
    };

    let found = context
        .cache
        .lookup(selected.key())
        .await
        .map_err(context.cache_error())?;
    if let Some(artifact) = found {
        let verified = verdict.await?;
        return cache::reuse(context, request, &pinned, &selected, verified, artifact).await;
    }
    context.need_network(request, "the plugin")?;

    // One process downloads; others wait here and find what it made.
    let fill = async {
        match context
            .cache
            .begin(selected.key())
            .await
            .map_err(context.cache_error())?
        {
            Begin::Hit(artifact) => Ok(Outcome::Found(artifact)),
            Begin::Fill(staging) => {
                let extracted =
                    extract::extract(context, request, &pinned, &selected, staging).await?;
                Ok(Outcome::Made(Box::new(extracted)))
            }
            _ => Err(Error::Unsupported {
                plugin: context.plugin(),
                what: "this kind of cache",
            }),
        }
    };
    // A refusal ends the download at once.
    match tokio::try_join!(verdict, fill)? {
        (verified, Outcome::Found(artifact)) => {
            cache::reuse(context, request, &pinned, &selected, verified, artifact).await
        }
        (verified, Outcome::Made(extracted)) => {
            cache::commit(context, request, &pinned, &selected, verified, *extracted).await
        }
    }
}

enum Outcome {
    Found(qmt_cache::CachedArtifact),
    Made(Box<extract::Extracted>),
}

#[cfg(test)]
mod tests;
