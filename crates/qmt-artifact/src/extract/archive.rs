//! The entries of a tar archive, read by the `tar` crate behind our limits. Nothing is unpacked.
//!
//! Entries are read raw, so that the size of an extension header (GNU long name, PAX) is known
//! before its content is read. Names and sizes are those that the crate itself would report.

use std::io::{self, Read};

use tar::{EntryType, GnuHeader, Header, PaxExtensions};

use super::decode::{Position, Unpacked};
use super::failure::Failure;
use crate::error::at_most;
use crate::limits::ExtractLimits;
use crate::problem::{LayerProblem, Limit};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    /// A second name of a file: [`Entry::target`] is the first.
    HardLink,
    SymbolicLink,
    /// Anything else, as errors call it.
    Other(&'static str),
}

/// One entry, and the reader of its content.
pub(super) struct Entry<'a> {
    pub(super) name: Vec<u8>,
    pub(super) kind: EntryKind,
    /// What a link names; empty for everything else.
    pub(super) target: Vec<u8>,
    /// Bytes of content.
    pub(super) size: u64,
    unread: u64,
    content: tar::Entry<'a, Unpacked>,
}

/// Iterates over the entries of one archive.
pub(super) struct Entries<'a> {
    raw: tar::Entries<'a, Unpacked>,
    limits: ExtractLimits,
    position: Position,
    /// Where the content of the last entry ends.
    end: u64,
    /// How many entries were read, extension headers and other layers included.
    pub(super) count: u64,
}

/// What the extension headers before an entry say about it.
#[derive(Default)]
struct Extensions {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
}

impl<'a> Entries<'a> {
    /// Reads `archive`, after `before` entries were read from other layers.
    pub(super) fn new(
        archive: &'a mut tar::Archive<Unpacked>,
        position: Position,
        before: u64,
        limits: &ExtractLimits,
    ) -> Result<Self, Failure> {
        let entries = archive.entries().map_err(Failure::in_archive)?;
        Ok(Self {
            raw: entries.raw(true),
            limits: limits.clone(),
            position,
            end: 0,
            count: before,
        })
    }

    /// Skips the rest of the current entry and returns the next one.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'a>>, Failure> {
        let mut extensions = Extensions::default();
        while let Some(raw) = self.raw.next() {
            let raw = match raw {
                // Some tools write neither the blocks of zeros that end an archive nor those that
                // fill the last block.
                Err(_) if self.position.has_only_padding_after(self.end) => break,
                raw => raw.map_err(Failure::in_archive)?,
            };
            self.end = raw.raw_file_position().saturating_add(raw.size());
            self.count += 1;
            at_most(Limit::Entries, self.limits.entries, self.count)?;
            let header = raw.header();
            // The `tar` crate takes other headers for entries of an unknown type.
            let is_known = header.as_ustar().is_some() || header.as_gnu().is_some();
            let is_second = match header.entry_type() {
                EntryType::GNULongName if is_known => {
                    let name = self.long_name(raw)?;
                    extensions.long_name.replace(name).is_some()
                }
                EntryType::GNULongLink if is_known => {
                    let target = self.long_name(raw)?;
                    extensions.long_link.replace(target).is_some()
                }
                EntryType::XHeader if is_known => {
                    let records = self.pax(raw)?;
                    extensions.pax.replace(records).is_some()
                }
                EntryType::XGlobalHeader => {
                    at_most(Limit::PaxBytes, self.limits.pax_bytes, raw.size())?;
                    if !extensions.is_empty() {
                        let reason = "a global header stands between an extension and its entry";
                        return Err(Failure::malformed(reason));
                    }
                    false // It describes nothing that is looked for.
                }
                _ => return self.entry(raw, extensions).map(Some),
            };
            if is_second {
                let reason = "two extension headers of one kind describe the same entry";
                return Err(Failure::malformed(reason));
            }
        }
        if !extensions.is_empty() {
            let reason = "it ends between an extension header and its entry";
            return Err(Failure::malformed(reason));
        }
        Ok(None)
    }

    fn entry(
        &self,
        raw: tar::Entry<'a, Unpacked>,
        extensions: Extensions,
    ) -> Result<Entry<'a>, Failure> {
        let (header, size) = (raw.header(), raw.size());
        let pax = extensions.pax.unwrap_or_default();
        let records = || PaxExtensions::new(&pax).filter_map(Result::ok);
        let states_other_size = records()
            .filter(|record| record.key_bytes() == b"size")
            .any(|record| record.value().ok().and_then(|value| value.parse().ok()) != Some(size));
        if states_other_size {
            let reason = "a PAX header and the entry's own header state different sizes";
            return Err(Failure::malformed(reason));
        }
        let pax_name = |key: &[u8]| {
            let record = records().find(|record| record.key_bytes() == key)?;
            Some(record.value_bytes().to_vec())
        };
        let name = extensions.long_name.or_else(|| pax_name(b"path"));
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        at_most(Limit::NameBytes, self.limits.name_bytes, name.len() as u64)?;
        if name.contains(&0) {
            return Err(Failure::malformed("a name contains NUL"));
        }
        let is_sparse = || records().any(|record| record.key_bytes().starts_with(b"GNU.sparse."));
        let kind = match kind_of(header)? {
            EntryKind::File if is_sparse() => EntryKind::Other("a sparse file"),
            // As archives older than 1988 write directories.
            EntryKind::File if name.ends_with(b"/") => EntryKind::Directory,
            kind => kind,
        };
        let target = match kind {
            EntryKind::HardLink | EntryKind::SymbolicLink => {
                let target = extensions.long_link.or_else(|| pax_name(b"linkpath"));
                target.or_else(|| Some(header.link_name_bytes()?.into_owned()))
            }
            EntryKind::File | EntryKind::Directory | EntryKind::Other(_) => None,
        };
        Ok(Entry {
            name,
            kind,
            target: target.unwrap_or_default(),
            size,
            unread: size,
            content: raw,
        })
    }

    fn long_name(&self, raw: tar::Entry<'_, Unpacked>) -> Result<Vec<u8>, Failure> {
        // A NUL ends the name and is not part of it.
        let size = raw.size().saturating_sub(1);
        at_most(Limit::NameBytes, self.limits.name_bytes, size)?;
        let mut name = content(raw)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        Ok(name)
    }

    fn pax(&self, raw: tar::Entry<'_, Unpacked>) -> Result<Vec<u8>, Failure> {
        at_most(Limit::PaxBytes, self.limits.pax_bytes, raw.size())?;
        content(raw)
    }
}

