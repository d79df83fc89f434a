//! The allocator of the memory that the host and a plugin share.
//!
//! It keeps its records here and not in that memory, so that a plugin cannot overwrite them.

use std::collections::{BTreeMap, BTreeSet};

/// The first offset that is handed out: 0 means "no block" in Extism's ABI.
const FIRST: u64 = 64;
/// The bytes that blocks occupy are a multiple of this. It keeps the records of many small blocks
/// small next to the memory that the blocks take of the plugin's limit.
const UNIT: u64 = 64;

/// Where a new block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    /// The offset up to which there must be memory.
    pub(super) end: u64,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    /// The bytes that were requested.
    length: u64,
    /// The bytes that it occupies.
    size: u64,
}

/// The blocks of one memory.
#[derive(Debug)]
pub(super) struct Blocks {
    /// The blocks in use, by offset.
    used: BTreeMap<u64, Block>,
    /// The size of each gap between them, by offset; gaps never touch.
    gaps: BTreeMap<u64, u64>,
    /// The same gaps as (size, offset), to find the smallest that fits.
    by_size: BTreeSet<(u64, u64)>,
    /// Nothing from here on was handed out since the last reset.
    top: u64,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            used: BTreeMap::new(),
            gaps: BTreeMap::new(),
            by_size: BTreeSet::new(),
            top: FIRST,
        }
    }
}

impl Blocks {
    /// Finds room for `length` bytes, at least one, in a memory of `size` bytes, which may have to
    /// grow. `None` where 32-bit offsets end.
    ///
    /// Offsets are used again only when the memory has no others: plugins made with some of
    /// Extism's kits free a block twice, and the second time must not free another block.
    pub(super) fn allocate(&mut self, length: u64, size: u64) -> Option<Place> {
        let wanted = length.max(1).checked_next_multiple_of(UNIT)?;
        let is_new = self.top.checked_add(wanted)? <= size;
        let gap = self.by_size.range((wanted, 0)..).next().copied();
        let offset = if let (false, Some((gap, offset))) = (is_new, gap) {
            self.remove_gap(offset, gap);
            if gap > wanted {
                self.insert_gap(offset + wanted, gap - wanted);
            }
            offset
        } else {
            let offset = if is_new {
                self.top
            } else {
                self.end_of_blocks()
            };
            let end = offset.checked_add(wanted)?;
            if end > u64::from(u32::MAX) {
                return None;
            }
            if let Some(gap) = self.gaps.get(&offset).copied() {
                self.remove_gap(offset, gap);
            }
            self.top = self.top.max(end);
            offset
        };
        let size = wanted;
        self.used.insert(offset, Block { length, size });
        Some(Place {
            offset,
            end: offset + size,
        })
    }

    /// Gives the block at `offset` back. Returns whether a block begins there.
    pub(super) fn free(&mut self, offset: u64) -> bool {
        let Some(Block { mut size, .. }) = self.used.remove(&offset) else {
            return false;
        };
        let mut start = offset;
        if let Some((&before, &gap)) = self.gaps.range(..offset).next_back()
            && before + gap == offset
        {
            self.remove_gap(before, gap);
            start = before;
            size += gap;
        }
        if let Some(&gap) = self.gaps.get(&(start + size)) {
            self.remove_gap(start + size, gap);
            size += gap;
        }
        self.insert_gap(start, size);
        true
    }

    /// Returns the length of the block that begins at `offset`; 0 where none does.
    pub(super) fn length(&self, offset: u64) -> u64 {
        self.used.get(&offset).map_or(0, |block| block.length)
    }

    /// Frees everything and returns the offset up to which memory may have been written.
    pub(super) fn reset(&mut self) -> u64 {
        self.used.clear();
        self.gaps.clear();
        self.by_size.clear();
        std::mem::replace(&mut self.top, FIRST)
    }

    /// Returns the offset behind the last block that is in use.
    fn end_of_blocks(&self) -> u64 {
        match self.gaps.last_key_value() {
            Some((&offset, &size)) if offset + size == self.top => offset,
            _ => self.top,
        }
    }

    fn insert_gap(&mut self, offset: u64, size: u64) {
        self.gaps.insert(offset, size);
        self.by_size.insert((size, offset));
    }

    fn remove_gap(&mut self, offset: u64, size: u64) {
        self.gaps.remove(&offset);
        self.by_size.remove(&(size, offset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page.
    const SIZE: u64 = 65_536;

    fn offset(blocks: &mut Blocks, length: u64) -> u64 {
        blocks.allocate(length, SIZE).unwrap().offset
    }

    #[test]
    fn blocks_do_not_overlap_and_have_their_lengths() {
        let mut blocks = Blocks::default();
        let (a, b) = (offset(&mut blocks, 10), offset(&mut blocks, 100));
        assert!(a >= FIRST && b >= a + 10 && offset(&mut blocks, 1) >= b + 100);
        assert_eq!([blocks.length(a), blocks.length(b)], [10, 100]);
        assert_eq!([blocks.length(a + 1), blocks.length(0)], [0, 0]);
        assert!(!blocks.free(a + 1) && blocks.free(a) && !blocks.free(a));
        assert_eq!(blocks.length(a), 0);
    }

    /// A handle that is freed twice must not free the block that came after it.
    #[test]
    fn an_offset_is_used_again_only_when_the_memory_is_full() {
        let mut blocks = Blocks::default();
        let first = offset(&mut blocks, 100);
        blocks.free(first);
        let mut others = 0;
        while offset(&mut blocks, 100) != first {
            others += 1;
        }
        assert_eq!(others, (SIZE - FIRST) / 128 - 1);
    }

    #[test]
    fn memory_stays_flat_where_blocks_are_freed() {
        let mut blocks = Blocks::default();
        for turn in 0..100_000_u64 {
            let place = blocks.allocate(turn % 30_000 + 1, SIZE).unwrap();
            assert!(place.end <= SIZE, "{turn}: {place:?}");
            blocks.free(place.offset);
        }
        // One gap is left, from the first offset to the last.
        assert_eq!(blocks.gaps.len(), 1);
        assert_eq!(blocks.by_size.len(), 1);
    }

    #[test]
    fn what_grows_takes_the_last_gap_along() {
        let mut blocks = Blocks::default();
        let kept = offset(&mut blocks, 100);
        let freed = blocks.allocate(SIZE - 1_000, SIZE).unwrap();
        blocks.free(freed.offset);
        let place = blocks.allocate(SIZE, SIZE).unwrap();
        assert_eq!(place.offset, freed.offset);
        assert!(blocks.gaps.is_empty());
        assert_eq!(blocks.length(kept), 100);
    }

    #[test]
    fn nothing_is_handed_out_behind_32_bits() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.allocate(u64::MAX, SIZE), None);
        assert_eq!(blocks.allocate(u64::from(u32::MAX), SIZE), None);
        let place = blocks
            .allocate(u64::from(u32::MAX) - 2 * FIRST, SIZE)
            .unwrap();
        assert!(u32::try_from(place.end).is_ok());
        assert_eq!(blocks.allocate(1, u64::from(u32::MAX)), None);
    }

    #[test]
    fn a_reset_tells_what_was_written_even_if_it_was_freed() {
        let mut blocks = Blocks::default();
        let block = offset(&mut blocks, 100);
        blocks.free(block);
        assert_eq!(blocks.reset(), FIRST + 128);
        assert_eq!(blocks.reset(), FIRST);
        assert_eq!(blocks.length(block), 0);
    }
}
