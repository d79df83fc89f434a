//! A plugin that is a hard link. cargo links `deps/plugin.wasm` and `plugin.wasm`, and of two names
//! of one file `tar` stores the second as a link to the first.
//!
//! When the link is read, the file itself has passed: the layer is read again, for the file that the
//! link names. That must be a regular file before the link, and no reader may take another entry for
//! it. As after any plugin under a known name, no lower layer is read, so this happens at most once.

use super::archive::{Entry, EntryKind};
use super::candidate::Rank;
use super::extraction::{Extraction, Seen, check_parents};
use super::failure::Failure;
use super::path::{self, is_plain};
use super::whiteout::Hidden;
use crate::error::escaped;
use crate::problem::LayerProblem;

/// A plugin that is a hard link.
pub(super) struct Link {
    pub(super) path: Vec<u8>,
    pub(super) rank: Rank,
    /// The file that it names.
    target: Vec<u8>,
    is_found: bool,
}

impl Extraction {
    /// Notes that the plugin is a hard link, if `target` is an entry before it and means the same
    /// file to every reader: with `..` or a slash at its end it does not. Absolute names start at the
    /// root of the archive.
    pub(super) fn note_link(
        &mut self,
        path: Vec<u8>,
        target: &[u8],
        rank: Rank,
    ) -> Result<(), Failure> {
        let (normalized, ends_in_slash) = (path::normalized(target), target.ends_with(b"/"));
        let followed = normalized.filter(|target| {
            let is_name = is_plain(target) && !ends_in_slash;
            rank.must_fit() && is_name && *target != path && self.hidden.is_noted(target)
        });
        let Some(target) = followed else {
            return Err(unfollowed(&path, target).into());
        };
        if self.link.as_ref().is_none_or(|other| rank < other.rank) {
            self.link = Some(Link {
                path,
                rank,
                target,
                is_found: false,
            });
        }
        Ok(())
    }

    /// Reads an entry of the layer again, and takes the file that `link` names.
    pub(super) fn read_linked(
        &mut self,
        entry: Entry<'_>,
        link: &mut Link,
        seen: &mut Seen,
    ) -> Result<(), Failure> {
        let Some(path) = path::normalized(&entry.name) else {
            if path::lenient(&entry.name) == link.target {
                let name = escaped(&entry.name);
                return Err(LayerProblem::AmbiguousName { name }.into());
            }
            return Ok(());
        };
        if path == link.target {
            if entry.kind != EntryKind::File {
                return Err(link.unfollowed().into());
            }
            if link.is_found {
                return Err(LayerProblem::duplicate(&link.target, &path).into());
            }
            link.is_found = true;
            return self.read_candidate(entry, link.path.clone(), link.rank, seen);
        }
        if path == link.path && !link.is_found {
            return Err(link.unfollowed().into());
        }
        if path::collide(&link.target, &path) {
            return Err(LayerProblem::duplicate(&link.target, &path).into());
        }
        Ok(())
    }
}

impl Link {
    /// Makes the checks that need the whole layer.
    pub(super) fn check_found(&self, hidden: &Hidden) -> Result<(), LayerProblem> {
        if !self.is_found {
            return Err(self.unfollowed());
        }
        check_parents(&self.target, hidden)
    }

    fn unfollowed(&self) -> LayerProblem {
        unfollowed(&self.path, &self.target)
    }
}

fn unfollowed(path: &[u8], target: &[u8]) -> LayerProblem {
    LayerProblem::NotRegular {
        name: escaped(path),
        found: "a hard link",
        target: Some(escaped(target)),
        file: None,
    }
}
