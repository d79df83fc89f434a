//! Details of an [`ArtifactError`](crate::ArtifactError): the limit, and what is wrong with a
//! layer, with a file's content or with a request to pack.

use std::fmt;

use qmt_oci_ref::Digest;
use qmt_oci_ref::text::counted;

use crate::error::escaped;
use crate::extract::path;
use crate::sniff::NativeFormat;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of a manifest or index, by its descriptor.
    ManifestBytes,
    /// Bytes of an image config.
    ConfigBytes,
    /// Manifests read for one selection.
    ManifestRequests,
    /// Indexes within one another.
    IndexDepth,
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
    /// The media type promises a compressed archive, and the bytes are not an archive at all.
    #[error("its media type promises {promised}, and its bytes are neither that nor an archive")]
    WrongEncoding {
        /// What the media type says.
        promised: &'static str,
    },
    /// It is compressed in a way that no specification names for layers.
    #[error("it is compressed with {found}; compress it with gzip or zstd, or not at all")]
    UnsupportedEncoding {
        /// How it is compressed.
        found: &'static str,
    },
    /// The compressed stream is damaged.
    #[error("its compressed data is damaged")]
    Damaged {
        /// The error of the decoder.
        source: std::io::Error,
    },
    /// Decompression would need too much memory.
    #[error(
        "its zstd frame has a window of {} MiB, at most {} MiB are supported; compress it with a \
         smaller `--long`",
        window.div_ceil(1 << 20),
        limit.div_ceil(1 << 20)
    )]
    ZstdWindow {
        /// The window in bytes.
        window: u64,
        /// The largest that is supported, in bytes.
        limit: u64,
    },
    /// The layer ends too early.
    #[error("it ends too early")]
    Truncated,
    /// The layer has another size than its descriptor says.
    #[error("it has {} or more, its descriptor says {expected}", counted(*.actual, "byte"))]
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
    /// The archive is malformed.
    #[error("its archive is malformed: {reason}")]
    Archive {
        /// The rule that was broken, cut and escaped.
        reason: String,
    },
    /// The file looked for, or a whiteout, has a name that readers treat differently.
    #[error("`{name}`, which names or hides the plugin, is not a plain relative path")]
    AmbiguousName {
        /// The entry.
        name: String,
    },
    /// The file looked for is not a regular file.
    #[error(
        "`{name}` is {found}{}, not a regular file{}",
        to(target.as_deref()), instead(file.as_deref())
    )]
    NotRegular {
        /// The entry.
        name: String,
        /// What it is.
        found: &'static str,
        /// What it links to, for a link. A hard link to an earlier regular file of its layer is
        /// followed.
        target: Option<String>,
        /// What the config can name instead: the path in the image to which a symbolic link leads.
        file: Option<String>,
    },
    /// The file looked for occurs twice, or under two names that some file systems treat as one.
    #[error("{}", same_name(first, second))]
    DuplicateName {
        /// The file looked for.
        first: String,
        /// The other entry.
        second: String,
    },
    /// A part of the path of the file looked for is not a directory.
    #[error("`{name}` is under `{parent}`, which is not a directory")]
    ParentNotDirectory {
        /// The file looked for.
        name: String,
        /// The part of its path.
        parent: String,
    },
}

fn same_name(first: &str, second: &str) -> String {
    if first == second {
        return format!(
            "`{first}` occurs twice in one layer, and tools differ about which one counts"
        );
    }
    format!("`{first}` and `{second}` are the same name on some file systems")
}

impl LayerProblem {
    /// The problem of an entry under the name of the plugin; `target` is empty unless it is a link.
    pub(crate) fn not_regular(name: &[u8], found: &'static str, target: &[u8]) -> Self {
        let folder = if target.starts_with(b"/") {
            b""
        } else {
            path::split(name).0
        };
        let file = path::lenient(&[folder, target].join(&b'/'));
        let is_usable = !target.is_empty() && path::is_plain(&file) && file != name;
        Self::NotRegular {
            name: escaped(name),
            found,
            target: (!target.is_empty()).then(|| escaped(target)),
            file: is_usable.then(|| escaped(&file)),
        }
    }

