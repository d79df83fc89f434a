//! Mach-O and PE: the same questions, asked of macOS and Windows libraries.

use object::macho;
use object::read::macho::{LoadCommandVariant, MachHeader};
use object::read::pe::{ImageNtHeaders, PeFile};
use object::{BinaryFormat, FileKind, Object, ObjectKind, pe};

use super::{ABI_MARK, Facts, MARK_LEN, SYMBOLS_MAX, SymbolKind, Target, malformed};
use crate::error::NativeRefusal;

/// Folders of macOS that only the system writes to.
const MACOS_SYSTEM: [&str; 2] = ["/usr/lib/", "/System/Library/"];

/// Names the system that loads files of this format.
fn system(format: BinaryFormat) -> &'static str {
    match format {
        BinaryFormat::MachO => "macOS",
        BinaryFormat::Pe => "Windows",
        BinaryFormat::Elf => "Linux",
        _ => "another system",
    }
}

/// Libraries of Windows that every process has, and its C runtime; lower case.
const WINDOWS_SYSTEM: [&str; 12] = [
    "advapi32.dll",
    "bcrypt.dll",
    "bcryptprimitives.dll",
    "kernel32.dll",
    "kernelbase.dll",
    "msvcrt.dll",
    "ntdll.dll",
    "ole32.dll",
    "ucrtbase.dll",
    "user32.dll",
    "vcruntime140.dll",
    "ws2_32.dll",
];

/// Returns whether a library is part of the operating system.
pub(super) fn is_of_the_system(library: &str, format: BinaryFormat) -> bool {
    match format {
        BinaryFormat::MachO => {
            MACOS_SYSTEM
                .iter()
                .any(|folder| library.starts_with(folder))
                && !library.contains("/../")
        }
        BinaryFormat::Pe => {
            let library = library.to_ascii_lowercase();
            WINDOWS_SYSTEM.contains(&library.as_str()) || library.starts_with("api-ms-win-")
        }
        _ => false,
    }
}

pub(super) fn read(bytes: &[u8], kind: FileKind, target: Target) -> Result<Facts, NativeRefusal> {
    let file = object::File::parse(bytes).map_err(|_| malformed("the headers"))?;
    let fits = file.format() == target.format
        && file.architecture() == target.architecture
        && file.is_64() == (target.bits == 64);
    if !fits {
        return Err(NativeRefusal::WrongPlatform {
            found: format!("{} ({:?})", system(file.format()), file.architecture()),
            expected: target.describe(),
        });
    }
    if file.kind() != ObjectKind::Dynamic {
        return Err(NativeRefusal::NotALibrary {
            found: "an executable or object file",
        });
    }
    let needed = match kind {
        FileKind::MachO64 => macho_needs::<macho::MachHeader64<object::Endianness>>(bytes)?,
        FileKind::MachO32 => macho_needs::<macho::MachHeader32<object::Endianness>>(bytes)?,
        FileKind::Pe64 => pe_needs::<pe::ImageNtHeaders64>(bytes)?,
        _ => pe_needs::<pe::ImageNtHeaders32>(bytes)?,
    };
    let exports = file.exports().map_err(|_| malformed("the exports"))?;
    if exports.len() > SYMBOLS_MAX {
        return Err(malformed("there are too many symbols"));
    }
    let mut facts = Facts {
        needed,
        ..Facts::default()
    };
    for export in exports {
        let name = String::from_utf8_lossy(export.name());
        // macOS puts an underscore before every name of C.
        let name = match target.format {
            BinaryFormat::MachO => name.strip_prefix('_').unwrap_or(&name),
            _ => &name,
        };
        if name == ABI_MARK {
            facts.mark = mark(&file, export.address());
        }
        facts.symbols.insert(name.to_owned(), SymbolKind::Either);
    }
    Ok(facts)
}

fn mark(file: &object::File<'_>, address: u64) -> Option<Vec<u8>> {
    use object::ObjectSegment;
    let found = file
        .segments()
        .find_map(|segment| segment.data_range(address, MARK_LEN as u64).ok().flatten());
    found.map(<[u8]>::to_vec)
}

fn macho_needs<Mach: MachHeader<Endian = object::Endianness>>(
    bytes: &[u8],
) -> Result<Vec<String>, NativeRefusal> {
    let what = "the load commands";
    let header = Mach::parse(bytes, 0).map_err(|_| malformed(what))?;
    let endian = header.endian().map_err(|_| malformed(what))?;
    let mut commands = header
        .load_commands(endian, bytes, 0)
        .map_err(|_| malformed(what))?;
    let mut needed = Vec::new();
    while let Some(command) = commands.next().map_err(|_| malformed(what))? {
        match command.variant().map_err(|_| malformed(what))? {
            LoadCommandVariant::Dylib(dylib) => {
                let name = command
                    .string(endian, dylib.dylib.name)
                    .map_err(|_| malformed(what))?;
                needed.push(String::from_utf8_lossy(name).into_owned());
            }
            LoadCommandVariant::Rpath(path) => {
                let path = command
                    .string(endian, path.path)
                    .map_err(|_| malformed(what))?;
                return Err(NativeRefusal::SearchPath {
                    path: qmt_oci_ref::text::escape(&String::from_utf8_lossy(path)),
                });
            }
            LoadCommandVariant::DyldEnvironment(_) => {
                return Err(malformed("it sets variables of the dynamic loader"));
            }
            _ => {}
        }
    }
    Ok(needed)
}

fn pe_needs<Pe: ImageNtHeaders>(bytes: &[u8]) -> Result<Vec<String>, NativeRefusal> {
    let what = "the import table";
    let file = PeFile::<Pe>::parse(bytes).map_err(|_| malformed(what))?;
    let mut needed = Vec::new();
    if let Some(table) = file.import_table().map_err(|_| malformed(what))? {
        let mut descriptors = table.descriptors().map_err(|_| malformed(what))?;
        while let Some(import) = descriptors.next().map_err(|_| malformed(what))? {
            let name = table
                .name(import.name.get(object::LittleEndian))
                .map_err(|_| malformed(what))?;
            needed.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    let delayed = file
        .data_directories()
        .get(pe::IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT)
        .is_some_and(|directory| directory.virtual_address.get(object::LittleEndian) != 0);
    if delayed {
        return Err(malformed("it loads libraries later (delay imports)"));
    }
    Ok(needed)
}
