//! Layouts that are tar archives.

use super::*;

#[test]
fn an_archive_names_each_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let index = LayoutIndex::default().to_json();
    for (name, rule) in [
        (INDEX_NAME, "it has two files of the same name"),
        ("./oci-layout", "it has two files of the same name"),
        ("../x", "it has names that lead out of it"),
    ] {
        let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
        for (name, content) in [
            (MARKER_NAME, LAYOUT_MARKER),
            (INDEX_NAME, &*index),
            (name, b"x"),
        ] {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content).unwrap();
        }
        tar.finish().unwrap();
        assert_eq!(rule_of(Layout::open(&path)), rule, "{name}");
    }
}

/// Writes an archive of a layout whose names have `prefix` before them.
fn packed(path: &Path, prefix: &str) {
    let index = LayoutIndex::default().to_json();
    let mut tar = tar::Builder::new(std::fs::File::create(path).unwrap());
    for (name, content) in [(MARKER_NAME, LAYOUT_MARKER), (INDEX_NAME, &*index)] {
        let (name, mut header) = (format!("{prefix}{name}"), tar::Header::new_gnu());
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    tar.finish().unwrap();
}

#[test]
fn names_of_an_archive_may_be_absolute() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    for prefix in ["", "./", "/", "//", "/./"] {
        packed(&path, prefix);
        Layout::open(&path).unwrap();
    }
    packed(&path, "layout/");
    let rule = rule_of(Layout::open(&path));
    assert!(rule.contains("tar -C FOLDER"), "{rule}");
}

/// The `tar` crate quotes the archive in its errors.
#[test]
fn errors_about_an_archive_are_harmless_to_show() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    packed(&path, "");
    let whole = std::fs::read(&path).unwrap();
    for at in [0, 100, 124, 148] {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(b"\x1b[31m\x07ab");
        std::fs::write(&path, bytes).unwrap();
        let error = Layout::open(&path).unwrap_err();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            let text = error.to_string();
            assert!(!text.contains(char::is_control), "{text:?}");
            cause = error.source();
        }
    }
}

/// A long name of a sparse archive would be read into memory.
#[test]
fn the_headers_of_an_archive_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    for (size, is_good) in [(8 << 10, true), ((8 << 10) + 1, false), (1 << 40, false)] {
        packed(&path, "");
        let whole = std::fs::read(&path).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::XGlobalHeader);
        header.set_size(size);
        header.set_cksum();
        let mut file = std::fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut file, header.as_bytes()).unwrap();
        let start = 512 + size.next_multiple_of(512);
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start)).unwrap();
        std::io::Write::write_all(&mut file, &whole).unwrap();
        drop(file);
        assert_eq!(Layout::open(&path).is_ok(), is_good, "{size}");
    }
}