    pub(crate) fn duplicate(first: &[u8], second: &[u8]) -> Self {
        let (first, second) = (escaped(first), escaped(second));
        Self::DuplicateName { first, second }
    }

    /// Compares what a layer unpacks to with what the image config says.
    pub(crate) fn check_diff_id(expected: &Digest, actual: Digest) -> Result<(), Self> {
        if actual == *expected {
            return Ok(());
        }
        let expected = expected.clone();
        Err(Self::DiffId { expected, actual })
    }
}

fn to(target: Option<&str>) -> String {
    target.map_or_else(String::new, |target| format!(" to `{target}`"))
}

fn instead(file: Option<&str>) -> String {
    file.map_or_else(String::new, |file| {
        format!(
            "; symbolic links are not followed: if the image has the file, set `file = \"{file}\"`"
        )
    })
}

/// What is wrong with a file's content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentProblem {
    /// It is empty.
    #[error("is empty")]
    Empty,
    /// It cannot be loaded.
    #[error("is neither a Wasm module nor a shared library")]
    Unknown,
    /// It is an HTML page, such as that of a login or an error.
    #[error("is an HTML page, not a plugin; it was probably downloaded without a login")]
    WebPage,
    /// It is a pointer of Git LFS.
    #[error("is a pointer of Git LFS, not the plugin itself; fetch it with `git lfs pull`")]
    LfsPointer,
    /// It is a Wasm component.
    #[error(
        "is a Wasm component (WASI preview 2); only core modules are run, so build it for \
         wasm32-wasip1 or wasm32-unknown-unknown"
    )]
    Component,
    /// It is compressed, or an archive.
    #[error("is {format}, not the plugin itself; unpack it first")]
    Packed {
        /// What it is, such as "a gzip file".
        format: &'static str,
    },
    /// It is the text form of Wasm.
    #[error("is Wasm text; convert it with `wat2wasm`")]
    Text,
    /// It is native code that wasmtime compiled from Wasm.
    #[error("is precompiled Wasm (.cwasm); publish the module it was compiled from")]
    Precompiled,
    /// It is Wasm where only native is allowed.
    #[error("is a Wasm module, not a shared library")]
    WasmNotNative,
    /// It is native where only Wasm is allowed.
    #[error("is a native {format} file, not a Wasm module")]
    NativeNotWasm {
        /// Its format.
        format: NativeFormat,
    },
    /// It is native, but not a shared library.
    #[error("is a native {format} file, but not a shared library")]
    NotALibrary {
        /// Its format.
        format: NativeFormat,
    },
    /// It is a library for another platform.
    #[error("is {} for {found}, not for {host}", format.library())]
    Foreign {
        /// Its format.
        format: NativeFormat,
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
    /// The destination has a digest.
    #[error("a destination has a tag and no digest; the digest is that of what is published")]
    Pinned,
    /// A platform was given twice.
    #[error("two files are given for {platform}")]
    Twice {
        /// The platform.
        platform: String,
    },
    /// A platform is empty or not one for native code.
    #[error("`{platform}` is not a platform for a native file")]
    Platform {
        /// The platform.
        platform: String,
    },
    /// A platform has a variant that no host has.
    #[error("no host is `{platform}`; the known variants are {known}")]
    Variant {
        /// The platform.
        platform: String,
        /// The known variants.
        known: &'static str,
    },
    /// The time of creation is outside the years 1970 to 9999.
    #[error("the time of creation (`SOURCE_DATE_EPOCH`) is outside the years 1970 to 9999")]
    Created,
    /// An annotation is given that packing sets itself.
    #[error("the annotation `{name}` is set by packing")]
    Annotation {
        /// Its name.
        name: String,
    },
    /// A manifest or config can't be written as JSON.
    #[error("the manifest can't be written as JSON: {reason}")]
    Json {
        /// The serializer's message.
        reason: String,
    },
}
