//! The blocking side: goes through layers from the top down and takes one file out of them.

use qmt_oci_ref::{Digest, DigestAlgorithm, Digester};

use super::archive::{Entries, Entry, EntryKind};
use super::candidate::{Content, Matcher, Rank, is_apple_double};
use super::decode::{Chunks, Unpacked};
use super::encoding::{Encoding, MAGIC_BYTES};
use super::failure::Failure;
use super::file::{LayerTask, Promise};
use super::link::Link;
use super::whiteout::{Hidden, Meaning};
use super::{ExtractSink, LISTED, path};
use crate::error::{ArtifactError, escaped};
use crate::limits::ExtractLimits;
use crate::problem::{ContentProblem, LayerProblem};
use crate::sniff::SNIFF_BYTES;

/// How many files an error names that are not the plugin.
const OTHERS: usize = 4;
/// Bytes that are hashed and written at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// One extraction under way.
pub(super) struct Extraction {
    pub(super) matcher: Matcher,
    pub(super) limits: ExtractLimits,
    pub(super) sink: Box<dyn ExtractSink>,
    pub(super) hidden: Hidden,
    pub(super) chosen: Option<Chosen>,
    /// A plugin that is a hard link: its layer is to be read again.
    pub(super) link: Option<Link>,
    /// Further candidates of the rank of the chosen one, for the error that lists them.
    pub(super) tied: Vec<String>,
    /// A candidate whose content does not fit, and why.
    pub(super) rejected: Option<(String, ContentProblem)>,
    /// Names that look like plugins, for the error that suggests them.
    similar: Vec<String>,
    /// The first files that are not the plugin.
    others: Vec<String>,
    /// Titles of layers that are files, none of which was looked for.
    pub(super) other_titles: Vec<String>,
    entries: u64,
    unpacked: u64,
}

/// The file that was chosen so far.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) rank: Rank,
    pub(super) path: Vec<u8>,
    pub(super) content: Content,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// What one archive holds of the names looked for.
#[derive(Default)]
pub(super) struct Seen {
    names: Vec<Vec<u8>>,
    /// Pairs of a name looked for and another that some file systems treat as the same.
    collisions: Vec<(Vec<u8>, Vec<u8>)>,
    is_chosen_here: bool,
}

impl Extraction {
    pub(super) fn new(
        matcher: Matcher,
        sink: Box<dyn ExtractSink>,
        limits: &ExtractLimits,
    ) -> Self {
        Self {
            matcher,
            limits: limits.clone(),
            sink,
            hidden: Hidden::default(),
            chosen: None,
            link: None,
            tied: Vec::new(),
            rejected: None,
            similar: Vec::new(),
            others: Vec::new(),
            other_titles: Vec::new(),
            entries: 0,
            unpacked: 0,
        }
    }

    /// Reads one layer, as far as its content matters.
    pub(super) fn read(&mut self, mut chunks: Chunks, task: &LayerTask) -> Result<(), Failure> {
        if task.promise == Promise::File {
            return self.read_raw(chunks, task);
        }
        let magic = chunks.peek(MAGIC_BYTES)?;
        // Some builders write a layer that changes nothing without any bytes.
        if magic.is_empty() && !task.is_only_layer && !task.may_be_file() {
            self.unpack(chunks, Encoding::Plain, task)?.finish()?;
            self.hidden.descend();
            return Ok(());
        }
        let encoding = match Encoding::of_content(magic) {
            Err(_) if task.may_be_file() => return self.read_file(chunks, task),
            found => found?,
        };
        if encoding == Encoding::Plain {
            let prefix = chunks.peek(SNIFF_BYTES)?;
            if task.is_file(prefix) {
                return self.read_file(chunks, task);
            }
            task.check_promise(prefix)?;
        }
        let mut unpacked = self.unpack(chunks, encoding, task)?;
        if encoding != Encoding::Plain && task.is_file(&unpacked.peek(SNIFF_BYTES)?) {
            let format = encoding.name();
            return self.refuse_packed(task, format);
        }
        self.read_archive(unpacked)
    }

    /// Starts to decompress a layer.
    pub(super) fn unpack(
        &self,
        chunks: Chunks,
        encoding: Encoding,
        task: &LayerTask,
    ) -> Result<Unpacked, Failure> {
        let (size, diff_id) = (task.layer.size(), task.diff_id.as_ref());
        Unpacked::new(chunks, encoding, size, self.unpacked, diff_id, &self.limits)
    }

