//! TAR-04: the breakouts that containerd, tar-rs and umoci had to learn about, in our terms.
//!
//! There is no folder to break out of: nothing is unpacked. What is left of each attack is the
//! question whether a link, an odd name or a whiteout can make another file the plugin.

use super::*;

/// Files that are looked for, one after the other, in each image.
const LOOKED_FOR: [&str; 3] = ["etc/x", "local/x", "mine"];

/// Builds a layer: `d`irectory, `f`ile with a module, `e`mpty file, `s`ymbolic and `h`ard link.
fn layer(text: &str) -> Vec<u8> {
    let mut archive = Archive::new();
    for entry in text
        .split(';')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let mut words = entry.split(' ');
        let (kind, name) = (words.next().unwrap(), words.next().unwrap());
        let name = if name == "EMPTY" { "" } else { name };
        archive = match kind {
            "d" => archive.entry(b'5', name, b""),
            "f" => archive.file(name, &module()),
            "e" => archive.file(name, b""),
            "s" => archive.link(b'2', name, words.next().unwrap()),
            "h" => archive.link(b'1', name, words.next().unwrap()),
            other => panic!("{other}"),
        };
    }
    archive.done()
}

/// Extracts each file looked for: `T`aken, `R`efused, `N`ot there.
fn verdicts(layers: &[Vec<u8>]) -> String {
    let layers: Vec<_> = layers.iter().map(|layer| (TAR, layer.clone())).collect();
    let verdict = |file: &str| {
        let image = Image::new(FileRule::Named(file.to_owned()), &layers);
        match image.extract() {
            Ok((_, bytes)) => {
                assert_eq!(bytes, module());
                'T'
            }
            Err(ArtifactError::Layer { .. } | ArtifactError::Content { .. }) => 'R',
            Err(ArtifactError::NoFile { .. }) => 'N',
            Err(error) => panic!("{error:?}"),
        }
    };
    LOOKED_FOR.map(verdict).iter().collect()
}

/// TAR-04: one layer.
#[test]
fn tar_04_breakouts_within_a_layer() {
    let etc = "d etc/; f etc/x; ";
    for (name, entries, expected) in [
        (
            "SymlinkAbsolute",
            "d etc/; s local /etc; f local/x".to_owned(),
            "NRN",
        ),
        (
            "SymlinkUpAndOut",
            "d etc/; d a/; s local /a/../etc; f local/x".to_owned(),
            "NRN",
        ),
        (
            "SymlinkMultipleAbsolute",
            "d a/; s a/etc /etc; s local /a/etc; f a/etc/x".to_owned(),
            "NNN",
        ),
        (
            "SymlinkMultipleRelative",
            "d a/; s a/etc /etc; s local ./a/etc; f a/etc/x".to_owned(),
            "NNN",
        ),
        (
            "SymlinkEmptyFile",
            format!("{etc} s local /etc; e local/x"),
            "TRN",
        ),
        (
            "HardlinkRelative",
            format!("{etc} d b/; s b/d ../../etc; h mine /b/d/x"),
            "TNR",
        ),
        (
            "HardlinkDownAndOut",
            format!("{etc} d b/; s b/d ../c/../../etc; h mine /b/d/x"),
            "TNR",
        ),
        (
            "HardlinkAbsolute",
            format!("{etc} s local /etc; h mine /local/x"),
            "TNR",
        ),
        (
            "HardlinkRelativeLong",
            format!("{etc} s local ../../../../etc; h mine /local/x"),
            "TNR",
        ),
        (
            "HardlinkRelativeUpAndOut",
            format!("{etc} s local a/../../../etc; h mine /local/x"),
            "TNR",
        ),
        (
            "HardlinkDirectRelative",
            format!("{etc} h mine ../../../../../etc/x"),
            "TNR",
        ),
        (
            "HardlinkDirectAbsolute",
            // Of the archive, not of the host.
            format!("{etc} h mine /etc/x"),
            "TNT",
        ),
        (
            "SymlinkParentDirectory",
            format!("{etc} s .. /etc/; h mine /etc/x"),
            "TNT",
        ),
        (
            "SymlinkEmptyFilename",
            format!("{etc} s EMPTY /etc/; h mine /etc/x"),
            "TNT",
        ),
        (
            "SymlinkParentRelative",
            format!("{etc} s local/a/.. /etc/; h local/x /etc/x"),
            "TTN",
        ),
        (
            "SymlinkSlashEnded",
            format!("{etc} d local/; h local/x /etc/x"),
            "TTN",
        ),
        (
            "HardlinkSymlinkBeforeCreateTarget",
            "s a /etc/x; h mine a; d etc/; f etc/x".to_owned(),
            "TNR",
        ),
        (
            "HardlinkSymlinkRelative",
            format!("{etc} s a ../../../../etc/x; h mine /a"),
            "TNR",
        ),
        (
            "HardlinkSymlinkAbsolute",
            format!("{etc} s a /etc/x; h mine /a"),
            "TNR",
        ),
        (
            "HardlinkSymlinkChmod",
            "s /tmp/outside /tmp/p; h mine /tmp/outside".to_owned(),
            "NNR",
        ),
        // tar-rs and umoci.
        (
            "an absolute link, then a file through it",
            "s local /; f local/x".to_owned(),
            "NRN",
        ),
        (
            "a link to itself",
            "s local local; f local/x".to_owned(),
            "NRN",
        ),
        (
            "a link over the file",
            format!("{etc} s etc/x /etc/passwd"),
            "RNN",
        ),
        (
            "a file over a link",
            "s etc/x /etc/passwd; f etc/x".to_owned(),
            "RNN",
        ),
        ("a folder over the file", format!("{etc} d etc/x/"), "RNN"),
        ("a file as a folder", "f local; f local/x".to_owned(), "NRN"),
        (
            "a chain of links",
            "s a /; s b a; s local b; f local/x".to_owned(),
            "NRN",
        ),
        (
            "a name with a dot-dot in it",
            "f a/../mine".to_owned(),
            "NNR",
        ),
    ] {
        assert_eq!(verdicts(&[layer(&entries)]), expected, "{name}");
    }
}