impl Entry<'_> {
    /// Fills `buffer` from the entry's content; it stays partly empty at the end of the content.
    pub(super) fn fill<'b>(&mut self, buffer: &'b mut [u8]) -> Result<&'b [u8], Failure> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            let count = self.content.read(room).map_err(Failure::in_archive)?;
            if count == 0 {
                break;
            }
            filled += count;
        }
        self.unread = self.unread.saturating_sub(filled as u64);
        if filled < buffer.len() && self.unread > 0 {
            return Err(LayerProblem::Truncated.into());
        }
        Ok(buffer.get(..filled).unwrap_or_default())
    }
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.long_link.is_none() && self.pax.is_none()
    }
}

/// Reports whether an archive can start with `prefix`.
pub(super) fn starts_archive(prefix: &[u8]) -> bool {
    let is_readable = || -> io::Result<bool> {
        let mut archive = tar::Archive::new(prefix);
        let first = archive.entries()?.raw(true).next();
        Ok(first.is_none_or(|entry| entry.is_ok()))
    };
    prefix.len() >= 512 && is_readable().unwrap_or(false)
}

/// Reports whether `prefix` has the magic of an archive, which may be damaged nevertheless.
pub(super) fn has_magic(prefix: &[u8]) -> bool {
    prefix.get(257..262) == Some(b"ustar")
}

fn kind_of(header: &Header) -> Result<EntryKind, Failure> {
    Ok(EntryKind::Other(match header.entry_type() {
        // What a contiguous file is on systems without such files.
        EntryType::Regular | EntryType::Continuous => return Ok(EntryKind::File),
        EntryType::Directory => return Ok(EntryKind::Directory),
        EntryType::Link => return Ok(EntryKind::HardLink),
        EntryType::Symlink => return Ok(EntryKind::SymbolicLink),
        EntryType::Char => "a character device",
        EntryType::Block => "a block device",
        EntryType::Fifo => "a FIFO",
        // A long map follows the header and is not counted in the size.
        EntryType::GNUSparse if header.as_gnu().is_none_or(GnuHeader::is_extended) => {
            let reason = "a sparse file has a map of another form";
            return Err(Failure::malformed(reason));
        }
        EntryType::GNUSparse => "a sparse file",
        _ => "an entry of an unknown type",
    }))
}

/// Reads the whole content of an entry whose size was checked.
fn content(mut raw: tar::Entry<'_, Unpacked>) -> Result<Vec<u8>, Failure> {
    let size = raw.size();
    let mut content = Vec::new();
    raw.read_to_end(&mut content).map_err(Failure::in_archive)?;
    if (content.len() as u64) < size {
        return Err(LayerProblem::Truncated.into());
    }
    Ok(content)
}