    /// Reads an archive for the plugin, or, if that is a hard link, for the file that it names.
    pub(super) fn read_archive(&mut self, unpacked: Unpacked) -> Result<(), Failure> {
        let mut link = self.link.take();
        let position = unpacked.position();
        let mut archive = tar::Archive::new(unpacked);
        let mut entries = Entries::new(&mut archive, position, self.entries, &self.limits)?;
        let mut seen = Seen::default();
        while let Some(entry) = entries.next()? {
            match &mut link {
                Some(link) => self.read_linked(entry, link, &mut seen)?,
                None => self.read_entry(entry, &mut seen)?,
            }
        }
        let count = entries.count;
        match &link {
            Some(link) => link.check_found(&self.hidden)?,
            None => self.check_layer(&seen)?,
        }
        self.sink.flush().map_err(Failure::sink)?;
        let unpacked = archive.into_inner().finish()?;
        if self.link.is_some() {
            return Ok(()); // The layer is read again, and counted once.
        }
        self.entries = count;
        self.unpacked = self.unpacked.saturating_add(unpacked);
        self.hidden.descend();
        Ok(())
    }

    /// Reports whether no lower layer can hold a better file.
    pub(super) fn is_done(&self) -> bool {
        let chosen = self.chosen.as_ref();
        chosen.is_some_and(|chosen| chosen.rank.is_by_name())
    }

    /// Returns the file that was chosen and the sink that holds it.
    pub(super) fn finish(
        self,
        note: Option<String>,
    ) -> Result<(Chosen, Box<dyn ExtractSink>), ArtifactError> {
        let Some(chosen) = self.chosen else {
            if let Some((file, problem)) = self.rejected {
                return Err(ArtifactError::Content { file, problem });
            }
            return Err(ArtifactError::NoFile {
                looked_for: self.matcher.file.to_string(),
                similar: self.similar,
                others: self.others,
                titles: self.other_titles,
                note,
            });
        };
        if !self.tied.is_empty() {
            let mut names = self.tied;
            names.insert(0, escaped(&chosen.path));
            return Err(ArtifactError::SeveralFiles { names });
        }
        Ok((chosen, self.sink))
    }

    /// Decides whether a candidate of this rank, whose content starts with `prefix`, replaces what
    /// was chosen so far.
    pub(super) fn consider(
        &mut self,
        name: &[u8],
        rank: Rank,
        prefix: &[u8],
    ) -> Result<Option<Content>, Failure> {
        let best = self.chosen.as_ref().map(|chosen| chosen.rank);
        if best.is_some_and(|best| best < rank) {
            return Ok(None);
        }
        let content = match self.matcher.identify(rank, prefix) {
            Ok(content) => content,
            Err(problem) if rank.must_fit() => {
                let file = escaped(name);
                return Err(ArtifactError::Content { file, problem }.into());
            }
            Err(problem) => {
                // A linker script or some data is not a library, whatever its name.
                if !matches!(problem, ContentProblem::Unknown | ContentProblem::Empty) {
                    self.rejected.get_or_insert((escaped(name), problem));
                }
                return Ok(None);
            }
        };
        if best == Some(rank) {
            note(&mut self.tied, name);
            return Ok(None);
        }
        Ok(Some(content))
    }

    /// Prepares the sink for a file that replaces what was chosen so far.
    pub(super) fn replace(&mut self) -> Result<(), Failure> {
        self.tied.clear(); // They were of a lower rank.
        if self.chosen.is_some() {
            self.sink.restart().map_err(Failure::sink)?;
        }
        Ok(())
    }

