//! A plugin that is a hard link, as `tar` writes the second name of a file.

use super::*;

const FIRST: &str = "deps/plugin.wasm";
const OTHER: &[u8] = b"\0asm\x01\0\0\0other";

fn first() -> Archive {
    Archive::new()
        .entry(b'5', "deps/", b"")
        .file("deps/other.wasm", OTHER)
        .file(FIRST, &module())
}

fn linked(first: Archive, target: &str) -> Image {
    wasm(first.link(b'1', "plugin.wasm", target))
}

fn wasm(archive: Archive) -> Image {
    Image::tar(FileRule::Wasm, archive.done())
}

fn extracted(image: &Image) -> Vec<u8> {
    image.extract().unwrap().1
}

/// cargo links `deps/plugin.wasm` and `plugin.wasm`.
#[test]
fn a_hard_link_to_an_earlier_file_is_the_plugin() {
    for target in [FIRST, "./deps/plugin.wasm", ".//deps/./plugin.wasm"] {
        assert_eq!(extracted(&linked(first(), target)), module(), "{target}");
    }
    let plain = first().link(b'1', "plugin.wasm", FIRST).done();
    let mut image = Image::new(FileRule::Wasm, &[(GZIP, gzip(&plain))]);
    assert_eq!(extracted(&image), module());
    image.selection.diff_ids = vec![Digest::sha256(plain)];
    assert_eq!(extracted(&image), module());
    image.selection.diff_ids = vec![Digest::sha256(b"another")];
    let problem = image.problem();
    let expected = matches!(problem, LayerProblem::DiffId { .. });
    assert!(expected, "{problem:?}");
}

/// Long targets stand in a header before the link, in GNU's and in PAX form.
#[test]
fn long_targets_are_read() {
    let long = format!("{}/plugin-0123456789abcdef.wasm", "d".repeat(120));
    let file = || {
        Archive::new()
            .pax(&[("path", &long)])
            .file("cut", &module())
    };
    let gnu = file().gnu(b'K', "././@LongLink", format!("{long}\0").as_bytes());
    for archive in [gnu, file().pax(&[("linkpath", &long)])] {
        assert_eq!(extracted(&linked(archive, "cut")), module());
    }
    // Without the header, the target is the name of nothing.
    let problem = linked(file(), "cut").problem();
    let expected = matches!(problem, LayerProblem::NotRegular { .. });
    assert!(expected, "{problem:?}");
}

/// Only the layer that holds the link is read twice, and only for a file that may be there.
#[test]
fn only_the_layer_of_a_link_is_read_twice() {
    let lower = archive("plugin.wasm", OTHER);
    let layer = first().link(b'1', "plugin.wasm", FIRST).done();
    let upper = archive("README", b"");
    let layers = [(TAR, lower), (TAR, layer.clone()), (TAR, upper.clone())];
    let image = Image::new(FileRule::Wasm, &layers);
    assert_eq!(extracted(&image), module());
    let [upper, layer] = [upper, layer].map(Digest::sha256);
    let requests = image.layers.requests.lock().unwrap().clone();
    assert_eq!(requests, [upper, layer.clone(), layer]);

    let refused = linked(first(), "/etc/passwd");
    refused.problem();
    assert_eq!(refused.layers.requests.lock().unwrap().len(), 1);
}

/// As names of entries do, absolute targets start at the root of the archive.
#[test]
fn an_absolute_target_is_one_of_the_archive() {
    for target in [
        "/deps/plugin.wasm",
        "./deps/plugin.wasm",
        "//deps/./plugin.wasm",
    ] {
        assert_eq!(extracted(&linked(first(), target)), module(), "{target}");
    }
}

/// TAR-02: a link to anything that is not one regular file before it.
#[test]
fn tar_02_other_hard_links_are_refused() {
    let last = |archive: Archive| archive.file("last", &module());
    for (name, archive, target) in [
        ("a file of the host", first(), "/etc/passwd"),
        ("a dot-dot", first(), "deps/../deps/plugin.wasm"),
        ("a folder's name", first(), "deps/plugin.wasm/"),
        ("a backslash", first(), "deps\\plugin.wasm"),
        ("nothing", first(), "deps/missing.wasm"),
        ("an empty name", first(), ""),
        ("itself", first(), "plugin.wasm"),
        ("a folder", first(), "deps"),
        ("a symbolic link", first().link(b'2', "s", FIRST), "s"),
        ("another hard link", first().link(b'1', "h", FIRST), "h"),
        ("a device", first().entry(b'3', "d", b""), "d"),
        ("a whiteout", first().file(".wh.w", b""), "w"),
    ] {
        match linked(archive, target).problem() {
            LayerProblem::NotRegular {
                found: "a hard link",
                target: Some(_),
                ..
            } => {}
            other => panic!("{name}: {other:?}"),
        }
    }
    for (name, archive) in [
        ("a file behind it", Archive::new()),
        ("one with a whiteout", Archive::new().file(".wh.last", b"")),
    ] {
        let problem = wasm(last(archive.link(b'1', "plugin.wasm", "last"))).problem();
        let expected = matches!(problem, LayerProblem::NotRegular { .. });
        assert!(expected, "{name}: {problem:?}");
    }
    let good = linked(last(Archive::new()), "last");
    assert_eq!(extracted(&good), module());
}

