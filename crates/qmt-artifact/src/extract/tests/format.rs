//! TAR-04, 05, 06, 07, 12: archives that readers understand differently, or not at all.

use super::*;

fn fault(archive: Vec<u8>) -> &'static str {
    match Image::tar(FileRule::Wasm, archive).problem() {
        LayerProblem::Archive { fault, .. } => fault,
        problem => panic!("{problem:?}"),
    }
}

fn taken(archive: Vec<u8>) -> Vec<u8> {
    Image::tar(FileRule::Wasm, archive).extract().unwrap().1
}

fn plugin(archive: Archive) -> Vec<u8> {
    archive.file("plugin.wasm", &module()).done()
}

/// TAR-06 (CVE-2025-62518, CVE-2026-33055, RUSTSEC-2026-0112): a size that stands in the PAX
/// header and in the entry's own, and differs, hides entries from one half of all readers.
#[test]
fn tar_06_sizes_that_differ_are_refused() {
    let hidden = archive("plugin.wasm", &module());
    let smuggled = |pax_size: &str, size: u64| {
        Archive::new()
            .pax(&[("size", pax_size)])
            .header(b'0', "data.bin", size, |_| {})
            .content(&hidden)
            .done()
    };
    let length = hidden.len() as u64;
    let equal = plugin(
        Archive::new()
            .pax(&[("size", &length.to_string())])
            .file("data.bin", &hidden),
    );
    assert_eq!(taken(equal), module());
    assert_eq!(
        fault(smuggled(&length.to_string(), 0)),
        "its size stands twice and differs"
    );
    assert_eq!(
        fault(smuggled("0", length)),
        "its size stands twice and differs"
    );
    for bad in ["-1", "1e3", "0x10", " 1", "", "18446744073709551616"] {
        let text = fault(smuggled(bad, length));
        assert_eq!(text, "a PAX size is no number", "{bad:?}");
    }
    // CVE-2026-33055: an extension between PAX header and entry must not take the size.
    let between = Archive::new()
        .pax(&[("size", "0")])
        .gnu(b'L', "././@LongLink", b"plugin.wasm\0")
        .file("x", &module())
        .done();
    assert_eq!(fault(between), "one entry has two long names");
}

/// TAR-06: sizes in other notations than octal, and where there is nothing to have a size.
#[test]
fn tar_06_odd_sizes_are_refused() {
    let with_field = |field: &[u8; 12]| {
        let archive = Archive::new().header(b'0', "x", 0, |header| {
            header.as_mut_bytes()[124..136].copy_from_slice(field);
        });
        plugin(archive)
    };
    assert_eq!(taken(with_field(b"00000000000\0")), module());
    assert_eq!(taken(with_field(b"          0 ")), module());
    for field in [
        b"0000000000 1",
        b"0x000000000\0",
        b"-0000000001\0",
        b"\x80\0\0\0\0\0\0\0\0\0\0\0",
        b"00000000008\0",
    ] {
        assert_eq!(fault(with_field(field)), "a size is not octal", "{field:?}");
    }
    for kind in *b"123456" {
        let archive = Archive::new().entry(kind, "x", b"content");
        assert_eq!(
            fault(plugin(archive)),
            "an entry that has no content has a size"
        );
    }
    assert_eq!(
        fault(plugin(Archive::new().entry(b'0', "x/", b"1"))),
        "an entry that has no content has a size"
    );
}

/// TAR-07 (astral-tokio-tar, tokio-tar): malformed records are errors, never skipped.
#[test]
fn tar_07_malformed_pax_records_are_refused() {
    let with = |records: &[u8]| {
        plugin(
            Archive::new()
                .entry(b'x', "PaxHeaders/x", records)
                .file("x", b""),
        )
    };
    assert_eq!(taken(with(&record("comment", "fine"))), module());
    let path = record("path", "a");
    for records in [
        &b"5 a=b"[..], // no line end
        b"7 a=b\n",    // too long by one
        b"5 a=b\n",    // too short by one
        b"06 a=b\n",   // leading zero
        b"+6 a=b\n",
        b"6  a=b\n",
        b"a=b\n",
        b" 6 a=b\n",
        b"6 a b\n", // no equals sign
        b"5 =b\n",  // no key
        b"99999999999999999999 a=b\n",
        b"\0\0\0\0",
        b"4 \n\n",
        &[path.as_slice(), b"x"].concat(),
        &[path.as_slice(), b"\n"].concat(),
    ] {
        assert_eq!(
            fault(with(records)),
            "a PAX record is malformed",
            "{records:?}"
        );
    }
    assert_eq!(fault(with(b"")), "a PAX header is empty");
    assert_eq!(
        fault(with(&[path.clone(), path.clone()].concat())),
        "a PAX key stands twice"
    );
    assert_eq!(
        fault(with(&record("path", ""))),
        "a PAX path is empty or holds NUL"
    );
    assert_eq!(
        fault(with(&record("linkpath", "a\0b"))),
        "a PAX link path is empty or holds NUL"
    );
}