    fn read_entry(&mut self, entry: Entry<'_>, seen: &mut Seen) -> Result<(), Failure> {
        let Some(path) = path::normalized(&entry.name) else {
            // Nothing is written under such a name. It is refused only where some reader takes it
            // for the plugin's, or for a whiteout.
            let meant = path::lenient(&entry.name);
            if self.matcher.rank(&meant).is_some() || Hidden::is_whiteout(&meant) {
                let name = escaped(&entry.name);
                return Err(LayerProblem::AmbiguousName { name }.into());
            }
            return Ok(());
        };
        let is_directory = entry.kind == EntryKind::Directory;
        let meaning = self.hidden.note(&path, is_directory);
        if let Meaning::Whiteout = meaning.map_err(Failure::malformed)? {
            return Ok(());
        }
        if let Some(name) = self.matcher.collision(&path)
            && seen.collisions.len() < LISTED
        {
            seen.collisions.push((name.to_vec(), path.clone()));
        }
        if self.hidden.hides(&path) {
            return Ok(());
        }
        let Some(rank) = self.matcher.rank(&path) else {
            if entry.kind == EntryKind::File && self.matcher.resembles(&path) {
                note(&mut self.similar, &path);
            } else if entry.kind == EntryKind::File
                && self.others.len() < OTHERS
                && !is_apple_double(&path)
            {
                note(&mut self.others, &path);
            }
            return Ok(());
        };
        if rank.is_by_name() {
            seen.check_once(&path)?;
        }
        let found = match entry.kind {
            EntryKind::File => return self.read_candidate(entry, path, rank, seen),
            // `libx.so` is mostly a link to `libx.so.1`.
            _ if !rank.is_by_name() => return Ok(()),
            EntryKind::HardLink => return self.note_link(path, &entry.target, rank),
            EntryKind::Directory => "a directory",
            EntryKind::SymbolicLink => "a symbolic link",
            EntryKind::Other(found) => found,
        };
        Err(LayerProblem::not_regular(&path, found, &entry.target).into())
    }

    /// Writes the entry to the sink if it is better than what was chosen so far.
    pub(super) fn read_candidate(
        &mut self,
        mut entry: Entry<'_>,
        path: Vec<u8>,
        rank: Rank,
        seen: &mut Seen,
    ) -> Result<(), Failure> {
        let mut prefix = [0; SNIFF_BYTES];
        let prefix = entry.fill(&mut prefix)?;
        let Some(content) = self.consider(&path, rank, prefix)? else {
            return Ok(());
        };
        self.replace()?;
        let mut digester = Digester::new(DigestAlgorithm::Sha256);
        digester.update(prefix);
        self.sink.write_all(prefix).map_err(Failure::sink)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let bytes = entry.fill(&mut buffer)?;
            if bytes.is_empty() {
                break;
            }
            digester.update(bytes);
            self.sink.write_all(bytes).map_err(Failure::sink)?;
        }
        seen.is_chosen_here = true;
        self.chosen = Some(Chosen {
            rank,
            path,
            content,
            digest: digester.finish(),
            size: entry.size,
        });
        Ok(())
    }

    /// Makes the checks that need the whole layer.
    fn check_layer(&mut self, seen: &Seen) -> Result<(), LayerProblem> {
        let chosen = self.chosen.as_ref();
        let is_worse = |link: &mut Link| chosen.is_some_and(|chosen| chosen.rank < link.rank);
        self.link.take_if(is_worse);
        let chosen = chosen.filter(|_| seen.is_chosen_here);
        let chosen = chosen.map(|chosen| &chosen.path);
        let link = self.link.as_ref().map(|link| &link.path);
        for path in chosen.into_iter().chain(link) {
            let mut collisions = seen.collisions.iter();
            if let Some((first, second)) = collisions.find(|(name, _)| name == path) {
                return Err(LayerProblem::duplicate(first, second));
            }
            check_parents(path, &self.hidden)?;
        }
        Ok(())
    }
}

impl Seen {
    /// Checks that an entry that is the plugin by its name is the first under it.
    fn check_once(&mut self, path: &[u8]) -> Result<(), LayerProblem> {
        if self.names.iter().any(|earlier| earlier == path) {
            return Err(LayerProblem::duplicate(path, path));
        }
        self.names.push(path.to_vec());
        Ok(())
    }
}

/// Checks that every part of the path above `path` is a folder in its layer.
pub(super) fn check_parents(path: &[u8], hidden: &Hidden) -> Result<(), LayerProblem> {
    let Some(parent) = hidden.obstacle(path) else {
        return Ok(());
    };
    let (name, parent) = (escaped(path), escaped(parent));
    Err(LayerProblem::ParentNotDirectory { name, parent })
}

/// Keeps a name for an error that lists some, each once.
pub(super) fn note(names: &mut Vec<String>, name: &[u8]) {
    let name = escaped(name);
    if names.len() < LISTED && !names.contains(&name) {
        names.push(name);
    }
}
