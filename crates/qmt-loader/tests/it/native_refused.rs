//! Files that are refused as native plugins before any of their code runs.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;

use qmt_loader::Loader;
use qmt_loader::refusal::NativeRefusal;
use qmt_oci_ref::PluginKind;

use crate::support::{artifact, wasm};
use crate::workshop::Workshop;

/// NAT-07: a library cannot make the dynamic loader open files that were not verified.
#[tokio::test]
async fn search_paths_and_strange_libraries_are_refused() {
    let workshop = Workshop::new();
    for path in ["-Wl,-rpath,$ORIGIN", "-Wl,-rpath,/tmp,--disable-new-dtags"] {
        let reason = workshop.refuses(workshop.variant(&[path])).await;
        assert!(
            matches!(reason, NativeRefusal::SearchPath { .. }),
            "{reason:?}"
        );
    }
    let other = workshop.path("libother.so");
    fs::write(
        &other,
        workshop.compile("echo.c", &["-Wl,-soname,libother.so"]),
    )
    .unwrap();
    let needy = workshop.variant(&["-Wl,--no-as-needed", other.to_str().unwrap()]);
    let reason = workshop.refuses(needy.clone()).await;
    let is_other =
        matches!(&reason, NativeRefusal::Library { library } if library == "libother.so");
    assert!(is_other, "{reason:?}");
    // The good twin: the operator allows it.
    let allowing = workshop.loader().allow_library("libother.so");
    let preflight = allowing
        .preflight(&artifact(PluginKind::Native, needy))
        .unwrap();
    assert!(preflight.imports.contains(&"libother.so".to_owned()));
    for (flag, name) in [
        ("-Wl,-f,libm.so.6", "auxiliary"),
        ("-Wl,-F,libm.so.6", "filter"),
    ] {
        let reason = workshop.refuses(workshop.variant(&[flag])).await;
        assert!(
            matches!(reason, NativeRefusal::Malformed { .. }),
            "{name}: {reason:?}"
        );
    }
}

/// NAT-07: memory that can be written and run.
#[tokio::test]
async fn executable_stacks_and_patched_code_are_refused() {
    let workshop = Workshop::new();
    let reason = workshop
        .refuses(workshop.variant(&["-Wl,-z,execstack"]))
        .await;
    assert!(
        matches!(reason, NativeRefusal::ExecutableStack),
        "{reason:?}"
    );
    let good = workshop.variant(&[]);
    let headers = Headers::of(&good);
    // Without the header, the dynamic loader takes the stack for an executable one.
    let mut bytes = good.clone();
    let stack = headers.find(&good, object::elf::PT_GNU_STACK);
    bytes[stack..stack + 4].copy_from_slice(&object::elf::PT_NULL.to_le_bytes());
    let reason = workshop.refuses(bytes).await;
    assert!(
        matches!(reason, NativeRefusal::ExecutableStack),
        "{reason:?}"
    );
    let mut bytes = good.clone();
    let load = headers.find(&good, object::elf::PT_LOAD);
    bytes[load + 4..load + 8].copy_from_slice(&7_u32.to_le_bytes());
    let reason = workshop.refuses(bytes).await;
    assert!(matches!(reason, NativeRefusal::WritableCode), "{reason:?}");
    if cfg!(target_arch = "x86_64") {
        let bytes = workshop.variant(&["-DTEXT_RELOCATIONS", "-Wl,-z,notext"]);
        let reason = workshop.refuses(bytes).await;
        assert!(
            matches!(reason, NativeRefusal::TextRelocations),
            "{reason:?}"
        );
    }
}

/// NAT-02: other machines, other kinds of files.
#[tokio::test]
async fn what_is_no_library_of_this_machine_is_refused() {
    let workshop = Workshop::new();
    let good = workshop.variant(&[]);
    workshop
        .loader()
        .preflight(&artifact(PluginKind::Native, good.clone()))
        .unwrap();
    let with = |offset: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[offset] = value;
        bytes
    };
    // Class, byte order, system, machine.
    for (offset, value) in [(7, 9), (7, 0xff), (18, 0x28), (18, 0)] {
        let reason = workshop.refuses(with(offset, value)).await;
        assert!(
            matches!(reason, NativeRefusal::WrongPlatform { .. }),
            "{offset}: {reason:?}"
        );
    }
    for (offset, value) in [(4, 1), (5, 2)] {
        // The rest does not fit any more; whichever is found first is said.
        let reason = workshop.refuses(with(offset, value)).await;
        let refused = matches!(
            reason,
            NativeRefusal::WrongPlatform { .. } | NativeRefusal::Malformed { .. }
        );
        assert!(refused, "{reason:?}");
    }
    for kind in [0, 1, 2, 4, 9] {
        let reason = workshop.refuses(with(16, kind)).await;
        assert!(
            matches!(reason, NativeRefusal::NotALibrary { .. }),
            "{kind}: {reason:?}"
        );
    }
    for text in ["", "\x7fELF", "#!/bin/sh\n", "MZ", "\u{feff}"] {
        let reason = workshop.refuses(text.into()).await;
        let refused = matches!(
            reason,
            NativeRefusal::UnknownFormat | NativeRefusal::Malformed { .. }
        );
        assert!(refused, "{text:?}: {reason:?}");
    }
    let reason = workshop
        .refuses(wasm("echo-wasm/echo.wat").bytes().to_vec())
        .await;
    assert!(matches!(reason, NativeRefusal::UnknownFormat), "{reason:?}");
}

