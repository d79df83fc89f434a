//! Layers that are files with titles: `oras push` without media types calls each a tar archive.

use super::*;

/// Layers of the type that `oras` gives to any file, lowest first.
fn pushed(rule: FileRule, files: &[(&str, Vec<u8>)]) -> Image {
    let layers: Vec<_> = files.iter().map(|(_, file)| (TAR, file.clone())).collect();
    let mut image = Image::new(rule, &layers);
    for (layer, (title, _)) in image.selection.layers.iter_mut().zip(files) {
        *layer = layer.clone().with_annotation(TITLE, *title);
    }
    image
}

fn readme() -> Vec<u8> {
    b"# A plugin\n".to_vec()
}

fn named(file: &str) -> FileRule {
    FileRule::Named(file.to_owned())
}

fn taken(image: &Image) -> (PluginKind, Vec<u8>) {
    let (extracted, bytes) = image.extract().unwrap();
    (extracted.kind(), bytes)
}

#[test]
fn a_wasm_file_that_an_artifact_client_calls_an_archive_is_taken() {
    let alone = |title, rule| pushed(rule, &[(title, module())]);
    for image in [
        alone("plugin.wasm", FileRule::Either),
        alone("dist/x.wasm", FileRule::Wasm),
        alone("x.wasm", named("x.wasm")),
        // A title is not a path: with one layer, its text does not matter.
        alone("../plugin.wasm", FileRule::Either),
    ] {
        assert_eq!(taken(&image), (PluginKind::Wasm, module()));
    }
    let native = alone("plugin.wasm", FileRule::Native).error();
    assert!(
        matches!(
            native,
            ArtifactError::Content {
                problem: ContentProblem::WasmNotNative,
                ..
            }
        ),
        "{native:?}"
    );
    let named = alone("y.wasm", named("x.wasm")).error();
    assert!(matches!(named, ArtifactError::NoFile { .. }), "{named:?}");
}

/// `regctl artifact put` gives neither a type nor a title: the content of the layer decides.
#[test]
fn a_layer_without_title_is_what_its_content_says() {
    const OCTETS: &str = "application/octet-stream";
    for media_type in [OCTETS, "", TAR, GZIP] {
        for (file, rule, kind) in [
            (module(), FileRule::Wasm, PluginKind::Wasm),
            (module(), FileRule::Either, PluginKind::Wasm),
            (library(), FileRule::Either, PluginKind::Native),
            (library(), FileRule::Native, PluginKind::Native),
        ] {
            let image = Image::new(rule, &[(media_type, file.clone())]);
            assert_eq!(taken(&image), (kind, file), "{media_type}");
        }
    }
    let layers = |files: &[Vec<u8>]| {
        let layers: Vec<_> = files.iter().map(|file| (OCTETS, file.clone())).collect();
        Image::new(FileRule::Either, &layers)
    };
    for others in [readme(), Vec::new(), gzip(&readme()), vec![0xfd; 600]] {
        assert_eq!(taken(&layers(&[others.clone(), module()])).1, module());
        assert_eq!(taken(&layers(&[module(), others])).1, module());
    }
    let two = layers(&[module(), library()]).error();
    assert!(matches!(two, ArtifactError::SeveralFiles { .. }), "{two:?}");
    let none = layers(&[readme(), readme()]).error();
    assert!(matches!(none, ArtifactError::NoFile { .. }), "{none:?}");
    let named = Image::new(named("plugin.wasm"), &[(OCTETS, module())]).error();
    assert!(matches!(named, ArtifactError::NoFile { .. }), "{named:?}");
    // An archive is one, whatever its media type leaves open.
    for archive in [
        archive("plugin.wasm", &module()),
        gzip(&archive("plugin.wasm", &module())),
    ] {
        assert_eq!(taken(&layers(&[archive])).1, module());
    }
}

