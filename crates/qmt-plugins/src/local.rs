//! Plugins that are local files.

use std::io;
use std::path::Path;

use bytes::Bytes;
use qmt_artifact::sniff;
use qmt_oci_ref::{PluginKind, Tag};
use qmt_storage::files::{open_regular, read_at_most};
use qmt_storage::{Layout, LayoutIndex};

use crate::caching::blocking;
use crate::config::ProviderConfig;
use crate::config::writers::{self, Writers};
use crate::error::Error;
use crate::host::PluginHost;
use crate::stage::content::Content;
use crate::stage::load;

/// Largest file that is read, in bytes, unless the limit of libraries is above it.
const FILE_MAX_BYTES: u64 = 512 << 20;

/// A plugin that was read from a local file.
pub(crate) struct LocalPlugin {
    /// By the content.
    pub(crate) kind: PluginKind,
    pub(crate) content: Content,
    /// The warning that other users may change native code.
    pub(crate) warning: Option<String>,
}

/// Reads and hashes the file, and identifies its kind by its content.
pub(crate) async fn read(
    host: &PluginHost,
    provider: &ProviderConfig,
    path: &Path,
) -> Result<LocalPlugin, Error> {
    let plugin = &provider.name;
    let limits = load::options(provider, &host.defaults).limits;
    let limit = limits.library_max.max(FILE_MAX_BYTES);
    let fail = |source| Error::File {
        plugin: plugin.clone(),
        path: path.to_owned(),
        source,
    };
    let refuse = |problem: String| Error::not_a_plugin(plugin, path, problem);
    if path.is_dir() {
        let problem = saved_image(provider, path);
        let problem = problem.unwrap_or_else(|| "is a folder; it must be a file".to_owned());
        return Err(refuse(problem));
    }
    let opened = path.to_owned();
    let read = blocking(move || -> io::Result<_> {
        let file = open_regular(&opened)?;
        let metadata = file.metadata()?;
        Ok(read_at_most(file, limit)?.map(|bytes| {
            let kind = sniff::kind_of(&bytes);
            (metadata, kind, Content::hash(Bytes::from(bytes)))
        }))
    });
    let Some((metadata, kind, content)) = read.await.map_err(fail)? else {
        return Err(refuse(format!("has more than {limit} bytes")));
    };
    let kind = kind.map_err(|problem| {
        refuse(saved_image(provider, path).unwrap_or_else(|| problem.to_string()))
    })?;
    let writers = match kind {
        PluginKind::Native => writers::writers(path, &metadata),
        PluginKind::Wasm => Writers::None,
    };
    let warning = match writers {
        Writers::None => None,
        Writers::Some(reason) => Some(format!(
            "{} is native code, and other users may change it: {reason}",
            path.display()
        )),
        Writers::Everyone => {
            let problem = "is native code that every user can change; run `chmod o-w` on it";
            return Err(refuse(problem.to_owned()));
        }
    };
    Ok(LocalPlugin {
        kind,
        content,
        warning,
    })
}

/// Reports that an image was saved at `path`, and how it is used.
pub(crate) fn saved_image(provider: &ProviderConfig, path: &Path) -> Option<String> {
    let index = match Layout::open(path).and_then(|layout| layout.index()) {
        Ok(index) => index,
        // One that is damaged.
        Err(_) if path.join("oci-layout").exists() => LayoutIndex::default(),
        Err(_) => {
            let rule = Layout::other_form(path)?;
            return Some(format!("can't be used: {rule}"));
        }
    };
    let names = index.images().iter().filter_map(LayoutIndex::name_of);
    let mut tags = names.filter(|name| name.parse::<Tag>().is_ok());
    let (tag, written) = (tags.next().unwrap_or("TAG"), &provider.path);
    Some(format!(
        "is an image layout; did you mean `oci-layout://{written}:{tag}`?"
    ))
}
