//! TAR-11 and LIM: every limit at its value and one past it, and what they stop.

use std::time::{Duration, Instant};

use super::*;

fn too_much(image: &Image) -> (Limit, u64, u64) {
    match image.error() {
        ArtifactError::LimitExceeded { what, limit, found } => (what, limit, found),
        error => panic!("{error:?}"),
    }
}

fn limits() -> ExtractLimits {
    ExtractLimits::default()
}

fn one_file() -> Vec<u8> {
    archive("plugin.wasm", &module())
}

/// The header of an entry that claims 8 GiB, and zeros for ever after.
fn endless(zeros: usize) -> Vec<u8> {
    let mut bytes = Archive::new()
        .header(b'0', "zeros", (1 << 33) - 1, |_| {})
        .0;
    bytes.resize(bytes.len() + zeros, 0);
    bytes
}

/// TAR-11 (CVE-2022-36114): ten gigabytes in ten megabytes of gzip stop at the ratio, soon.
#[test]
fn tar_11_a_gzip_bomb_stops_at_the_ratio() {
    let zeros = gzip(&vec![0; 64 << 20]);
    let mut bomb = gzip(&endless(0));
    for _ in 0..160 {
        bomb.extend_from_slice(&zeros);
    }
    let most = bomb.len() as u64 * 20 + (16 << 20);
    let image = Image::new(FileRule::Wasm, &[(GZIP, bomb)]).with_chunk(1 << 16);
    let start = Instant::now();
    let (what, limit, found) = too_much(&image);
    assert_eq!((what, limit), (Limit::Ratio, most));
    assert!(found - limit <= 1 << 20, "{found} bytes were unpacked");
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

/// TAR-11 (CVE-2026-48702): the same in zstd, a hundred thousand to one.
#[test]
fn tar_11_a_zstd_bomb_stops_at_the_ratio() {
    let bomb = zstd(&endless(256 << 20));
    assert!(bomb.len() < 64 << 10, "{} bytes", bomb.len());
    let start = Instant::now();
    let (what, ..) = too_much(&Image::new(FileRule::Wasm, &[(ZSTD, bomb)]));
    assert_eq!(what, Limit::Ratio);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

/// TAR-11: the window is what the decoder has to keep in memory.
#[test]
fn tar_11_zstd_windows_at_the_limit_and_past_it() {
    let frame = |log: u8| {
        let content = one_file();
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
        let block = (u32::try_from(content.len()).unwrap() << 3) | 1; // the last block, raw
        frame.extend(&block.to_le_bytes()[..3]);
        frame.extend(content);
        Image::new(FileRule::Wasm, &[(ZSTD, frame)])
    };
    for log in [25, 26, 27] {
        assert_eq!(frame(log).extract().unwrap().1, module(), "{log}");
    }
    for (log, mib) in [(28, 256), (31, 2048), (41, 2_097_152)] {
        let problem = frame(log).problem();
        let text = problem.to_string();
        let words = format!("a window of {mib} MiB, at most 128 MiB");
        assert!(
            text.contains(&words) && text.contains("`--long`"),
            "{log}: {text}"
        );
        assert!(
            matches!(problem, LayerProblem::ZstdWindow { .. }),
            "{log}: {problem:?}"
        );
    }
    // No window is larger than what may be unpacked, except that of earlier versions.
    let small = |log| frame(log).with_limits(limits().with_artifact_bytes(64 << 20));
    assert!(small(26).extract().is_ok());
    let problem = small(27).problem();
    assert!(problem.to_string().contains("at most 64 MiB"), "{problem}");
    let tiny = limits().with_artifact_bytes(1 << 20);
    assert!(frame(25).with_limits(tiny).extract().is_ok());
    assert!(
        frame(21)
            .with_limits(limits().zstd_window_log(20))
            .extract()
            .is_err()
    );
}

/// TAR-11: the window of a frame that says how much it unpacks to, and that of a later frame.
#[test]
fn tar_11_zstd_windows_are_found_in_all_headers() {
    // One segment, with a size in eight bytes and the identifier of a dictionary in `id`.
    let single = |id: &[u8], descriptor: u8| {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000 | descriptor];
        frame.extend(id);
        frame.extend((129_u64 << 20).to_le_bytes());
        frame
    };
    for frame in [
        single(&[], 0),
        single(&[0], 1),
        single(&[0; 2], 2),
        single(&[0; 4], 3),
    ] {
        let problem = Image::new(FileRule::Wasm, &[(ZSTD, frame)]).problem();
        let expected =
            matches!(problem, LayerProblem::ZstdWindow { window, .. } if window == 129 << 20);
        assert!(expected, "{problem:?}");
    }
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
    let later = [&skippable[..], &single(&[], 0)].concat();
    let problem = Image::new(FileRule::Wasm, &[(ZSTD, later)]).problem();
    assert!(
        matches!(problem, LayerProblem::Damaged { .. }),
        "{problem:?}"
    );
    let good = [&skippable[..], &zstd(&one_file())].concat();
    assert!(
        Image::new(FileRule::Wasm, &[(ZSTD, good)])
            .extract()
            .is_ok()
    );
}

/// TAR-11: members that unpack to nothing.
#[test]
fn tar_11_gzip_members_at_the_limit_and_past_it() {
    let members = |count: usize| {
        let mut bytes = gzip(&one_file());
        let empty = gzip(&[]);
        for _ in 1..count {
            bytes.extend_from_slice(&empty);
        }
        Image::new(FileRule::Wasm, &[(GZIP, bytes)]).with_chunk(1 << 16)
    };
    let lowered = || limits().gzip_members(5);
    assert!(members(5).with_limits(lowered()).extract().is_ok());
    let past = too_much(&members(6).with_limits(lowered()));
    assert_eq!(past, (Limit::GzipMembers, 5, 6));
    let start = Instant::now();
    assert_eq!(
        too_much(&members(1_000_000)),
        (Limit::GzipMembers, 131_072, 131_073)
    );
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

/// Tapes and block devices fill the last block with zeros, which `gzip -d` ignores too.
#[test]
fn tar_11_zeros_behind_the_last_gzip_member_are_ignored() {
    let two_members = [gzip(&one_file()[..700]), gzip(&one_file()[700..])].concat();
    for members in [gzip(&one_file()), two_members] {
        for count in [1, 512, 9_000] {
            let bytes = [members.clone(), vec![0; count]].concat();
            let mut image = Image::new(FileRule::Wasm, &[(GZIP, bytes)]);
            image.selection.diff_ids = vec![Digest::sha256(one_file())];
            assert_eq!(image.extract().unwrap().1, module(), "{count}");
        }
    }
    // Behind a part of a member, they are not padding.
    let packed = gzip(&one_file());
    let cut = [&packed[..packed.len() - 8], &[0; 512]].concat();
    let problem = Image::new(FileRule::Wasm, &[(GZIP, cut)]).problem();
    let expected = matches!(problem, LayerProblem::Damaged { .. });
    assert!(expected, "{problem:?}");
}

/// TAR-11: something behind the last member.
#[test]
fn tar_11_gzip_trailing_garbage_is_refused() {
    let padded = [&[0; 512], &gzip(&one_file())[..]].concat();
    for junk in [&b"junk"[..], b"\n"] {
        let bytes = [gzip(&one_file()), junk.to_vec()].concat();
        let problem = Image::new(FileRule::Wasm, &[(GZIP, bytes)]).problem();
        let text = qmt_oci_ref::text::messages(&problem).join(": ");
        assert!(text.contains("data after the last gzip member"), "{text}");
    }
    let garbage = [b"garbage", &b"\0x"[..], b"\x1f\x8b", b"\x1f", &padded];
    for garbage in garbage {
        let bytes = [gzip(&one_file()), garbage.to_vec()].concat();
        let problem = Image::new(FileRule::Wasm, &[(GZIP, bytes)]).problem();
        let refused = matches!(
            problem,
            LayerProblem::Damaged { .. } | LayerProblem::Truncated
        );
        assert!(refused, "{garbage:?}: {problem:?}");
    }
    let nested = gzip(&gzip(&one_file()));
    let error = Image::new(FileRule::Wasm, &[(GZIP, nested)]).error();
    let packed = ContentProblem::Packed {
        format: "a gzip file",
    };
    assert!(
        matches!(&error, ArtifactError::Content { problem, .. } if *problem == packed),
        "{error:?}"
    );
}

/// TAR-11, LIM-06: 65,536 entries, over all layers.
#[test]
fn lim_entries_at_the_limit_and_past_it() {
    let entries = |count: usize| {
        let one = Archive::new().file("x", b"").0;
        let mut bytes = one.repeat(count - 1);
        bytes.extend(one_file());
        Image::tar(FileRule::Wasm, bytes).with_chunk(1 << 16)
    };
    assert!(entries(65_536).extract().is_ok());
    assert_eq!(too_much(&entries(65_537)), (Limit::Entries, 65_536, 65_537));
    // Headers that describe other entries count, and so do those of lower layers.
    let lowered = || limits().entries(3);
    let described = Archive::new().pax(&[("comment", "x")]).file("x", b"");
    let described = Archive([described.0, one_file()].concat());
    assert!(
        Image::tar(FileRule::Wasm, described.0.clone())
            .with_limits(lowered())
            .extract()
            .is_ok()
    );
    let past = Image::tar(FileRule::Wasm, described.0).with_limits(limits().entries(2));
    assert_eq!(too_much(&past), (Limit::Entries, 2, 3));
    let two = |lower: usize| {
        let lower = Archive(Archive::new().file("x", b"").0.repeat(lower - 1));
        let lower = lower.file("plugin.wasm", &module()).done();
        let upper = Archive::new().file("y", b"").done();
        Image::new(FileRule::Wasm, &[(TAR, lower), (TAR, upper)]).with_limits(lowered())
    };
    assert!(two(2).extract().is_ok());
    assert_eq!(too_much(&two(3)), (Limit::Entries, 3, 4));
}

/// TAR-11, LIM-06: a PAX header of 64 KiB, and one that claims a gigabyte.
#[test]
fn lim_pax_headers_at_the_limit_and_past_it() {
    let with = |size: usize| {
        let value = "x".repeat(size - "65536 comment=\n".len());
        let records = record("comment", &value);
        assert_eq!(records.len(), size);
        let archive = Archive::new().entry(b'x', "PaxHeaders/x", &records);
        Image::tar(
            FileRule::Wasm,
            archive.file("plugin.wasm", &module()).done(),
        )
    };
    assert!(with(65_536).extract().is_ok());
    assert_eq!(too_much(&with(65_537)), (Limit::PaxBytes, 65_536, 65_537));
    let claimed = Archive::new()
        .header(b'x', "PaxHeaders/x", 1 << 30, |_| {})
        .done();
    assert_eq!(
        too_much(&Image::tar(FileRule::Wasm, claimed)),
        (Limit::PaxBytes, 65_536, 1 << 30)
    );
    let global = Archive::new().header(b'g', "g", 1 << 30, |_| {}).done();
    assert_eq!(
        too_much(&Image::tar(FileRule::Wasm, global)),
        (Limit::PaxBytes, 65_536, 1 << 30)
    );
}

/// LIM-05: what all layers together unpack to.
#[test]
fn lim_unpacked_bytes_at_the_limit_and_past_it() {
    let size = one_file().len() as u64;
    let image = |most: u64| {
        Image::new(FileRule::Wasm, &[(GZIP, gzip(&one_file()))])
            .with_limits(limits().unpacked_bytes(most))
    };
    assert!(image(size).extract().is_ok());
    assert_eq!(
        too_much(&image(size - 1)),
        (Limit::UnpackedBytes, size - 1, size)
    );
    let other = archive("other", &module());
    let both = |most: u64| {
        let layers = [(GZIP, gzip(&one_file())), (GZIP, gzip(&other))];
        Image::new(FileRule::Wasm, &layers).with_limits(limits().unpacked_bytes(most))
    };
    let sum = size + other.len() as u64;
    assert!(both(sum).extract().is_ok());
    assert_eq!(too_much(&both(sum - 1)).0, Limit::UnpackedBytes);
}

/// LIM-05: the ratio, which may be exceeded by the slack and not by a byte more.
#[test]
fn lim_ratio_at_the_limit_and_past_it() {
    let plain = archive("plugin.wasm", &[module(), vec![0; 100_000]].concat());
    let packed = gzip(&plain);
    let slack = plain.len() as u64 - packed.len() as u64 * 2;
    let image = |slack: u64| {
        let limits = limits().ratio(2).ratio_slack_bytes(slack);
        Image::new(FileRule::Wasm, &[(GZIP, packed.clone())]).with_limits(limits)
    };
    assert!(image(slack).extract().is_ok());
    let (what, limit, found) = too_much(&image(slack - 1));
    assert_eq!(
        (what, limit, found),
        (Limit::Ratio, plain.len() as u64 - 1, plain.len() as u64)
    );
}

/// LIM-05: the size of a layer, before anything of it is read.
#[test]
fn lim_layer_sizes_at_the_limit_and_past_it() {
    let raw = Image::new(FileRule::Layer, &[(WASM, module())]);
    let size = module().len() as u64;
    assert!(raw.with_limits(limits().wasm_bytes(size)).extract().is_ok());
    let raw = Image::new(FileRule::Layer, &[(WASM, module())]);
    raw.layers.forget(&Digest::sha256(module()));
    let raw = raw.with_limits(limits().wasm_bytes(size - 1));
    assert_eq!(too_much(&raw), (Limit::WasmBytes, size - 1, size));
    let packed = one_file();
    let size = packed.len() as u64;
    let image =
        |most| Image::tar(FileRule::Wasm, packed.clone()).with_limits(limits().archive_bytes(most));
    assert!(image(size).extract().is_ok());
    assert_eq!(
        too_much(&image(size - 1)),
        (Limit::ArchiveBytes, size - 1, size)
    );
    // The table's own values, by descriptors alone.
    for (rule, media_type, most, what) in [
        (FileRule::Layer, WASM, 64 << 20, Limit::WasmBytes),
        (FileRule::Wasm, GZIP, 256 << 20, Limit::ArchiveBytes),
    ] {
        for (size, refused) in [(most, false), (most + 1, true)] {
            let mut image = Image::new(rule.clone(), &[]);
            let digest = Digest::sha256(b"nowhere");
            image.selection.layers =
                vec![Descriptor::new(MediaType::from(media_type), digest, size)];
            match image.error() {
                ArtifactError::LimitExceeded { what: found, .. } => {
                    assert!(refused && found == what);
                }
                ArtifactError::Registry { .. } => assert!(!refused),
                error => panic!("{error:?}"),
            }
        }
    }
}

/// LIM-09: a layer that never comes.
#[test]
fn lim_time() {
    let limits = limits().time(Duration::from_millis(50));
    let mut image = Image::tar(FileRule::Wasm, one_file()).with_limits(limits);
    image.layers.stall_after = Some(1);
    let start = Instant::now();
    let error = image.error();
    assert!(matches!(error, ArtifactError::TimedOut { .. }), "{error:?}");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}
