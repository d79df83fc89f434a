//! DIG-12: the content has the last word. Also which file is the library.

use super::*;
use crate::sniff::NativeFormat;

fn content_error(image: &Image) -> ContentProblem {
    match image.error() {
        ArtifactError::Content { problem, .. } => problem,
        error => panic!("{error:?}"),
    }
}

/// DIG-12: whatever is about to be called Wasm is a core module.
#[test]
fn dig_12_only_a_core_module_is_wasm() {
    let cwasm = {
        let mut bytes = library();
        bytes[7] = 200;
        bytes
    };
    let mach_o = [
        0xcf, 0xfa, 0xed, 0xfe, 0x0c, 0, 0, 1, 0, 0, 0, 0, 6, 0, 0, 0,
    ]
    .to_vec();
    for (bytes, expected) in [
        (
            library(),
            ContentProblem::NativeNotWasm {
                format: NativeFormat::Elf,
            },
        ),
        (
            mach_o,
            ContentProblem::NativeNotWasm {
                format: NativeFormat::MachO,
            },
        ),
        (cwasm, ContentProblem::Precompiled),
        (b"\0asm\x0d\0\x01\0rest".to_vec(), ContentProblem::Component),
        (b"(module)".to_vec(), ContentProblem::Text),
        (
            b"{\"wasm\":[{\"path\":\"/etc/passwd\"}]}".to_vec(),
            ContentProblem::Unknown,
        ),
        (
            archive("plugin.wasm", &module()),
            ContentProblem::Packed {
                format: "a tar archive",
            },
        ),
        (
            gzip(&module()),
            ContentProblem::Packed {
                format: "a gzip file",
            },
        ),
        (
            zstd(&module()),
            ContentProblem::Packed {
                format: "a zstd file",
            },
        ),
        (
            b"PK\x03\x04\x14\0".to_vec(),
            ContentProblem::Packed {
                format: "a zip archive",
            },
        ),
        (b"\n<!DOCTYPE HTML><html>".to_vec(), ContentProblem::WebPage),
        (
            b"\xef\xbb\xbf<html lang=x>".to_vec(),
            ContentProblem::WebPage,
        ),
        (b"<xml/>".to_vec(), ContentProblem::Unknown),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00".to_vec(),
            ContentProblem::LfsPointer,
        ),
        (b"version 1".to_vec(), ContentProblem::Unknown),
        (b"\0asm\x02\0\0\0".to_vec(), ContentProblem::Unknown),
        (Vec::new(), ContentProblem::Empty),
    ] {
        let mut raw = Image::new(FileRule::Layer, &[(WASM, bytes.clone())]);
        raw.selection.required = Some(PluginKind::Wasm);
        // An archive is read as one (`wasm_layers.rs`), unless a title says that it is the file.
        let layer = raw.selection.layers.remove(0);
        let titled = layer.with_annotation(TITLE, "plugin.wasm");
        raw.selection.layers = vec![titled];
        assert_eq!(content_error(&raw), expected);
        let packed = Image::tar(FileRule::Wasm, archive("plugin.wasm", &bytes));
        assert_eq!(content_error(&packed), expected);
    }
}

