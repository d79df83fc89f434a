//! The arguments of `cache`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Subcommand};
use qmt_plugins::PluginSource;
use qmt_plugins::config::Span;
use qmt_plugins::oci_ref::{Platform, text};

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Lists the plugins in the cache.
    List,
    /// Hashes everything in the cache, and removes what is damaged.
    Verify,
    /// Evicts plugins: those beyond `cache_max_size` of the config, and those that the options
    /// name.
    ///
    /// Plugins in the lockfile of the config stay, because the next start needs them, and so do
    /// those that a process has open. The output lists what stays, with the reason. Blobs that no
    /// plugin requires are removed after an hour, interrupted downloads after a day.
    Prune(Prune),
    /// Writes plugins with their signatures into an OCI image layout.
    Export(Export),
    /// Adds the images of an exported OCI image layout, with their signatures.
    Import {
        /// The layout, a folder or a `.tar` file.
        #[arg(value_parser = layout())]
        layout: PathBuf,
        /// Also locks the plugins of the config to the imported images, as `update` does where there is a
        /// network.
        #[arg(long)]
        update: bool,
    },
    /// Prints the path of the cache.
    Path,
}

/// What `cache prune` evicts in addition.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Prune {
    /// Evicts plugins that were not used for this long, such as `30d` or `12h`.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) older_than: Option<Duration>,
    /// Evicts every plugin that is neither in the lockfile nor in use.
    #[arg(long, conflicts_with = "older_than")]
    pub(crate) all: bool,
}

/// What `cache export` writes.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The layout: a new folder, or a file whose name ends in `.tar`.
    #[arg(value_parser = layout())]
    pub(crate) layout: PathBuf,
    /// A platform to export; can be repeated, or be a list with commas. Default: this machine's.
    #[arg(
        long,
        value_name = "OS/ARCH[/VARIANT]",
        value_delimiter = ',',
        value_parser = super::platform::platform
    )]
    pub(crate) platform: Vec<Platform>,
    /// Names of plugins in the config. Default: all of them that are images.
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// Parses the path of a layout, with or without `oci-layout://` or `file://`.
fn layout() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| layout_path(&path))
}

fn layout_path(path: &Path) -> Result<PathBuf, String> {
    // `-` is a stream for other programs, and a layout is a folder or file.
    if path == Path::new("-") {
        let rule = "a layout can't be written to or read from a pipe; name a file that ends in `.tar`, \
                    or write `./-` for a folder of this name";
        return Err(rule.to_owned());
    }
    let source = match path.to_str() {
        Some(text) if text.contains(':') && !path.exists() => {
            PluginSource::parse(text, None).map_err(|error| text::messages(&error).join(": "))?
        }
        Some(_) | None => PluginSource::File(path.to_owned()),
    };
    if let PluginSource::Layout { path: named, .. } = &source
        && path != Path::new(&format!("oci-layout://{}", named.display()))
    {
        return Err(format!(
            "name the layout without tag and digest: `oci-layout://{}`",
            named.display()
        ));
    }
    // The shell does not replace `~` in quotes or behind a scheme.
    match source.relative_to(Path::new("")) {
        PluginSource::Layout { path, .. } | PluginSource::File(path) => Ok(path),
        _ => Err(
            "an image in a registry is not a layout; name a folder, or a file that ends in \
                  `.tar`"
                .to_owned(),
        ),
    }
}

fn age(text: &str) -> Result<Duration, String> {
    let text = serde_json::Value::from(text);
    let age = serde_json::from_value::<Span>(text);
    age.map(Span::duration)
        .map_err(|_| "expected an age such as 30d, 12h or 1h30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_named_by_its_path_or_as_in_the_config() {
        let home = |name: &str| PluginSource::File(format!("~/{name}").into());
        let PluginSource::File(home) = home("o.tar").relative_to(Path::new("")) else {
            return;
        };
        for (text, path) in [
            ("o.tar", Path::new("o.tar")),
            ("oci/o.tar", Path::new("oci/o.tar")),
            ("oci-layout://o.tar", Path::new("o.tar")),
            ("oci-layout:///srv/l", Path::new("/srv/l")),
            ("file:///srv/o.tar", Path::new("/srv/o.tar")),
            ("~/o.tar", &home),
            ("oci-layout://~/o.tar", &home),
            ("./x:1", Path::new("./x:1")),
        ] {
            assert_eq!(layout_path(Path::new(text)).as_deref(), Ok(path), "{text}");
        }
        for (text, words) in [
            ("oci-layout://out:v1", "`oci-layout://out`"),
            ("oci-layout://v1:v1", "`oci-layout://v1`"),
            ("oci-archive:o.tar", "`oci-layout://o.tar`"),
            ("oci://ghcr.io/a/b:1", "not a layout"),
            ("s3://bucket/o.tar", "not supported"),
            ("-", "`./-`"),
        ] {
            let error = layout_path(Path::new(text)).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn an_age_has_a_unit() {
        assert_eq!(age("30d"), Ok(Duration::from_hours(30 * 24)));
        for bad in ["30", "d", "-1d", ""] {
            assert!(age(bad).unwrap_err().contains("30d"), "{bad}");
        }
    }
}