/// NAT-02: executables, also those that are position independent, and object files.
#[tokio::test]
async fn executables_are_refused() {
    let workshop = Workshop::new();
    let source = workshop.path("main.c");
    fs::write(&source, "int main(void) { return 0; }").unwrap();
    for flags in [&["-pie"][..], &["-no-pie"], &["-c"]] {
        let out = workshop.path("program");
        let compiled = Command::new("cc")
            .arg(&source)
            .args(flags)
            .arg("-o")
            .arg(&out)
            .status();
        assert!(compiled.unwrap().success());
        let reason = workshop.refuses(fs::read(out).unwrap()).await;
        let refused = matches!(reason, NativeRefusal::NotALibrary { .. });
        assert!(refused, "{flags:?}: {reason:?}");
    }
}

/// NAT-02: cut off anywhere, or with nonsense anywhere in its headers, it is an error, not a crash.
#[test]
fn damaged_libraries_are_refused() {
    let workshop = Workshop::new();
    let good = workshop.variant(&[]);
    let loader = workshop.loader();
    let preflight = |bytes: Vec<u8>| loader.preflight(&artifact(PluginKind::Native, bytes));
    let needed = Headers::of(&good).end_of_segments(&good);
    assert!(needed < good.len());
    for len in (0..needed).step_by(64).chain([needed - 1]) {
        preflight(good[..len].to_vec()).unwrap_err();
    }
    // Behind the last segment there is only what linkers and debuggers read.
    preflight(good[..needed].to_vec()).unwrap();
    // Nothing of this may panic; much of it is refused.
    let headers = Headers::of(&good);
    let dynamic = headers.find(&good, object::elf::PT_DYNAMIC);
    let dynamic = headers.offset(&good, dynamic);
    let spots = (0..headers.end).chain(dynamic..dynamic + 16 * 30);
    let mut refused = 0;
    for spot in spots {
        for value in [0x00, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[spot] = value;
            refused += usize::from(preflight(bytes).is_err());
        }
    }
    assert!(refused > 500, "{refused}");
    // What the dynamic loader does not read, we do not read either.
    let mut bytes = good.clone();
    bytes[40..48].fill(0xff);
    bytes[58..64].fill(0xff);
    preflight(bytes).unwrap();
}

/// Where the program headers of a 64-bit little-endian file are.
struct Headers {
    start: usize,
    count: usize,
    end: usize,
}

impl Headers {
    const SIZE: usize = 56;

    fn of(bytes: &[u8]) -> Self {
        let start = usize::try_from(u64::from_le_bytes(bytes[32..40].try_into().unwrap())).unwrap();
        let count = usize::from(u16::from_le_bytes(bytes[56..58].try_into().unwrap()));
        Self {
            start,
            count,
            end: start + count * Self::SIZE,
        }
    }

    /// The first header of a type.
    fn find(&self, bytes: &[u8], kind: u32) -> usize {
        (0..self.count)
            .map(|index| self.start + index * Self::SIZE)
            .find(|at| bytes[*at..at + 4] == kind.to_le_bytes())
            .unwrap()
    }

    fn offset(&self, bytes: &[u8], at: usize) -> usize {
        assert!(at >= self.start);
        usize::try_from(u64::from_le_bytes(
            bytes[at + 8..at + 16].try_into().unwrap(),
        ))
        .unwrap()
    }

    fn end_of_segments(&self, bytes: &[u8]) -> usize {
        let ends = (0..self.count).map(|index| {
            let at = self.start + index * Self::SIZE;
            let size = u64::from_le_bytes(bytes[at + 32..at + 40].try_into().unwrap());
            self.offset(bytes, at) + usize::try_from(size).unwrap()
        });
        ends.max().unwrap()
    }
}
