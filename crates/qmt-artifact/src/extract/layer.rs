//! The blocking side: goes through layers from the top down and takes one file out of them.

mod titled;
mod whole;

use qmt_oci_ref::{Digest, DigestAlgorithm, Digester};

use super::decode::{Chunks, Unpacked};
use super::encoding::Encoding;
use super::failure::Failure;
use super::hidden::{Hidden, Meaning};
use super::limits::ExtractLimits;
use super::path;
use super::rule::{Class, Judged, Rule, looks_like_a_plugin};
use super::tar::{Entry, EntryKind, TarReader};
use super::{ExtractSink, LISTED};
use crate::error::{ArtifactError, ContentProblem, LayerProblem, shown};
use crate::sniff::SNIFF_BYTES;

/// One extraction under way: what it looks for, what it has.
pub(super) struct Extraction {
    rule: Rule,
    limits: ExtractLimits,
    pub(super) sink: Box<dyn ExtractSink>,
    dirty: bool,
    hidden: Hidden,
    taken: Option<Taken>,
    /// Further candidates of the class that was taken, for the message that lists them.
    rivals: Vec<String>,
    /// A candidate whose content is not what it should be, and why.
    unfit: Option<(String, ContentProblem)>,
    near: Vec<String>,
    /// Titles of layers that are files, and none that was looked for.
    files: Vec<String>,
    entries: u64,
    unpacked: u64,
}

/// The file that was taken.
pub(super) struct Taken {
    class: Class,
    path: Vec<u8>,
    pub(super) judged: Judged,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// What is to be done with one layer.
pub(super) struct Task {
    pub(super) size: u64,
    /// `None`: the layer is the file itself.
    pub(super) encoding: Option<Encoding>,
    pub(super) diff_id: Option<Digest>,
    /// Of a layer that is the file itself: the digest that the source proves.
    pub(super) proven: Digest,
    /// The title of a layer that may be a file although it is called an archive: artifact clients
    /// call any file `…layer.v1.tar` unless told otherwise.
    pub(super) title: Option<String>,
    /// Whether there is no other layer.
    pub(super) alone: bool,
}

/// What a layer that was read well leaves to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Its last byte was read.
    Nothing,
    /// The source keeps the file: nobody but the source, which proves it, needs what is to come.
    Proof,
}

/// What one layer holds of the names looked for.
#[derive(Default)]
struct Seen {
    by_name: Vec<Vec<u8>>,
    twins: Vec<(Vec<u8>, Vec<u8>)>,
    taken_here: bool,
}

impl Extraction {
    pub(super) fn new(rule: Rule, sink: Box<dyn ExtractSink>, limits: &ExtractLimits) -> Self {
        Self {
            rule,
            limits: limits.clone(),
            sink,
            dirty: false,
            hidden: Hidden::default(),
            taken: None,
            rivals: Vec::new(),
            unfit: None,
            near: Vec::new(),
            files: Vec::new(),
            entries: 0,
            unpacked: 0,
        }
    }

    /// Reads one layer, to its end unless somebody else does.
    pub(super) fn read(&mut self, mut chunks: Chunks, task: &Task) -> Result<Rest, Failure> {
        let Some(encoding) = task.encoding else {
            return self.read_file(chunks, task);
        };
        if let Some(title) = &task.title
            && encoding == Encoding::Plain
            && titled::is_file(chunks.peek(SNIFF_BYTES)?)
        {
            return self.read_titled(chunks, task, title);
        }
        let diff_id = task.diff_id.as_ref();
        let unpacked = Unpacked::new(
            chunks,
            encoding,
            task.size,
            self.unpacked,
            diff_id,
            &self.limits,
        )?;
        let mut tar = TarReader::new(unpacked, self.entries, &self.limits);
        let mut seen = Seen::default();
        while let Some(entry) = tar.next()? {
            self.entry(&mut tar, &entry, &mut seen)?;
        }
        self.check_layer(&seen)?;
        self.sink.flush().map_err(Failure::sink)?;
        self.entries = tar.entries();
        let mut unpacked = tar.into_inner();
        unpacked.check_diff_id()?;
        self.unpacked = self.unpacked.saturating_add(unpacked.count());
        self.hidden.descend();
        Ok(Rest::Nothing)
    }

    /// Reports whether no lower layer can hold a better file.
    pub(super) fn is_settled(&self) -> bool {
        self.taken
            .as_ref()
            .is_some_and(|taken| taken.class.by_name())
    }

    /// Returns the file that was taken and the sink that holds it.
    pub(super) fn finish(
        self,
        note: Option<String>,
    ) -> Result<(Taken, Box<dyn ExtractSink>), ArtifactError> {
        let Some(taken) = self.taken else {
            if let Some((file, found)) = self.unfit {
                return Err(ArtifactError::Content { file, found });
            }
            let looked_for = self.rule.file().to_string();
            if !self.files.is_empty() {
                let titles = self.files;
                return Err(ArtifactError::OtherFiles { looked_for, titles });
            }
            let near = self.near;
            return Err(ArtifactError::NoFile {
                looked_for,
                near,
                note,
            });
        };
        if !self.rivals.is_empty() {
            let mut names = self.rivals;
            names.insert(0, shown(&taken.path));
            return Err(ArtifactError::SeveralLibraries { names });
        }
        Ok((taken, self.sink))
    }