/// DIG-12: whatever is about to be called native is a library of the host's platform.
#[test]
fn dig_12_only_a_library_of_the_host_is_native() {
    let arm64 = elf(object::elf::EM_AARCH64, object::elf::ET_DYN);
    let program = elf(object::elf::EM_X86_64, object::elf::ET_EXEC);
    let image = |bytes: &[u8]| Image::tar(FileRule::Native, archive("plugin.so", bytes));
    assert!(image(&library()).extract().is_ok());
    match content_error(&image(&arm64)) {
        ContentProblem::Foreign { found, host, .. } => {
            assert_eq!((found.as_str(), host.as_str()), ("arm64", "linux/amd64"));
        }
        found => panic!("{found:?}"),
    }
    let mut on_arm64 = image(&arm64);
    on_arm64.selection.host = HostPlatform::new(&platform("linux", "arm64"));
    assert_eq!(on_arm64.extract().unwrap().0.architecture(), Some("arm64"));
    let mut on_mac = image(&library());
    on_mac.selection.host = HostPlatform::new(&platform("darwin", "amd64"));
    assert!(matches!(
        content_error(&on_mac),
        ContentProblem::Foreign { .. }
    ));
    let format = NativeFormat::Elf;
    assert_eq!(
        content_error(&image(&program)),
        ContentProblem::NotALibrary { format }
    );
    assert_eq!(
        content_error(&image(&module())),
        ContentProblem::WasmNotNative
    );
    assert_eq!(
        content_error(&image(b"#!/bin/sh\nexit 0\n")),
        ContentProblem::Unknown
    );
}

/// The operator's `file` says where, the content says what, `kind` says whether.
#[test]
fn a_named_file_is_what_its_content_says() {
    let image = |bytes: &[u8], required| {
        let mut image = Image::tar(FileRule::Named("a/b".to_owned()), archive("a/b", bytes));
        image.selection.required = required;
        image
    };
    assert_eq!(
        image(&module(), None).extract().unwrap().0.kind(),
        PluginKind::Wasm
    );
    assert_eq!(
        image(&library(), None).extract().unwrap().0.kind(),
        PluginKind::Native
    );
    let wasm = content_error(&image(&module(), Some(PluginKind::Native)));
    assert_eq!(wasm, ContentProblem::WasmNotNative);
    let native = content_error(&image(&library(), Some(PluginKind::Wasm)));
    assert_eq!(
        native,
        ContentProblem::NativeNotWasm {
            format: NativeFormat::Elf
        }
    );
}

#[test]
fn the_hosts_name_of_a_library_comes_first() {
    let own = [library(), b"own".to_vec()].concat();
    for (names, rule) in [
        (["lib/libx.so", "plugin.dll", "plugin.so"], FileRule::Native),
        (["plugin.so", "plugin.dll", "lib/libx.so"], FileRule::Native),
        (["plugin.so", "plugin.wasm", "libx.so"], FileRule::Either),
        (["plugin.wasm", "libx.so", "plugin.so"], FileRule::Either),
    ] {
        let mut archive = Archive::new();
        for name in names {
            let bytes = match name {
                "plugin.so" => own.clone(),
                "plugin.wasm" => module(),
                _ => library(),
            };
            archive = archive.file(name, &bytes);
        }
        let (extracted, bytes) = Image::tar(rule, archive.done()).extract().unwrap();
        assert_eq!(
            (extracted.kind(), bytes),
            (PluginKind::Native, own.clone()),
            "{names:?}"
        );
    }
}

/// A Dockerfile's image for the host's platform, on a base image that is full of libraries.
#[test]
fn plugin_wasm_comes_before_libraries_of_a_base_image() {
    let base = Archive::new()
        .entry(b'5', "usr/", b"")
        .link(b'2', "lib", "usr/lib")
        .link(b'2', "usr/lib/libc.so", "libc.so.6")
        .file("usr/lib/libc.so.6", &library())
        .file("usr/lib/libm.so.6", &library())
        .entry(b'3', "dev/null", b"")
        .done();
    let top = archive("plugin.wasm", &module());
    let image = Image::new(FileRule::Either, &[(GZIP, gzip(&base)), (GZIP, gzip(&top))]);
    let (extracted, bytes) = image.extract().unwrap();
    assert_eq!((extracted.kind(), bytes), (PluginKind::Wasm, module()));
}

