//! The good cases: every form of layer that is accepted.

use super::*;

#[test]
fn a_raw_wasm_layer_is_the_file() {
    let (extracted, bytes) = Image::new(FileRule::Layer, &[(WASM, module())])
        .extract()
        .unwrap();
    assert_eq!(
        (extracted.kind(), extracted.file_name()),
        (PluginKind::Wasm, "plugin.wasm")
    );
    assert_eq!(bytes, module());
    assert_eq!(extracted.architecture(), None);
}

#[test]
fn the_file_is_taken_out_of_every_kind_of_archive() {
    let plain = Archive::new()
        .file("etc/os-release", b"x")
        .file("plugin.wasm", &module())
        .done();
    for (media_type, bytes) in [
        (TAR, plain.clone()),
        (GZIP, gzip(&plain)),
        (ZSTD, zstd(&plain)),
        (
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            gzip(&plain),
        ),
    ] {
        for chunk in [1, 700, 1 << 20] {
            let image = Image::new(FileRule::Wasm, &[(media_type, bytes.clone())]);
            let (_, extracted) = image.with_chunk(chunk).extract().unwrap();
            assert_eq!(extracted, module(), "{media_type} in chunks of {chunk}");
        }
    }
}

#[test]
fn several_gzip_members_are_one_stream() {
    let plain = archive("plugin.wasm", &module());
    let (left, right) = plain.split_at(1_234);
    let members = [gzip(left), gzip(&[]), gzip(right)].concat();
    let (_, bytes) = Image::new(FileRule::Wasm, &[(GZIP, members)])
        .extract()
        .unwrap();
    assert_eq!(bytes, module());
}

/// `zstd:chunked` puts its table of contents into a frame that decoders skip.
#[test]
fn skippable_zstd_frames_are_skipped() {
    let plain = archive("plugin.wasm", &module());
    let skippable = [&[0x5e, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"toc!"].concat();
    for layer in [
        [zstd(&plain), skippable.clone()].concat(),
        [skippable.clone(), zstd(&plain)].concat(),
    ] {
        let (_, bytes) = Image::new(FileRule::Wasm, &[(ZSTD, layer)])
            .extract()
            .unwrap();
        assert_eq!(bytes, module());
    }
}

#[test]
fn native_is_the_one_library() {
    let archive = Archive::new()
        .file("lib/libqmt_x.so", &library())
        .file("README", b"x")
        .done();
    let (extracted, bytes) = Image::tar(FileRule::Native, archive).extract().unwrap();
    assert_eq!(
        (extracted.kind(), extracted.file_name()),
        (PluginKind::Native, "plugin.so")
    );
    assert_eq!(extracted.architecture(), Some("amd64"));
    assert_eq!(bytes, library());
}