/// TAR-04: an upper layer against a lower one.
#[test]
fn tar_04_breakouts_across_layers() {
    let etc = "d etc/; f etc/x; ";
    let linked = "d etc/; f etc/x; s local /etc";
    for (name, lower, upper, expected) in [
        (
            "SymlinkOverrideDirectory",
            "d etc/; f etc/x; d local/",
            "s local /etc; h local/x /etc/x",
            "TRN",
        ),
        (
            "SymlinkOverrideDirectoryRelative",
            "d etc/; f etc/x; d local/",
            "s local ../../etc; h local/x /etc/x",
            "TRN",
        ),
        (
            "DirectoryOverrideSymlink",
            linked,
            "d local/; h local/x /etc/x",
            "TRN",
        ),
        (
            "DirectoryOverrideSymlinkAndHardlink",
            "f etc/x; s local etc; h local/x /etc/x",
            "d local/; f local/x",
            "TTN",
        ),
        ("WhiteoutRootParent", etc, "e .wh...", "RRR"),
        ("WhiteoutParent", etc, "e etc/.wh...", "RRR"),
        ("WhiteoutRoot", etc, "e .wh..", "RRR"),
        ("WhiteoutCurrentDirectory", etc, "e etc/.wh..", "RRR"),
        ("WhiteoutSymlink", linked, "e .wh.local", "TNN"),
        ("WhiteoutSymlinkPath", linked, "e local/.wh.x", "TNN"),
        ("WhiteoutDirectoryName", linked, "f .wh.etc/x", "TNN"),
        (
            "WhiteoutDeadSymlinkParent",
            "f etc/x; s local /dne",
            "e local/.wh.etc",
            "TNN",
        ),
        ("WhiteoutRelativePath", etc, "e dne/../.wh.etc", "RRR"),
        ("a whiteout by an absolute name", etc, "e /etc/.wh.x", "NNN"),
        (
            "a link over a folder of a lower layer",
            "f local/x",
            "s local /etc",
            "NNN",
        ),
    ] {
        assert_eq!(verdicts(&[layer(lower), layer(upper)]), expected, "{name}");
    }
}
