//! TAR-01, 02, 03, 05, 08, 09: which entries are the plugin, and which make the layer refused.

use super::*;

/// TAR-01: an odd name that some reader takes for the plugin's is refused, alone and next to it.
#[test]
fn tar_01_odd_names_of_the_plugin_are_refused() {
    let long = format!("{}plugin.wasm", "a/../".repeat(17));
    for name in [
        "../plugin.wasm",
        "/../plugin.wasm",
        "a/../../plugin.wasm",
        "a/../plugin.wasm",
        "C:\\plugin.wasm",
        "\\\\?\\C:\\plugin.wasm",
        ".\\plugin.wasm",
        "plugin.wasm/.",
        &long,
    ] {
        for archive in [
            Archive::new().file(name, &module()),
            Archive::new()
                .file("plugin.wasm", &module())
                .file(name, &module()),
        ] {
            let problem = Image::tar(FileRule::Wasm, archive.done()).problem();
            assert!(
                matches!(problem, LayerProblem::AmbiguousName { .. }),
                "{name}: {problem:?}"
            );
        }
    }
    // A layer is unpacked below a root: these are what every reader takes for the same file.
    for name in [
        "plugin.wasm",
        "./plugin.wasm",
        "/plugin.wasm",
        "//plugin.wasm",
        ".//plugin.wasm",
        "/./plugin.wasm",
    ] {
        assert!(
            Image::tar(FileRule::Wasm, archive(name, &module()))
                .extract()
                .is_ok(),
            "{name}"
        );
    }
}

/// TAR-01: odd names next to the plugin are harmless: nothing is written under them.
#[test]
fn tar_01_odd_names_next_to_the_plugin_do_nothing() {
    let archive = Archive::new()
        .file("../../../../tmp/qmt-escape", b"x")
        .file("/etc/qmt-escape", b"x")
        .file("", b"x")
        .file(".", b"")
        .file("a//b", b"x")
        .entry(b'5', "./", b"")
        .file("plugin.wasm", &module())
        .done();
    let (_, bytes) = Image::tar(FileRule::Wasm, archive).extract().unwrap();
    assert_eq!(bytes, module());
    assert!(!std::path::Path::new("/tmp/qmt-escape").exists());
    assert!(!std::path::Path::new("/etc/qmt-escape").exists());
}

/// TAR-01, LIM-06 (GHSA-3wgq-wrwc-vqmv): NUL in a name, and names past the limit.
#[test]
fn tar_01_nul_and_long_names_are_refused() {
    let pax = |path: &str| {
        Archive::new()
            .pax(&[("path", path)])
            .file("x", b"")
            .file("plugin.wasm", &module())
            .done()
    };
    assert!(Image::tar(FileRule::Wasm, pax("fine")).extract().is_ok());
    let problem = Image::tar(FileRule::Wasm, pax("plugin.wasm\0x")).problem();
    assert!(
        matches!(problem, LayerProblem::Archive { .. }),
        "{problem:?}"
    );
    assert!(
        Image::tar(FileRule::Wasm, pax(&"x".repeat(4_096)))
            .extract()
            .is_ok()
    );
    for length in [4_097, 32_768] {
        match Image::tar(FileRule::Wasm, pax(&"x".repeat(length))).error() {
            ArtifactError::LimitExceeded {
                what: Limit::NameBytes,
                limit: 4_096,
                found,
            } => {
                assert_eq!(found, length as u64);
            }
            error => panic!("{error:?}"),
        }
    }
    let gnu = |length: usize| {
        let name = [vec![b'x'; length], vec![0]].concat();
        let archive = Archive::new()
            .gnu(b'L', "././@LongLink", &name)
            .gnu(b'0', "x", b"");
        Image::tar(
            FileRule::Wasm,
            archive.file("plugin.wasm", &module()).done(),
        )
    };
    assert!(gnu(4_096).extract().is_ok());
    let error = gnu(4_097).error();
    assert!(matches!(
        error,
        ArtifactError::LimitExceeded {
            what: Limit::NameBytes,
            found: 4_097,
            ..
        }
    ));
}

/// A contiguous file is a regular one to every reader.
#[test]
fn a_contiguous_file_is_a_regular_file() {
    let contiguous = Archive::new().entry(b'7', "plugin.wasm", &module()).done();
    let image = Image::tar(FileRule::Wasm, contiguous);
    assert_eq!(image.extract().unwrap().1, module());
}

/// TAR-02, TAR-05: under the plugin's name only a regular file is taken.
#[test]
fn tar_02_tar_05_only_a_regular_file_is_taken() {
    for kind in *b"123456MVDAZ\x7f" {
        let own = Archive::new()
            .link(kind, "plugin.wasm", "/etc/passwd")
            .done();
        let problem = Image::tar(FileRule::Wasm, own).problem();
        let expected = matches!(problem, LayerProblem::NotRegular { .. });
        assert!(expected, "type {:?}: {problem:?}", char::from(kind));
        let archive = Archive::new()
            .link(kind, "other", "/etc/passwd")
            .file("plugin.wasm", &module());
        let image = Image::tar(FileRule::Wasm, archive.done());
        assert!(
            image.extract().is_ok(),
            "type {:?} next to the plugin",
            char::from(kind)
        );
    }
    // A link first, then the file "through" it: the name is taken once.
    let both = Archive::new()
        .link(b'2', "plugin.wasm", "/etc/passwd")
        .file("plugin.wasm", &module());
    let problem = Image::tar(FileRule::Wasm, both.done()).problem();
    assert!(
        matches!(problem, LayerProblem::NotRegular { .. }),
        "{problem:?}"
    );
}

