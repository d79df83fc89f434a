//! TAR-10, TAR-13: several layers, whiteouts, and the digests of the image config.

use super::*;

fn other_module() -> Vec<u8> {
    [module(), b"other".to_vec()].concat()
}

fn image(rule: FileRule, layers: &[Vec<u8>]) -> Image {
    let layers: Vec<_> = layers.iter().map(|layer| (TAR, layer.clone())).collect();
    Image::new(rule, &layers)
}

#[test]
fn the_upper_layer_wins_and_the_lower_is_not_read() {
    let layers = [
        archive("plugin.wasm", &other_module()),
        archive("plugin.wasm", &module()),
    ];
    let image = image(FileRule::Wasm, &layers);
    // The lower layer is not available, and not requested.
    image.layers.forget(image.selection.layers[0].digest());
    assert_eq!(image.extract().unwrap().1, module());
}

/// TAR-10: whiteouts hide the file of lower layers, whatever they stand for.
#[test]
fn tar_10_whiteouts_hide_what_is_below() {
    let rule = || FileRule::Named("a/b/x.wasm".to_owned());
    let below = || Archive::new().file("a/b/x.wasm", &module()).done();
    for hiding in [
        Archive::new().file("a/b/.wh.x.wasm", b""),
        Archive::new().file("a/.wh.b", b""),
        Archive::new().file(".wh.a", b""),
        Archive::new().file("a/b/.wh..wh..opq", b""),
        Archive::new().file(".wh..wh..opq", b""),
        Archive::new().file("a", b""),
        Archive::new().link(b'2', "a/b", "/tmp"),
        Archive::new().entry(b'5', "a/b/x.wasm/", b""),
    ] {
        let upper = hiding.done();
        let error = match image(rule(), &[below(), upper.clone()]).error() {
            ArtifactError::NoFile { .. } => continue,
            error => error,
        };
        // A folder under the plugin's own name is refused as it stands.
        let folder = matches!(
            error,
            ArtifactError::Layer {
                source: LayerProblem::NotRegular { .. },
                ..
            }
        );
        assert!(folder, "{error:?}");
    }
    for harmless in [
        Archive::new().file("a/b/.wh.y.wasm", b""),
        Archive::new().file("a/.wh.bb", b""),
        Archive::new().file("a/c/.wh..wh..opq", b""),
        Archive::new().file(".wh.x.wasm", b""),
        Archive::new().entry(b'5', "a/", b""),
    ] {
        let image = image(rule(), &[below(), harmless.done()]);
        assert_eq!(image.extract().unwrap().1, module());
    }
}

/// TAR-10: a whiteout says nothing about its own layer or those above.
#[test]
fn tar_10_whiteouts_hide_nothing_of_their_own_layer() {
    let both = Archive::new()
        .file(".wh.plugin.wasm", b"")
        .file("plugin.wasm", &module())
        .done();
    let opaque = Archive::new()
        .file("plugin.wasm", &module())
        .file(".wh..wh..opq", b"")
        .done();
    let below = archive("plugin.wasm", &other_module());
    for upper in [both, opaque] {
        let image = image(FileRule::Wasm, &[below.clone(), upper]);
        assert_eq!(image.extract().unwrap().1, module());
    }
    let above = [
        archive(".wh.plugin.wasm", b""),
        archive("plugin.wasm", &module()),
    ];
    assert_eq!(image(FileRule::Wasm, &above).extract().unwrap().1, module());
}

/// TAR-10: whiteouts decide which library is the only one, and a better file below replaces what
/// was written already.
#[test]
fn tar_10_libraries_across_layers() {
    let two = Archive::new()
        .file("a.so", &library())
        .file("b.so", &library())
        .done();
    assert!(
        image(FileRule::Native, std::slice::from_ref(&two))
            .extract()
            .is_err()
    );
    let upper = archive(".wh.a.so", b"");
    let (extracted, _) = image(FileRule::Native, &[two.clone(), upper])
        .extract()
        .unwrap();
    assert_eq!(extracted.kind(), PluginKind::Native);
    let error = image(
        FileRule::Native,
        &[archive("a.so", &library()), archive("b.so", &library())],
    );
    assert!(matches!(error.error(), ArtifactError::SeveralFiles { .. }));
    let preferred = [library(), b"preferred".to_vec()].concat();
    let lower = archive("plugin.so", &preferred);
    let (_, bytes) = image(FileRule::Native, &[lower, two]).extract().unwrap();
    assert_eq!(bytes, preferred, "the sink was restarted");
}

