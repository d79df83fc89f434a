//! Which entries can be the plugin, and which of them is the better one.

use qmt_oci_ref::{PluginKind, text};

use super::archive::starts_archive;
use super::encoding::Encoding;
use super::path;
use crate::file_rule::FileRule;
use crate::platform::HostPlatform;
use crate::problem::ContentProblem;
use crate::sniff::{NativeFormat, Sniffed, sniff};

/// How a file begins whose content Git LFS stores elsewhere.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";
const WASM: &[u8] = b"plugin.wasm";
const LIBRARIES: [NativeFormat; 3] = [NativeFormat::Elf, NativeFormat::MachO, NativeFormat::Pe];

/// How good a candidate is; the first is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Under the one name that was looked for, or the host's own name of a library.
    Own,
    /// `plugin.so`, `plugin.dylib` or `plugin.dll` of another system.
    OtherSystem,
    /// `plugin.wasm`, where native is allowed as well.
    Wasm,
    /// A library under any name.
    AnyLibrary,
    /// A layer that is a file, and whose title does not say what it is.
    AnyLayer,
}

impl Rank {
    /// Reports whether the name alone makes it the plugin. Then anything unusual about the entry is
    /// refused, and no lower layer is read.
    pub(super) fn is_by_name(self) -> bool {
        !matches!(self, Self::AnyLibrary | Self::AnyLayer)
    }

    /// Reports whether content that does not fit is an error at once. Libraries of another system
    /// or under any name may be for other hosts, or belong to a base image.
    pub(super) fn must_fit(self) -> bool {
        matches!(self, Self::Own | Self::Wasm)
    }
}

/// Matches names and content against what one extraction looks for.
pub(crate) struct Matcher {
    pub(crate) file: FileRule,
    pub(crate) required: Option<PluginKind>,
    pub(crate) host: HostPlatform,
}

/// What the content of a file is.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub(crate) kind: PluginKind,
    pub(crate) format: Option<NativeFormat>,
    pub(crate) architecture: Option<String>,
}

impl Matcher {
    /// Returns the rank of the file at `path`, if it can be the plugin.
    pub(super) fn rank(&self, path: &[u8]) -> Option<Rank> {
        match &self.file {
            FileRule::Layer => None,
            FileRule::Named(file) => (file.as_bytes() == path).then_some(Rank::Own),
            FileRule::Wasm => (path == WASM).then_some(Rank::Own),
            FileRule::Either if path == WASM => Some(Rank::Wasm),
            FileRule::Native | FileRule::Either => {
                let mut formats = LIBRARIES.into_iter();
                match formats.find(|format| format.file_name().as_bytes() == path) {
                    Some(format) if format == self.host.format() => Some(Rank::Own),
                    Some(_) => Some(Rank::OtherSystem),
                    None => is_library_name(path).then_some(Rank::AnyLibrary),
                }
            }
        }
    }

    /// Returns the name looked for that differs from `path`, although some file systems treat both
    /// as the same.
    pub(super) fn collision(&self, path: &[u8]) -> Option<&[u8]> {
        let libraries = LIBRARIES.map(|format| format.file_name().as_bytes());
        let names: Vec<&[u8]> = match &self.file {
            FileRule::Layer => Vec::new(),
            FileRule::Named(file) => vec![file.as_bytes()],
            FileRule::Wasm => vec![WASM],
            FileRule::Native => libraries.to_vec(),
            FileRule::Either => [&libraries[..], &[WASM]].concat(),
        };
        let mut names = names.into_iter();
        names.find(|name| *name != path && path::collide(name, path))
    }

    /// Reports whether `file` could name the file at `path` instead, by the ending of its name.
    pub(super) fn resembles(&self, path: &[u8]) -> bool {
        match self.required {
            Some(PluginKind::Wasm) => is_module_name(path),
            Some(PluginKind::Native) | None => looks_like_plugin(path),
        }
    }

    /// Identifies a file by its first bytes; its name or the config says which kind it must be.
    pub(super) fn identify(&self, rank: Rank, prefix: &[u8]) -> Result<Content, ContentProblem> {
        let by_name = match (&self.file, rank) {
            (FileRule::Layer | FileRule::Named(_), _) | (FileRule::Either, Rank::AnyLayer) => None,
            (FileRule::Wasm, _) | (_, Rank::Wasm) => Some(PluginKind::Wasm),
            (FileRule::Native | FileRule::Either, _) => Some(PluginKind::Native),
        };
        identify(prefix, by_name.or(self.required), &self.host)
    }
}

