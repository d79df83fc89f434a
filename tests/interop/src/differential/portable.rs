//! Which programs have one meaning under the ABI.
//!
//! Where blocks lie, and what lies around them, differs between hosts, so a program must not
//! depend on it: it names blocks by their handles, stays within them or far away from all memory,
//! and does not use a handle again once its memory may belong to another block.

use super::step::{At, Program, Run, SLOTS, Step};

/// An offset that is behind all memory, from whatever handle.
pub(super) const FAR: i64 = 1 << 40;
/// The bytes of keys that every host takes.
const KEY_MAX: u64 = 4096;

/// Returns whether all hosts must agree on what `program` does.
pub(super) fn is_portable(program: &Program) -> bool {
    program.runs.iter().all(|run| {
        let mut model = Model::new(run);
        run.steps.iter().all(|step| model.take(step)) && model.end()
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    Freed,
    /// Freed, and another block may lie there.
    Gone,
}

#[derive(Clone, Debug)]
struct Block {
    length: Option<u64>,
    /// Whether it may be the null handle.
    may_be_null: bool,
    /// Whether it holds UTF-8.
    is_text: bool,
    state: State,
}

/// What is known of a run after some of its steps.
#[derive(Clone, Debug)]
pub(super) struct Model {
    blocks: Vec<Block>,
    slots: [Option<usize>; SLOTS as usize],
    input: Option<usize>,
    output: Option<usize>,
    error: Option<usize>,
}

impl Model {
    pub(super) fn new(run: &Run) -> Self {
        let mut model = Self {
            blocks: Vec::new(),
            slots: [None; SLOTS as usize],
            input: None,
            output: None,
            error: None,
        };
        if !run.input.is_empty() {
            let length = u64::try_from(run.input.len()).ok();
            model.input = Some(model.block(length, false));
        }
        model
    }

    /// Takes one more step, and returns whether all hosts must agree on it.
    pub(super) fn take(&mut self, step: &Step) -> bool {
        match step {
            Step::Text { to, text } => {
                let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
                self.allocate(*to, length, std::str::from_utf8(text).is_ok())
            }
            Step::Fill { to, length, .. } => self.allocate(*to, u64::from(*length), false),
            Step::Free { at } => self.free(*at),
            Step::Length { at } => self.names(*at),
            Step::LoadU8 { at } => self.within(*at, 1),
            Step::LoadU64 { at } => self.within(*at, 8),
            Step::StoreU8 { at, .. } => self.store(*at, 1),
            Step::StoreU64 { at, .. } => self.store(*at, 8),
            Step::Sum { slot } | Step::LengthUnsafe { slot } => self.names(At(*slot, 0)),
            // Nearer to 2^64 than 8, the sum of Extism's kernel runs over.
            Step::InputLoadU8 { offset } | Step::InputLoadU64 { offset } => *offset >= 0,
            Step::InputOffset { to } => {
                self.slots[usize::from(*to)] = self.input;
                true
            }
            Step::OutputSet { at, length } => self.output_set(*at, *length),
            Step::ErrorSet { at } => self.error_set(*at),
            Step::ErrorGet { slot } => self.names(At(*slot, 0)) && self.is_there(self.error),
            Step::OutputGet { slot } => self.names(At(*slot, 0)) && self.is_there(self.output),
            Step::ConfigGet { to, key } => self.consume_key(*key) && self.give(*to, None, true),
            Step::VarGet { to, key } => self.consume_key(*key) && self.give(*to, None, false),
            Step::VarSet { key, value } => {
                let same = self.slot(*key).is_some() && self.slot(*key) == self.slot(*value);
                self.consume_key(*key) && (same || self.consume(*value))
            }
            Step::Log { at, .. } => self.log(*at),
            Step::Reset => self.reset(),
            Step::Reverse { to, input } => {
                let length = self
                    .slot(*input)
                    .and_then(|block| self.blocks[block].length);
                self.names(At(*input, 0)) && self.give(*to, length, false)
            }
            Step::HttpRequest { to, request, body } => {
                self.consume(*request) && self.consume(*body) && self.give(*to, None, false)
            }
            Step::Clear { slot } => {
                self.slots[usize::from(*slot)] = None;
                true
            }
            Step::Copy { to, from } => {
                self.slots[usize::from(*to)] = self.slot(*from);
                true
            }
            Step::InputSet { slot, length } => self.input_set(*slot, *length),
            Step::Return { .. }
            | Step::InputLength
            | Step::LogLevel
            | Step::HttpStatus
            | Step::Unreachable => true,
        }
    }

    /// Returns the slots that name live blocks, with their lengths, and whether they hold text.
    pub(super) fn live(&self) -> Vec<(u8, Option<u64>, bool)> {
        (0..SLOTS)
            .filter_map(|slot| {
                let block = &self.blocks[self.slot(slot)?];
                (block.state == State::Live).then_some((slot, block.length, block.is_text))
            })
            .collect()
    }

    /// Returns whether output and error are what they were when they were set.
    pub(super) fn end(&self) -> bool {
        self.is_there(self.output) && self.is_there(self.error)
    }

    fn slot(&self, slot: u8) -> Option<usize> {
        self.slots[usize::from(slot)]
    }

    fn block(&mut self, length: Option<u64>, is_text: bool) -> usize {
        self.blocks.push(Block {
            length,
            may_be_null: length.is_none(),
            is_text,
            state: State::Live,
        });
        self.blocks.len() - 1
    }

    /// From now on another block may lie where one was freed.
    fn reuse(&mut self) {
        for block in &mut self.blocks {
            if block.state == State::Freed {
                block.state = State::Gone;
            }
        }
    }

    fn allocate(&mut self, to: u8, length: u64, is_text: bool) -> bool {
        self.slots[usize::from(to)] = if length == 0 {
            None
        } else {
            self.reuse();
            Some(self.block(Some(length), is_text))
        };
        true
    }

    /// The host allocates for the plugin, perhaps.
    fn give(&mut self, to: u8, length: Option<u64>, is_text: bool) -> bool {
        self.reuse();
        let block = self.block(length, is_text);
        self.slots[usize::from(to)] = Some(block);
        true
    }

    fn is_there(&self, block: Option<usize>) -> bool {
        block.is_none_or(|block| self.blocks[block].state != State::Gone)
    }

    /// Returns whether it is certain which block begins at `at`, or that none does.
    fn names(&self, at: At) -> bool {
        let Some(block) = self.slot(at.0).map(|block| &self.blocks[block]) else {
            return at.1 == 0 || at.1 >= FAR;
        };
        let inside = !block.may_be_null
            && block
                .length
                .is_some_and(|length| u64::try_from(at.1).is_ok_and(|offset| offset < length));
        block.state != State::Gone && (at.1 == 0 || at.1 >= FAR || inside)
    }

    /// Returns whether `size` bytes from `at` on are in a live block, or far from all memory.
    fn within(&self, at: At, size: u64) -> bool {
        if at.1 >= FAR {
            return self.names(at);
        }
        let Some(block) = self.slot(at.0).map(|block| &self.blocks[block]) else {
            return false;
        };
        let end = u64::try_from(at.1)
            .ok()
            .and_then(|offset| offset.checked_add(size));
        block.state == State::Live
            && !block.may_be_null
            && end.is_some_and(|end| block.length.is_some_and(|length| end <= length))
    }

    fn store(&mut self, at: At, size: u64) -> bool {
        let block = self.slot(at.0);
        if at.1 < FAR
            && let Some(block) = block
        {
            self.blocks[block].is_text = false;
            if self.error == Some(block) {
                return false;
            }
        }
        self.within(at, size)
    }

    fn free(&mut self, at: At) -> bool {
        if at.1 != 0 {
            return self.names(at);
        }
        self.consume(at.0)
    }

    /// Frees what a slot names.
    fn consume(&mut self, slot: u8) -> bool {
        if !self.names(At(slot, 0)) {
            return false;
        }
        if let Some(block) = self.slot(slot) {
            self.blocks[block].state = State::Freed;
        }
        true
    }

    fn consume_key(&mut self, slot: u8) -> bool {
        let is_short = self.slot(slot).is_none_or(|block| {
            let block = &self.blocks[block];
            block.length.is_some_and(|length| length <= KEY_MAX)
        });
        is_short && self.consume(slot)
    }

    fn output_set(&mut self, at: At, length: i64) -> bool {
        let Ok(size) = u64::try_from(length) else {
            return false;
        };
        if at.1 >= FAR || self.slot(at.0).is_none() {
            // Out of bounds: it must change nothing.
            return self.names(at);
        }
        if !self.within(at, size) {
            return false;
        }
        self.output = self.slot(at.0);
        true
    }

    fn error_set(&mut self, at: At) -> bool {
        if !self.names(at) {
            return false;
        }
        let Some(block) = self.slot(at.0) else {
            if at.1 == 0 {
                self.error = None;
            }
            return true;
        };
        if at.1 != 0 || self.blocks[block].state != State::Live {
            let is_far = at.1 >= FAR;
            if !is_far {
                self.error = Some(block);
            }
            return true;
        }
        self.error = Some(block);
        self.blocks[block].is_text
    }

    fn log(&mut self, at: At) -> bool {
        if !self.names(at) {
            return false;
        }
        let is_line = match self.slot(at.0) {
            None => at.1 == 0,
            Some(block) => at.1 == 0 && self.blocks[block].state == State::Live,
        };
        if !is_line {
            // It ends the call if the level is on.
            return true;
        }
        let is_text = self
            .slot(at.0)
            .is_none_or(|block| self.blocks[block].is_text);
        is_text && self.consume(at.0)
    }

    fn reset(&mut self) -> bool {
        for block in &mut self.blocks {
            block.state = State::Gone;
        }
        self.input = None;
        self.output = None;
        self.error = None;
        true
    }

    fn input_set(&mut self, slot: u8, length: i64) -> bool {
        let Ok(size) = u64::try_from(length) else {
            return false;
        };
        let is_block = self.slot(slot).is_some() && size > 0 && self.within(At(slot, 0), size);
        if is_block {
            self.input = self.slot(slot);
        }
        is_block
    }
}
