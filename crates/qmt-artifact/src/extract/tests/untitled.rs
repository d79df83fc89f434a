//! Layers that are files without titles, of the type that `oras` gives to any file: content decides.

use super::*;

const OCTETS: &str = "application/octet-stream";

fn readme() -> Vec<u8> {
    b"# A plugin\n".to_vec()
}

/// Both orders of two layers of one type.
fn both_orders(media_type: &str, one: &[u8], two: &[u8]) -> [Image; 2] {
    [[one, two], [two, one]].map(|files| {
        let layers = files.map(|file| (media_type, file.to_vec()));
        Image::new(FileRule::Either, &layers)
    })
}

#[test]
fn a_layer_that_is_no_archive_does_not_refuse_the_plugin() {
    for media_type in [TAR, GZIP, ZSTD] {
        for other in [
            readme(),
            readme().repeat(300),
            b"{}".to_vec(),
            gzip(&readme()),
            zstd(&readme().repeat(300)),
        ] {
            for file in [module(), library(), archive("plugin.wasm", &module())] {
                for image in both_orders(media_type, &other, &file) {
                    let (_, taken) = image.extract().unwrap();
                    let is_file = taken == file || taken == module();
                    assert!(is_file, "{media_type}: {} bytes", taken.len());
                }
            }
        }
        let none = Image::new(
            FileRule::Either,
            &[(media_type, readme()), (media_type, b"{}".to_vec())],
        );
        let error = none.error();
        assert!(matches!(error, ArtifactError::NoFile { .. }), "{error:?}");
    }
}

/// The rules of archives hold: a lower layer must not be read where the upper one can't be.
#[test]
fn a_damaged_archive_is_refused_next_to_a_plugin() {
    let whole = archive("plugin.wasm", &module());
    let mut damaged = whole.clone();
    damaged[0] ^= 1;
    let cut = whole[..300].to_vec();
    for media_type in [TAR, GZIP] {
        for bytes in [damaged.clone(), cut.clone(), gzip(&damaged), zstd(&cut)] {
            let image = Image::new(
                FileRule::Either,
                &[(TAR, module()), (media_type, bytes.clone())],
            );
            let problem = image.problem();
            let expected = matches!(
                problem,
                LayerProblem::Archive { .. } | LayerProblem::WrongEncoding { .. }
            );
            assert!(expected, "{media_type}: {problem:?}");
        }
    }
    let packed = Image::new(
        FileRule::Either,
        &[(TAR, module()), (TAR, b"\xfd7zXZ\0\0\x04".to_vec())],
    );
    let problem = packed.problem();
    let expected = matches!(problem, LayerProblem::UnsupportedEncoding { .. });
    assert!(expected, "{problem:?}");
}

/// Of a file system, each layer is an archive.
#[test]
fn a_layer_of_a_file_system_that_is_no_archive_is_refused() {
    for text in [readme(), readme().repeat(300)] {
        let below = archive("plugin.wasm", &module());
        let mut image = Image::new(FileRule::Wasm, &[(TAR, below.clone()), (TAR, text.clone())]);
        image.selection.diff_ids = vec![Digest::sha256(&below), Digest::sha256(&text)];
        let problem = image.problem();
        let expected = matches!(problem, LayerProblem::Archive { .. });
        assert!(expected, "{problem:?}");
        let alone = Image::new(FileRule::Wasm, &[(TAR, text)]).problem();
        let expected = matches!(alone, LayerProblem::Archive { .. });
        assert!(expected, "{alone:?}");
    }
}

/// The same blob under two entries of the manifest is one file.
#[test]
fn a_blob_that_is_listed_twice_is_not_ambiguous() {
    let sha512 = |image: &mut Image| {
        for layer in &mut image.selection.layers {
            let bytes = image.layers.get(layer.digest()).unwrap();
            let digest = Digest::of(qmt_oci_ref::DigestAlgorithm::Sha512, &bytes);
            image.layers.put(digest.clone(), bytes.to_vec());
            *layer = Descriptor::new(layer.media_type().clone(), digest, layer.size());
        }
    };
    for media_type in [TAR, OCTETS] {
        for file in [module(), library()] {
            let [mut image, _] = both_orders(media_type, &file, &file);
            assert_eq!(image.extract().unwrap().1, file);
            sha512(&mut image);
            assert_eq!(image.extract().unwrap().1, file);
        }
        let (other, name) = (library(), |bytes: &[u8]| Digest::sha256(bytes).to_string());
        let layers = [module(), other.clone(), module(), other.clone()];
        let layers = layers.map(|layer| (media_type, layer));
        match Image::new(FileRule::Either, &layers).error() {
            ArtifactError::SeveralFiles { names } => {
                assert_eq!(names, [name(&other), name(&module())]);
            }
            error => panic!("{error:?}"),
        }
    }
    // Under a title as well.
    let [mut image, _] = both_orders(TAR, &module(), &module());
    for layer in &mut image.selection.layers {
        *layer = layer.clone().with_annotation(TITLE, "plugin.wasm");
    }
    assert_eq!(image.extract().unwrap().1, module());
}
