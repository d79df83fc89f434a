//! ELF, read as the dynamic loader reads it: by program headers and the dynamic section alone.
//!
//! <https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html>. Section headers are for linkers
//! and debuggers; they may be missing or lie, and are not looked at.

use std::collections::BTreeMap;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::StringTable;
use object::read::elf::{Dyn, FileHeader, GnuHashTable, HashTable, ProgramHeader, Sym};
use object::{Architecture, BinaryFormat, Endianness, FileKind, pod};

use super::{ABI_MARK, Facts, MARK_LEN, SYMBOLS_MAX, SymbolKind, Target, malformed};
use crate::error::NativeRefusal;

/// Two segments never share a page of this size: the later one would replace bytes of the earlier.
const PAGE: u64 = 4096;
/// The segments that are looked at; real libraries have about a dozen.
const SEGMENTS_MAX: usize = 256;
/// The entries of a dynamic section; real libraries have a few dozen.
const DYNAMIC_MAX: usize = 4096;

/// The processors that are known, with their numbers and names.
const MACHINES: [(Architecture, u16, &str); 8] = [
    (Architecture::X86_64, elf::EM_X86_64, "amd64"),
    (Architecture::I386, elf::EM_386, "386"),
    (Architecture::Aarch64, elf::EM_AARCH64, "arm64"),
    (Architecture::Arm, elf::EM_ARM, "arm"),
    (Architecture::Riscv64, elf::EM_RISCV, "riscv"),
    (Architecture::S390x, elf::EM_S390, "s390x"),
    (Architecture::PowerPc64, elf::EM_PPC64, "ppc64"),
    (Architecture::LoongArch64, elf::EM_LOONGARCH, "loong64"),
];

pub(super) fn read(bytes: &[u8], kind: FileKind, target: Target) -> Result<Facts, NativeRefusal> {
    if kind == FileKind::Elf32 {
        check::<FileHeader32<Endianness>>(bytes, 32, target)
    } else {
        check::<FileHeader64<Endianness>>(bytes, 64, target)
    }
}

fn check<Elf: FileHeader<Endian = Endianness>>(
    bytes: &[u8],
    bits: u32,
    target: Target,
) -> Result<Facts, NativeRefusal> {
    let header = Elf::parse(bytes).map_err(|_| malformed("the file header"))?;
    let endian = header.endian().map_err(|_| malformed("the byte order"))?;
    platform(header, endian, bits, target)?;
    match header.e_type(endian) {
        elf::ET_DYN => {}
        elf::ET_EXEC => return Err(library("an executable")),
        elf::ET_REL => return Err(library("an object file")),
        elf::ET_CORE => return Err(library("a core dump")),
        _ => return Err(library("an ELF file of an unknown type")),
    }
    let segments = header
        .program_headers(endian, bytes)
        .map_err(|_| malformed("the program headers"))?;
    if segments.len() > SEGMENTS_MAX {
        return Err(malformed("there are too many program headers"));
    }
    stack(segments, endian)?;
    let image = Image::new::<Elf>(bytes, segments, endian)?;
    let dynamic = Dynamic::new::<Elf>(&image, segments, endian)?;
    dynamic.policy()?;
    let strings = dynamic.strings(&image)?;
    let mut needed = Vec::new();
    for (tag, value) in &dynamic.entries {
        if *tag == elf::DT_NEEDED {
            needed.push(text(strings, *value)?);
        }
        if *tag == elf::DT_RPATH || *tag == elf::DT_RUNPATH {
            return Err(NativeRefusal::SearchPath {
                path: qmt_oci_ref::text::escape(&text(strings, *value)?),
            });
        }
    }
    let (symbols, mark) = symbols::<Elf>(&image, &dynamic, strings, endian)?;
    Ok(Facts {
        needed,
        symbols,
        mark,
    })
}

fn library(found: &'static str) -> NativeRefusal {
    NativeRefusal::NotALibrary { found }
}

fn platform<Elf: FileHeader<Endian = Endianness>>(
    header: &Elf,
    endian: Endianness,
    bits: u32,
    target: Target,
) -> Result<(), NativeRefusal> {
    let machine = header.e_machine(endian);
    let fits_machine = MACHINES.iter().any(|(architecture, number, _)| {
        (*architecture, *number) == (target.architecture, machine)
    });
    let system = header.e_ident().os_abi;
    let fits_system = match system {
        elf::ELFOSABI_NONE => true,
        elf::ELFOSABI_GNU => target.system == "linux" || target.system == "android",
        elf::ELFOSABI_FREEBSD => target.system == "freebsd",
        elf::ELFOSABI_NETBSD => target.system == "netbsd",
        elf::ELFOSABI_OPENBSD => target.system == "openbsd",
        elf::ELFOSABI_SOLARIS => target.system == "solaris" || target.system == "illumos",
        _ => false,
    };
    let fits = target.format == BinaryFormat::Elf
        && fits_machine
        && bits == target.bits
        && endian == target.endianness
        && fits_system;
    if fits {
        return Ok(());
    }
    Err(NativeRefusal::WrongPlatform {
        found: format!(
            "{} (ELF, {bits} bits, {endian:?} endian, OS/ABI {system})",
            name_of(machine)
        ),
        expected: target.describe(),
    })
}

