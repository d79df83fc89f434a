//! What a library's bytes say, before any of its code runs.
//!
//! Opening runs constructors, resolvers of indirect functions, and the libraries that it needs. So
//! the questions are answered from what the dynamic loader itself will read, not from tables that
//! are there for debuggers.

mod elf;
mod other;

use std::collections::BTreeMap;

use object::{Architecture, BinaryFormat, Endianness, FileKind};

use super::abi::{MAGIC, VERSION};
use crate::error::NativeRefusal;
use crate::loader::Preflight;
use qmt_oci_ref::PluginKind;

/// The symbols that a library may export.
pub(super) const SYMBOLS_MAX: usize = 200_000;

/// The functions of `qmt_plugin.h` that a plugin must have.
const ABI_FUNCTIONS: [&str; 3] = [
    "qmt_plugin_abi_version",
    "qmt_plugin_call",
    "qmt_plugin_free",
];
/// The function that makes a library a plugin of that kind.
const ABI_CALL: &str = "qmt_plugin_call";
/// The mark of the version in the library's data.
const ABI_MARK: &str = "qmt_plugin_abi";
/// Its bytes: the magic and the version.
const MARK_LEN: usize = MAGIC.len() + size_of::<u32>();

/// What begins the symbol that `qmt-plugin-sdk` makes for each exported function.
const SDK_EXPORT: &str = "qmt_plugin_export_";
/// What begins the symbols that linkers make for the ends of a section.
const SECTION_ENDS: [&str; 2] = ["__start_", "__stop_"];
/// The symbols that linkers and the start files of C put into libraries.
const LINKER_SYMBOLS: [&str; 5] = ["__bss_start", "_edata", "_end", "_fini", "_init"];

/// The libraries of the C, C++ and OpenMP runtimes, of which a process has one each.
const RUNTIME_LIBRARIES: [&str; 21] = [
    // glibc and the compilers' own
    "ld-linux-aarch64.so.1",
    "ld-linux-armhf.so.3",
    "ld-linux-x86-64.so.2",
    "ld-linux.so.2",
    "ld64.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    // musl
    "ld-musl-aarch64.so.1",
    "ld-musl-x86_64.so.1",
    "libc.musl-aarch64.so.1",
    "libc.musl-x86_64.so.1",
    "libc.so",
    // LLVM's
    "libunwind.so.1",
    // OpenMP: of gcc, of LLVM, and of LLVM as Debian names it
    "libgomp.so.1",
    "libomp.so",
    "libomp.so.5",
];

/// The machine that a library must be made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) format: BinaryFormat,
    pub(super) architecture: Architecture,
    pub(super) endianness: Endianness,
    pub(super) bits: u32,
    /// The name of the system for messages.
    pub(super) system: &'static str,
}

impl Target {
    /// Returns this machine.
    pub(super) fn current() -> Self {
        let format = if cfg!(target_vendor = "apple") {
            BinaryFormat::MachO
        } else if cfg!(windows) {
            BinaryFormat::Pe
        } else {
            BinaryFormat::Elf
        };
        let architecture = match std::env::consts::ARCH {
            "x86_64" => Architecture::X86_64,
            "aarch64" => Architecture::Aarch64,
            "x86" => Architecture::I386,
            "arm" => Architecture::Arm,
            "riscv64" => Architecture::Riscv64,
            "s390x" => Architecture::S390x,
            "powerpc64" => Architecture::PowerPc64,
            "loongarch64" => Architecture::LoongArch64,
            _ => Architecture::Unknown,
        };
        Self {
            format,
            architecture,
            endianness: if cfg!(target_endian = "little") {
                Endianness::Little
            } else {
                Endianness::Big
            },
            bits: usize::BITS,
            system: std::env::consts::OS,
        }
    }

    fn describe(self) -> String {
        format!("{:?} on {}", self.architecture, self.system)
    }
}

/// What a format's own reader found.
#[derive(Debug, Default)]
struct Facts {
    needed: Vec<String>,
    symbols: BTreeMap<String, SymbolKind>,
    /// The bytes at the mark of the ABI, if it is exported.
    mark: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SymbolKind {
    Function,
    Data,
    /// The format does not tell the two apart.
    Either,
}

/// A library that passed the checks.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) preflight: Preflight,
    /// Whether it implements `qmt_plugin.h`, by its functions.
    pub(super) is_callable: bool,
}

