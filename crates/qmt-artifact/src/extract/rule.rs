//! Which entries can be the plugin, and which of them is the better one.

use super::path;
use crate::error::ContentProblem;
use crate::kind::{FileRule, PluginKind};
use crate::platform::HostPlatform;
use crate::sniff::{NativeFormat, Sniffed, sniff};

const WASM: &[u8] = b"plugin.wasm";
const LIBRARIES: [(&[u8], NativeFormat); 3] = [
    (b"plugin.so", NativeFormat::Elf),
    (b"plugin.dylib", NativeFormat::MachO),
    (b"plugin.dll", NativeFormat::Pe),
];

/// How good a candidate is; the first is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Under the one name that was looked for, or the host's own name of a library.
    Own,
    /// `plugin.so`, `plugin.dylib` or `plugin.dll`, though another system's.
    OtherSystem,
    /// `plugin.wasm`, where native would do as well.
    Wasm,
    /// A library under any name.
    AnyLibrary,
}

impl Class {
    /// Reports whether the name alone makes it the plugin. Then anything odd about the entry is
    /// refused, and no lower layer is read.
    pub(super) fn by_name(self) -> bool {
        self != Self::AnyLibrary
    }

    /// Reports whether content that does not fit is an error at once. Libraries of another system
    /// or under any name may be there for other hosts, or belong to a base image.
    pub(super) fn must_fit(self) -> bool {
        matches!(self, Self::Own | Self::Wasm)
    }
}

/// The rule of one extraction.
pub(super) struct Rule {
    file: FileRule,
    required: Option<PluginKind>,
    host: HostPlatform,
    format: NativeFormat,
}

/// What the content of the file taken turned out to be.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) kind: PluginKind,
    pub(crate) format: Option<NativeFormat>,
    pub(crate) architecture: Option<String>,
}

impl Rule {
    pub(super) fn new(file: FileRule, required: Option<PluginKind>, host: HostPlatform) -> Self {
        let format = NativeFormat::of_os(&host.platform().os);
        Self {
            file,
            required,
            host,
            format,
        }
    }

    pub(super) fn file(&self) -> &FileRule {
        &self.file
    }

    /// Returns the class of the file at `path`, if it can be the plugin.
    pub(super) fn class(&self, path: &[u8]) -> Option<Class> {
        let native = || {
            if let Some((_, format)) = LIBRARIES.iter().find(|(name, _)| *name == path) {
                let own = *format == self.format;
                return Some(if own { Class::Own } else { Class::OtherSystem });
            }
            is_library_name(path).then_some(Class::AnyLibrary)
        };
        match &self.file {
            FileRule::Layer => None,
            FileRule::Named(file) => (file.as_bytes() == path).then_some(Class::Own),
            FileRule::Wasm => (path == WASM).then_some(Class::Own),
            FileRule::Either if path == WASM => Some(Class::Wasm),
            FileRule::Native | FileRule::Either => native(),
        }
    }

    /// Returns the name looked for that some file system takes for `path`, though it is another.
    pub(super) fn twin(&self, path: &[u8]) -> Option<&[u8]> {
        let names: [Option<&[u8]>; 4] = match &self.file {
            FileRule::Layer => [None; 4],
            FileRule::Named(file) => [Some(file.as_bytes()), None, None, None],
            FileRule::Wasm => [Some(WASM), None, None, None],
            FileRule::Native | FileRule::Either => {
                let [so, dylib, dll] = LIBRARIES.map(|(name, _)| Some(name));
                [
                    so,
                    dylib,
                    dll,
                    (self.file == FileRule::Either).then_some(WASM),
                ]
            }
        };
        names
            .into_iter()
            .flatten()
            .find(|name| *name != path && path::collide(name, path))
    }

    /// Judges a layer that is the file itself; it has no name that could promise anything.
    pub(super) fn judge_layer(&self, prefix: &[u8]) -> Result<Judged, ContentProblem> {
        judge(prefix, self.required, &self.host)
    }

    /// Judges a file by its first bytes and the class under which it was found.
    pub(super) fn judge(&self, class: Class, prefix: &[u8]) -> Result<Judged, ContentProblem> {
        let by_name = match (&self.file, class) {
            (FileRule::Layer | FileRule::Named(_), _) => None,
            (FileRule::Wasm, _) | (_, Class::Wasm) => Some(PluginKind::Wasm),
            _ => Some(PluginKind::Native),
        };
        judge(prefix, by_name.or(self.required), &self.host)
    }
}

/// Judges content by its first bytes.
pub(crate) fn judge(
    prefix: &[u8],
    required: Option<PluginKind>,
    host: &HostPlatform,
) -> Result<Judged, ContentProblem> {
    if prefix.is_empty() {
        return Err(ContentProblem::Empty);
    }
    match sniff(prefix).ok_or(ContentProblem::Unknown)? {
        Sniffed::WasmModule if required == Some(PluginKind::Native) => {
            Err(ContentProblem::WasmNotNative)
        }
        Sniffed::WasmModule => Ok(Judged {
            kind: PluginKind::Wasm,
            format: None,
            architecture: None,
        }),
        Sniffed::WasmComponent => Err(ContentProblem::Component),
        Sniffed::WasmText => Err(ContentProblem::Text),
        Sniffed::PrecompiledWasm => Err(ContentProblem::Precompiled),
        Sniffed::Native { format, .. } if required == Some(PluginKind::Wasm) => {
            Err(ContentProblem::NativeNotWasm { format })
        }
        Sniffed::Native {
            format,
            library: false,
            ..
        } => Err(ContentProblem::NotALibrary { format }),
        Sniffed::Native {
            format,
            architectures,
            ..
        } => {
            let wanted = host.platform();
            let fits = format == NativeFormat::of_os(&wanted.os)
                && architectures.contains(&wanted.architecture.as_str());
            if !fits {
                let (found, host) = (architectures.join(", "), host.to_string());
                return Err(ContentProblem::Foreign {
                    format,
                    found,
                    host,
                });
            }
            let architecture = Some(wanted.architecture.clone());
            Ok(Judged {
                kind: PluginKind::Native,
                format: Some(format),
                architecture,
            })
        }
    }
}

/// Reports whether a file looks like a plugin by its name, for messages.
pub(super) fn looks_like_a_plugin(path: &[u8]) -> bool {
    path.ends_with(b".wasm") || is_library_name(path)
}

/// Reports whether the name is one of a shared library: `x.so`, `x.so.1.2`, `x.dylib`, `x.dll`.
pub(super) fn is_library_name(path: &[u8]) -> bool {
    let (_, base) = path::split(path);
    if base.starts_with(b"._") {
        return false; // macOS writes such a file beside each that has extended attributes.
    }
    let lower = base.to_ascii_lowercase();
    let versioned = || {
        let at = lower.windows(4).rposition(|window| window == b".so.")?;
        let version = lower.get(at.checked_add(4)?..)?;
        let digits = version
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.');
        Some(digits && !version.is_empty())
    };
    [&b".so"[..], b".dylib", b".dll"]
        .iter()
        .any(|extension| lower.ends_with(extension))
        || versioned().unwrap_or(false)
}
