//! Makes what talks to the outside from the config: registries, trust, downloads.

use std::path::Path;
use std::sync::Arc;

use qmt_oci_ref::{Descriptor, Digest, MediaType, Reference, Tag};
use qmt_registry::Registry;

use crate::config::ByteSize;
use crate::error::Error;
use crate::host::PluginHost;
use crate::local;
use crate::obtain::Obtained;
use crate::source::PluginSource;
use crate::stage::load::{self, Code, Content, Standing};
use crate::target::Target;

/// Largest Wasm module that is fetched from a URL, in bytes, where the config says nothing.
const URL_MAX_BYTES: u64 = 64 << 20;

/// Returns the registry for `source`, the name to ask it for, and whether it is on this disk.
pub(crate) fn registry_for(
    host: &PluginHost,
    target: &Target,
    source: &PluginSource,
) -> Result<(Arc<dyn Registry>, Reference, bool), Error> {
    match source {
        PluginSource::Registry(reference) => {
            let registry = match &host.registry {
                Some(registry) => Arc::clone(registry),
                None => http(host, target)?,
            };
            Ok((registry, reference.clone(), false))
        }
        PluginSource::Layout { path, tag, digest } => {
            let (registry, reference) = layout(target, path, tag.as_ref(), digest.as_ref())?;
            Ok((registry, reference, true))
        }
        PluginSource::File(_) | PluginSource::Url { .. } => Err(Error::Unsupported {
            plugin: target.name().to_owned(),
            what: "signatures of files",
        }),
    }
}

#[cfg(feature = "layout")]
fn layout(
    target: &Target,
    path: &Path,
    tag: Option<&Tag>,
    digest: Option<&Digest>,
) -> Result<(Arc<dyn Registry>, Reference), Error> {
    let opened = qmt_registry::OciLayout::open(path).map_err(|source| Error::Registry {
        plugin: target.name().to_owned(),
        reference: target.source().to_string(),
        doing: "opening",
        source,
    })?;
    let reference = opened.reference(tag, digest);
    Ok((Arc::new(opened), reference))
}

#[cfg(not(feature = "layout"))]
fn layout(
    target: &Target,
    _: &Path,
    _: Option<&Tag>,
    _: Option<&Digest>,
) -> Result<(Arc<dyn Registry>, Reference), Error> {
    let what = "OCI layouts (feature `layout`)";
    Err(Error::Unsupported {
        plugin: target.name().to_owned(),
        what,
    })
}

#[cfg(feature = "http")]
fn http(host: &PluginHost, target: &Target) -> Result<Arc<dyn Registry>, Error> {
    Ok(Arc::new(host.http_client().map_err(|source| {
        Error::Registry {
            plugin: target.name().to_owned(),
            reference: target.source().to_string(),
            doing: "setting up the connection to",
            source,
        }
    })?))
}

#[cfg(not(feature = "http"))]
fn http(_: &PluginHost, target: &Target) -> Result<Arc<dyn Registry>, Error> {
    Err(unsupported_http(target))
}

#[cfg(not(feature = "http"))]
fn unsupported_http(target: &Target) -> Error {
    let what = "registries over HTTP (feature `http`)";
    Error::Unsupported {
        plugin: target.name().to_owned(),
        what,
    }
}

/// Fetches a module from a URL, unless the cache holds it. Its digest stands in the config, so the
/// operator vouches for it.
pub(crate) async fn url_plugin(
    host: &PluginHost,
    target: &Target,
    url: &str,
    sha256: &Digest,
) -> Result<Obtained, Error> {
    use qmt_cache::Cache as _;
    let plugin = || target.name().to_owned();
    let cache_error = |source| Error::Cache {
        plugin: plugin(),
        source,
    };
    let limit = host
        .config()
        .oci
        .max_artifact_size
        .map_or(URL_MAX_BYTES, ByteSize::bytes);
    let kept = host.cache.bytes(sha256, limit).await.map_err(cache_error)?;
    let bytes = if let Some(bytes) = kept {
        bytes
    } else {
        host.forbid_network(target, "the module")?;
        let bytes = download(host, target, url, limit).await?;
        let blob = Descriptor::of(MediaType::new("application/wasm"), &bytes);
        if blob.digest() != sha256 {
            return Err(Error::Registry {
                plugin: plugin(),
                reference: target.source().to_string(),
                doing: "fetching",
                source: qmt_registry::RegistryError::DigestMismatch {
                    expected: sha256.clone(),
                    actual: blob.digest().clone(),
                },
            });
        }
        host.cache
            .put_bytes(&blob, bytes.clone())
            .await
            .map_err(cache_error)?;
        bytes
    };
    let path = std::path::PathBuf::from(target.source().to_string());
    let kind = local::kind_of(&bytes, &host.platform).map_err(|problem| Error::NotAPlugin {
        plugin: plugin(),
        path: path.clone(),
        problem,
    })?;
    load::permit(target.provider(), kind, None, Standing::OwnFile)?;
    Ok(Obtained {
        kind,
        path,
        content: Content::Read(Code::hash(bytes)),
        image: None,
    })
}

#[cfg(feature = "http")]
async fn download(
    host: &PluginHost,
    target: &Target,
    url: &str,
    limit: u64,
) -> Result<bytes::Bytes, Error> {
    let error = |source| Error::Registry {
        plugin: target.name().to_owned(),
        reference: target.source().to_string(),
        doing: "fetching",
        source,
    };
    host.http_client()
        .map_err(error)?
        .download(url, limit)
        .await
        .map_err(error)
}

#[cfg(not(feature = "http"))]
async fn download(_: &PluginHost, target: &Target, _: &str, _: u64) -> Result<bytes::Bytes, Error> {
    Err(unsupported_http(target))
}
