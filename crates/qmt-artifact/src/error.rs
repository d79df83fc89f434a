//! Why an image cannot be used, or files cannot be packed into one.

use std::io;
use std::path::PathBuf;

use qmt_oci_ref::manifest::ManifestError;
use qmt_oci_ref::text::counted;
use qmt_oci_ref::{Digest, PluginKind, RegistryError, text};

use crate::problem::{ContentProblem, LayerProblem, Limit, PackProblem};

/// Why an image cannot be used, or files cannot be packed into one. Text from an image is cut and
/// escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// A manifest or index is malformed, ambiguous or above a limit.
    #[error("the manifest `{digest}` cannot be used")]
    Manifest {
        /// The manifest or index.
        digest: Digest,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// An image config is not strict JSON of its form.
    #[error("the image config `{digest}` cannot be read")]
    Config {
        /// The config.
        digest: Digest,
        /// The error of the JSON parser.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry returned other content than the descriptor names.
    #[error("{}", mismatch(expected, *size, actual, *length))]
    DigestMismatch {
        /// The digest that the descriptor names.
        expected: Digest,
        /// The size that the descriptor names, in bytes.
        size: u64,
        /// The digest of the content.
        actual: Digest,
        /// The size of the content, in bytes.
        length: u64,
    },
    /// A limit is exceeded.
    #[error("{what}: {found}, at most {limit} are allowed")]
    LimitExceeded {
        /// What is limited.
        what: Limit,
        /// The limit in force.
        limit: u64,
        /// What was found, or where reading stopped.
        found: u64,
    },
    /// No entry of the index, or not the one manifest, is for the host.
    #[error(
        "no manifest for {host}{} (available: {}){}",
        kind.map_or_else(|| " and no Wasm".to_owned(), |kind| format!(" as kind `{kind}`")),
        list(available), entries_unreadable(*unreadable)
    )]
    NoMatch {
        /// The host's platform.
        host: String,
        /// The kind that the config allows, if it allows only one.
        kind: Option<PluginKind>,
        /// The platforms that the image is for; at most 32.
        available: Vec<String>,
        /// How many entries of the index are no usable descriptors.
        unreadable: usize,
    },
    /// The index lists no image at all.
    #[error(
        "the index `{digest}` lists {}{}",
        no_image(*attestations, *unmarked), entries_unreadable(*unreadable)
    )]
    NoImage {
        /// The index.
        digest: Digest,
        /// How many of its entries are attestations, or have the platform of attestations.
        attestations: usize,
        /// How many of these have only that platform, `unknown/unknown`.
        unmarked: usize,
        /// How many entries are no usable descriptors.
        unreadable: usize,
    },
    /// The image is of another kind than the config allows.
    #[error("the config allows `kind = \"{allowed}\"` only, but `{digest}` is {found}: {because}")]
    KindNotAllowed {
        /// The manifest.
        digest: Digest,
        /// The kind that the config allows.
        allowed: PluginKind,
        /// The kind of the image.
        found: PluginKind,
        /// How the kind was found.
        because: &'static str,
    },
    /// The image contradicts itself about its kind.
    #[error("the annotation of `{digest}` says {annotation}, but {because}")]
    Contradiction {
        /// The manifest.
        digest: Digest,
        /// The kind by annotation.
        annotation: PluginKind,
        /// What contradicts it.
        because: &'static str,
    },
    /// The plugin type annotation has an unknown value.
    #[error(
        "`{digest}` has `mt.query.plugin.type = \"{value}\"`; the known values are `extism`, `wasm` and `native`"
    )]
    UnknownPluginType {
        /// The manifest or index entry.
        digest: Digest,
        /// The value.
        value: String,
    },
    /// The manifest has no layer that can hold a plugin.
    #[error(
        "`{digest}` has no layer that can hold a plugin (its layers: {})",
        list(media_types)
    )]
    NoLayer {
        /// The manifest.
        digest: Digest,
        /// The media types of its layers; at most 16.
        media_types: Vec<String>,
    },
    /// The index lists several images, and none has a layer that can hold a plugin.
    #[error("nothing in the index `{digest}` has a layer that can hold a plugin: {}", entries.join(", "))]
    NoPlugin {
        /// The index.
        digest: Digest,
        /// Its entries, with their artifact types; at most 32.
        entries: Vec<String>,
    },
    /// Layers of the manifest are encrypted.
    #[error(
        "`{digest}` has encrypted layers (ocicrypt), which are not supported; publish the plugin \
         without encryption"
    )]
    Encrypted {
        /// The manifest.
        digest: Digest,
    },
    /// The image config lists another number of layers than the manifest.
    #[error("the image config of `{digest}` lists {}, the manifest {layers}", counted(*.diff_ids, "layer"))]
    DiffIdCount {
        /// The manifest.
        digest: Digest,
        /// Entries of `rootfs.diff_ids`.
        diff_ids: usize,
        /// Layers of the manifest.
        layers: usize,
    },
    /// The `file` of the config is not a plain relative path.
    #[error(
        "`file = \"{file}\"` must be the path of a file in the image; its parts are separated by `/`, \
         and none is empty, `.` or `..`"
    )]
    FileName {
        /// The value.
        file: String,
    },
    /// The registry did not return the content.
    #[error("the {what} `{digest}` could not be read")]
    Registry {
        /// `manifest`, `image config` or `layer`.
        what: &'static str,
        /// The content.
        digest: Digest,
        /// The platform for which a manifest of an index was requested: that of its entry if it fits the
        /// host, else that of the host.
        platform: Option<String>,
        /// The error of the registry.
        source: RegistryError,
    },
    /// A layer is malformed, hostile or not what its descriptor says.
    #[error("layer `{layer}` is refused")]
    Layer {
        /// The layer.
        layer: Digest,
        /// What is wrong with it.
        source: LayerProblem,
    },
    /// No layer is or holds the file that was looked for.
    #[error(
        "no layer is or holds {looked_for}{}{}{}{}",
        suggestion("`file = \"…\"` could name", similar),
        suggestion("the layers hold", if similar.is_empty() { others } else { &[] }),
        suggestion("the layers are files, and `file = \"…\"` chooses one", titles),
        note.as_deref().map(|note| format!("; {note}")).unwrap_or_default()
    )]
    NoFile {
        /// What was looked for.
        looked_for: String,
        /// Files in the layers that look like plugins; at most 16.
        similar: Vec<String>,
        /// The first other files in the layers; at most 4.
        others: Vec<String>,
        /// Titles of layers that are files and not archives; at most 16.
        titles: Vec<String>,
        /// Why this image was read at all, where it was a last resort.
        note: Option<String>,
    },
    /// Two layers have the title that is looked for.
    #[error("`{digest}` has two layers with the title `{title}`")]
    SameTitle {
        /// The manifest.
        digest: Digest,
        /// The title.
        title: String,
    },
    /// Several files could be the plugin.
    #[error(
        "several files could be the plugin: {}; choose one by `file = \"…\"`",
        list(names)
    )]
    SeveralFiles {
        /// Their names or titles, or digests of layers without one; at most 17.
        names: Vec<String>,
    },
    /// The file's content is not a plugin of the required kind for the host.
    #[error("`{file}` {problem}")]
    Content {
        /// The file.
        file: String,
        /// What the content is instead.
        problem: ContentProblem,
    },
    /// The extracted file could not be written.
    #[error("the extracted file could not be written")]
    Sink {
        /// The error of the operating system.
        source: io::Error,
    },
    /// Downloading and extracting took too long together.
    #[error(
        "downloading and extracting the plugin took more than {seconds} s; try again, the download \
         continues where it stopped"
    )]
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// Extraction ended because its future was dropped, or because it panicked.
    #[error("extraction was aborted")]
    Aborted,
    /// A file to be packed could not be read.
    #[error("`{}` could not be read", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A temporary file, which holds what is packed, could not be written or read.
    #[error(
        "a temporary file could not be written or read; is there free space in the folder that \
         `TMPDIR` names?"
    )]
    TemporaryFile {
        /// The error of the operating system.
        source: io::Error,
    },
    /// The request does not make an image.
    #[error("nothing can be packed: {reason}")]
    Pack {
        /// The rule that was broken.
        reason: PackProblem,
    },
}