/// Identifies content by its first bytes: a core module, or a library for the host.
pub(crate) fn identify(
    prefix: &[u8],
    required: Option<PluginKind>,
    host: &HostPlatform,
) -> Result<Content, ContentProblem> {
    let (format, architectures, library) = match sniffed(prefix)? {
        Sniffed::WasmModule if required == Some(PluginKind::Native) => {
            return Err(ContentProblem::WasmNotNative);
        }
        Sniffed::WasmModule => {
            return Ok(Content {
                kind: PluginKind::Wasm,
                format: None,
                architecture: None,
            });
        }
        Sniffed::Native {
            format,
            architectures,
            library,
        } => (format, architectures, library),
        other => return Err(other.problem().unwrap_or(ContentProblem::Unknown)),
    };
    if required == Some(PluginKind::Wasm) {
        return Err(ContentProblem::NativeNotWasm { format });
    }
    if !library {
        return Err(ContentProblem::NotALibrary { format });
    }
    let architecture = host.platform().architecture().to_string();
    if format != host.format() || !architectures.contains(&architecture.as_str()) {
        let (found, host) = (architectures.join(", "), host.to_string());
        return Err(ContentProblem::Foreign {
            format,
            found,
            host,
        });
    }
    Ok(Content {
        kind: PluginKind::Native,
        format: Some(format),
        architecture: Some(architecture),
    })
}

/// Identifies a plugin by its first bytes, for whatever host.
///
/// # Errors
///
/// What the file is instead.
pub fn kind_of(prefix: &[u8]) -> Result<PluginKind, ContentProblem> {
    match sniffed(prefix)? {
        Sniffed::WasmModule => Ok(PluginKind::Wasm),
        Sniffed::Native { .. } => Ok(PluginKind::Native),
        other => Err(other.problem().unwrap_or(ContentProblem::Unknown)),
    }
}

fn sniffed(prefix: &[u8]) -> Result<Sniffed, ContentProblem> {
    if prefix.is_empty() {
        return Err(ContentProblem::Empty);
    }
    sniff(prefix).ok_or_else(|| unknown(prefix))
}

/// Names content that is neither Wasm nor native.
fn unknown(prefix: &[u8]) -> ContentProblem {
    if starts_archive(prefix) {
        let format = Encoding::Plain.name();
        return ContentProblem::Packed { format };
    }
    if prefix.starts_with(LFS_POINTER) {
        return ContentProblem::LfsPointer;
    }
    let text = text::without_byte_order_mark(prefix).trim_ascii_start();
    let begins = |tag: &[u8]| {
        let start = text.get(..tag.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(tag))
    };
    if begins(b"<!doctype html") || begins(b"<html") {
        return ContentProblem::WebPage;
    }
    ContentProblem::Unknown
}

/// Reports whether a file looks like a plugin by its name, for messages.
pub(crate) fn looks_like_plugin(path: &[u8]) -> bool {
    is_module_name(path) || is_library_name(path)
}

fn is_module_name(path: &[u8]) -> bool {
    path.ends_with(b".wasm") && !is_apple_double(path)
}

/// Reports whether macOS writes files under this name, one for each that has extended attributes.
pub(super) fn is_apple_double(path: &[u8]) -> bool {
    let (folder, base) = path::split(path);
    base.starts_with(b"._")
        || folder
            .split(|byte| *byte == b'/')
            .any(|part| part == b"__MACOSX")
}

/// Reports whether the name is one of a shared library: `x.so`, `x.so.1.2`, `x.dylib`, `x.dll`.
pub(super) fn is_library_name(path: &[u8]) -> bool {
    let (_, base) = path::split(path);
    if is_apple_double(path) {
        return false;
    }
    let lower = base.to_ascii_lowercase();
    let versioned = || {
        let at = lower.windows(4).rposition(|window| window == b".so.")?;
        let version = lower.get(at + 4..)?;
        let is_digit_or_dot = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        Some(!version.is_empty() && version.iter().all(is_digit_or_dot))
    };
    let mut extensions = [&b".so"[..], b".dylib", b".dll"].into_iter();
    extensions.any(|extension| lower.ends_with(extension)) || versioned().unwrap_or(false)
}