/// The error for a compressed module says so, under any type and title.
#[test]
fn a_compressed_plugin_is_named_as_one() {
    let format_of = |image: &Image| match image.error() {
        ArtifactError::Content {
            problem: ContentProblem::Packed { format },
            ..
        } => format,
        error => panic!("{error:?}"),
    };
    for media_type in [TAR, GZIP, "application/octet-stream"] {
        for (file, format) in [
            (gzip(&module()), "a gzip file"),
            (zstd(&library()), "a zstd file"),
        ] {
            let image = Image::new(FileRule::Either, &[(media_type, file)]);
            assert_eq!(format_of(&image), format, "{media_type}");
        }
    }
    for title in ["plugin.wasm", "plugin.wasm.gz"] {
        let files = [(title, gzip(&module())), ("README.md", readme())];
        assert_eq!(format_of(&pushed(FileRule::Wasm, &files)), "a gzip file");
    }
    // Next to the plugin it does not matter.
    let files = [
        ("debug.wasm.gz", gzip(&module())),
        ("plugin.wasm", module()),
    ];
    assert_eq!(taken(&pushed(FileRule::Wasm, &files)).1, module());
}

/// `oras push REF target/plugin.wasm README.md`: a title keeps the folder.
#[test]
fn a_title_with_folders_is_taken_where_no_other_file_is_the_plugin() {
    for title in [
        "target/plugin.wasm",
        "./plugin.wasm",
        "/plugin.wasm",
        "a//plugin.wasm",
    ] {
        let files = [(title, module()), ("README.md", readme())];
        assert_eq!(
            taken(&pushed(FileRule::Either, &files)).1,
            module(),
            "{title}"
        );
    }
    let files = [("x/plugin.wasm", library()), ("plugin.wasm", module())];
    assert_eq!(taken(&pushed(FileRule::Wasm, &files)).1, module());
    let files = [("x/plugin.wasm", module()), ("y/plugin.wasm", module())];
    let error = pushed(FileRule::Wasm, &files).error();
    assert!(
        matches!(error, ArtifactError::SeveralFiles { .. }),
        "{error:?}"
    );
}

/// Whatever lies above or below, large or small, and whatever comes first.
#[test]
fn the_file_with_the_title_looked_for_is_taken_among_others() {
    let long = vec![b'x'; 5_000];
    for other in [readme(), Vec::new(), long, library()] {
        for (title, file, rule, kind) in [
            ("plugin.wasm", module(), FileRule::Either, PluginKind::Wasm),
            ("plugin.wasm", module(), FileRule::Wasm, PluginKind::Wasm),
            (
                "a/echo.wasm",
                module(),
                named("a/echo.wasm"),
                PluginKind::Wasm,
            ),
            ("plugin.so", library(), FileRule::Either, PluginKind::Native),
            ("libx.so.1", library(), FileRule::Native, PluginKind::Native),
            ("echo", library(), named("echo"), PluginKind::Native),
        ] {
            let (ours, theirs) = ((title, file.clone()), ("README.md", other.clone()));
            for files in [[ours.clone(), theirs.clone()], [theirs, ours]] {
                let image = pushed(rule.clone(), &files);
                assert_eq!(taken(&image), (kind, file.clone()), "{title}");
            }
        }
    }
}

/// What else was pushed is not even asked for, once the right one was found.
#[test]
fn no_other_file_is_fetched() {
    let files = [("plugin.wasm", module()), ("README.md", readme())];
    let image = pushed(FileRule::Either, &files);
    let other = image.selection.layers[1].digest().clone();
    image.layers.forget(&other);
    assert_eq!(taken(&image).1, module());
}

/// The message says what there is and how to choose.
#[test]
fn where_no_title_fits_the_error_names_them() {
    let files = [("echo.wasm", module()), ("READ\x1bME", readme())];
    let text = pushed(FileRule::Either, &files).error().to_string();
    for words in [
        "`plugin.wasm`",
        "the layers are files",
        r"READ\u{1b}ME, echo.wasm",
        "`file = \"…\"` chooses",
    ] {
        assert!(text.contains(words), "{text}");
    }
}

/// Wasm layers that the config leaves out are named too, unless it allows native only.
#[test]
fn wasm_layers_that_are_left_out_are_named() {
    let mut image = pushed(named("y.wasm"), &[("README.md", readme())]);
    image.selection.left_out = vec!["x.wasm".to_owned()];
    let text = image.error().to_string();
    assert!(
        text.contains("`file = \"…\"` chooses one: x.wasm, README.md"),
        "{text}"
    );
    image.selection.required = Some(PluginKind::Native);
    let text = image.error().to_string();
    assert!(text.ends_with("chooses one: README.md"), "{text}");
}