/// TAR-07: extensions that contradict one another or belong to nothing.
#[test]
fn tar_07_extensions_that_contradict_are_refused() {
    let long = |archive: Archive, name: &[u8]| archive.gnu(b'L', "././@LongLink", name);
    let link = |archive: Archive| archive.gnu(b'K', "././@LongLink", b"target\0");
    let pax = |archive: Archive| archive.pax(&[("path", "plugin.wasm")]);
    let file = |archive: Archive| archive.file("x", &module()).done();
    let new = Archive::new;
    assert_eq!(taken(file(long(new(), b"plugin.wasm\0"))), module());
    assert_eq!(taken(file(pax(new()))), module());
    assert_eq!(taken(file(long(link(new()), b"plugin.wasm\0"))), module());
    assert_eq!(
        fault(file(long(long(new(), b"a\0"), b"b\0"))),
        "one entry has two long names"
    );
    assert_eq!(
        fault(file(link(link(new())))),
        "one entry has two long link names"
    );
    assert_eq!(
        fault(file(pax(pax(new())))),
        "one entry has two PAX headers"
    );
    assert_eq!(
        fault(file(pax(long(new(), b"a\0")))),
        "one entry has a GNU and a PAX extension"
    );
    assert_eq!(
        fault(file(pax(link(new())))),
        "one entry has a GNU and a PAX extension"
    );
    assert_eq!(
        fault(file(long(pax(new()), b"a\0"))),
        "one entry has two long names"
    );
    for dangling in [pax(new()), long(new(), b"a\0"), link(new())] {
        let archive = Archive(plugin(new())[..512 + 5_120].to_vec());
        let archive = Archive([archive.0, dangling.0].concat()).done();
        assert_eq!(fault(archive), "it ends where an entry was announced");
    }
    for name in [
        &b"\0"[..],
        b"",
        b"plugin.wasm",
        b"plugin.wasm\0\0",
        b"plugin\0.wasm\0",
    ] {
        assert_eq!(
            fault(file(long(new(), name))),
            "a long name is empty or not ended by one NUL"
        );
    }
    let no_magic = new().header(b'L', "././@LongLink", 2, |header| {
        header.as_mut_bytes()[257..265].fill(0);
    });
    assert_eq!(
        fault(file(no_magic.content(b"a\0"))),
        "an extension has no known magic"
    );
}

/// TAR-07: a global header may comment, and may not name.
#[test]
fn tar_07_global_headers() {
    let global = |key: &str, value: &str| {
        plugin(Archive::new().entry(b'g', "pax_global_header", &record(key, value)))
    };
    assert_eq!(taken(global("comment", "0123456789abcdef")), module());
    for (key, value) in [
        ("path", "plugin.wasm"),
        ("size", "0"),
        ("GNU.sparse.major", "1"),
    ] {
        assert_eq!(
            fault(global(key, value)),
            "a global header sets a path or size"
        );
    }
    let between = Archive::new()
        .pax(&[("path", "x")])
        .entry(b'g', "g", &record("comment", "x"));
    assert_eq!(
        fault(plugin(between)),
        "a global header stands between an extension and its entry"
    );
}

/// TAR-05: sparse files in GNU's and in PAX form are never the plugin, and never expand.
#[test]
fn tar_05_sparse_files() {
    let pax = |name: &str| {
        Archive::new()
            .pax(&[
                ("GNU.sparse.major", "1"),
                ("GNU.sparse.realsize", "9223372036854775807"),
            ])
            .file(name, &module())
    };
    let problem = Image::tar(FileRule::Wasm, pax("plugin.wasm").done()).problem();
    assert!(matches!(
        problem,
        LayerProblem::NotRegular {
            found: "a sparse file",
            ..
        }
    ));
    assert_eq!(taken(plugin(pax("other"))), module());
    let gnu = |name: &str, extended: u8| {
        Archive::new().header(b'S', name, 0, |header| {
            gnu_magic(header);
            header.as_mut_bytes()[482] = extended;
            header.as_mut_bytes()[483..495].copy_from_slice(b"777777777777");
        })
    };
    let problem = Image::tar(FileRule::Wasm, gnu("plugin.wasm", 0).done()).problem();
    assert!(matches!(
        problem,
        LayerProblem::NotRegular {
            found: "a sparse file",
            ..
        }
    ));
    assert_eq!(taken(plugin(gnu("other", 0))), module());
    let other_magic = Archive::new().entry(b'S', "other", b"");
    assert_eq!(
        fault(plugin(other_magic)),
        "a sparse file has another magic than GNU's"
    );
    assert_eq!(
        fault(plugin(gnu("other", 1))),
        "a sparse file has a long map"
    );
}

