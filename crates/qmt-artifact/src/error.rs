//! What can be wrong with a plugin image.

use std::fmt;

use qmt_oci_ref::{Digest, MediaType};

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
    /// What is to be packed makes no image.
    #[error("nothing can be packed: {reason}")]
    Pack {
        /// The rule that broke.
        reason: PackProblem,
    },
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of a manifest or index.
    ManifestBytes,
    /// Bytes of an image config.
    ConfigBytes,
    /// Manifests read for one selection.
    ManifestRequests,
    /// Indexes within one another.
    IndexDepth,
    /// Entries of an index.
    IndexEntries,
    /// Layers of a manifest.
    Layers,
    /// Annotations of a manifest.
    Annotations,
    /// Bytes of one annotation.
    AnnotationBytes,
    /// Bytes of all annotations.
    AnnotationsBytes,
    /// Bytes of a raw Wasm layer.
    WasmBytes,
    /// Bytes of an archive layer.
    ArchiveBytes,
    /// Bytes that all layers unpack to.
    UnpackedBytes,
    /// Bytes that one layer unpacks to, given its packed size.
    Ratio,
    /// Entries of the archives.
    Entries,
    /// Bytes of an entry's name.
    NameBytes,
    /// Bytes of a PAX header.
    PaxBytes,
    /// Gzip members.
    GzipMembers,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ManifestBytes => "bytes of a manifest",
            Self::ConfigBytes => "bytes of an image config",
            Self::ManifestRequests => "manifests read for one selection",
            Self::IndexDepth => "indexes within one another",
            Self::IndexEntries => "entries of an index",
            Self::Layers => "layers of a manifest",
            Self::Annotations => "annotations of a manifest",
            Self::AnnotationBytes => "bytes of an annotation",
            Self::AnnotationsBytes => "bytes of all annotations",
            Self::WasmBytes => "bytes of a Wasm layer",
            Self::ArchiveBytes => "bytes of an archive layer",
            Self::UnpackedBytes => "bytes that the layers unpack to",
            Self::Ratio => "bytes that a layer of this size may unpack to",
            Self::Entries => "archive entries",
            Self::NameBytes => "bytes of an entry's name",
            Self::PaxBytes => "bytes of a PAX header",
            Self::GzipMembers => "gzip members of a layer",
        })
    }
}

/// What is wrong with a layer. Names in it are cut and escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerProblem {
    /// The media type promises one encoding and the bytes are in another.
    #[error("its media type promises {said}, its bytes are {found}")]
    WrongEncoding {
        /// What the media type says.
        said: &'static str,
        /// What the first bytes look like.
        found: &'static str,
    },
    /// The compressed stream is damaged.
    #[error("its compressed data is damaged")]
    Damaged {
        /// What the decoder said.
        source: std::io::Error,
    },
    /// The layer ends too early.
    #[error("it ends too early")]
    Truncated,
    /// The layer has another size than its descriptor says.
    #[error("it has {actual} bytes or more, its descriptor says {expected}")]
    Size {
        /// What the descriptor says.
        expected: u64,
        /// Where reading stopped.
        actual: u64,
    },
    /// The unpacked layer is not the one that the image config names.
    #[error("it unpacks to `{actual}`, the image config says `{expected}`")]
    DiffId {
        /// The config's `diff_ids` entry.
        expected: Digest,
        /// What the unpacked bytes hash to.
        actual: Digest,
    },
    /// The archive breaks the format, or means different things to different readers.
    #[error("its archive is malformed at byte {offset}: {fault}")]
    Archive {
        /// Where the header starts, in bytes of the unpacked archive.
        offset: u64,
        /// The rule that broke.
        fault: &'static str,
    },
    /// The file looked for is named in a way that readers take differently.
    #[error("it names the plugin `{name}`, which is no plain relative path")]
    OddName {
        /// The entry.
        name: String,
    },
    /// The file looked for is no regular file.
    #[error("`{name}` is {found}, not a regular file")]
    NotRegular {
        /// The entry.
        name: String,
        /// What it is.
        found: &'static str,
    },
    /// The file looked for stands twice, or under two names that some file systems take for one.
    #[error("`{first}` and `{second}` are one name")]
    Twice {
        /// The file looked for.
        first: String,
        /// The other entry.
        second: String,
    },
    /// A part of the path of the file looked for is no directory.
    #[error("`{name}` lies under `{parent}`, which is no directory")]
    UnderNoDirectory {
        /// The file looked for.
        name: String,
        /// The part of its path.
        parent: String,
    },
}

/// What is wrong with a file's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentProblem {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It is nothing that can be loaded.
    #[error("is neither a Wasm module nor a shared library")]
    Unknown,
    /// It is a Wasm component.
    #[error(
        "is a Wasm component; only core modules are run, so build it for wasm32-wasip1 or \
         wasm32-unknown-unknown"
    )]
    Component,
    /// It is the text form of Wasm.
    #[error("is Wasm text; convert it with `wat2wasm`")]
    Text,
    /// It is native code that wasmtime compiled from Wasm.
    #[error("is precompiled Wasm (.cwasm); publish the module it was compiled from")]
    Precompiled,
    /// It is Wasm where only native is allowed.
    #[error("is a Wasm module where a shared library is wanted")]
    WasmNotNative,
    /// It is native where only Wasm is allowed.
    #[error("is a native {format} file where Wasm is wanted")]
    NativeNotWasm {
        /// Its format.
        format: crate::NativeFormat,
    },
    /// It is native, but no shared library.
    #[error("is a native {format} file, but no shared library")]
    NotALibrary {
        /// Its format.
        format: crate::NativeFormat,
    },
    /// It is a library for another platform.
    #[error("is a {format} library for {found}; the host is {host}")]
    Foreign {
        /// Its format.
        format: crate::NativeFormat,
        /// The architectures it is for.
        found: String,
        /// The host's platform.
        host: String,
    },
}

/// What is wrong with what is to be packed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackProblem {
    /// No file was given.
    #[error("neither a Wasm nor a native file is given")]
    Nothing,
    /// A platform was given twice.
    #[error("two files for {platform} are given")]
    Twice {
        /// The platform.
        platform: String,
    },
    /// A platform is empty or no platform for native code.
    #[error("`{platform}` is no platform for a native file")]
    Platform {
        /// The platform.
        platform: String,
    },
    /// The time of creation lies outside the years 1970 to 9999.
    #[error("the time of creation lies outside the years 1970 to 9999")]
    Created,
    /// An annotation is given that packing itself sets.
    #[error("the annotation `{name}` is set by packing itself")]
    Annotation {
        /// Its name.
        name: String,
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
