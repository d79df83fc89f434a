//! TAR-05, 06, 07, 12: malformed archives, and what the `tar` crate decides about them.

use super::*;

const SIZES: &str = "state different sizes";
const NUMBER: &str = "numeric field was not a number";
const SECOND: &str = "two extension headers of one kind";
const DANGLING: &str = "ends between an extension header and its entry";
const GLOBAL: &str = "a global header stands between";
const SPARSE: &str = "a sparse file has a map of another form";

fn assert_refused(archive: Vec<u8>, expected: &str) {
    match Image::tar(FileRule::Wasm, archive).problem() {
        LayerProblem::Archive { reason } => assert!(reason.contains(expected), "{reason}"),
        other => panic!("{other:?}"),
    }
}

fn extracted(archive: Vec<u8>) -> Vec<u8> {
    Image::tar(FileRule::Wasm, archive).extract().unwrap().1
}

fn plugin(archive: Archive) -> Vec<u8> {
    archive.file("plugin.wasm", &module()).done()
}

/// TAR-06 (CVE-2025-62518, CVE-2026-33055, RUSTSEC-2026-0112): a PAX header that states another
/// size than the entry's own header.
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
    assert_eq!(extracted(equal), module());
    assert_refused(smuggled(&length.to_string(), 0), SIZES);
    for bad in ["0", "-1", "1e3", "0x10", " 1", "", "18446744073709551616"] {
        assert_refused(smuggled(bad, length), SIZES);
    }
    // CVE-2026-33055: an extension between PAX header and entry must not take the size.
    let between = Archive::new()
        .pax(&[("size", "0")])
        .gnu(b'L', "././@LongLink", b"plugin.wasm\0")
        .file("x", &module())
        .done();
    assert_refused(between, SIZES);
}

/// TAR-06: sizes in the encodings that the `tar` crate reads, and in others.
#[test]
fn tar_06_sizes_are_read_as_the_tar_crate_reads_them() {
    let with_field = |field: &[u8; 12]| {
        let archive = Archive::new().header(b'0', "x", 0, |header| {
            header.as_mut_bytes()[124..136].copy_from_slice(field);
        });
        plugin(archive)
    };
    for field in [
        b"00000000000\0",
        b"          0 ",
        b"\x80\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        assert_eq!(extracted(with_field(field)), module(), "{field:?}");
    }
    for field in [b"0x000000000\0", b"-0000000001\0", b"00000000008\0"] {
        assert_refused(with_field(field), NUMBER);
    }
}

/// TAR-07: extension headers that the `tar` crate reads, and those that it refuses.
#[test]
fn tar_07_extension_headers() {
    let long = |archive: Archive, name: &[u8]| archive.gnu(b'L', "././@LongLink", name);
    let link = |archive: Archive| archive.gnu(b'K', "././@LongLink", b"target\0");
    let pax = |archive: Archive| archive.pax(&[("path", "plugin.wasm")]);
    let file = |archive: Archive| archive.file("x", &module()).done();
    let new = Archive::new;
    for archive in [
        long(new(), b"plugin.wasm\0"),
        long(new(), b"plugin.wasm"),
        pax(new()),
        long(link(new()), b"plugin.wasm\0"),
        long(pax(new()), b"plugin.wasm\0"),
    ] {
        assert_eq!(extracted(file(archive)), module());
    }
    let two = [
        long(long(new(), b"a\0"), b"b\0"),
        link(link(new())),
        pax(pax(new())),
    ];
    for archive in two {
        assert_refused(file(archive), SECOND);
    }
    for dangling in [pax(new()), long(new(), b"a\0"), link(new())] {
        let archive = Archive(plugin(new())[..512 + 5_120].to_vec());
        assert_refused(Archive([archive.0, dangling.0].concat()).done(), DANGLING);
    }
    assert_refused(file(long(new(), b"plugin\0.wasm\0")), "a name contains NUL");
}

/// TAR-07 (astral-tokio-tar, tokio-tar): malformed records name nothing.
#[test]
fn tar_07_malformed_pax_records_name_nothing() {
    for records in [
        &b"99 path=plugin.wasm\n"[..],
        b"path=plugin.wasm\n",
        b"20 path plugin.wasm\n",
        b"99999999999999999999 path=plugin.wasm\n",
        b"\0\0\0\0",
        b"",
    ] {
        let archive = Archive::new()
            .entry(b'x', "PaxHeaders/x", records)
            .file("x", b"other");
        assert_eq!(extracted(plugin(archive)), module(), "{records:?}");
    }
}

/// TAR-07: a global header names nothing.
#[test]
fn tar_07_global_headers() {
    for (key, value) in [
        ("comment", "0123456789abcdef"),
        ("path", "plugin.wasm"),
        ("size", "0"),
    ] {
        let global = Archive::new().entry(b'g', "pax_global_header", &record(key, value));
        assert_eq!(extracted(plugin(global)), module());
    }
    let between = Archive::new()
        .pax(&[("path", "x")])
        .entry(b'g', "g", &record("comment", "x"));
    assert_refused(plugin(between), GLOBAL);
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
    assert_eq!(extracted(plugin(pax("other"))), module());
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
    assert_eq!(extracted(plugin(gnu("other", 0))), module());
    let other_magic = Archive::new().entry(b'S', "other", b"");
    assert_refused(plugin(other_magic), SPARSE);
    assert_refused(plugin(gnu("other", 1)), SPARSE);
}

