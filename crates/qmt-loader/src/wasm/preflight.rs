//! What the sections of a module say, before anything is compiled.
//!
//! [`preflight()`] does not look at function bodies; [`validate()`] does.
//! Everything here is linear in the number of entries, each of which has a limit.

mod nearest;
mod validate;

use std::collections::{BTreeMap, BTreeSet};

use wasmparser::{
    CompositeInnerType, ExternalKind, MemoryType, Parser, Payload, RefType, TableType, TypeRef,
    ValType,
};

use self::nearest::nearest;
pub(super) use self::validate::{features, validate};
use super::imports;
use crate::error::{BoxError, WasmRefusal};
use crate::limits::Limits;
use crate::loader::Preflight;
use qmt_oci_ref::PluginKind;
use qmt_oci_ref::text::escape;

/// The bytes that a module may have: 64 MiB.
pub(crate) const MODULE_MAX: u64 = 64 * 1024 * 1024;
/// The functions that a module may define.
pub(crate) const FUNCTIONS_MAX: u64 = 200_000;
/// The types that a module may define.
pub(crate) const TYPES_MAX: u64 = 100_000;
/// The entries that a module may import.
pub(crate) const IMPORTS_MAX: u64 = 1_000;
/// The entries that a module may export.
pub(crate) const EXPORTS_MAX: u64 = 10_000;
/// The globals that a module may define.
pub(crate) const GLOBALS_MAX: u64 = 10_000;
/// The tables that a module may define.
pub(crate) const TABLES_MAX: u64 = 16;
/// The memories that a module may define. More than one would multiply the memory limit.
pub(crate) const MEMORIES_MAX: u64 = 1;
/// The data and element segments that a module may have, of each.
pub(crate) const SEGMENTS_MAX: u64 = 100_000;

const MAGIC: &[u8; 4] = b"\0asm";
const ELF_MAGIC: &[u8; 4] = b"\x7fELF";
/// The section in which wasmtime keeps for which engine it compiled.
const PRECOMPILED_MARK: &[u8] = b".wasmtime.engine";
/// The export of a WASI command, after which the instance has ended.
pub(super) const COMMAND_EXPORT: &str = "_start";
/// Functions that the runtime calls by itself; they are no exports in the sense of `call`.
const RUNTIME_EXPORTS: [&str; 3] = ["_initialize", "__wasm_call_ctors", "hs_init"];

/// Reads the sections of `bytes` and holds them against what the host offers.
///
/// `host` are the functions that the host registered, as (module, name); `limits` those of the
/// load, if one is under way.
pub(super) fn preflight(
    bytes: &[u8],
    host: &BTreeSet<(String, String)>,
    limits: Option<&Limits>,
) -> Result<Preflight, WasmRefusal> {
    header(bytes)?;
    let mut seen = Seen::default();
    for payload in Parser::new(0).parse_all(bytes) {
        seen.take(payload.map_err(malformed)?)?;
    }
    if let Some(limits) = limits {
        seen.fits(limits)?;
    }
    let missing: BTreeMap<_, _> = seen
        .imports
        .iter()
        .filter(|(module, name)| {
            !imports::is_offered(module, name) && !host.contains(&(module.clone(), name.clone()))
        })
        .map(|(module, name)| {
            let import = format!("{module}.{name}");
            (import, nearest(module, name, host))
        })
        .collect();
    if !missing.is_empty() {
        return Err(WasmRefusal::MissingImports { missing });
    }
    Ok(Preflight {
        kind: PluginKind::Wasm,
        exports: seen.callable(),
        wasi: seen
            .imports
            .iter()
            .any(|(module, _)| imports::is_wasi(module)),
        imports: seen
            .imports
            .into_iter()
            .map(|(module, name)| format!("{module}.{name}"))
            .collect(),
        abi: None,
    })
}

/// Tells a core module from all that is taken for one.
fn header(bytes: &[u8]) -> Result<(), WasmRefusal> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > MODULE_MAX {
        return Err(WasmRefusal::TooLarge {
            size,
            limit: MODULE_MAX,
        });
    }
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(not_wasm(bytes));
    };
    match rest.first_chunk::<4>() {
        Some([1, 0, 0, 0]) => Ok(()),
        // The upper half says "layer 1": a component.
        Some([_, _, 1, 0]) => Err(WasmRefusal::Component),
        Some([low, high, _, _]) => Err(WasmRefusal::Version {
            version: u16::from_le_bytes([*low, *high]),
        }),
        None => Err(WasmRefusal::NotWasm),
    }
}

