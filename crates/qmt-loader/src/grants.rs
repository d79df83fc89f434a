//! Rights that Wasm and isolated native plugins are granted in the same way: folders and variables.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::limits::LoadOptions;

/// The mark of a folder that can only be read.
const READ_ONLY: &str = "ro:";

/// What follows a colon in the paths of `docker run --volume`.
const DOCKER_OPTIONS: [&str; 15] = [
    "ro",
    "rw",
    "z",
    "Z",
    "U",
    "O",
    "nocopy",
    "cached",
    "delegated",
    "consistent",
    "shared",
    "slave",
    "private",
    "rslave",
    "rprivate",
];

/// The rule that a grant breaks, and the error of the operating system if there is one.
pub(crate) type Refused = (&'static str, Option<io::Error>);

/// Resolves a host folder, so that a link that changes later has no effect. Returns whether it can
/// only be read, and its path.
pub(crate) fn host_folder(host: &Path) -> Result<(bool, PathBuf), Refused> {
    let (read_only, host) = without_mark(host);
    if !host.is_absolute() {
        return Err(("the host folder must be an absolute path", None));
    }
    let host = std::fs::canonicalize(host).map_err(|error| {
        let rule = if has_docker_options(host) {
            "the host folder must exist, without an option at its end; `ro:` before it makes it \
             read-only: `\"ro:/srv/data\" = \"/data\"`"
        } else {
            "the host folder must exist"
        };
        (rule, Some(error))
    })?;
    if !host.is_dir() {
        return Err(("the host path must be a folder", None));
    }
    Ok((read_only, host))
}

/// Returns whether a host path has the mark of a folder that can only be read, and the path without
/// the mark.
pub(crate) fn without_mark(host: &Path) -> (bool, &Path) {
    match host.to_str().and_then(|host| host.strip_prefix(READ_ONLY)) {
        Some(host) => (true, Path::new(host)),
        None => (false, host),
    }
}

fn has_docker_options(host: &Path) -> bool {
    let options = host.to_str().and_then(|host| host.rsplit_once(':'));
    options.is_some_and(|(_, options)| {
        let mut options = options.split(',');
        options.all(|option| DOCKER_OPTIONS.contains(&option))
    })
}

/// Returns the name under which a Wasm plugin sees a folder. What could be meant as a mode, as in
/// `/data:ro` or `ro`, is refused, because it would not make the folder read-only.
#[cfg(feature = "wasm")]
pub(crate) fn guest_folder(guest: &Path) -> Result<&str, Refused> {
    let guest = guest.to_str().filter(|guest| !guest.is_empty());
    let guest = guest.ok_or(("the plugin's folder must be UTF-8 and not empty", None))?;
    if guest.contains(':') || ["ro", "rw"].contains(&guest) {
        let rule = "the plugin's folder is a path without `:`, and neither `ro` nor `rw`; `ro:` before \
                    the host's folder makes it read-only: `\"ro:/srv/data\" = \"/data\"`";
        return Err((rule, None));
    }
    Ok(guest)
}

/// What is wrong with a folder that [`writable_as_well`] returns.
pub(crate) const WRITABLE_AS_WELL: &str = "it is read-only, and lies in a folder that is granted for writing; \
     grant that one read-only as well, or folders that do not contain each other";

/// Returns the first of the folders `read_only` that lies in one of the folders `writable`, through which
/// a plugin could change it. All are resolved.
pub(crate) fn writable_as_well<'a>(
    read_only: impl IntoIterator<Item = &'a PathBuf>,
    writable: &[&PathBuf],
) -> Option<&'a PathBuf> {
    let is_within = |folder: &PathBuf| writable.iter().any(|other| folder.starts_with(other));
    read_only.into_iter().find(|folder| is_within(folder))
}

/// Returns the configuration with the variables that are granted. An error names the variable.
pub(crate) fn config(
    options: &LoadOptions,
) -> Result<BTreeMap<String, String>, (&str, &'static str)> {
    let mut config = options.config.clone();
    for name in &options.allow.env {
        if name.is_empty() || name.contains(['=', '\0', '*', '$', '{']) {
            let rule = "environment variables are granted one by one, by their exact names, such as \
                        `MY_KEY`";
            return Err((name, rule));
        }
        // A variable that is not Unicode cannot be a configuration value, and is left out, as one
        // that is not set.
        if let Ok(value) = std::env::var(name) {
            config.entry(name.clone()).or_insert(value);
        }
    }
    Ok(config)
}
