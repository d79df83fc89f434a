//! F15 in short: hostile archives by the thousand. What we accept, others read alike.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

/// One entry of an archive, good or bad.
fn piece() -> impl Strategy<Value = Archive> {
    let name = prop_oneof![
        6 => Just("plugin.wasm"),
        1 => prop::sample::select(vec![
            "./plugin.wasm", "/plugin.wasm", "../plugin.wasm", "a/../plugin.wasm", "Plugin.wasm",
            "plugin.wasm/", ".wh.plugin.wasm", ".wh..wh..opq", "a", "a/b.so", "", "./",
        ]),
    ];
    let kind = prop_oneof![
        6 => Just(b'0'),
        2 => prop::sample::select(b"\x001234567gxLKSV5".to_vec()),
    ];
    let content = prop_oneof![
        4 => Just(module()),
        1 => Just(record("path", "plugin.wasm")),
        1 => Just(record("size", "5008")),
        1 => Just(record("size", "0")),
        1 => Just(b"plugin.wasm\0".to_vec()),
        1 => Just(Vec::new()),
        1 => Just(archive("plugin.wasm", b"\0asm\x01\0\0\0inner")),
    ];
    let magic = prop::sample::select(vec![*b"ustar\x0000", *b"ustar  \0", [0; 8]]);
    (
        name,
        kind,
        content,
        magic,
        prop::option::weighted(0.1, 0..6_000_u64),
    )
        .prop_map(|(name, kind, content, magic, lie)| {
            let size = lie.unwrap_or(content.len() as u64);
            Archive::new()
                .header(kind, name, size, |header| {
                    header.as_mut_bytes()[257..265].copy_from_slice(&magic);
                })
                .content(&content)
        })
}

fn mutant() -> impl Strategy<Value = Vec<u8>> {
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2);
    let cut = prop::option::weighted(0.1, any::<prop::sample::Index>());
    (prop::collection::vec(piece(), 1..5), flips, cut).prop_map(|(pieces, flips, cut)| {
        let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.0).collect();
        let mut bytes = Archive(bytes).done();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    })
}

/// What the `tar` crate sees as the plugin: the content of each file under its name.
fn by_tar_crate(bytes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in ::tar::Archive::new(bytes).entries()? {
        let mut entry = entry?;
        let path = path::lenient(&entry.path_bytes());
        let entry_type = entry.header().entry_type();
        let is_file = entry_type.is_file() || entry_type.is_contiguous();
        if path == b"plugin.wasm" && is_file {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            found.push(content);
        }
    }
    Ok(found)
}

/// Programs that print the plugin's content when they are given an archive.
const READERS: [&[&str]; 3] = [
    &[
        "tar",
        "--extract",
        "--to-stdout",
        "--file=-",
        "--",
        "plugin.wasm",
    ],
    &["bsdtar", "-x", "-O", "-f", "-", "plugin.wasm"],
    &[
        "python3",
        "-c",
        "import sys, tarfile\n\
         for entry in (archive := tarfile.open(fileobj=sys.stdin.buffer, mode='r|')):\n\
         \x20   if entry.name == 'plugin.wasm' and entry.isfile():\n\
         \x20       sys.stdout.buffer.write(archive.extractfile(entry).read())",
    ],
];

/// What another program sees as the plugin; `None` where it is not installed.
fn by_program(command: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let (program, arguments) = command.split_first()?;
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.ok()?;
    child.stdin.take()?.write_all(bytes).ok()?;
    Some(child.wait_with_output().ok()?.stdout)
}

/// As many cases as `PROPTEST_CASES` says, a thousand at least.
fn cases() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: config.cases.max(1_000),
        ..config
    }
}

proptest! {
    #![proptest_config(cases())]

    /// TAR-06, F15: an accepted archive has the same plugin, once, for the `tar` crate's own reading
    /// of extension headers, which are read here by our code, or that refuses it; no archive makes
    /// the extraction panic or hang.
    #[test]
    fn f15_what_is_accepted_is_read_alike(bytes in mutant()) {
        let image = Image::tar(FileRule::Wasm, bytes.clone()).with_chunk(4_096);
        if let Ok((_, taken)) = image.extract()
            && let Ok(found) = by_tar_crate(&bytes)
        {
            prop_assert_eq!(found, vec![taken]);
        }
    }

    /// F15: the same wrapped in gzip and zstd, with bytes changed after compression.
    #[test]
    fn f15_damaged_compression_is_an_error(
        bytes in mutant(),
        use_zstd in any::<bool>(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let (media_type, mut packed) =
            if use_zstd { (ZSTD, zstd(&bytes)) } else { (GZIP, gzip(&bytes)) };
        let at = at.index(packed.len());
        packed[at] ^= flip;
        let image = Image::new(FileRule::Native, &[(media_type, packed)]).with_chunk(4_096);
        prop_assert!(image.extract().is_err(), "there is no library in it");
    }

    /// No bytes at all make the reader panic.
    #[test]
    fn f15_any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        for media_type in [TAR, GZIP, ZSTD] {
            prop_assert!(Image::new(FileRule::Either, &[(media_type, bytes.clone())]).extract().is_err());
        }
    }
}

