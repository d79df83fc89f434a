//! How paths are written in the config: `~` is the home folder, and `file://` URLs are paths.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use qmt_oci_ref::text;
use qmt_storage::files::has_shell_variable;

use super::{Config, ConfigError};
use crate::source::LAYOUT;

/// The value of `trusted_root` that is not a path.
pub(crate) const EMBEDDED: &str = "embedded";
/// The mark of a read-only folder in `allow.paths`.
const READ_ONLY: &str = "ro:";
const FILE: &str = "file:";

/// Expands every path of the config except for `providers[].path`, which stays as it is written,
/// because the lockfile records it.
///
/// # Errors
///
/// [`ConfigError::Contradiction`] with the key.
pub(super) fn expand_all(file: &Path, config: &mut Config) -> Result<(), ConfigError> {
    let refuse = |key: String, rule| ConfigError::contradiction(file, key, rule);
    for (key, path) in trust_paths(config) {
        *path = expand(path).map_err(|rule| refuse(key, rule))?;
    }
    let expanded = |key: String, text: &str| match expand(Path::new(text)) {
        Ok(path) => Ok(path.display().to_string()),
        Err(rule) => Err(refuse(key, rule)),
    };
    for (index, policy) in config.oci.policy.iter_mut().enumerate() {
        let path = policy.scope.strip_prefix(LAYOUT);
        if let Some(path) = path.filter(|path| *path != "**") {
            let path = expanded(format!("oci.policy[{index}].scope"), path)?;
            policy.scope = format!("{LAYOUT}{path}");
        }
    }
    if let Some(folder) = &mut config.oci.cache_dir {
        *folder = expand(folder).map_err(|rule| refuse("oci.cache_dir".into(), rule))?;
    }
    let root = config.oci.trusted_root.as_mut();
    if let Some(root) = root.filter(|root| *root != EMBEDDED) {
        *root = expanded("oci.trusted_root".into(), root)?;
    }
    for (index, provider) in config.providers.iter_mut().enumerate() {
        for (written, guest) in std::mem::take(&mut provider.allow.paths) {
            let (mark, host) = match written.strip_prefix(READ_ONLY) {
                Some(host) => (READ_ONLY, host),
                None => ("", &*written),
            };
            let key = format!("providers[{index}].allow.paths.{written:?}");
            let host = expanded(key, host)?;
            provider.allow.paths.insert(format!("{mark}{host}"), guest);
        }
    }
    Ok(())
}

/// Lists the files that decide about trust, including those that only TLS uses.
pub(crate) fn trust_files(config: &Config) -> BTreeSet<PathBuf> {
    let root = config.oci.trusted_root.as_deref();
    let root = root.filter(|root| *root != EMBEDDED).map(PathBuf::from);
    let mut config = config.clone();
    let paths = trust_paths(&mut config).into_iter();
    paths.map(|(_, path)| path.clone()).chain(root).collect()
}

fn trust_paths(config: &mut Config) -> Vec<(String, &mut PathBuf)> {
    let mut paths = Vec::new();
    let oci = &mut config.oci;
    for (key, files) in [
        ("oci.rekor_pub_keys", &mut oci.rekor_pub_keys),
        ("oci.fulcio_certs", &mut oci.fulcio_certs),
        ("oci.ctfe_keys", &mut oci.ctfe_keys),
        ("oci.tsa_certs", &mut oci.tsa_certs),
        ("oci.public_keys", &mut oci.public_keys),
    ] {
        let files = files.as_mut_slice().iter_mut();
        paths.extend(files.map(|path| (key.to_owned(), path)));
    }
    let mut optional = |key: String, path| {
        if let Some(path) = path {
            paths.push((key, path));
        }
    };
    optional("oci.tuf_root".to_owned(), oci.tuf_root.as_mut());
    for (index, policy) in oci.policy.iter_mut().enumerate() {
        for (place, authority) in policy.any_of.iter_mut().enumerate() {
            let key = format!("oci.policy[{index}].any_of[{place}].key");
            optional(key, authority.key.as_mut());
        }
    }
    for (name, registry) in &mut config.registries {
        for (field, path) in [
            ("ca_file", &mut registry.ca_file),
            ("client_cert", &mut registry.client_cert),
            ("client_key", &mut registry.client_key),
        ] {
            optional(format!("registries.{name:?}.{field}"), path.as_mut());
        }
    }
    paths
}