/// Names the processor that a file is for, or returns its number.
fn name_of(machine: u16) -> String {
    let known = MACHINES.iter().find(|(_, number, _)| *number == machine);
    known.map_or_else(
        || format!("machine {machine}"),
        |(_, _, name)| (*name).to_owned(),
    )
}

/// Without the header, the loader would make the stacks of all threads executable.
fn stack<P: ProgramHeader<Endian = Endianness>>(
    segments: &[P],
    endian: Endianness,
) -> Result<(), NativeRefusal> {
    let mut stacks = segments
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_GNU_STACK)
        .peekable();
    if stacks.peek().is_none() || stacks.any(|stack| stack.p_flags(endian) & elf::PF_X != 0) {
        return Err(NativeRefusal::ExecutableStack);
    }
    Ok(())
}

/// The file as it will lie in memory.
struct Image<'a> {
    bytes: &'a [u8],
    /// Address, offset in the file, and size of what comes from the file; ascending.
    loads: Vec<(u64, u64, u64)>,
}

impl<'a> Image<'a> {
    fn new<Elf: FileHeader<Endian = Endianness>>(
        bytes: &'a [u8],
        segments: &[Elf::ProgramHeader],
        endian: Endianness,
    ) -> Result<Self, NativeRefusal> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut loads = Vec::new();
        let mut end_of_last = 0;
        for segment in segments {
            let (offset, file_size) = segment.file_range(endian);
            if offset.checked_add(file_size).is_none_or(|end| end > size) {
                return Err(malformed("a segment ends past the end of the file"));
            }
            if segment.p_type(endian) != elf::PT_LOAD {
                continue;
            }
            let flags = segment.p_flags(endian);
            if flags & elf::PF_W != 0 && flags & elf::PF_X != 0 {
                return Err(NativeRefusal::WritableCode);
            }
            let address: u64 = segment.p_vaddr(endian).into();
            let memory_size: u64 = segment.p_memsz(endian).into();
            let end = address
                .checked_add(memory_size)
                .ok_or(malformed("a segment ends past the end of memory"))?;
            if memory_size < file_size {
                return Err(malformed("a segment is larger in the file than in memory"));
            }
            if address / PAGE * PAGE < end_of_last {
                return Err(malformed("segments overlap or are out of order"));
            }
            if address % PAGE != offset % PAGE {
                return Err(malformed("a segment cannot be mapped where it belongs"));
            }
            end_of_last = end;
            loads.push((address, offset, file_size));
        }
        if loads.is_empty() {
            return Err(malformed("there is nothing to load"));
        }
        Ok(Self { bytes, loads })
    }

    /// Returns what the file has from `address` to the end of its segment.
    fn from(&self, address: u64) -> Option<&'a [u8]> {
        let (start, offset, size) = self
            .loads
            .iter()
            .find(|(start, _, size)| (*start..start.saturating_add(*size)).contains(&address))?;
        let skip = address.checked_sub(*start)?;
        let first = usize::try_from(offset.checked_add(skip)?).ok()?;
        let last = usize::try_from(offset.checked_add(*size)?).ok()?;
        self.bytes.get(first..last)
    }
}

/// The dynamic section, up to its end mark.
struct Dynamic {
    entries: Vec<(u32, u64)>,
}

impl Dynamic {
    fn new<Elf: FileHeader<Endian = Endianness>>(
        image: &Image<'_>,
        segments: &[Elf::ProgramHeader],
        endian: Endianness,
    ) -> Result<Self, NativeRefusal> {
        let mut found = segments
            .iter()
            .filter(|segment| segment.p_type(endian) == elf::PT_DYNAMIC);
        let (Some(segment), None) = (found.next(), found.next()) else {
            return Err(library("a static executable, without one dynamic section"));
        };
        // The loader reads it in memory, whatever its offset in the file says.
        let bytes = image
            .from(segment.p_vaddr(endian).into())
            .ok_or(malformed("the dynamic section is not loaded from the file"))?;
        let count = bytes.len() / size_of::<Elf::Dyn>();
        let (table, _) = pod::slice_from_bytes::<Elf::Dyn>(bytes, count)
            .map_err(|()| malformed("the dynamic section"))?;
        let mut entries = Vec::new();
        for entry in table {
            let tag: u64 = entry.d_tag(endian).into();
            if tag == u64::from(elf::DT_NULL) {
                return Ok(Self { entries });
            }
            if entries.len() >= DYNAMIC_MAX {
                break;
            }
            // Tags that do not fit are of no meaning to any loader.
            if let Ok(tag) = u32::try_from(tag) {
                entries.push((tag, entry.d_val(endian).into()));
            }
        }
        Err(malformed("the dynamic section has no end"))
    }