/// Checks `bytes`, at most `limit` of them, for `target`; `is_allowed` accepts libraries beyond
/// those of the runtimes.
pub(super) fn preflight(
    bytes: &[u8],
    target: Target,
    limit: u64,
    is_allowed: impl Fn(&String) -> bool,
) -> Result<Checked, NativeRefusal> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > limit {
        return Err(NativeRefusal::TooLarge { size, limit });
    }
    let kind = FileKind::parse(bytes).map_err(|_| NativeRefusal::UnknownFormat)?;
    let facts = match kind {
        FileKind::Elf32 | FileKind::Elf64 => elf::read(bytes, kind, target)?,
        FileKind::MachO32 | FileKind::MachO64 | FileKind::Pe32 | FileKind::Pe64 => {
            other::read(bytes, kind, target)?
        }
        FileKind::MachOFat32 | FileKind::MachOFat64 => {
            return Err(NativeRefusal::NotALibrary {
                found: "a universal binary; publish one library per platform",
            });
        }
        FileKind::Archive => {
            return Err(NativeRefusal::NotALibrary {
                found: "a static library",
            });
        }
        _ => return Err(NativeRefusal::UnknownFormat),
    };
    for library in &facts.needed {
        let known = match target.format {
            BinaryFormat::Elf => RUNTIME_LIBRARIES.contains(&library.as_str()),
            _ => other::is_of_the_system(library, target.format),
        };
        if !known && !is_allowed(library) {
            return Err(NativeRefusal::Library {
                library: qmt_oci_ref::text::escape(library),
            });
        }
    }
    let abi = abi(&facts)?;
    let is_callable = facts.symbols.contains_key(ABI_CALL);
    let listed = is_callable.then(|| sdk_exports(&facts));
    let exports = match listed {
        Some(exports) if !exports.is_empty() => exports,
        _ => functions(&facts),
    };
    let preflight = Preflight {
        kind: PluginKind::Native,
        exports,
        imports: facts.needed,
        wasi: false,
        abi,
    };
    Ok(Checked {
        preflight,
        is_callable,
    })
}

/// Returns the functions that `qmt-plugin-sdk` exports to hosts.
fn sdk_exports(facts: &Facts) -> Vec<String> {
    let symbols = facts.symbols.iter();
    let data = symbols.filter(|(_, kind)| **kind != SymbolKind::Function);
    let names = data.filter_map(|(name, _)| name.strip_prefix(SDK_EXPORT));
    let mut names: Vec<String> = names.map(sdk_name).collect();
    names.sort();
    names
}

/// Reads the name of a function, in which each letter that is not ASCII is `$`, its number in
/// hexadecimal digits, and `$`.
fn sdk_name(symbol: &str) -> String {
    let mut name = String::new();
    for (index, part) in symbol.split('$').enumerate() {
        let letter = u32::from_str_radix(part, 16).ok().and_then(char::from_u32);
        match letter.filter(|_| index % 2 == 1) {
            Some(letter) => name.push(letter),
            None => name.push_str(part),
        }
    }
    name
}

/// Returns the functions among the symbols, without those that linkers make.
fn functions(facts: &Facts) -> Vec<String> {
    let is_made = |name: &str| {
        LINKER_SYMBOLS.contains(&name) || SECTION_ENDS.iter().any(|start| name.starts_with(start))
    };
    let symbols = facts.symbols.iter();
    let functions = symbols.filter(|(name, kind)| **kind != SymbolKind::Data && !is_made(name));
    functions.map(|(name, _)| name.clone()).collect()
}

/// Holds the library against `qmt_plugin.h`. A library without it is one for hosts that use symbols.
fn abi(facts: &Facts) -> Result<Option<u32>, NativeRefusal> {
    if facts.symbols.contains_key(ABI_CALL) {
        for missing in ABI_FUNCTIONS {
            match facts.symbols.get(missing) {
                None => return Err(NativeRefusal::IncompleteAbi { missing }),
                Some(SymbolKind::Data) => {
                    return Err(NativeRefusal::SymbolKind {
                        symbol: missing,
                        expected: "a function",
                    });
                }
                Some(SymbolKind::Function | SymbolKind::Either) => {}
            }
        }
    }
    match facts.symbols.get(ABI_MARK) {
        None => return Ok(None),
        Some(SymbolKind::Function) => {
            return Err(NativeRefusal::SymbolKind {
                symbol: ABI_MARK,
                expected: "data",
            });
        }
        Some(SymbolKind::Data | SymbolKind::Either) => {}
    }
    let mark = facts.mark.as_deref().unwrap_or_default();
    let version = mark
        .strip_prefix(&MAGIC)
        .and_then(|version| version.first_chunk::<4>())
        .map(|version| u32::from_ne_bytes(*version))
        .ok_or(NativeRefusal::Malformed {
            what: "the mark of the plugin ABI does not begin as it must",
        })?;
    if version != VERSION {
        return Err(NativeRefusal::AbiVersion {
            found: version,
            supported: VERSION,
        });
    }
    Ok(Some(version))
}