/// TAR-08: readers that differ about the file differ about the link.
#[test]
fn tar_08_a_hard_link_to_an_ambiguous_file_is_refused() {
    for second in [
        FIRST,
        "./deps/plugin.wasm",
        "deps/Plugin.wasm",
        "DEPS/plugin.wasm",
    ] {
        let after = first().link(b'1', "plugin.wasm", FIRST);
        for image in [
            linked(first().file(second, OTHER), FIRST),
            wasm(after.file(second, OTHER)),
        ] {
            let problem = image.problem();
            let expected = matches!(problem, LayerProblem::DuplicateName { .. });
            assert!(expected, "{second}: {problem:?}");
        }
    }
    let odd = first().file("deps/a/../plugin.wasm", OTHER);
    let odd = Image::tar(
        FileRule::Named("bin/mine".to_owned()),
        odd.link(b'1', "bin/mine", FIRST).done(),
    );
    let problem = odd.problem();
    let expected = matches!(problem, LayerProblem::AmbiguousName { .. });
    assert!(expected, "{problem:?}");
    // The name of the link itself, as for a file.
    for second in ["plugin.wasm", "PLUGIN.wasm"] {
        let twice = first().link(b'1', "plugin.wasm", FIRST);
        let problem = wasm(twice.file(second, OTHER)).problem();
        let expected = matches!(problem, LayerProblem::DuplicateName { .. });
        assert!(expected, "{second}: {problem:?}");
    }
}

/// TAR-02, TAR-03: neither the file nor a part of its path is a symbolic link, wherever that stands.
#[test]
fn tar_02_tar_03_a_hard_link_through_a_symbolic_link_is_refused() {
    let symbolic = |name: &str| Archive::new().link(b'2', name, "/etc/passwd");
    let file = |archive: Archive| archive.file(FIRST, &module());
    for replaced in [
        first().link(b'2', FIRST, "/etc/passwd"),
        file(symbolic(FIRST)),
    ] {
        let problem = linked(replaced, FIRST).problem();
        let expected = matches!(problem, LayerProblem::NotRegular { .. });
        assert!(expected, "{problem:?}");
    }
    for through in [first().link(b'2', "deps", "/etc"), file(symbolic("deps"))] {
        let problem = linked(through, FIRST).problem();
        let expected = matches!(problem, LayerProblem::ParentNotDirectory { .. });
        assert!(expected, "{problem:?}");
    }
}

/// The file behind a link is a candidate of the rank of the link's name.
#[test]
fn the_name_of_the_link_decides_what_it_may_be() {
    let library_first = || Archive::new().file("deps/x.so", &library());
    let both = first()
        .link(b'1', "plugin.wasm", FIRST)
        .file("plugin.so", &library());
    let image = Image::tar(FileRule::Either, both.done());
    assert_eq!(
        extracted(&image),
        library(),
        "the host's own name is better"
    );
    assert_eq!(image.layers.requests.lock().unwrap().len(), 1);
    let two_links = library_first()
        .file(FIRST, &module())
        .link(b'1', "plugin.wasm", FIRST)
        .link(b'1', "plugin.so", "deps/x.so");
    let image = Image::tar(FileRule::Either, two_links.done());
    assert_eq!(extracted(&image), library());
    // As a library under any name, the file was written before the link was read.
    let image = library_first().link(b'1', "plugin.so", "deps/x.so");
    let image = Image::tar(FileRule::Native, image.done());
    assert_eq!(extracted(&image), library());
    let named = first().link(b'1', "bin/mine", FIRST).done();
    let named = Image::tar(FileRule::Named("bin/mine".to_owned()), named);
    assert_eq!(extracted(&named), module());

    let text = Archive::new().file("x", b"(module)");
    match linked(text, "x").error() {
        ArtifactError::Content { file, problem } => {
            let expected = ("plugin.wasm", ContentProblem::Text);
            assert_eq!((file.as_str(), problem), expected);
        }
        error => panic!("{error:?}"),
    }
}

/// LIM-05, LIM-06: a layer that is read twice counts once, and its limits hold both times.
#[test]
fn lim_a_layer_with_a_link_counts_once() {
    let plain = first().link(b'1', "plugin.wasm", FIRST).done();
    let size = plain.len() as u64;
    let image = |limits| Image::tar(FileRule::Wasm, plain.clone()).with_limits(limits);
    let limits = || ExtractLimits::default().entries(4).unpacked_bytes(size);
    assert_eq!(extracted(&image(limits())), module());
    for less in [limits().entries(3), limits().unpacked_bytes(size - 1)] {
        let error = image(less).error();
        let expected = matches!(error, ArtifactError::LimitExceeded { .. });
        assert!(expected, "{error:?}");
    }
}

#[test]
fn the_error_names_the_target() {
    let text = |image: Image| image.problem().to_string();
    assert_eq!(
        text(linked(first(), "/etc/passwd")),
        "`plugin.wasm` is a hard link to `/etc/passwd`, not a regular file"
    );
    assert_eq!(
        text(wasm(first().link(b'2', "plugin.wasm", "/nix/store/x.wasm"))),
        "`plugin.wasm` is a symbolic link to `/nix/store/x.wasm`, not a regular file; symbolic links \
         are not followed: if the image has the file, set `file = \"nix/store/x.wasm\"`"
    );
    for (target, file) in [
        (FIRST, Some("lib/deps/plugin.wasm")),
        ("../a/./x.wasm", Some("a/x.wasm")),
        ("p.wasm", None),
    ] {
        let image = first().link(b'2', "lib/p.wasm", target).done();
        let image = Image::tar(FileRule::Named("lib/p.wasm".to_owned()), image);
        match image.problem() {
            LayerProblem::NotRegular { file: found, .. } => assert_eq!(found.as_deref(), file),
            other => panic!("{target}: {other:?}"),
        }
    }
}