/// TAR-06: the prefix field is a part of the name in ustar headers, and in no others.
#[test]
fn tar_06_the_prefix_of_a_ustar_header_is_a_part_of_the_name() {
    let with_prefix = |magic: &'static [u8; 8], prefix: &'static [u8]| {
        Archive::new()
            .header(b'0', "plugin.wasm", module().len() as u64, |header| {
                header.as_mut_bytes()[257..265].copy_from_slice(magic);
                header.as_mut_bytes()[345..345 + prefix.len()].copy_from_slice(prefix);
            })
            .content(&module())
            .done()
    };
    for prefix in [&b""[..], b"dir"] {
        for magic in [b"ustar  \0", b"\0\0\0\0\0\0\0\0"] {
            assert_eq!(extracted(with_prefix(magic, prefix)), module());
        }
    }
    assert_eq!(extracted(with_prefix(b"ustar\x0000", b"")), module());
    match Image::tar(FileRule::Wasm, with_prefix(b"ustar\x0000", b"dir")).error() {
        ArtifactError::NoFile { similar, .. } => assert_eq!(similar, ["dir/plugin.wasm"]),
        error => panic!("{error:?}"),
    }
}

/// TAR-12: every cut of a layer is an error, and so is every changed checksum. Only what is behind
/// the content of the last entry of a plain archive, which holds nothing, may be missing.
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
            let is_end = media_type == TAR && length >= 512 + small.len();
            if is_end {
                assert_eq!(image.extract().unwrap().1, small);
                continue;
            }
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

/// TAR-12: some tools write neither the end of an archive nor the end of its last block. What is
/// there instead must be zeros.
#[test]
fn tar_12_the_end_of_an_archive_may_be_missing() {
    let whole = Archive::new()
        .file("plugin.wasm", &module())
        .file("x", b"1");
    let content_end = whole.0.len() - 512 + 1;
    for length in [content_end, content_end + 1, content_end + 511] {
        assert_eq!(extracted(whole.0[..length].to_vec()), module());
        assert_eq!(
            extracted([&whole.0[..], &vec![0; length % 700]].concat()),
            module()
        );
    }
    for cut in [content_end - 1, content_end - 2] {
        let problem = Image::tar(FileRule::Wasm, whole.0[..cut].to_vec()).problem();
        assert!(
            matches!(problem, LayerProblem::Archive { .. }),
            "{cut}: {problem:?}"
        );
    }
    let problem = Image::tar(FileRule::Wasm, [&whole.0[..], b"data"].concat()).problem();
    assert!(
        matches!(problem, LayerProblem::Archive { .. }),
        "{problem:?}"
    );
}

/// TAR-12: what follows the end of an archive is not part of it, but is hashed and bounded.
#[test]
fn tar_12_what_follows_the_end_is_ignored() {
    let whole = archive("plugin.wasm", &module());
    let second = archive("plugin.wasm", b"\0asm\x01\0\0\0other");
    for trailing in [vec![0; 8_704], b"x".to_vec(), second] {
        let bytes = [whole.clone(), trailing].concat();
        assert_eq!(extracted(bytes.clone()), module());
        let mut image = Image::tar(FileRule::Wasm, bytes.clone());
        image.selection.diff_ids = vec![Digest::sha256(&bytes)];
        assert!(image.extract().is_ok());
        let limits = ExtractLimits::default().unpacked_bytes(bytes.len() as u64 - 1);
        let error = image.with_limits(limits).error();
        assert!(
            matches!(error, ArtifactError::LimitExceeded { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn a_wrong_header_checksum_is_refused() {
    let mut archive = archive("plugin.wasm", &module());
    archive[0] ^= 1;
    assert_refused(archive, "checksum mismatch");
}

/// TAR-12: a compressed layer without content is an archive without entries.
#[test]
fn tar_12_a_compressed_layer_without_content_has_no_entries() {
    let whole = archive("plugin.wasm", &module());
    for (media_type, empty) in [(GZIP, gzip(b"")), (ZSTD, zstd(b""))] {
        let error = Image::new(FileRule::Wasm, &[(media_type, empty.clone())]).error();
        assert!(matches!(error, ArtifactError::NoFile { .. }), "{error:?}");
        let first = Image::new(FileRule::Wasm, &[(media_type, empty), (TAR, whole.clone())]);
        assert_eq!(first.extract().unwrap().1, module());
    }
    let problem = Image::tar(FileRule::Wasm, Vec::new()).problem();
    assert!(matches!(problem, LayerProblem::Truncated), "{problem:?}");
    // Next to other layers, one without any bytes has no entries either.
    for media_type in [TAR, GZIP, ZSTD] {
        for place in [0, 1] {
            let mut layers = vec![(TAR, whole.clone())];
            layers.insert(place, (media_type, Vec::new()));
            let mut image = Image::new(FileRule::Wasm, &layers);
            assert_eq!(image.extract().unwrap().1, module(), "{media_type}");
            image.selection.diff_ids = vec![Digest::sha256(&whole); 2];
            image.selection.diff_ids[place] = Digest::sha256(b"");
            assert_eq!(image.extract().unwrap().1, module(), "{media_type}");
        }
    }
    let both = [(GZIP, Vec::new()), (TAR, Vec::new())];
    let error = Image::new(FileRule::Wasm, &both).error();
    assert!(matches!(error, ArtifactError::NoFile { .. }), "{error:?}");
}

/// TAR-07: of a PAX key that is repeated, the first value is used.
#[test]
fn tar_07_the_first_of_repeated_pax_keys_is_used() {
    let repeated = Archive::new()
        .pax(&[("path", "plugin.wasm"), ("path", "other")])
        .file("x", &module());
    assert_eq!(extracted(repeated.done()), module());
}
