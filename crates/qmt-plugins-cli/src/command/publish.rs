//! `publish`: files → image → registry.

use qmt_plugins::oci_ref::Platform;
use qmt_plugins::{Error, PluginSource, PublishRequest};
use serde_json::json;

use super::CommandResult;
use crate::args::{Global, Publish};
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::session;

/// Pushes, then prints the digest and how to sign it.
pub(crate) async fn publish(global: &Global, output: &Output, publish: &Publish) -> CommandResult {
    if publish.wasm.is_none() && publish.native.is_empty() {
        return Err(Failure::Usage(
            "there is nothing to publish: give `--wasm` or `--native`".to_owned(),
        ));
    }
    let destination =
        PluginSource::parse_reference(&publish.reference).map_err(|source| Error::Source {
            text: publish.reference.clone(),
            source,
        })?;
    let mut request = PublishRequest::new(destination).created_at(source_date_epoch()?);
    if let Some(file) = &publish.wasm {
        request = request.with_wasm(file);
    }
    for (platform, file) in &publish.native {
        let mut parts = platform.splitn(3, '/');
        let (os, architecture) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let mut platform = Platform::new(os, architecture);
        if let Some(variant) = parts.next() {
            platform = platform.with_variant(variant);
        }
        request = request.with_native(platform, file);
    }
    for (name, value) in &publish.annotation {
        request = request.with_annotation(name, value);
    }
    let host = session::host(global, output, session::config_or_default(global)?)?;
    let published = host.publish(&request).await?;
    let sign = format!(
        "cosign sign {}@{}",
        published.reference.repository(),
        published.digest
    );
    let mut rows = vec![
        ("published".to_owned(), published.destination.clone()),
        ("digest".to_owned(), published.digest.to_string()),
        (
            "size".to_owned(),
            format!(
                "{} bytes in {} manifests",
                published.size,
                published.manifests.len()
            ),
        ),
    ];
    if publish.reference.starts_with("oci-layout://") {
        rows.push((
            "next".to_owned(),
            "copy it to a registry, and sign it there".to_owned(),
        ));
    } else {
        rows.push(("sign it".to_owned(), sign.clone()));
    }
    output.result(
        &json!({ "published": published, "sign": sign }),
        &output::table(&rows),
    );
    Ok(())
}

/// The time that reproducible builds agree on; 1970 where none is given.
fn source_date_epoch() -> Result<u64, Failure> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(0),
        Ok(text) => text.trim().parse().map_err(|_| {
            Failure::Usage("SOURCE_DATE_EPOCH must be a number of seconds since 1970".to_owned())
        }),
    }
}