/// TAR-10: a whiteout that names nothing is malformed.
#[test]
fn tar_10_whiteouts_of_nothing_are_refused() {
    for odd in [".wh.", "a/.wh..", ".wh..."] {
        let problem = image(FileRule::Wasm, &[archive(odd, b"")]).problem();
        assert!(
            matches!(problem, LayerProblem::Archive { .. }),
            "{odd}: {problem:?}"
        );
    }
}

/// TAR-13: what a layer unpacks to is what the image config says.
#[test]
fn tar_13_diff_ids_are_checked() {
    let plain = archive("plugin.wasm", &module());
    for (media_type, bytes) in [
        (TAR, plain.clone()),
        (GZIP, gzip(&plain)),
        (ZSTD, zstd(&plain)),
    ] {
        let mut image = Image::new(FileRule::Wasm, &[(media_type, bytes)]);
        image.selection.diff_ids = vec![Digest::sha256(&plain)];
        assert!(image.extract().is_ok(), "{media_type}");
        image.selection.diff_ids = vec![Digest::sha256(b"another")];
        let problem = image.problem();
        assert!(
            matches!(problem, LayerProblem::DiffId { .. }),
            "{media_type}: {problem:?}"
        );
    }
    let mut image = Image::new(FileRule::Wasm, &[(GZIP, gzip(&plain))]);
    let sha512 = Digest::of(qmt_oci_ref::DigestAlgorithm::Sha512, &plain);
    image.selection.diff_ids = vec![sha512];
    assert!(image.extract().is_ok());
}

/// TAR-13: the bytes decide how a layer is encoded, and the digest of the image config proves it.
#[test]
fn tar_13_the_encoding_is_the_one_of_the_bytes() {
    let plain = archive("plugin.wasm", &module());
    let octets = "application/octet-stream";
    for media_type in [TAR, GZIP, ZSTD, octets, ""] {
        for bytes in [plain.clone(), gzip(&plain), zstd(&plain)] {
            let mut image = Image::new(FileRule::Wasm, &[(media_type, bytes)]);
            assert_eq!(image.extract().unwrap().1, module(), "{media_type}");
            image.selection.diff_ids = vec![Digest::sha256(&plain)];
            assert_eq!(image.extract().unwrap().1, module(), "{media_type}");
            image.selection.diff_ids = vec![Digest::sha256(b"another")];
            let problem = image.problem();
            let expected = matches!(problem, LayerProblem::DiffId { .. });
            assert!(expected, "{media_type}: {problem:?}");
        }
    }
}

/// TAR-13: what is neither the promised encoding nor an archive, and encodings without a decoder.
#[test]
fn tar_13_bytes_that_are_no_archive_are_refused() {
    let problem = |media_type, bytes: &[u8]| {
        Image::new(FileRule::Wasm, &[(media_type, bytes.to_vec())]).problem()
    };
    for media_type in [GZIP, ZSTD] {
        let garbage = problem(media_type, &[b'x'; 2_000]);
        let expected = matches!(garbage, LayerProblem::WrongEncoding { .. });
        assert!(expected, "{garbage:?}");
    }
    for media_type in [TAR, GZIP, ZSTD] {
        let empty = problem(media_type, b"");
        assert!(matches!(empty, LayerProblem::Truncated), "{empty:?}");
        for (magic, name) in [(&b"\xfd7zXZ\0\0\x04"[..], "xz"), (b"BZh91AY&SY", "bzip2")] {
            match problem(media_type, magic) {
                LayerProblem::UnsupportedEncoding { found } => assert_eq!(found, name),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// DIG-07: a layer named by SHA-512 gives a file named by SHA-256.
#[test]
fn dig_07_the_files_digest_is_sha256_whatever_the_layers() {
    let mut image = Image::new(FileRule::Layer, &[(WASM, module())]);
    let sha512 = Digest::of(qmt_oci_ref::DigestAlgorithm::Sha512, module());
    image.layers.put(sha512.clone(), module());
    let layer = Descriptor::new(MediaType::from(WASM), sha512, module().len() as u64);
    image.selection.layers = vec![layer];
    let (extracted, _) = image.extract().unwrap();
    assert_eq!(extracted.digest(), &Digest::sha256(module()));
}