    fn entry(
        &mut self,
        tar: &mut TarReader,
        entry: &Entry,
        seen: &mut Seen,
    ) -> Result<(), Failure> {
        let Some(path) = path::normalized(&entry.name) else {
            // Odd names beside the plugin are nobody's business; nothing is written under them.
            // Unless some reader takes them for the plugin's, or for a whiteout.
            let meant = path::lenient(&entry.name);
            if self.rule.class(&meant).is_some() || Hidden::is_whiteout(&meant) {
                return Err(LayerProblem::OddName {
                    name: shown(&entry.name),
                }
                .into());
            }
            return Ok(());
        };
        let directory = entry.kind == EntryKind::Directory;
        match self.hidden.note(&path, directory) {
            Ok(Meaning::Whiteout) => return Ok(()),
            Ok(Meaning::Entry) => {}
            Err(fault) => {
                return Err(LayerProblem::Archive {
                    offset: tar.offset(),
                    fault,
                }
                .into());
            }
        }
        if let Some(name) = self.rule.twin(&path)
            && seen.twins.len() < LISTED
        {
            seen.twins.push((name.to_vec(), path.clone()));
        }
        if self.hidden.hides(&path) {
            return Ok(());
        }
        let Some(class) = self.rule.class(&path) else {
            if entry.kind == EntryKind::File
                && looks_like_a_plugin(&path)
                && self.near.len() < LISTED
            {
                self.near.push(shown(&path));
            }
            return Ok(());
        };
        if class.by_name() {
            seen.check(entry, &path)?;
        } else if entry.kind != EntryKind::File {
            return Ok(()); // `libx.so` is mostly a link to `libx.so.1`.
        }
        self.candidate(tar, entry, path, class, seen)
    }

    /// Writes the entry to the sink if it is better than what is there.
    fn candidate(
        &mut self,
        tar: &mut TarReader,
        entry: &Entry,
        path: Vec<u8>,
        class: Class,
        seen: &mut Seen,
    ) -> Result<(), Failure> {
        let best = self.taken.as_ref().map(|taken| taken.class);
        if best.is_some_and(|best| best < class) {
            return Ok(());
        }
        let prefix = prefix(tar)?;
        let judged = match self.rule.judge(class, &prefix) {
            Ok(judged) => judged,
            Err(found) if class.must_fit() => {
                let file = shown(&path);
                return Err(Failure::Other(ArtifactError::Content { file, found }));
            }
            Err(found) => {
                // Something else may fit; if nothing does, this is why.
                self.note_unfit(&path, found);
                return Ok(());
            }
        };
        if best == Some(class) {
            if self.rivals.len() < LISTED {
                self.rivals.push(shown(&path));
            }
            return Ok(());
        }
        self.clear()?;
        self.rivals.clear(); // They were of a worse class.
        let mut digester = Digester::new(DigestAlgorithm::Sha256);
        digester.update(&prefix);
        self.sink.write_all(&prefix).map_err(Failure::sink)?;
        loop {
            let bytes = tar.fill()?;
            if bytes.is_empty() {
                break;
            }
            digester.update(bytes);
            self.sink.write_all(bytes).map_err(Failure::sink)?;
            let count = bytes.len();
            tar.consume(count);
        }
        seen.taken_here = true;
        let (size, digest) = (entry.size, digester.finish());
        self.taken = Some(Taken {
            class,
            path,
            judged,
            digest,
            size,
        });
        Ok(())
    }

    /// Makes the checks that need the whole layer.
    fn check_layer(&self, seen: &Seen) -> Result<(), Failure> {
        let Some(taken) = self.taken.as_ref().filter(|_| seen.taken_here) else {
            return Ok(());
        };
        if let Some((first, second)) = seen.twins.iter().find(|(name, _)| *name == taken.path) {
            let (first, second) = (shown(first), shown(second));
            return Err(LayerProblem::Twice { first, second }.into());
        }
        if let Some(parent) = self.hidden.obstacle(&taken.path) {
            let (name, parent) = (shown(&taken.path), shown(parent));
            return Err(LayerProblem::UnderNoDirectory { name, parent }.into());
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Failure> {
        if self.dirty {
            self.sink.restart().map_err(Failure::sink)?;
        }
        self.dirty = true;
        Ok(())
    }
}

impl Seen {
    /// Refuses what is odd about an entry that is the plugin by its name.
    fn check(&mut self, entry: &Entry, path: &[u8]) -> Result<(), Failure> {
        if self.by_name.iter().any(|earlier| earlier == path) {
            let name = shown(path);
            return Err(LayerProblem::Twice {
                first: name.clone(),
                second: name,
            }
            .into());
        }
        self.by_name.push(path.to_vec());
        match entry.kind {
            EntryKind::File if entry.ambiguous_name => Err(LayerProblem::OddName {
                name: shown(&entry.name),
            }
            .into()),
            EntryKind::File => Ok(()),
            EntryKind::Directory => Err(LayerProblem::NotRegular {
                name: shown(path),
                found: "a directory",
            }
            .into()),
            EntryKind::Other(found) => Err(LayerProblem::NotRegular {
                name: shown(path),
                found,
            }
            .into()),
        }
    }
}

/// Takes the first bytes of the entry's content, as many as sniffing wants.
fn prefix(tar: &mut TarReader) -> Result<Vec<u8>, Failure> {
    let mut prefix = Vec::with_capacity(SNIFF_BYTES);
    while prefix.len() < SNIFF_BYTES {
        let available = tar.fill()?;
        if available.is_empty() {
            break;
        }
        let count = available
            .len()
            .min(SNIFF_BYTES.saturating_sub(prefix.len()));
        prefix.extend_from_slice(available.get(..count).unwrap_or_default());
        tar.consume(count);
    }
    Ok(prefix)
}