/// Returns `path` below `folder`, without the `./` that it may begin with. The rest stays as it is
/// written, so that the password in a URL is still recognised where the path is shown.
pub(crate) fn join(folder: &Path, path: &Path) -> PathBuf {
    let below = path.strip_prefix(".").ok();
    let below = below.filter(|_| !folder.as_os_str().is_empty());
    folder.join(below.unwrap_or(path))
}

/// Turns a path as users write it into one for the operating system: `~/…` is in the home folder, and
/// `file:` URLs are paths. It can still be relative.
///
/// # Errors
///
/// The rule that the path breaks.
pub fn expand(path: &Path) -> Result<PathBuf, &'static str> {
    if text::is_key_material(&path.to_string_lossy()) {
        return Err("it is the content of a file; write that to a file, and name the file here");
    }
    // What is not Unicode was not written in a config.
    let Some(text) = path.to_str() else {
        return Ok(path.to_owned());
    };
    let path = if is_file_url(text) {
        from_url(text)
    } else {
        path.to_owned()
    };
    if path.as_os_str().is_empty() {
        return Err("the path is empty; name a file or folder, or remove the setting");
    }
    if has_shell_variable(&path) {
        return Err(
            "environment variables are not replaced in paths; write out the absolute path, or \
                    `~/…` for the home folder",
        );
    }
    home_relative(&path)
}

/// Reports whether the text is a `file:` URL, such as `file:///x` or `file:/x`.
pub(crate) fn is_file_url(text: &str) -> bool {
    let (scheme, rest) = text.split_at_checked(FILE.len()).unwrap_or_default();
    scheme.eq_ignore_ascii_case(FILE) && rest.starts_with('/')
}

fn from_url(text: &str) -> PathBuf {
    let url = url::Url::parse(text).ok();
    // In a path that is written by hand, `?` and `#` of a file name are not escaped.
    let url = url.filter(|url| url.query().is_none() && url.fragment().is_none());
    if let Some(path) = url.and_then(|url| url.to_file_path().ok()) {
        return path;
    }
    // `file://relative/path` names a host by the letter of the standard, and a path by intent.
    let rest = text.get(FILE.len()..).unwrap_or_default();
    PathBuf::from(rest.strip_prefix("//").unwrap_or(rest))
}

