//! Plugins that are local files.

use std::path::Path;

use bytes::Bytes;
use qmt_artifact::sniff;
use qmt_oci_ref::PluginKind;
use tokio::io::AsyncReadExt as _;

use crate::config::ProviderConfig;
use crate::error::Error;
use crate::host::PluginHost;
use crate::stage::load::{self, Content};

/// Largest file that is read, in bytes, unless the limit of libraries is above it.
const FILE_MAX_BYTES: u64 = 512 << 20;

/// Reads and hashes the file, and identifies its kind by its content.
pub(crate) async fn read(
    host: &PluginHost,
    provider: &ProviderConfig,
    path: &Path,
) -> Result<(PluginKind, Content), Error> {
    let plugin = &provider.name;
    let limits = load::options(provider, &host.defaults).limits;
    let limit = limits.library_max.max(FILE_MAX_BYTES);
    let fail = |source| Error::File {
        plugin: plugin.clone(),
        path: path.to_owned(),
        source,
    };
    let file = qmt_storage::files::open_regular(path).map_err(fail)?;
    let mut file = tokio::fs::File::from_std(file);
    let length = file.metadata().await.map_err(fail)?.len();
    if length > limit {
        let problem = format!("has {length} bytes; the limit is {limit}");
        return Err(Error::NotAPlugin {
            plugin: plugin.clone(),
            path: path.to_owned(),
            problem,
        });
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).await.map_err(fail)?;
    let bytes = Bytes::from(bytes);
    let kind = sniff::kind_of(&bytes).map_err(|problem| Error::NotAPlugin {
        plugin: plugin.clone(),
        path: path.to_owned(),
        problem: problem.to_string(),
    })?;
    Ok((kind, Content::hash(bytes)))
}
