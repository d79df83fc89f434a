//! What can be wrong with a plugin image.

mod problem;

use qmt_oci_ref::{Digest, MediaType};

pub use self::problem::{ContentProblem, LayerProblem, Limit, PackProblem};
use crate::kind::PluginKind;

/// Any error that may cross threads.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an image cannot be used, or files cannot be packed into one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// A manifest, index or config is not strict JSON of its form.
    #[error("the {document} `{digest}` cannot be read")]
    Json {
        /// `manifest`, `index` or `image config`.
        document: &'static str,
        /// The document.
        digest: Digest,
        /// What the parser said.
        source: BoxError,
    },
    /// A document was announced as one media type and names another.
    #[error("`{digest}` was sent as `{expected}` but calls itself `{found}`")]
    MediaTypeMismatch {
        /// The document.
        digest: Digest,
        /// What the descriptor or the server said.
        expected: MediaType,
        /// What its `mediaType` field says.
        found: MediaType,
    },
    /// A document could be read as a manifest and as an index.
    #[error("the {document} `{digest}` holds `{field}` too, so it could be read in two ways")]
    MixedDocument {
        /// `manifest` or `index`.
        document: &'static str,
        /// The document.
        digest: Digest,
        /// The field that has no place in it.
        field: &'static str,
    },
    /// A document is neither a manifest nor an index that we read.
    #[error(
        "`{digest}` is `{media_type}`, which is neither an OCI or docker manifest nor an index"
    )]
    NotAnImage {
        /// The document.
        digest: Digest,
        /// Its media type.
        media_type: MediaType,
    },
    /// The schema version is not 2; docker's schema 1 proves nothing about its content.
    #[error("`{digest}` has schema version {found}; push the image again with a current tool")]
    SchemaVersion {
        /// The document.
        digest: Digest,
        /// The version it names.
        found: u64,
    },
    /// Content is not what its descriptor names.
    #[error("content of `{expected}` ({size} bytes) hashes to `{actual}` ({length} bytes)")]
    DigestMismatch {
        /// What the descriptor names.
        expected: Digest,
        /// Bytes that the descriptor names.
        size: u64,
        /// What arrived.
        actual: Digest,
        /// Bytes that arrived.
        length: u64,
    },
    /// Something is larger, longer or deeper than it may be.
    #[error("{what}: {found} where at most {limit} is allowed")]
    TooMuch {
        /// What is limited.
        what: Limit,
        /// The limit in force.
        limit: u64,
        /// What was found, or where reading stopped.
        found: u64,
    },
    /// Nothing in the index fits.
    #[error(
        "no manifest for {host}{} (there is: {})",
        wanted.map_or_else(|| " and no Wasm".to_owned(), |kind| format!(" as kind `{kind}`")),
        list(available)
    )]
    NoMatch {
        /// The host's platform.
        host: String,
        /// The kind that the operator allows, if the config says so.
        wanted: Option<PluginKind>,
        /// The platforms that the index names.
        available: Vec<String>,
    },
    /// The image holds the other kind than the operator's config allows.
    #[error("the config allows `kind = \"{wanted}\"` only, but `{digest}` is {found}: {because}")]
    KindNotAllowed {
        /// The manifest.
        digest: Digest,
        /// What the config allows.
        wanted: PluginKind,
        /// What the image is.
        found: PluginKind,
        /// What says so.
        because: &'static str,
    },
    /// The image contradicts itself about its kind.
    #[error("`{digest}` is called {annotation} by its annotation, but {because}")]
    Contradiction {
        /// The manifest.
        digest: Digest,
        /// What the annotation says.
        annotation: PluginKind,
        /// What says otherwise.
        because: &'static str,
    },
    /// The plugin type annotation has a value that we don't know.
    #[error(
        "`{digest}` has `mt.query.plugin.type = \"{value}\"`; known are extism, wasm and native"
    )]
    UnknownPluginType {
        /// The manifest or index entry.
        digest: Digest,
        /// The value, cut and escaped.
        value: String,
    },
    /// The manifest has no layer that can hold a plugin.
    #[error(
        "`{digest}` has no layer that can hold a plugin (there is: {})",
        list(media_types)
    )]
    NoLayer {
        /// The manifest.
        digest: Digest,
        /// The media types of its layers.
        media_types: Vec<String>,
    },
    /// Several layers could be the plugin.
    #[error(
        "`{digest}` has several Wasm layers ({}); name one by `file = \"…\"`",
        list(titles)
    )]
    SeveralLayers {
        /// The manifest.
        digest: Digest,
        /// Their titles, or digests where they have none.
        titles: Vec<String>,
    },
    /// The config's `file` is not a plain relative path.
    #[error(
        "`file = \"{file}\"` must be a relative path with `/`, without `.`, `..` and empty parts"
    )]
    FileName {
        /// The value, cut and escaped.
        file: String,
    },
    /// The image config lists another number of layers than the manifest.
    #[error("the image config of `{digest}` lists {diff_ids} layers, the manifest {layers}")]
    DiffIdCount {
        /// The manifest.
        digest: Digest,
        /// Entries of `rootfs.diff_ids`.
        diff_ids: usize,
        /// Layers of the manifest.
        layers: usize,
    },
    /// The registry or layout could not give us the content.
    #[error("the {what} `{digest}` could not be read")]
    Source {
        /// `manifest`, `image config` or `layer`.
        what: &'static str,
        /// The content asked for.
        digest: Digest,
        /// What the source said.
        source: BoxError,
    },
    /// A layer is malformed, hostile or not what it is called.
    #[error("layer `{layer}` is refused")]
    Layer {
        /// The layer.
        layer: Digest,
        /// What is wrong with it.
        source: LayerProblem,
    },
    /// No layer holds the file looked for.
    #[error(
        "no layer holds {looked_for}{}{}",
        if near.is_empty() { String::new() } else { format!("; `file = \"…\"` could name: {}", list(near)) },
        note.as_deref().map(|note| format!("; {note}")).unwrap_or_default()
    )]
    NoFile {
        /// The rule by which it was looked for.
        looked_for: String,
        /// Files that look like plugins, escaped.
        near: Vec<String>,
        /// Why this image was read at all, where it was a last resort.
        note: Option<String>,
    },
    /// The layers are files, as artifact clients push them, and none has the title looked for.
    #[error(
        "no layer is or holds {looked_for}; by their titles, these layers are files and no \
         archives: {}; `file = \"…\"` chooses one",
        list(titles)
    )]
    OtherFiles {
        /// The rule by which it was looked for.
        looked_for: String,
        /// The titles, cut and escaped; at most 16.
        titles: Vec<String>,
    },
    /// Two layers have the title that is looked for.
    #[error("`{digest}` has two layers with the title `{title}`")]
    SameTitle {
        /// The manifest.
        digest: Digest,
        /// The title, cut and escaped.
        title: String,
    },
    /// Several shared libraries could be the plugin.
    #[error(
        "several libraries could be the plugin: {}; name one by `file = \"…\"`",
        list(names)
    )]
    SeveralLibraries {
        /// Their names, escaped; at most 16.
        names: Vec<String>,
    },
    /// The file's content is not what it is about to be called.
    #[error("`{file}` {found}")]
    Content {
        /// The file, escaped.
        file: String,
        /// What it is and what is wrong with that.
        found: ContentProblem,
    },
    /// The extracted file could not be written.
    #[error("the extracted file could not be written")]
    Sink {
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Extraction took too long.
    #[error("extraction took more than {seconds} s")]
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// Extraction was given up because the layer's stream was dropped.
    #[error("extraction was given up")]
    Aborted,
    /// A file to be packed could not be read.
    #[error("`{}` could not be read", path.display())]
    ReadFile {
        /// The file.
        path: std::path::PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// What is packed waits in temporary files, and one could not be written or read.
    #[error(
        "what is packed could not be kept in a temporary file; is there room in the folder that \
         `TMPDIR` names?"
    )]
    TemporaryFile {
        /// What the operating system said.
        source: std::io::Error,
    },
    /// What is to be packed makes no image.
    #[error("nothing can be packed: {reason}")]
    Pack {
        /// The rule that broke.
        reason: PackProblem,
    },
}

/// Shows text from an image: control characters escaped, at most 200 characters.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = text.chars().take(MOST).flat_map(escaped).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// Escapes what could steer a terminal or hide among other text; letters stay.
fn escaped(character: char) -> std::char::EscapeDebug {
    character.escape_debug()
}

fn list(items: &[String]) -> String {
    if items.is_empty() {
        return "nothing".to_owned();
    }
    items.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CFG-02, CFG-06: text from an image is escaped and cut.
    #[test]
    fn shown_text_steers_no_terminal() {
        assert_eq!(shown(b"a\x1b[31m\r\nb"), r"a\u{1b}[31m\r\nb");
        assert_eq!(shown("grün.wasm".as_bytes()), "grün.wasm");
        assert_eq!(shown("a\u{202e}b".as_bytes()), r"a\u{202e}b");
        assert_eq!(shown(&[b'x'; 10_240]).chars().count(), 201);
        assert_eq!(shown(&[0xff, b'a']), "\u{fffd}a");
    }
}
