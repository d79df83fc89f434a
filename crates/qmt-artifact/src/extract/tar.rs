//! A reader of tar archives that takes nothing on trust and unpacks nothing.
//!
//! Headers are laid out as in <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html>
//! and <https://www.gnu.org/software/tar/manual/html_node/Standard.html>. Where known readers
//! differ about an archive (a size that stands twice, two long names, a half-written record), the
//! archive is refused, so that nobody else sees another plugin in it than we do. The `tar` crate
//! describes the header block; its own iteration forgives too much.

mod header;
mod pax;

use tar::{EntryType, Header};

pub(super) use self::header::starts_archive;
use self::header::{
    checked_size, has_no_content, has_prefix, is_extended, is_known, is_zero, kind_of,
};
use self::pax::Pax;
use super::decode::Unpacked;
use super::failure::Failure;
use super::limits::ExtractLimits;
use crate::error::{LayerProblem, Limit};

const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    /// Anything else, by its name in messages.
    Other(&'static str),
}

/// One entry; its content is read from the reader that gave it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name as it stands in the archive.
    pub(super) name: Vec<u8>,
    pub(super) kind: EntryKind,
    /// Bytes of content.
    pub(super) size: u64,
    /// Whether some readers would put more in front of the name.
    pub(super) ambiguous_name: bool,
}

/// Reads entries from an unpacked layer.
pub(super) struct TarReader {
    inner: Unpacked,
    offset: u64,
    /// Bytes of the current entry's content that were not read yet, and of padding behind it.
    content: u64,
    padding: u64,
    entries: u64,
    max_entries: u64,
    max_name: u64,
    max_pax: u64,
}

/// What headers before an entry say about it.
#[derive(Default)]
struct Extensions {
    long_name: Option<Vec<u8>>,
    long_link: bool,
    pax: Option<Pax>,
}

impl TarReader {
    /// Reads `inner`; `before` entries were read from other layers.
    pub(super) fn new(inner: Unpacked, before: u64, limits: &ExtractLimits) -> Self {
        Self {
            inner,
            offset: 0,
            content: 0,
            padding: 0,
            entries: before,
            max_entries: limits.entries,
            max_name: limits.name_bytes,
            max_pax: limits.pax_bytes,
        }
    }