/// A title is compared, never resolved: no way leads from it to the name that is looked for.
#[test]
fn a_title_with_odd_parts_is_not_the_file_looked_for() {
    for title in [
        "../plugin.wasm",
        "plugin.wasm/.",
        "a/../plugin.wasm",
        r"a\plugin.wasm",
        "PLUGIN.WASM",
        "plugin.wasm\0",
        "c:plugin.wasm",
        "",
    ] {
        let files = [(title, module()), ("README.md", readme())];
        let error = pushed(FileRule::Wasm, &files).error();
        assert!(
            matches!(error, ArtifactError::NoFile { .. }),
            "{title:?}: {error:?}"
        );
    }
    let files = [("../libx.so", library()), ("README.md", readme())];
    let error = pushed(FileRule::Native, &files).error();
    assert!(matches!(error, ArtifactError::NoFile { .. }), "{error:?}");
}

#[test]
fn two_candidates_are_distinguished_as_in_an_archive() {
    let other = [library(), b"other".to_vec()].concat();
    let libraries = |second| [("liba.so", library()), ("libb.so", second)];
    match pushed(FileRule::Native, &libraries(other.clone())).error() {
        ArtifactError::SeveralFiles { names } => assert_eq!(names, ["libb.so", "liba.so"]),
        error => panic!("{error:?}"),
    }
    // One for another architecture is no rival, and one under the host's own name is the better.
    let arm64 = elf(object::elf::EM_AARCH64, object::elf::ET_DYN);
    let image = pushed(FileRule::Native, &libraries(arm64));
    assert_eq!(taken(&image).1, library());
    let files = [("plugin.so", other.clone()), ("libx.so", library())];
    assert_eq!(taken(&pushed(FileRule::Either, &files)).1, other);
    // Another system's library stands back behind Wasm.
    let mach_o = vec![
        0xcf, 0xfa, 0xed, 0xfe, 0x0c, 0, 0, 1, 0, 0, 0, 0, 6, 0, 0, 0,
    ];
    let files = [("plugin.dylib", mach_o), ("plugin.wasm", module())];
    assert_eq!(taken(&pushed(FileRule::Either, &files)).1, module());
    for title in ["plugin.wasm", "./plugin.wasm"] {
        let twice = [("plugin.wasm", module()), (title, readme())];
        let error = pushed(FileRule::Either, &twice).error();
        assert!(
            matches!(error, ArtifactError::SameTitle { .. }),
            "{error:?}"
        );
    }
}

/// DIG-12: a title promises, the content decides.
#[test]
fn the_content_has_the_last_word_on_a_title() {
    let problem = |title, content, rule| {
        let files = [(title, content), ("README.md", readme())];
        match pushed(rule, &files).error() {
            ArtifactError::Content { file, problem } if file == title => problem,
            error => panic!("{error:?}"),
        }
    };
    assert_eq!(
        problem("plugin.wasm", readme(), FileRule::Either),
        ContentProblem::Unknown
    );
    assert_eq!(
        problem("plugin.so", module(), FileRule::Either),
        ContentProblem::WasmNotNative
    );
    assert!(matches!(
        problem("plugin.wasm", library(), FileRule::Wasm),
        ContentProblem::NativeNotWasm { .. }
    ));
    // An archive is one, whatever its title says.
    for title in ["plugin.tar", "plugin.wasm"] {
        let files = [
            (title, archive("plugin.wasm", &module())),
            ("README.md", readme()),
        ];
        assert_eq!(taken(&pushed(FileRule::Wasm, &files)).1, module());
    }
}

/// Layers of a file system have no titles; there the topmost counts, as ever.
#[test]
fn a_title_among_the_layers_of_a_file_system_changes_nothing() {
    let mut image = Image::new(
        FileRule::Wasm,
        &[
            (TAR, archive("plugin.wasm", b"\0asm\x01\0\0\0below")),
            (TAR, archive("plugin.wasm", &module())),
        ],
    );
    let below = image.selection.layers[0].clone();
    image.selection.layers[0] = below.with_annotation(TITLE, "plugin.wasm");
    assert_eq!(taken(&image).1, module());
}

#[test]
fn the_size_of_a_titled_file_is_bounded() {
    let limits = ExtractLimits::default().wasm_bytes(100);
    let files = [("plugin.wasm", module()), ("README.md", readme())];
    let error = pushed(FileRule::Either, &files).with_limits(limits).error();
    assert!(
        matches!(
            error,
            ArtifactError::LimitExceeded {
                what: Limit::WasmBytes,
                ..
            }
        ),
        "{error:?}"
    );
}