fn home_relative(path: &Path) -> Result<PathBuf, &'static str> {
    let mut parts = path.components();
    let first = parts.next().and_then(|part| part.as_os_str().to_str());
    let Some(user) = first.and_then(|first| first.strip_prefix('~')) else {
        return Ok(path.to_owned());
    };
    let rest = parts.as_path();
    if !user.is_empty() {
        // A file name may begin with `~`; a folder of that name is more likely a user's home.
        return if rest.as_os_str().is_empty() {
            Ok(path.to_owned())
        } else {
            Err("the home folder of another user is not looked up; write an absolute path")
        };
    }
    match directories::BaseDirs::new() {
        Some(folders) => Ok(folders.home_dir().join(rest)),
        None => Err("`~` is the home folder, and this user has none; write an absolute path"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_people_write_them() {
        let home = directories::BaseDirs::new().unwrap().home_dir().to_owned();
        for (written, path) in [
            ("keys/a.pub", PathBuf::from("keys/a.pub")),
            ("~", home.clone()),
            ("~/", home.clone()),
            ("~/a.pub", home.join("a.pub")),
            ("file://~/a.pub", home.join("a.pub")),
            ("~backup.pub", PathBuf::from("~backup.pub")),
            ("a/~/b", PathBuf::from("a/~/b")),
            ("a$b", PathBuf::from("a$b")),
            ("100%/a", PathBuf::from("100%/a")),
            ("$", PathBuf::from("$")),
            ("file.pub", PathBuf::from("file.pub")),
            ("file:x", PathBuf::from("file:x")),
            ("file:///etc/a.pub", PathBuf::from("/etc/a.pub")),
            ("FILE:///etc/a.pub", PathBuf::from("/etc/a.pub")),
            ("file:/etc/a.pub", PathBuf::from("/etc/a.pub")),
            ("file://localhost/etc/a.pub", PathBuf::from("/etc/a.pub")),
            ("file:///etc/a%20b.pub", PathBuf::from("/etc/a b.pub")),
            ("file:///etc/a#b.pub", PathBuf::from("/etc/a#b.pub")),
            ("file://keys/a.pub", PathBuf::from("keys/a.pub")),
        ] {
            assert_eq!(expand(Path::new(written)), Ok(path), "{written}");
        }
    }

    /// It would be the folder of the config.
    #[test]
    fn an_empty_path_is_refused() {
        for (key, text) in [
            ("oci.cache_dir", "oci.cache_dir = \"\""),
            ("oci.public_keys", "oci.public_keys = [\"a.pub\", \"\"]"),
            (
                "registries.\"a.example:5000\".ca_file",
                "registries.\"a.example:5000\".ca_file = \"\"",
            ),
        ] {
            let mut config: Config = toml::from_str(text).unwrap();
            let error = expand_all(Path::new("plugins.toml"), &mut config);
            let text = error.unwrap_err().to_string();
            let start = format!("plugins.toml: `{key}`: the path is empty");
            assert!(text.starts_with(&start), "{text}");
        }
    }

    #[test]
    fn a_folder_of_its_own_is_named_once() {
        for (folder, path, joined) in [
            (".", "./k.pub", "./k.pub"),
            (".", "k.pub", "./k.pub"),
            ("", "./k.pub", "./k.pub"),
            ("conf", "./k.pub", "conf/k.pub"),
            ("/etc", "./a/k.pub", "/etc/a/k.pub"),
            (".", "https://u:pw@m/x", "./https://u:pw@m/x"),
            ("/etc", "../k.pub", "/etc/../k.pub"),
            (".", "/k.pub", "/k.pub"),
        ] {
            assert_eq!(
                join(Path::new(folder), Path::new(path))
                    .display()
                    .to_string(),
                joined
            );
        }
    }

    #[test]
    fn scopes_of_layouts_are_paths() {
        let home = directories::BaseDirs::new().unwrap().home_dir().to_owned();
        let home = format!("oci-layout://{}", home.display());
        let scope = |written: &str| {
            let mut config = Config::default();
            let policy = crate::config::PolicyConfig::new(written, Vec::new());
            config.oci.policy.push(policy);
            let expanded = expand_all(Path::new("plugins.toml"), &mut config);
            expanded.map(|()| config.oci.policy.remove(0).scope)
        };
        for (written, expanded) in [
            ("oci-layout://~/pl/**", format!("{home}/pl/**")),
            (
                "oci-layout://file:///srv/*",
                "oci-layout:///srv/*".to_owned(),
            ),
            ("oci-layout://srv/**", "oci-layout://srv/**".to_owned()),
            ("oci-layout://**", "oci-layout://**".to_owned()),
            ("ghcr.io/~/x", "ghcr.io/~/x".to_owned()),
        ] {
            assert_eq!(scope(written).unwrap(), expanded, "{written}");
        }
        let error = scope("oci-layout://$HOME/**").unwrap_err().to_string();
        assert!(error.contains("oci.policy[0].scope"), "{error}");
    }

    #[test]
    fn what_only_a_shell_replaces_is_refused() {
        for written in [
            "$HOME/a",
            "${HOME}/a",
            "a/$XDG_CACHE_HOME/b",
            "x${SUFFIX}",
            "$(pwd)/a",
            "%APPDATA%/a",
            "file://$HOME/a",
            "~alice/a",
        ] {
            assert!(expand(Path::new(written)).is_err(), "{written}");
        }
    }

    #[test]
    fn a_folder_may_be_called_as_a_variable_is() {
        let folder = tempfile::tempdir().unwrap();
        let (named, absent) = (folder.path().join("$HOME"), folder.path().join("$USER"));
        std::fs::create_dir(&named).unwrap();
        for path in [named.clone(), named.join("new/file")] {
            assert_eq!(expand(&path), Ok(path.clone()), "{path:?}");
        }
        let relative = PathBuf::from("$HOME");
        for path in [
            absent.clone(),
            absent.join("x"),
            named.join("$USER"),
            relative,
        ] {
            let rule = expand(&path).unwrap_err();
            assert!(rule.contains("environment variables"), "{path:?}: {rule}");
        }
    }
}