/// TAR-06: GNU tar, bsdtar and Python, where they are installed, read what we accept alike.
#[test]
fn tar_06_other_readers_read_alike_what_is_accepted() {
    let long = format!("{}/x", "d".repeat(90));
    let forms = [
        Archive::new(),
        Archive::new()
            .pax(&[("path", &long)])
            .file("short", b"content"),
        Archive::new()
            .gnu(b'L', "././@LongLink", format!("{long}\0").as_bytes())
            .gnu(b'0', "s", b"c"),
        Archive::new()
            .gnu(b'K', "././@LongLink", b"target\0")
            .link(b'2', "l", "t"),
        Archive::new().entry(b'g', "pax_global_header", &record("comment", "c")),
        Archive::new()
            .pax(&[("size", "7")])
            .file("sized", b"content"),
        Archive::new()
            .link(b'1', "hard", "plugin.wasm")
            .link(b'2', "soft", "plugin.wasm"),
        Archive::new()
            .entry(b'3', "null", b"")
            .entry(b'6', "fifo", b"")
            .entry(b'5', "dir/", b""),
        Archive::new()
            .file(b"\xff\xfe", b"not UTF-8")
            .file("../escape", b"x"),
        Archive::new().entry(0, "old", b"as in 1979"),
    ];
    for form in forms {
        let bytes = form.file("plugin.wasm", &module()).done();
        let (_, taken) = Image::tar(FileRule::Wasm, bytes.clone()).extract().unwrap();
        assert_eq!(taken, module());
        assert_eq!(by_tar_crate(&bytes).unwrap(), [module()]);
        for command in READERS {
            if let Some(found) = by_program(command, &bytes) {
                assert_eq!(found, module(), "{}", command[0]);
            }
        }
    }
}

/// What other builders write is accepted: the `tar` crate's own archives, in all its formats.
#[test]
fn archives_of_other_builders_are_read() {
    for mut header in [
        ::tar::Header::new_gnu(),
        ::tar::Header::new_ustar(),
        ::tar::Header::new_old(),
    ] {
        let mut builder = ::tar::Builder::new(Vec::new());
        header.set_size(module().len() as u64);
        header.set_mode(0o755);
        builder
            .append_data(
                &mut header.clone(),
                "x".repeat(90) + "/y",
                module().as_slice(),
            )
            .unwrap();
        builder
            .append_data(&mut header, "plugin.wasm", module().as_slice())
            .unwrap();
        let bytes = builder.into_inner().unwrap();
        assert_eq!(
            Image::tar(FileRule::Wasm, bytes).extract().unwrap().1,
            module()
        );
    }
}

/// The same for GNU tar and Python, where they are installed, in each of their formats.
#[test]
fn archives_of_other_programs_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("d".repeat(60)).join("e".repeat(60));
    std::fs::create_dir_all(&long).unwrap();
    std::fs::write(long.join("gr\u{fc}n"), b"content").unwrap();
    std::fs::write(folder.path().join("plugin.wasm"), module()).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("plugin.wasm", folder.path().join("link")).unwrap();
    let python = |format: &str| {
        let code = format!(
            "import sys, tarfile\n\
             with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.{format}) as t:\n\
             \x20   t.add('.', arcname='.')"
        );
        vec!["python3".to_owned(), "-c".to_owned(), code]
    };
    let gnu = |format: &str| {
        [
            "tar",
            "--create",
            "--file=-",
            &format!("--format={format}"),
            ".",
        ]
        .map(str::to_owned)
        .to_vec()
    };
    let commands = [
        gnu("gnu"),
        gnu("oldgnu"),
        gnu("pax"),
        python("PAX_FORMAT"),
        python("GNU_FORMAT"),
    ];
    for command in commands {
        let (program, arguments) = command.split_first().unwrap();
        let output = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .output();
        let Some(output) = output.ok().filter(|output| output.status.success()) else {
            continue;
        };
        for rule in [FileRule::Wasm, FileRule::Either] {
            let image = Image::new(rule, &[(GZIP, gzip(&output.stdout))]);
            assert_eq!(image.extract().unwrap().1, module(), "{command:?}");
        }
    }
}