    /// Returns the value that counts if there are several: the last one.
    fn value(&self, tag: u32) -> Option<u64> {
        let mut values = self.entries.iter().filter(|(other, _)| *other == tag);
        values.next_back().map(|(_, value)| *value)
    }

    fn policy(&self) -> Result<(), NativeRefusal> {
        for (tag, value) in &self.entries {
            match *tag {
                elf::DT_TEXTREL => return Err(NativeRefusal::TextRelocations),
                elf::DT_FLAGS if value & u64::from(elf::DF_TEXTREL) != 0 => {
                    return Err(NativeRefusal::TextRelocations);
                }
                elf::DT_FLAGS_1 if value & u64::from(elf::DF_1_PIE) != 0 => {
                    return Err(library("an executable"));
                }
                // Each of them names further code to be loaded.
                elf::DT_AUDIT
                | elf::DT_DEPAUDIT
                | elf::DT_AUXILIARY
                | elf::DT_FILTER
                | elf::DT_CONFIG => {
                    return Err(malformed(
                        "it asks for filters, auditors or a configuration",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn strings<'a>(&self, image: &Image<'a>) -> Result<StringTable<'a>, NativeRefusal> {
        let what = malformed;
        let (Some(address), Some(size)) = (self.value(elf::DT_STRTAB), self.value(elf::DT_STRSZ))
        else {
            return Err(what("there is no string table"));
        };
        let bytes = usize::try_from(size)
            .ok()
            .and_then(|size| image.from(address)?.get(..size))
            .ok_or(what("the string table lies outside of its segment"))?;
        let end = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(StringTable::new(bytes, 0, end))
    }
}

fn text(strings: StringTable<'_>, offset: u64) -> Result<String, NativeRefusal> {
    let what = "a name lies outside of the string table, or is not UTF-8";
    let offset = u32::try_from(offset).map_err(|_| malformed(what))?;
    let bytes = strings.get(offset).map_err(|()| malformed(what))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| malformed(what))
}

type Symbols = (BTreeMap<String, SymbolKind>, Option<Vec<u8>>);

/// Lists what the library defines for others.
fn symbols<Elf: FileHeader<Endian = Endianness>>(
    image: &Image<'_>,
    dynamic: &Dynamic,
    strings: StringTable<'_>,
    endian: Endianness,
) -> Result<Symbols, NativeRefusal> {
    let mut symbols = BTreeMap::new();
    let mut mark = None;
    let Some(count) = symbol_count::<Elf>(image, dynamic, endian)? else {
        return Ok((symbols, mark));
    };
    if count > SYMBOLS_MAX {
        return Err(malformed("there are too many symbols"));
    }
    let table = dynamic
        .value(elf::DT_SYMTAB)
        .and_then(|address| image.from(address))
        .ok_or(malformed("the symbol table is not loaded from the file"))?;
    let (table, _) = pod::slice_from_bytes::<Elf::Sym>(table, count)
        .map_err(|()| malformed("the symbol table lies outside of its segment"))?;
    for symbol in table {
        let exported = symbol.st_shndx(endian) != elf::SHN_UNDEF
            && matches!(
                symbol.st_bind(),
                elf::STB_GLOBAL | elf::STB_WEAK | elf::STB_GNU_UNIQUE
            );
        if !exported {
            continue;
        }
        let name = text(strings, symbol.st_name(endian).into())?;
        let kind = match symbol.st_type() {
            elf::STT_FUNC | elf::STT_GNU_IFUNC => SymbolKind::Function,
            elf::STT_NOTYPE => SymbolKind::Either,
            _ => SymbolKind::Data,
        };
        if name == ABI_MARK {
            mark = image
                .from(symbol.st_value(endian).into())
                .and_then(|bytes| bytes.get(..MARK_LEN))
                .map(<[u8]>::to_vec);
        }
        symbols.insert(name, kind);
    }
    Ok((symbols, mark))
}

/// Returns how many symbols there are, which only the hash tables know.
fn symbol_count<Elf: FileHeader<Endian = Endianness>>(
    image: &Image<'_>,
    dynamic: &Dynamic,
    endian: Endianness,
) -> Result<Option<usize>, NativeRefusal> {
    let table = |tag| dynamic.value(tag).map(|address| image.from(address));
    let what = "a hash table lies outside of its segment";
    let gnu = match table(elf::DT_GNU_HASH) {
        None => None,
        Some(bytes) => {
            let table = bytes
                .and_then(|bytes| GnuHashTable::<Elf>::parse(endian, bytes).ok())
                .ok_or(malformed(what))?;
            // It does not list symbols that are not exported; an empty one exports nothing.
            table.symbol_table_length(endian)
        }
    };
    let sysv = match table(elf::DT_HASH) {
        None => None,
        Some(bytes) => {
            let table = bytes
                .and_then(|bytes| HashTable::<Elf>::parse(endian, bytes).ok())
                .ok_or(malformed(what))?;
            Some(table.symbol_table_length())
        }
    };
    let count = gnu.into_iter().chain(sysv).max();
    count
        .map(|count| usize::try_from(count).map_err(|_| malformed(what)))
        .transpose()
}