/// TAR-02, TAR-03 (CVE-2026-5223, GHSA-hp8f-xmx4-4qrg, CVE-2026-33056): no part of the path is a
/// link, whichever comes first in the archive.
#[test]
fn tar_02_tar_03_a_path_through_a_link_is_refused() {
    let rule = || FileRule::Named("lib/sub/x.so".to_owned());
    let good = Archive::new()
        .entry(b'5', "lib/", b"")
        .file("lib/sub/x.so", &library());
    assert!(Image::tar(rule(), good.clone().done()).extract().is_ok());
    for kind in *b"123460" {
        for parent in ["lib", "lib/sub"] {
            let before = Archive::new()
                .link(kind, parent, "../..")
                .file("lib/sub/x.so", &library());
            let after = good.clone().link(kind, parent, "/etc/");
            for archive in [before, after] {
                let problem = Image::tar(rule(), archive.done()).problem();
                let expected = matches!(problem, LayerProblem::ParentNotDirectory { .. });
                assert!(expected, "{parent} of type {kind}: {problem:?}");
            }
        }
    }
}

/// TAR-08: one name twice, and names that some file systems take for one.
#[test]
fn tar_08_a_name_that_stands_twice_is_refused() {
    for second in [
        "plugin.wasm",
        "./plugin.wasm",
        "/plugin.wasm",
        "Plugin.wasm",
        "PLUGIN.WASM",
        "plugin.wa\u{17f}m",
    ] {
        for names in [["plugin.wasm", second], [second, "plugin.wasm"]] {
            let archive = Archive::new()
                .file(names[0], &module())
                .file(names[1], &module())
                .done();
            let problem = Image::tar(FileRule::Wasm, archive).problem();
            assert!(
                matches!(problem, LayerProblem::DuplicateName { .. }),
                "{second}: {problem:?}"
            );
        }
    }
    let rule = || FileRule::Named("caf\u{e9}.wasm".to_owned());
    let composed = Archive::new().file("caf\u{e9}.wasm", &module());
    assert!(
        Image::tar(rule(), composed.clone().done())
            .extract()
            .is_ok()
    );
    let both = composed.file("cafe\u{301}.wasm", &module()).done();
    let problem = Image::tar(rule(), both).problem();
    assert!(
        matches!(problem, LayerProblem::DuplicateName { .. }),
        "{problem:?}"
    );
}

/// TAR-09 (CVE-2023-38497): mode, owner, time and extended attributes of the entry go nowhere.
#[test]
fn tar_09_metadata_is_ignored() {
    for mode in [0o0, 0o4755, 0o2755, 0o1777, 0o7777, 0o666] {
        let archive = Archive::new()
            .pax(&[
                ("SCHILY.xattr.security.capability", "\u{1}"),
                ("mtime", "1.5"),
                ("uid", "0"),
            ])
            .header(b'0', "plugin.wasm", module().len() as u64, |header| {
                header.set_mode(mode);
                header.set_uid(4_242);
                header.set_mtime(u64::MAX >> 40);
            })
            .content(&module())
            .done();
        let (extracted, bytes) = Image::tar(FileRule::Wasm, archive).extract().unwrap();
        assert_eq!(
            (extracted.file_name(), bytes),
            ("plugin.wasm", module()),
            "mode {mode:o}"
        );
    }
}

/// TAR-10: names are compared as bytes; what is not UTF-8 equals no name looked for.
#[test]
fn tar_10_names_are_bytes() {
    let archive = Archive::new()
        .file(b"plugin\xff.wasm", b"x")
        .file(b"\xff\xfe", b"x");
    let archive = archive.file("plugin.wasm", &module()).done();
    assert!(Image::tar(FileRule::Wasm, archive).extract().is_ok());
    match Image::tar(FileRule::Wasm, super::archive("plugin.wasm.bak", &module())).error() {
        ArtifactError::NoFile { .. } => {}
        error => panic!("{error:?}"),
    }
}

/// CFG-06: the file's name in the host is ours, whatever the archive calls it.
#[test]
fn cfg_06_names_from_an_archive_go_nowhere() {
    let rule = FileRule::Named("--help;rm -rf.so".to_owned());
    let archive = archive("--help;rm -rf.so", &library());
    let (extracted, _) = Image::tar(rule, archive).extract().unwrap();
    assert_eq!(extracted.file_name(), "plugin.so");
}

#[test]
fn what_might_have_been_meant_is_named() {
    let archive = Archive::new()
        .file("app/tool.wasm", &module())
        .file("lib/x.so", &library())
        .done();
    let error = Image::tar(FileRule::Wasm, archive).error();
    let text = error.to_string();
    assert!(
        text.contains("app/tool.wasm") && text.contains("lib/x.so"),
        "{text}"
    );
}