    /// Returns how many entries were read, those of other layers included.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Returns where in the archive it stands, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Skips what is left of the current entry and returns the next, or `None` at the end of the
    /// archive, which then was complete and followed by zeros only.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Failure> {
        let mut extensions = Extensions::default();
        loop {
            self.skip()?;
            let offset = self.offset;
            let fault = |fault| Failure::from(LayerProblem::Archive { offset, fault });
            let header = self.block()?;
            if is_zero(header.as_bytes()) {
                if !extensions.is_empty() {
                    return Err(fault("it ends where an entry was announced"));
                }
                return self.finish().map(|()| None);
            }
            self.entries = self.entries.saturating_add(1);
            if self.entries > self.max_entries {
                return Err(Failure::too_much(
                    Limit::Entries,
                    self.max_entries,
                    self.entries,
                ));
            }
            let size = checked_size(&header).map_err(fault)?;
            self.content = size;
            self.padding = size.next_multiple_of(512).saturating_sub(size);
            let entry_type = header.entry_type();
            match entry_type.as_byte() {
                b'L' | b'K' | b'x' | b'g' if !is_known(&header) => {
                    return Err(fault("an extension has no known magic"));
                }
                b'L' => {
                    if extensions.long_name.is_some() || extensions.pax.is_some() {
                        return Err(fault("one entry has two long names"));
                    }
                    extensions.long_name = Some(self.long_name(size).map_err(|f| f.or(fault))?);
                }
                b'K' => {
                    if extensions.long_link || extensions.pax.is_some() {
                        return Err(fault("one entry has two long link names"));
                    }
                    self.long_name(size).map_err(|f| f.or(fault))?;
                    extensions.long_link = true;
                }
                b'x' => {
                    if extensions.pax.is_some() {
                        return Err(fault("one entry has two PAX headers"));
                    }
                    if extensions.long_name.is_some() || extensions.long_link {
                        return Err(fault("one entry has a GNU and a PAX extension"));
                    }
                    extensions.pax = Some(self.pax(size).map_err(|f| f.or(fault))?);
                }
                b'g' => {
                    if !extensions.is_empty() {
                        return Err(fault(
                            "a global header stands between an extension and its entry",
                        ));
                    }
                    let pax = self.pax(size).map_err(|f| f.or(fault))?;
                    if pax.path.is_some() || pax.size.is_some() || pax.sparse {
                        return Err(fault("a global header sets a path or size"));
                    }
                }
                _ => {
                    return self
                        .entry(&header, size, extensions)
                        .map_err(|f| f.or(fault))
                        .map(Some);
                }
            }
        }
    }

    /// Returns the next bytes of the entry's content without taking them; empty at its end.
    pub(super) fn fill(&mut self) -> Result<&[u8], Failure> {
        if self.content == 0 {
            return Ok(&[]);
        }
        let available = self.inner.fill()?;
        if available.is_empty() {
            return Err(LayerProblem::Truncated.into());
        }
        let most = usize::try_from(self.content)
            .unwrap_or(usize::MAX)
            .min(available.len());
        Ok(available.get(..most).unwrap_or_default())
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.content = self.content.saturating_sub(count);
        self.offset = self.offset.saturating_add(count);
    }

    /// Returns what it reads from, for the checks that follow the last entry.
    pub(super) fn into_inner(self) -> Unpacked {
        self.inner
    }

    fn entry(
        &mut self,
        header: &Header,
        size: u64,
        extensions: Extensions,
    ) -> Result<Entry, Fault> {
        let pax = extensions.pax.unwrap_or_default();
        if pax.size.is_some_and(|pax_size| pax_size != size) {
            return Err("its size stands twice and differs".into());
        }
        let overridden = extensions.long_name.is_some() || pax.path.is_some();
        let name = extensions.long_name.or(pax.path);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        self.check_name(&name)?;
        let mut kind = kind_of(header);
        if pax.sparse {
            kind = EntryKind::Other("a sparse file");
        }
        if kind == EntryKind::File && name.ends_with(b"/") {
            kind = EntryKind::Directory; // As archives older than 1988 write them.
        }
        match (kind, header.entry_type()) {
            (_, EntryType::GNUSparse) if header.as_gnu().is_none() => {
                return Err("a sparse file has another magic than GNU's".into());
            }
            // The rest of the map stands between header and content; not all readers know.
            (_, EntryType::GNUSparse) if is_extended(header) => {
                return Err("a sparse file has a long map".into());
            }
            (EntryKind::File, _) | (_, EntryType::GNUSparse) => {}
            (EntryKind::Other(_), _) if pax.sparse => {}
            // Readers differ on whether such content is there and must be skipped.
            _ if size != 0 && has_no_content(header.entry_type(), kind) => {
                return Err("an entry that has no content has a size".into());
            }
            _ => {}
        }
        let ambiguous_name = !overridden && header.as_ustar().is_none() && has_prefix(header);
        Ok(Entry {
            name,
            kind,
            size,
            ambiguous_name,
        })
    }

    /// Reads a GNU long name: the bytes before its final NUL.
    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        // One more than the limit, for the NUL.
        let most = self.max_name.saturating_add(1);
        if size > most {
            return Err(
                Failure::too_much(Limit::NameBytes, self.max_name, size.saturating_sub(1)).into(),
            );
        }
        let mut name = self.whole(size)?;
        if name.pop() != Some(0) || name.is_empty() || name.contains(&0) {
            return Err("a long name is empty or not ended by one NUL".into());
        }
        Ok(name)
    }

    fn pax(&mut self, size: u64) -> Result<Pax, Fault> {
        if size > self.max_pax {
            return Err(Failure::too_much(Limit::PaxBytes, self.max_pax, size).into());
        }
        let records = self.whole(size)?;
        Ok(Pax::parse(&records)?)
    }

    fn check_name(&self, name: &[u8]) -> Result<(), Fault> {
        let length = u64::try_from(name.len()).unwrap_or(u64::MAX);
        if length > self.max_name {
            return Err(Failure::too_much(Limit::NameBytes, self.max_name, length).into());
        }
        if name.contains(&0) {
            return Err("a name holds NUL".into());
        }
        Ok(())
    }

    /// Reads the whole content of a small entry.
    fn whole(&mut self, size: u64) -> Result<Vec<u8>, Failure> {
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        while self.content > 0 {
            let available = self.fill()?;
            content.extend_from_slice(available);
            let count = available.len();
            self.consume(count);
        }
        Ok(content)
    }

    /// Skips the rest of the content, and its padding.
    fn skip(&mut self) -> Result<(), Failure> {
        self.content = self.content.saturating_add(self.padding);
        self.padding = 0;
        while self.content > 0 {
            let count = self.fill()?.len();
            self.consume(count);
        }
        Ok(())
    }

    /// Reads one block. The end of the layer is no end of the archive: that is two zero blocks.
    fn block(&mut self) -> Result<Header, Failure> {
        let mut header = Header::new_old();
        let mut filled = 0;
        while filled < BLOCK {
            let available = self.inner.fill()?;
            if available.is_empty() {
                return Err(LayerProblem::Truncated.into());
            }
            let room = header.as_mut_bytes().get_mut(filled..).unwrap_or_default();
            let count = available.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..count), available.get(..count)) {
                to.copy_from_slice(from);
            }
            self.inner.consume(count);
            filled = filled.saturating_add(count);
        }
        self.offset = self.offset.saturating_add(512);
        Ok(header)
    }

    /// Reads the second zero block and whatever padding there is behind it.
    fn finish(&mut self) -> Result<(), Failure> {
        let fault = |offset, fault| Failure::from(LayerProblem::Archive { offset, fault });
        let offset = self.offset;
        if !is_zero(self.block()?.as_bytes()) {
            return Err(fault(offset, "a single zero block stands between entries"));
        }
        loop {
            let rest = self.inner.fill()?;
            if rest.is_empty() {
                return Ok(());
            }
            if !is_zero(rest) {
                return Err(fault(
                    self.offset,
                    "something follows the end of the archive",
                ));
            }
            let count = rest.len();
            self.inner.consume(count);
            self.offset = self
                .offset
                .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.long_name.is_none() && !self.long_link && self.pax.is_none()
    }
}

/// A fault whose place the caller knows, or a failure that has one already.
enum Fault {
    Here(&'static str),
    Failure(Failure),
}

impl Fault {
    fn or(self, place: impl FnOnce(&'static str) -> Failure) -> Failure {
        match self {
            Self::Here(fault) => place(fault),
            Self::Failure(failure) => failure,
        }
    }
}

impl From<&'static str> for Fault {
    fn from(fault: &'static str) -> Self {
        Self::Here(fault)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}
