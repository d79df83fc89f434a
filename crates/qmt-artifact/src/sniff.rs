//! What a file is, by its first bytes.

use std::fmt;

use object::{Endian as _, Endianness, elf, macho, pe};
use qmt_oci_ref::manifest::Os;

pub use crate::extract::kind_of;
use crate::problem::ContentProblem;

/// How many bytes of a file [`sniff`] looks at. Fewer are enough where the file is shorter.
pub(crate) const SNIFF_BYTES: usize = 4096;

/// A core module, version 1. See <https://webassembly.github.io/spec/core/binary/modules.html>
const WASM_MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
/// A component; the two last bytes are its layer. See
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>
const WASM_COMPONENT_LAYER: [u8; 2] = [1, 0];
/// The OS/ABI byte by which wasmtime marks the ELF files that it compiles Wasm to.
const ELFOSABI_WASMTIME: u8 = 200;

/// What the first bytes of a file show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sniffed {
    /// A Wasm core module, version 1.
    WasmModule,
    /// A Wasm component.
    WasmComponent,
    /// The text form of Wasm.
    WasmText,
    /// Native code that wasmtime compiled from Wasm.
    PrecompiledWasm,
    /// A compressed file, or a zip archive.
    Packed {
        /// What it is, such as "a gzip file".
        format: &'static str,
    },
    /// Native code.
    Native {
        /// The file format.
        format: NativeFormat,
        /// The architectures it is for, named as in a platform; several in a universal binary.
        architectures: Vec<&'static str>,
        /// Whether it is a shared library, by its header.
        library: bool,
    },
}

impl Sniffed {
    /// Returns why it can't be loaded on any host; `None` for core modules and native code.
    pub(crate) fn problem(&self) -> Option<ContentProblem> {
        match self {
            Self::WasmModule | Self::Native { .. } => None,
            Self::WasmComponent => Some(ContentProblem::Component),
            Self::WasmText => Some(ContentProblem::Text),
            Self::PrecompiledWasm => Some(ContentProblem::Precompiled),
            Self::Packed { format } => Some(ContentProblem::Packed { format }),
        }
    }
}

/// A format of native code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NativeFormat {
    /// Linux and most other systems.
    Elf,
    /// Apple's systems.
    MachO,
    /// Windows.
    Pe,
}

impl NativeFormat {
    /// Returns the format that `os` loads.
    pub(crate) fn of_os(os: &Os) -> Self {
        match os {
            Os::Darwin | Os::iOS => Self::MachO,
            Os::Windows => Self::Pe,
            _ => Self::Elf,
        }
    }

    /// Names a library of this format, and the system that it is for.
    pub(crate) fn library(self) -> &'static str {
        match self {
            Self::Elf => "an ELF library",
            Self::MachO => "a macOS library (Mach-O)",
            Self::Pe => "a Windows library (PE)",
        }
    }

    /// Returns the name of a plugin's file.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Elf => "plugin.so",
            Self::MachO => "plugin.dylib",
            Self::Pe => "plugin.dll",
        }
    }
}

impl fmt::Display for NativeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elf => "ELF",
            Self::MachO => "Mach-O",
            Self::Pe => "PE",
        })
    }
}

/// Identifies a file by its first bytes, [`SNIFF_BYTES`] of them where it has so many. `None`: it
/// cannot be loaded.
pub(crate) fn sniff(prefix: &[u8]) -> Option<Sniffed> {
    if prefix.starts_with(&WASM_MODULE) {
        return Some(Sniffed::WasmModule);
    }
    if prefix.starts_with(b"\0asm") && prefix.get(6..8) == Some(&WASM_COMPONENT_LAYER) {
        return Some(Sniffed::WasmComponent);
    }
    if let Some(format) = packed_format(prefix) {
        return Some(Sniffed::Packed { format });
    }
    sniff_elf(prefix)
        .or_else(|| sniff_macho(prefix))
        .or_else(|| sniff_pe(prefix))
        .or_else(|| sniff_text(prefix))
}

