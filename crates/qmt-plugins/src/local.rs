//! Plugins that are files of the operator's own.

use std::path::Path;

use bytes::Bytes;
use qmt_artifact::{HostPlatform, PluginKind, Sniffed, sniff};

use crate::error::Error;
use crate::stage::load::Code;

/// Largest file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 512 << 20;

/// Reads and hashes the file, and tells its kind by its content.
pub(crate) async fn read(
    plugin: &str,
    path: &Path,
    platform: &HostPlatform,
) -> Result<(PluginKind, Code), Error> {
    let fail = |source| Error::File {
        plugin: plugin.to_owned(),
        path: path.to_owned(),
        source,
    };
    let length = tokio::fs::metadata(path).await.map_err(fail)?.len();
    if length > FILE_MAX_BYTES {
        let problem = format!("has {length} bytes, at most {FILE_MAX_BYTES} are read");
        return Err(Error::NotAPlugin {
            plugin: plugin.to_owned(),
            path: path.to_owned(),
            problem,
        });
    }
    let bytes = Bytes::from(tokio::fs::read(path).await.map_err(fail)?);
    let kind = kind_of(&bytes, platform).map_err(|problem| Error::NotAPlugin {
        plugin: plugin.to_owned(),
        path: path.to_owned(),
        problem,
    })?;
    Ok((kind, Code::hash(bytes)))
}

/// Tells the kind of a plugin by its content, or what is wrong with it.
pub(crate) fn kind_of(bytes: &[u8], platform: &HostPlatform) -> Result<PluginKind, String> {
    match sniff(bytes) {
        Some(Sniffed::WasmModule) => Ok(PluginKind::Wasm),
        // Whether it is for this host is the loader's preflight to say.
        Some(Sniffed::Native { .. }) => Ok(PluginKind::Native),
        Some(Sniffed::WasmComponent) => {
            Err("is a Wasm component; Extism runs core modules".to_owned())
        }
        _ => Err(format!(
            "is neither a Wasm module nor a shared library for {platform}"
        )),
    }
}
