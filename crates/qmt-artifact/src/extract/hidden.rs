//! What upper layers hide of lower ones.
//!
//! Layers are read from the top down: the first file seen under a path is the one that counts, and
//! a lower layer is only read where the upper ones left something open. Spec:
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md#whiteouts>.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use super::path;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Paths by their hashes, keyed by a secret of this process: 8 bytes each, and an image cannot
/// make two of them equal.
#[derive(Default)]
pub(super) struct Hidden {
    state: RandomState,
    /// What the layers above hide.
    above: Paths,
    /// What the layer being read will hide once it is done.
    here: Paths,
}

#[derive(Default)]
struct Paths {
    /// The path itself.
    exact: HashSet<u64>,
    /// The path and everything below.
    trees: HashSet<u64>,
    /// Everything below, not the folder itself.
    opaque: HashSet<u64>,
}

/// What an entry's path says.
pub(super) enum Meaning {
    /// It hides something, and is no file of the image.
    Whiteout,
    /// It is an entry of the image.
    Entry,
}

impl Hidden {
    /// Reports whether a path is a whiteout's, of whatever kind.
    pub(super) fn is_whiteout(path: &[u8]) -> bool {
        path::split(path).1.starts_with(WHITEOUT)
    }

    /// Notes the entry at `path` of the layer being read.
    pub(super) fn note(&mut self, path: &[u8], directory: bool) -> Result<Meaning, &'static str> {
        let (folder, base) = path::split(path);
        if base == OPAQUE {
            let folder = self.state.hash_one(folder);
            self.here.opaque.insert(folder);
            return Ok(Meaning::Whiteout);
        }
        let Some(target) = base.strip_prefix(WHITEOUT) else {
            let hash = self.state.hash_one(path);
            let set = if directory {
                &mut self.here.exact
            } else {
                &mut self.here.trees
            };
            set.insert(hash);
            return Ok(Meaning::Entry);
        };
        if target.starts_with(WHITEOUT) {
            return Ok(Meaning::Whiteout); // Book-keeping of AUFS.
        }
        if matches!(target, b"" | b"." | b"..") {
            return Err("a whiteout names no file");
        }
        let mut target_path = folder.to_vec();
        if !folder.is_empty() {
            target_path.push(b'/');
        }
        target_path.extend_from_slice(target);
        let hash = self.state.hash_one(target_path.as_slice());
        self.here.trees.insert(hash);
        Ok(Meaning::Whiteout)
    }

    /// Reports whether a layer above hides `path`.
    pub(super) fn hides(&self, path: &[u8]) -> bool {
        let hash = |path: &[u8]| self.state.hash_one(path);
        let own = hash(path);
        if self.above.exact.contains(&own) || self.above.trees.contains(&own) {
            return true;
        }
        if self.above.opaque.contains(&hash(b"")) {
            return true;
        }
        path::folders(path).any(|folder| {
            let folder = hash(folder);
            self.above.trees.contains(&folder) || self.above.opaque.contains(&folder)
        })
    }

    /// Returns the part of `path` that the layer being read holds as something else than a folder.
    ///
    /// A whiteout of that part counts too: file and whiteout in one layer contradict each other.
    pub(super) fn obstacle<'path>(&self, path: &'path [u8]) -> Option<&'path [u8]> {
        path::folders(path).find(|folder| self.here.trees.contains(&self.state.hash_one(*folder)))
    }

    /// Goes on to the next lower layer.
    pub(super) fn descend(&mut self) {
        self.above.exact.extend(self.here.exact.drain());
        self.above.trees.extend(self.here.trees.drain());
        self.above.opaque.extend(self.here.opaque.drain());
    }
}

#[cfg(test)]
mod tests {
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

    /// TAR-10: a whiteout of nothing is malformed, book-keeping is ignored.
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
}