/// Returns an error if `found` is above the limit.
pub(crate) fn at_most(what: Limit, limit: u64, found: u64) -> Result<(), ArtifactError> {
    if found > limit {
        return Err(ArtifactError::LimitExceeded { what, limit, found });
    }
    Ok(())
}

/// Escapes a name from an image, and cuts it after 200 characters.
pub(crate) fn escaped(name: &[u8]) -> String {
    text::escape_to(&String::from_utf8_lossy(name), 200)
}

fn mismatch(expected: &Digest, size: u64, actual: &Digest, length: u64) -> String {
    let [size, length] = [size, length].map(|length| counted(length, "byte"));
    if actual == expected {
        format!("the content of `{expected}` has {length}, its descriptor says {size}")
    } else {
        format!("the content of `{expected}` ({size}) hashes to `{actual}` ({length})")
    }
}

fn no_image(attestations: usize, unmarked: usize) -> &'static str {
    match attestations {
        0 => "no image",
        all if all == unmarked => {
            "entries for `unknown/unknown` only, the platform of attestations, and no image; if one \
             is the plugin, build it for a platform"
        }
        _ => "attestations only, and no image",
    }
}

/// Says how many entries of an index can't be read: one of them may be for this host.
fn entries_unreadable(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => "; 1 entry can't be read".to_owned(),
        more => format!("; {more} entries can't be read"),
    }
}

fn list(items: &[String]) -> String {
    match items {
        [] => "nothing".to_owned(),
        items => items.join(", "),
    }
}

fn suggestion(text: &str, items: &[String]) -> String {
    match items {
        [] => String::new(),
        items => format!("; {text}: {}", items.join(", ")),
    }
}
