//! Layers that are Wasm by their media type, and archives by their content, which has the last word.

use super::*;

fn wasm(layer: &[u8]) -> Image {
    let mut image = Image::new(FileRule::Layer, &[(WASM, layer.to_vec())]);
    image.selection.required = Some(PluginKind::Wasm);
    image
}

fn titled(layer: &[u8], title: &str) -> Image {
    let mut image = wasm(layer);
    let untitled = image.selection.layers.remove(0);
    image.selection.layers = vec![untitled.with_annotation(TITLE, title)];
    image
}

#[test]
fn an_archive_that_is_called_wasm_is_read_as_an_archive() {
    let plain = archive("plugin.wasm", &module());
    for bytes in [plain.clone(), gzip(&plain), zstd(&plain)] {
        let (extracted, file) = wasm(&bytes).extract().unwrap();
        assert_eq!((extracted.kind(), file), (PluginKind::Wasm, module()));
    }
    assert_eq!(wasm(&module()).extract().unwrap().1, module());
    let linked = Archive::new().file("deps/plugin.wasm", &module()).link(
        b'1',
        "plugin.wasm",
        "deps/plugin.wasm",
    );
    assert_eq!(wasm(&linked.done()).extract().unwrap().1, module());
}

/// The `file` of the config names a file of the archive.
#[test]
fn the_file_of_the_config_is_looked_for() {
    let plain = archive("deps/x.wasm", &module());
    let mut image = wasm(&plain);
    image.selection.packed_file = FileRule::Named("deps/x.wasm".to_owned());
    assert_eq!(image.extract().unwrap().1, module());
    match wasm(&plain).error() {
        ArtifactError::NoFile {
            looked_for,
            similar,
            ..
        } => {
            assert_eq!(looked_for, "`plugin.wasm`");
            assert_eq!(similar, ["deps/x.wasm"]);
        }
        error => panic!("{error:?}"),
    }
}

/// macOS adds such a file for each that has extended attributes.
#[test]
fn files_of_apple_double_are_not_proposed() {
    let archive = Archive::new()
        .file("._my.wasm", b"attributes")
        .file("__MACOSX/my.wasm", b"attributes")
        .file("a/__MACOSX/._libmy.so", b"attributes")
        .file("my.wasm", &module())
        .done();
    for rule in [FileRule::Wasm, FileRule::Either] {
        let mut image = wasm(&archive);
        image.selection.packed_file = rule;
        match image.error() {
            ArtifactError::NoFile { similar, .. } => assert_eq!(similar, ["my.wasm"]),
            error => panic!("{error:?}"),
        }
    }
    let alone = Archive::new().file("._my.wasm", b"attributes").done();
    match wasm(&alone).error() {
        ArtifactError::NoFile {
            similar, others, ..
        } => {
            assert!(
                similar.is_empty() && others.is_empty(),
                "{similar:?} {others:?}"
            );
        }
        error => panic!("{error:?}"),
    }
    // What the config names is not in doubt.
    let named = Archive::new().file("._my.wasm", &module()).done();
    let mut image = wasm(&named);
    image.selection.packed_file = FileRule::Named("._my.wasm".to_owned());
    assert_eq!(image.extract().unwrap().1, module());
}

/// The rules and limits of archives hold.
#[test]
fn such_an_archive_has_the_limits_of_archives() {
    let refused = |archive: Archive| wasm(&archive.done()).problem();
    let link = refused(Archive::new().link(b'2', "plugin.wasm", "/etc/passwd"));
    let expected = matches!(link, LayerProblem::NotRegular { .. });
    assert!(expected, "{link:?}");
    let file = || Archive::new().file("plugin.wasm", &module());
    let twice = refused(file().file("plugin.wasm", &module()));
    let expected = matches!(twice, LayerProblem::DuplicateName { .. });
    assert!(expected, "{twice:?}");
    let native = wasm(&archive("plugin.wasm", &library())).error();
    let expected = matches!(native, ArtifactError::Content { .. });
    assert!(expected, "{native:?}");

    let plain = file().file("x", b"").done();
    let (size, packed) = (plain.len() as u64, gzip(&plain));
    let limits = ExtractLimits::default;
    let good = limits().entries(2).unpacked_bytes(size);
    let good = good.archive_bytes(packed.len() as u64);
    assert!(wasm(&packed).with_limits(good).extract().is_ok());
    for (less, limit) in [
        (limits().entries(1), Limit::Entries),
        (limits().unpacked_bytes(size - 1), Limit::UnpackedBytes),
        (
            limits().archive_bytes(packed.len() as u64 - 1),
            Limit::ArchiveBytes,
        ),
        (limits().ratio(1).ratio_slack_bytes(0), Limit::Ratio),
    ] {
        match wasm(&packed).with_limits(less).error() {
            ArtifactError::LimitExceeded { what, .. } => assert_eq!(what, limit),
            error => panic!("{limit}: {error:?}"),
        }
    }
}

/// What is not an archive, and what a title calls a file, is refused under the name it has.
#[test]
fn other_packed_content_is_refused_by_name() {
    let plain = archive("plugin.wasm", &module());
    for (image, expected) in [
        (titled(&plain, "plugin.wasm"), Some("plugin.wasm")),
        (titled(&gzip(&plain), "x"), Some("x")),
        (titled(&plain, "a\nb"), Some("a\\nb")),
        (wasm(&gzip(&module())), None),
        (wasm(&zstd(&module())), None),
        (wasm(b"PK\x03\x04\x14\0"), None),
    ] {
        let digest = image.selection.layers[0].digest().to_string();
        match image.error() {
            ArtifactError::Content {
                file,
                problem: ContentProblem::Packed { .. },
            } => assert_eq!(file, expected.unwrap_or(&digest)),
            error => panic!("{expected:?}: {error:?}"),
        }
    }
    let cut = gzip(&plain)[..40].to_vec();
    let problem = wasm(&cut).problem();
    let expected = matches!(problem, LayerProblem::Truncated);
    assert!(expected, "{problem:?}");
}
