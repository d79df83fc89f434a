//! Layers that are files with a title, as artifact clients push them: `oras push REF plugin.wasm
//! README.md` calls each of them a plain tar archive. A title is compared like the name of an
//! archive's entry, and is never a path either.

use super::{Extraction, Rest, Taken, Task};
use crate::error::{ArtifactError, ContentProblem, Limit, shown};
use crate::extract::LISTED;
use crate::extract::decode::Chunks;
use crate::extract::failure::Failure;
use crate::extract::path::is_plain;
use crate::extract::rule::{Class, Rule};
use crate::extract::tar::starts_archive;
use crate::kind::{FileRule, PluginKind};
use crate::sniff::{SNIFF_BYTES, Sniffed, sniff};

impl Rule {
    /// Returns the class of a layer with this title, if the title names a plugin.
    pub(in crate::extract) fn class_of_title(&self, title: &str) -> Option<Class> {
        let title = title.as_bytes();
        is_plain(title).then(|| self.class(title)).flatten()
    }
}

/// Tells a file from an archive by its first bytes, whatever it is called.
pub(super) fn is_file(prefix: &[u8]) -> bool {
    match sniff(prefix) {
        // Text may be the name of an archive's first entry.
        None | Some(Sniffed::WasmText) => !starts_archive(prefix),
        Some(_) => true,
    }
}

impl Extraction {
    /// Takes a layer that is a file, if its title is better than what is there.
    pub(super) fn read_titled(
        &mut self,
        mut chunks: Chunks,
        task: &Task,
        title: &str,
    ) -> Result<Rest, Failure> {
        let prefix = chunks.peek(SNIFF_BYTES)?;
        let class = match self.rule.class_of_title(title) {
            Some(class) => class,
            // A Wasm module that is all there is needs no name.
            None if self.takes_any_title(task) && prefix.starts_with(b"\0asm") => Class::Wasm,
            None => {
                if self.files.len() < LISTED {
                    self.files.push(shown(title.as_bytes()));
                }
                return Ok(Rest::Proof);
            }
        };
        let best = self.taken.as_ref().map(|taken| taken.class);
        if best.is_some_and(|best| best < class) {
            return Ok(Rest::Proof);
        }
        let judged = match self.rule.judge(class, prefix) {
            Ok(judged) => judged,
            Err(found) if class.must_fit() => {
                let file = shown(title.as_bytes());
                return Err(Failure::Other(ArtifactError::Content { file, found }));
            }
            Err(found) => {
                self.note_unfit(title.as_bytes(), found);
                return Ok(Rest::Proof);
            }
        };
        if best == Some(class) {
            if self.rivals.len() < LISTED {
                self.rivals.push(shown(title.as_bytes()));
            }
            return Ok(Rest::Proof);
        }
        let (what, limit) = match judged.kind {
            PluginKind::Wasm => (Limit::WasmBytes, self.limits.wasm_bytes),
            PluginKind::Native => (Limit::UnpackedBytes, self.limits.unpacked_bytes),
        };
        if task.size > limit {
            return Err(Failure::too_much(what, limit, task.size));
        }
        self.rivals.clear(); // They were of a worse class.
        self.clear()?;
        let (digest, rest) = self.take_layer(chunks, task)?;
        self.taken = Some(Taken {
            class,
            path: title.as_bytes().to_vec(),
            judged,
            digest,
            size: task.size,
        });
        Ok(rest)
    }

    /// Remembers why a file that may be there for others does not fit.
    pub(super) fn note_unfit(&mut self, name: &[u8], found: ContentProblem) {
        // A linker script or some data is no library, whatever it is called.
        let some_plugin = found != ContentProblem::Unknown && found != ContentProblem::Empty;
        if some_plugin && self.unfit.is_none() {
            self.unfit = Some((shown(name), found));
        }
    }

    fn takes_any_title(&self, task: &Task) -> bool {
        task.alone && matches!(self.rule.file(), FileRule::Wasm | FileRule::Either)
    }
}