/// TAR-06: bytes that ustar readers take for the front of the name, in a header that is not ustar.
#[test]
fn tar_06_a_name_that_depends_on_the_magic_is_refused() {
    let with_prefix = |magic: &'static [u8; 8], prefix: &'static [u8]| {
        Archive::new()
            .header(b'0', "plugin.wasm", module().len() as u64, |header| {
                header.as_mut_bytes()[257..265].copy_from_slice(magic);
                header.as_mut_bytes()[345..345 + prefix.len()].copy_from_slice(prefix);
            })
            .content(&module())
            .done()
    };
    assert_eq!(taken(with_prefix(b"ustar  \0", b"")), module());
    assert_eq!(taken(with_prefix(b"\0\0\0\0\0\0\0\0", b"")), module());
    for magic in [b"ustar  \0", b"\0\0\0\0\0\0\0\0"] {
        let problem = Image::tar(FileRule::Wasm, with_prefix(magic, b"dir")).problem();
        assert!(
            matches!(problem, LayerProblem::OddName { .. }),
            "{problem:?}"
        );
    }
    match Image::tar(FileRule::Wasm, with_prefix(b"ustar\x0000", b"dir")).error() {
        ArtifactError::NoFile { near, .. } => assert_eq!(near, ["dir/plugin.wasm"]),
        error => panic!("{error:?}"),
    }
}

/// TAR-12: every cut of a compressed layer is an error, and so is every flipped checksum.
#[test]
fn tar_12_a_cut_layer_is_an_error() {
    let small = [b"\0asm\x01\0\0\0".to_vec(), vec![0; 90]].concat();
    let plain = archive("plugin.wasm", &small);
    for (media_type, whole) in [
        (GZIP, gzip(&plain)),
        (ZSTD, zstd(&plain)),
        (TAR, plain.clone()),
    ] {
        for length in 0..whole.len() {
            let image = Image::new(FileRule::Wasm, &[(media_type, whole[..length].to_vec())]);
            let error = image.extract().map(|(extracted, _)| extracted).unwrap_err();
            let layer = matches!(error, ArtifactError::Layer { .. });
            assert!(
                layer,
                "{length} of {} bytes as {media_type}: {error:?}",
                whole.len()
            );
        }
        assert!(
            Image::new(FileRule::Wasm, &[(media_type, whole)])
                .extract()
                .is_ok()
        );
    }
    let mut bad_crc = gzip(&plain);
    let at = bad_crc.len() - 8;
    bad_crc[at] ^= 1;
    let problem = Image::new(FileRule::Wasm, &[(GZIP, bad_crc)]).problem();
    assert!(
        matches!(problem, LayerProblem::Damaged { .. }),
        "{problem:?}"
    );
}

/// TAR-12: the two zero blocks must be there, and nothing may follow them.
#[test]
fn tar_12_the_end_of_the_archive_is_checked() {
    let whole = archive("plugin.wasm", &module());
    let without_end = whole[..whole.len() - 1_024].to_vec();
    for (bytes, zeros) in [(&without_end, 0), (&without_end, 512)] {
        let bytes = [bytes.clone(), vec![0; zeros]].concat();
        let problem = Image::tar(FileRule::Wasm, bytes).problem();
        assert!(
            matches!(problem, LayerProblem::Truncated),
            "{zeros} zeros: {problem:?}"
        );
    }
    assert_eq!(taken([whole.clone(), vec![0; 8_704]].concat()), module());
    let trailing = [whole.clone(), vec![0; 512], b"x".to_vec()].concat();
    assert_eq!(fault(trailing), "something follows the end of the archive");
    let second = [whole.clone(), whole].concat();
    assert_eq!(fault(second), "something follows the end of the archive");
    let lone = [vec![0; 512], archive("plugin.wasm", &module())].concat();
    assert_eq!(fault(lone), "a single zero block stands between entries");
}

#[test]
fn a_wrong_header_checksum_is_refused() {
    let mut archive = archive("plugin.wasm", &module());
    archive[0] ^= 1;
    assert_eq!(fault(archive), "a header's checksum is wrong");
}