fn malformed(what: &'static str) -> NativeRefusal {
    NativeRefusal::Malformed { what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LIBRARY_MAX;

    /// What an SDK's library exports has data symbols; linkers add symbols of their own.
    #[test]
    fn exports_are_functions_of_the_plugin_alone() {
        let symbols = [
            ("__start_linkm2_EXPORTS", SymbolKind::Either),
            ("_init", SymbolKind::Function),
            ("qmt_plugin_abi", SymbolKind::Data),
            ("qmt_plugin_call", SymbolKind::Function),
            ("qmt_plugin_export_zip", SymbolKind::Data),
            ("qmt_plugin_export_a_f64_", SymbolKind::Either),
            ("qmt_plugin_export_gr$f6$$df$e", SymbolKind::Data),
            ("qmt_plugin_export_x", SymbolKind::Function),
        ];
        let symbols = symbols.map(|(name, kind)| (name.to_owned(), kind)).into();
        let mut facts = Facts {
            symbols,
            ..Facts::default()
        };
        assert_eq!(sdk_exports(&facts), ["a_f64_", "größe", "zip"]);
        facts.symbols.retain(|_, kind| *kind != SymbolKind::Data);
        assert_eq!(
            functions(&facts),
            [
                "qmt_plugin_call",
                "qmt_plugin_export_a_f64_",
                "qmt_plugin_export_x"
            ]
        );
        for (symbol, name) in [("$d800$", "d800"), ("$", ""), ("a$zz$b", "azzb")] {
            assert_eq!(sdk_name(symbol), name);
        }
    }

    fn refused(bytes: &[u8]) -> NativeRefusal {
        preflight(bytes, Target::current(), LIBRARY_MAX, |_| false).unwrap_err()
    }

    /// NAT-02, LIM-05: 512 MiB are looked at, one byte more is not.
    #[test]
    fn the_size_of_a_library_is_limited() {
        let size = usize::try_from(LIBRARY_MAX).unwrap();
        let mut bytes = vec![0; size + 1];
        assert!(matches!(refused(&bytes), NativeRefusal::TooLarge { .. }));
        bytes.pop();
        assert!(matches!(refused(&bytes), NativeRefusal::UnknownFormat));
    }

    /// NAT-07: paths into folders that others may write to are no libraries of the system.
    #[test]
    fn libraries_of_the_system_are_known_by_where_they_are() {
        let is = other::is_of_the_system;
        assert!(is("/usr/lib/libSystem.B.dylib", BinaryFormat::MachO));
        assert!(!is("/usr/lib/../../tmp/x.dylib", BinaryFormat::MachO));
        assert!(!is("@rpath/x.dylib", BinaryFormat::MachO));
        assert!(is("KERNEL32.dll", BinaryFormat::Pe));
        assert!(!is("evil.dll", BinaryFormat::Pe));
        assert!(!is("libc.so.6", BinaryFormat::Elf));
    }

    /// NAT-02: on Linux, headers of a Mach-O and of a PE library are of another platform.
    #[cfg(target_os = "linux")]
    #[test]
    fn libraries_of_other_systems_are_refused() {
        // A Mach-O dylib for x86-64 without load commands.
        let mut macho = Vec::new();
        for word in [0xfeed_facf_u32, 0x0100_0007, 3, 6, 0, 0, 0, 0] {
            macho.extend(word.to_le_bytes());
        }
        assert!(matches!(
            refused(&macho),
            NativeRefusal::WrongPlatform { .. }
        ));
        assert!(matches!(
            refused(b"!<arch>\nand so on, and so on"),
            NativeRefusal::NotALibrary { .. }
        ));
    }
}