fn not_wasm(bytes: &[u8]) -> WasmRefusal {
    let text = bytes.trim_ascii_start();
    let is_precompiled = bytes.starts_with(ELF_MAGIC)
        && bytes
            .windows(PRECOMPILED_MARK.len())
            .any(|window| window == PRECOMPILED_MARK);
    let packed = match bytes {
        [0x1f, 0x8b, ..] => Some("a gzip file"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("a zstd file"),
        [b'P', b'K', 3, 4, ..] => Some("a zip archive"),
        _ => None,
    };
    if let Some(format) = packed {
        WasmRefusal::Packed { format }
    } else if is_precompiled {
        WasmRefusal::Precompiled
    } else if text.starts_with(b"(") || text.starts_with(b";;") {
        WasmRefusal::Text
    } else {
        WasmRefusal::NotWasm
    }
}

/// What the sections said so far.
#[derive(Default)]
struct Seen {
    /// Whether a function type takes nothing and returns nothing or one `i32`; that is what Extism
    /// can call.
    callable_types: Vec<bool>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    imports: BTreeSet<(String, String)>,
    function_exports: BTreeMap<String, u32>,
    globals: u64,
    tables: Vec<u64>,
    memories: Vec<u64>,
}

impl Seen {
    fn take(&mut self, payload: Payload<'_>) -> Result<(), WasmRefusal> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for subtype in group.map_err(malformed)?.types() {
                        let callable = match &subtype.composite_type.inner {
                            CompositeInnerType::Func(function) => {
                                function.params().is_empty()
                                    && matches!(function.results(), [] | [ValType::I32])
                            }
                            CompositeInnerType::Array(_) | CompositeInnerType::Struct(_) => {
                                return Err(feature("garbage-collected objects"));
                            }
                            CompositeInnerType::Cont(_) => return Err(feature("stack switching")),
                        };
                        self.callable_types.push(callable);
                        at_most("types", self.callable_types.len(), TYPES_MAX)?;
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(malformed)?;
                    self.import(import.module, import.name, import.ty)?;
                }
            }
            Payload::FunctionSection(section) => {
                at_most("functions", section.count(), FUNCTIONS_MAX)?;
                for index in section {
                    self.functions.push(index.map_err(malformed)?);
                }
            }
            Payload::TableSection(section) => {
                at_most("tables", section.count(), TABLES_MAX)?;
                for table in section {
                    self.table(table.map_err(malformed)?.ty)?;
                }
            }
            Payload::MemorySection(section) => {
                at_most("memories", section.count(), MEMORIES_MAX)?;
                for memory in section {
                    self.memory(memory.map_err(malformed)?)?;
                }
            }
            Payload::GlobalSection(section) => {
                self.globals += u64::from(section.count());
                at_most("globals", self.globals, GLOBALS_MAX)?;
            }
            Payload::ExportSection(section) => {
                at_most("exports", section.count(), EXPORTS_MAX)?;
                for export in section {
                    let export = export.map_err(malformed)?;
                    if export.kind == ExternalKind::Func {
                        self.function_exports
                            .insert(export.name.to_owned(), export.index);
                    }
                }
            }
            Payload::ElementSection(section) => {
                at_most("element segments", section.count(), SEGMENTS_MAX)?;
            }
            Payload::DataSection(section) => {
                at_most("data segments", section.count(), SEGMENTS_MAX)?;
            }
            Payload::TagSection(_) => return Err(feature("exception handling")),
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, module: &str, name: &str, ty: TypeRef) -> Result<(), WasmRefusal> {
        match ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => self.functions.push(index),
            TypeRef::Tag(_) => return Err(feature("exception handling")),
            // Extism links functions only; a memory or a table of the host is never shared.
            TypeRef::Memory(_) => return Err(feature("an imported memory")),
            TypeRef::Table(_) => return Err(feature("an imported table")),
            TypeRef::Global(_) => return Err(feature("an imported global")),
        }
        self.imports.insert((module.to_owned(), name.to_owned()));
        at_most("imports", self.functions.len(), IMPORTS_MAX)
    }

    fn table(&mut self, table: TableType) -> Result<(), WasmRefusal> {
        if table.table64 {
            return Err(feature("64-bit tables"));
        }
        if table.shared {
            return Err(feature("shared tables"));
        }
        if table.element_type == RefType::EXTERNREF {
            return Err(feature(validate::EXTERN_REFS));
        }
        if !table.element_type.is_func_ref() {
            return Err(feature("tables of typed references"));
        }
        self.tables.push(table.initial);
        Ok(())
    }

    fn memory(&mut self, memory: MemoryType) -> Result<(), WasmRefusal> {
        if memory.memory64 {
            return Err(feature("64-bit memories"));
        }
        if memory.shared {
            return Err(feature("shared memories (threads)"));
        }
        if memory.page_size_log2.is_some() {
            return Err(feature("custom page sizes"));
        }
        self.memories.push(memory.initial.saturating_mul(PAGE));
        Ok(())
    }

    /// Checks that what the module has from the start is within what it may ever have.
    fn fits(&self, limits: &Limits) -> Result<(), WasmRefusal> {
        let elements = u64::from(limits.table_elements);
        for (sizes, what, limit, raise) in [
            (
                &self.memories,
                "bytes of memory",
                limits.memory_max,
                "memory_max",
            ),
            (
                &self.tables,
                "elements of a table",
                elements,
                "Limits::table_elements",
            ),
        ] {
            let size = sizes.iter().max().copied().unwrap_or_default();
            if size > limit {
                return Err(WasmRefusal::StartsTooLarge {
                    what,
                    size,
                    limit,
                    raise,
                });
            }
        }
        Ok(())
    }

    fn callable(&self) -> Vec<String> {
        let is_callable = |function: u32| {
            self.functions
                .get(index(function))
                .and_then(|ty| self.callable_types.get(index(*ty)))
                .is_some_and(|callable| *callable)
        };
        self.function_exports
            .iter()
            .filter(|(name, function)| {
                is_callable(**function) && !RUNTIME_EXPORTS.contains(&name.as_str())
            })
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// The bytes of a page of linear memory.
pub(crate) const PAGE: u64 = 65_536;

fn at_most(what: &'static str, count: impl TryInto<u64>, limit: u64) -> Result<(), WasmRefusal> {
    let count = count.try_into().unwrap_or(u64::MAX);
    if count > limit {
        return Err(WasmRefusal::TooMany { what, count, limit });
    }
    Ok(())
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn feature(feature: &'static str) -> WasmRefusal {
    WasmRefusal::Feature { feature }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "`map_err` passes errors by value"
)]
fn malformed(error: wasmparser::BinaryReaderError) -> WasmRefusal {
    WasmRefusal::Malformed {
        // The message may contain names that the module chose.
        source: BoxError::from(escape(&error.to_string())),
    }
}

#[cfg(test)]
mod tests;
