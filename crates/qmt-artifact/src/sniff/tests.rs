//! Headers, byte by byte.

use super::*;

fn elf(class: u8, data: u8, abi: u8, file_type: u16, machine: u16) -> Vec<u8> {
    let mut bytes = vec![
        0x7f, b'E', b'L', b'F', class, data, 1, abi, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let order = |value: u16| {
        if data == 1 {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        }
    };
    bytes.extend(order(file_type));
    bytes.extend(order(machine));
    bytes
}

fn native(bytes: &[u8]) -> (NativeFormat, Vec<&'static str>, bool) {
    match sniff(bytes) {
        Some(Sniffed::Native {
            format,
            architectures,
            library,
        }) => (format, architectures, library),
        other => panic!("{other:?}"),
    }
}

#[test]
fn wasm_by_its_version_and_layer() {
    assert_eq!(sniff(b"\0asm\x01\0\0\0rest"), Some(Sniffed::WasmModule));
    assert_eq!(
        sniff(b"\0asm\x0d\0\x01\0rest"),
        Some(Sniffed::WasmComponent)
    );
    for no_wasm in [
        &b"\0asm"[..],
        b"\0asm\x02\0\0\0",
        b"\0asm\x01\0\0",
        b"",
        b"\0",
    ] {
        assert_eq!(sniff(no_wasm), None, "{no_wasm:?}");
    }
}

#[test]
fn wasm_text_after_comments() {
    for text in [
        "(module)",
        " \n ( module",
        ";; x\n(module",
        "(; a ;)(component)",
        ";;\n(;;)\n(module",
    ] {
        assert_eq!(sniff(text.as_bytes()), Some(Sniffed::WasmText), "{text}");
    }
    for text in [
        "module",
        "(",
        ";; (module)",
        "(; (module",
        "(modul)",
        "# (module)",
    ] {
        assert_eq!(sniff(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn elf_architectures() {
    for (class, data, machine, expected) in [
        (2, 1, 62, "amd64"),
        (1, 1, 62, OTHER), // x32
        (1, 1, 3, "386"),
        (2, 1, 183, "arm64"),
        (2, 2, 183, OTHER),
        (1, 1, 40, "arm"),
        (2, 1, 243, "riscv64"),
        (2, 1, 21, "ppc64le"),
        (2, 2, 22, "s390x"),
        (2, 1, 258, "loong64"),
        (2, 1, 9999, OTHER),
    ] {
        let bytes = elf(class, data, 0, elf::ET_DYN, machine);
        assert_eq!(
            native(&bytes),
            (NativeFormat::Elf, vec![expected], true),
            "{machine}"
        );
    }
    let executable = elf(2, 1, 0, elf::ET_EXEC, 62);
    assert!(!native(&executable).2);
    assert!(!native(&elf(2, 1, 0, elf::ET_REL, 62)).2);
    for length in 4..20 {
        assert_eq!(sniff(&executable[..length]), None, "{length} bytes");
    }
}

/// DIG-12: what wasmtime precompiled is ELF by its magic, and not ours to load.
#[test]
fn dig_12_precompiled_wasm_is_distinguished_from_elf() {
    assert_eq!(
        sniff(&elf(2, 1, 200, 1, 62)),
        Some(Sniffed::PrecompiledWasm)
    );
}

#[test]
fn mach_o_thin_and_universal() {
    let thin = |cpu: u32, file_type: u32| {
        let words = [macho::MH_MAGIC_64, cpu, 0, file_type];
        words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect::<Vec<_>>()
    };
    let dylib = thin(macho::CPU_TYPE_ARM64, macho::MH_DYLIB);
    assert_eq!(native(&dylib), (NativeFormat::MachO, vec!["arm64"], true));
    assert!(native(&thin(macho::CPU_TYPE_X86_64, macho::MH_BUNDLE)).2);
    assert!(!native(&thin(macho::CPU_TYPE_X86_64, macho::MH_EXECUTE)).2);
    let universal: Vec<u8> = [
        macho::FAT_MAGIC,
        2,
        macho::CPU_TYPE_X86_64,
        3,
        0,
        0,
        0,
        macho::CPU_TYPE_ARM64,
        0,
        0,
        0,
        0,
    ]
    .iter()
    .flat_map(|word: &u32| word.to_be_bytes())
    .collect();
    assert_eq!(
        native(&universal),
        (NativeFormat::MachO, vec!["amd64", "arm64"], true)
    );
    assert_eq!(sniff(&universal[..30]), None);
    // A Java class: the same magic, and its version where the count would be.
    assert_eq!(
        sniff(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 65, 0, 0, 0, 0]),
        None
    );
}

#[test]
fn pe_library_and_program() {
    let pe = |machine: u16, flags: u16| {
        let mut bytes = vec![0; 0x80];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[60] = 0x80;
        bytes.extend(b"PE\0\0");
        bytes.extend(machine.to_le_bytes());
        bytes.extend([0; 16]);
        bytes.extend(flags.to_le_bytes());
        bytes
    };
    assert_eq!(
        native(&pe(0x8664, 0x2022)),
        (NativeFormat::Pe, vec!["amd64"], true)
    );
    assert_eq!(
        native(&pe(0xaa64, 0x0022)),
        (NativeFormat::Pe, vec!["arm64"], false)
    );
    let mut far = pe(0x8664, 0x2022);
    far[60..64].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(sniff(&far), None);
    assert_eq!(sniff(b"MZ"), None);
}

proptest::proptest! {
    /// No prefix makes it panic.
    #[test]
    fn any_bytes_are_sniffed(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), magic in 0..6_usize) {
        let magics: [&[u8]; 6] = [b"", b"\x7fELF\x02\x01", b"MZ", b"\xca\xfe\xba\xbe\0\0\0", b"\0asm", b"(;"];
        let _ = sniff(&[magics[magic], &bytes].concat());
    }
}

#[test]
fn packed_files_by_their_magic() {
    for (magic, format) in [
        (&b"\x1f\x8b\x08"[..], "a gzip file"),
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
        (b"\xfd7zXZ\0", "an xz file"),
        (b"BZh91AY&SY", "a bzip2 file"),
        (b"PK\x03\x04", "a zip archive"),
    ] {
        let sniffed = sniff(magic).unwrap();
        assert_eq!(sniffed, Sniffed::Packed { format });
        let problem = sniffed.problem().unwrap().to_string();
        assert!(problem.contains(format), "{problem}");
    }
    assert_eq!(sniff(b"BZh is no magic"), None);
    assert_eq!(Sniffed::WasmModule.problem(), None);
}
