//! What upper layers hide of lower ones.
//!
//! Layers are read from the top down: the first file under a path is the one that counts. Spec:
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
            self.here.opaque.insert(self.state.hash_one(folder));
            return Ok(Meaning::Whiteout);
        }
        let Some(target) = base.strip_prefix(WHITEOUT) else {
            let Paths { exact, trees, .. } = &mut self.here;
            let set = if directory { exact } else { trees };
            set.insert(self.state.hash_one(path));
            return Ok(Meaning::Entry);
        };
        if target.starts_with(WHITEOUT) {
            return Ok(Meaning::Whiteout); // Bookkeeping of AUFS.
        }
        if matches!(target, b"" | b"." | b"..") {
            return Err("a whiteout names no file");
        }
        let target_path = match folder {
            b"" => target.to_vec(),
            folder => [folder, target].join(&b'/'),
        };
        let hash = self.state.hash_one(target_path.as_slice());
        self.here.trees.insert(hash);
        Ok(Meaning::Whiteout)
    }

    /// Reports whether a layer above hides `path`.
    pub(super) fn hides(&self, path: &[u8]) -> bool {
        let hash = |path: &[u8]| self.state.hash_one(path);
        let own = hash(path);
        let is_hidden = self.above.exact.contains(&own)
            || self.above.trees.contains(&own)
            || self.above.opaque.contains(&hash(b""));
        is_hidden
            || path::folders(path).any(|folder| {
                let folder = hash(folder);
                self.above.trees.contains(&folder) || self.above.opaque.contains(&folder)
            })
    }

    /// Reports whether the layer being read has had an entry at `path` that is not a folder, or a
    /// whiteout of it.
    pub(super) fn is_noted(&self, path: &[u8]) -> bool {
        self.here.trees.contains(&self.state.hash_one(path))
    }

    /// Returns the part of `path` that is not a folder in the layer being read.
    ///
    /// A whiteout of that part counts too: file and whiteout in one layer contradict each other.
    pub(super) fn obstacle<'path>(&self, path: &'path [u8]) -> Option<&'path [u8]> {
        path::folders(path).find(|folder| self.here.trees.contains(&self.state.hash_one(*folder)))
    }

    /// Continues with the next lower layer.
    pub(super) fn descend(&mut self) {
        self.above.exact.extend(self.here.exact.drain());
        self.above.trees.extend(self.here.trees.drain());
        self.above.opaque.extend(self.here.opaque.drain());
    }
}

#[cfg(test)]
mod tests;
