//! Tests of what upper layers hide.

use super::*;

fn above(entries: &[(&[u8], bool)]) -> Hidden {
    let mut hidden = Hidden::default();
    for (path, directory) in entries {
        assert!(hidden.note(path, *directory).is_ok());
    }
    hidden.descend();
    hidden
}

/// TAR-10: a whiteout hides one path and what is below it.
#[test]
fn a_whiteout_hides_its_target_and_nothing_else() {
    let hidden = above(&[(b"a/.wh.b", false)]);
    assert!(hidden.hides(b"a/b"));
    assert!(hidden.hides(b"a/b/c"));
    for other in [&b"a"[..], b"b", b"a/bc", b"a/c", b"x/a/b", b"a/.wh.b"] {
        assert!(!hidden.hides(other), "{other:?}");
    }
}

/// TAR-10: an opaque folder hides what lower layers hold in it.
#[test]
fn an_opaque_folder_hides_its_content() {
    let hidden = above(&[(b"a/.wh..wh..opq", false)]);
    assert!(hidden.hides(b"a/b/c"));
    assert!(!hidden.hides(b"a"));
    assert!(!hidden.hides(b"ab/c"));
    assert!(above(&[(b".wh..wh..opq", false)]).hides(b"plugin.wasm"));
}

#[test]
fn a_file_hides_the_folder_of_its_name_and_a_folder_the_file() {
    let hidden = above(&[(b"a", false), (b"d", true)]);
    assert!(hidden.hides(b"a") && hidden.hides(b"a/b") && hidden.hides(b"d"));
    assert!(!hidden.hides(b"d/b"));
}

#[test]
fn a_layer_hides_nothing_of_itself() {
    let mut hidden = Hidden::default();
    assert!(hidden.note(b".wh.plugin.wasm", false).is_ok());
    assert!(!hidden.hides(b"plugin.wasm"));
    hidden.descend();
    assert!(hidden.hides(b"plugin.wasm"));
}

/// TAR-10: a whiteout of nothing is malformed, bookkeeping is ignored.
#[test]
fn odd_whiteouts() {
    let mut hidden = Hidden::default();
    for odd in [&b".wh."[..], b".wh..", b".wh...", b"a/.wh.."] {
        assert!(hidden.note(odd, false).is_err(), "{odd:?} was accepted");
    }
    assert!(matches!(
        hidden.note(b".wh..wh.plnk", true),
        Ok(Meaning::Whiteout)
    ));
    assert!(matches!(hidden.note(b".wh", false), Ok(Meaning::Entry)));
}