#[test]
fn two_libraries_are_an_error_that_lists_them() {
    let two = Archive::new()
        .file("a/libx.so", &library())
        .file("liby.so.1.2", &library())
        .done();
    for rule in [FileRule::Native, FileRule::Either] {
        match Image::tar(rule, two.clone()).error() {
            ArtifactError::SeveralFiles { names } => {
                assert_eq!(names, ["a/libx.so", "liby.so.1.2"]);
            }
            error => panic!("{error:?}"),
        }
    }
    let mut many = Archive::new();
    for nth in 0..100 {
        many = many.file(format!("lib{nth}.so"), &library());
    }
    match Image::tar(FileRule::Native, many.done()).error() {
        ArtifactError::SeveralFiles { names } => assert_eq!(names.len(), 17),
        error => panic!("{error:?}"),
    }
    let named = Image::tar(FileRule::Named("liby.so.1.2".to_owned()), two);
    assert!(named.extract().is_ok());
    let others = Archive::new()
        .file("plugin.dll", &library())
        .file("plugin.dylib", &library());
    let error = Image::tar(FileRule::Native, others.done()).error();
    assert!(
        matches!(error, ArtifactError::SeveralFiles { .. }),
        "{error:?}"
    );
}

/// Files for other hosts, and what a base image holds, are no reason to refuse the one that fits.
#[test]
fn what_does_not_fit_makes_way_for_what_does() {
    let arm64 = elf(object::elf::EM_AARCH64, object::elf::ET_DYN);
    let program = elf(object::elf::EM_X86_64, object::elf::ET_EXEC);
    let others = || {
        Archive::new()
            .file("arm64/libx.so", &arm64)
            .file("lib/program.so", &program)
            .file("plugin.dll", b"MZ")
            .file("plugin.dylib", &arm64)
    };
    let wasm = others().file("plugin.wasm", &module()).done();
    let (extracted, _) = Image::tar(FileRule::Either, wasm).extract().unwrap();
    assert_eq!(extracted.kind(), PluginKind::Wasm);
    let native = others().file("amd64/libx.so", &library()).done();
    for rule in [FileRule::Either, FileRule::Native] {
        let (extracted, bytes) = Image::tar(rule, native.clone()).extract().unwrap();
        assert_eq!((extracted.kind(), bytes), (PluginKind::Native, library()));
    }
    // Where nothing fits, the first of them says why.
    match Image::tar(FileRule::Native, others().done()).error() {
        ArtifactError::Content {
            file,
            problem: found,
        } => {
            assert_eq!(file, "arm64/libx.so");
            assert!(matches!(found, ContentProblem::Foreign { .. }), "{found:?}");
        }
        error => panic!("{error:?}"),
    }
    // The host's own name promises: what it holds must fit.
    let wrong = Archive::new()
        .file("plugin.so", &arm64)
        .file("libx.so", &library())
        .done();
    let error = Image::tar(FileRule::Native, wrong).error();
    assert!(matches!(error, ArtifactError::Content { .. }), "{error:?}");
}

/// Two rivals count even after many of a worse class.
#[test]
fn rivals_are_those_of_the_class_that_was_taken() {
    let mut archive = Archive::new();
    for nth in 0..40 {
        archive = archive.file(format!("lib{nth}.so"), &library());
    }
    let one = archive.clone().file("plugin.dll", &library()).done();
    assert!(Image::tar(FileRule::Native, one).extract().is_ok());
    let two = archive
        .file("plugin.dll", &library())
        .file("plugin.dylib", &library())
        .done();
    match Image::tar(FileRule::Native, two).error() {
        ArtifactError::SeveralFiles { names } => {
            assert_eq!(names, ["plugin.dll", "plugin.dylib"]);
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn what_only_looks_like_a_library_is_none() {
    let archive = Archive::new()
        .file("._libx.so", &library()) // macOS
        .file("lib/script.so", b"GROUP ( libc.so.6 )")
        .file("lib/empty.so", b"")
        .link(b'2', "lib/libx.so", "libx.so.1")
        .file("lib/libx.so.1", &library())
        .file("x.so.bak", &library())
        .done();
    let (extracted, _) = Image::tar(FileRule::Native, archive).extract().unwrap();
    assert_eq!(extracted.kind(), PluginKind::Native);
}