fn packed_format(prefix: &[u8]) -> Option<&'static str> {
    match prefix {
        [0x1f, 0x8b, ..] => Some("a gzip file"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("a zstd file"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("an xz file"),
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => Some("a bzip2 file"),
        [b'P', b'K', 3, 4, ..] => Some("a zip archive"),
        _ => None,
    }
}

/// See <https://gabi.xinuos.com/elf/02-eheader.html>
fn sniff_elf(prefix: &[u8]) -> Option<Sniffed> {
    if !prefix.starts_with(&elf::ELFMAG) {
        return None;
    }
    if prefix.get(7) == Some(&ELFOSABI_WASMTIME) {
        return Some(Sniffed::PrecompiledWasm);
    }
    let wide = *prefix.get(4)? == elf::ELFCLASS64;
    let order = match *prefix.get(5)? {
        elf::ELFDATA2LSB => Endianness::Little,
        _ => Endianness::Big,
    };
    let architecture = match (u16_at(order, prefix, 18)?, wide, order) {
        (elf::EM_X86_64, true, Endianness::Little) => "amd64",
        (elf::EM_386, false, Endianness::Little) => "386",
        (elf::EM_AARCH64, true, Endianness::Little) => "arm64",
        (elf::EM_ARM, false, Endianness::Little) => "arm",
        (elf::EM_RISCV, true, Endianness::Little) => "riscv64",
        (elf::EM_PPC64, true, Endianness::Little) => "ppc64le",
        (elf::EM_PPC64, true, Endianness::Big) => "ppc64",
        (elf::EM_S390, true, Endianness::Big) => "s390x",
        (elf::EM_LOONGARCH, true, Endianness::Little) => "loong64",
        (elf::EM_MIPS, true, Endianness::Little) => "mips64le",
        (elf::EM_MIPS, true, Endianness::Big) => "mips64",
        (elf::EM_MIPS, false, Endianness::Little) => "mipsle",
        (elf::EM_MIPS, false, Endianness::Big) => "mips",
        _ => OTHER,
    };
    let library = u16_at(order, prefix, 16)? == elf::ET_DYN;
    Some(native(NativeFormat::Elf, vec![architecture], library))
}

/// See `mach-o/loader.h` and `mach-o/fat.h` of the XNU sources.
fn sniff_macho(prefix: &[u8]) -> Option<Sniffed> {
    match u32_at(Endianness::Big, prefix, 0)? {
        macho::MH_MAGIC | macho::MH_MAGIC_64 => sniff_thin_macho(prefix, Endianness::Big),
        macho::MH_CIGAM | macho::MH_CIGAM_64 => sniff_thin_macho(prefix, Endianness::Little),
        magic @ (macho::FAT_MAGIC | macho::FAT_MAGIC_64) => {
            // Java classes start with the same magic; their next word is a version above 40.
            let count = u32_at(Endianness::Big, prefix, 4);
            let count = count.filter(|count| (1..=32).contains(count))?;
            let stride = if magic == macho::FAT_MAGIC { 20 } else { 32 };
            let starts = (0..usize::try_from(count).ok()?).map(|nth| 8 + nth * stride);
            let cpus = starts.map(|start| u32_at(Endianness::Big, prefix, start));
            let architectures = cpus.map(|cpu| cpu.map(macho_architecture));
            let architectures = architectures.collect::<Option<Vec<_>>>()?;
            // The slices start further back; the loader's preflight checks them.
            Some(native(NativeFormat::MachO, architectures, true))
        }
        _ => None,
    }
}

fn sniff_thin_macho(prefix: &[u8], order: Endianness) -> Option<Sniffed> {
    let file_type = u32_at(order, prefix, 12)?;
    let architecture = macho_architecture(u32_at(order, prefix, 4)?);
    let library = matches!(file_type, macho::MH_DYLIB | macho::MH_BUNDLE);
    Some(native(NativeFormat::MachO, vec![architecture], library))
}

fn macho_architecture(cpu: u32) -> &'static str {
    match cpu {
        macho::CPU_TYPE_X86_64 => "amd64",
        macho::CPU_TYPE_ARM64 => "arm64",
        macho::CPU_TYPE_X86 => "386",
        macho::CPU_TYPE_ARM => "arm",
        _ => OTHER,
    }
}

/// See <https://learn.microsoft.com/windows/win32/debug/pe-format>
fn sniff_pe(prefix: &[u8]) -> Option<Sniffed> {
    let order = Endianness::Little;
    if u16_at(order, prefix, 0)? != pe::IMAGE_DOS_SIGNATURE {
        return None;
    }
    let header = usize::try_from(u32_at(order, prefix, 60)?).ok()?;
    if u32_at(order, prefix, header)? != pe::IMAGE_NT_SIGNATURE {
        return None;
    }
    let architecture = match u16_at(order, prefix, header.checked_add(4)?)? {
        pe::IMAGE_FILE_MACHINE_AMD64 => "amd64",
        pe::IMAGE_FILE_MACHINE_ARM64 => "arm64",
        pe::IMAGE_FILE_MACHINE_I386 => "386",
        pe::IMAGE_FILE_MACHINE_ARMNT => "arm",
        _ => OTHER,
    };
    let flags = u16_at(order, prefix, header.checked_add(22)?)?;
    let library = flags & pe::IMAGE_FILE_DLL != 0;
    Some(native(NativeFormat::Pe, vec![architecture], library))
}

fn native(format: NativeFormat, architectures: Vec<&'static str>, library: bool) -> Sniffed {
    Sniffed::Native {
        format,
        architectures,
        library,
    }
}

/// Recognises Wasm text by its first token, after white space and comments.
fn sniff_text(prefix: &[u8]) -> Option<Sniffed> {
    let mut rest = prefix;
    loop {
        rest = rest.trim_ascii_start();
        let end: &[u8] = if rest.starts_with(b";;") {
            b"\n"
        } else if rest.starts_with(b"(;") {
            b";)"
        } else {
            break;
        };
        let at = rest.windows(end.len()).position(|window| window == end)?;
        rest = rest.get(at.checked_add(end.len())?..)?;
    }
    let rest = rest.strip_prefix(b"(")?.trim_ascii_start();
    let text = rest.starts_with(b"module") || rest.starts_with(b"component");
    text.then_some(Sniffed::WasmText)
}

/// An architecture without a name here; it equals no host's.
const OTHER: &str = "another architecture";

fn u16_at(order: Endianness, bytes: &[u8], at: usize) -> Option<u16> {
    Some(order.read_u16_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(order: Endianness, bytes: &[u8], at: usize) -> Option<u32> {
    Some(order.read_u32_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;
