//! Reads and writes of the memory that the host and a plugin share.
//!
//! Lengths come from the host's own records, and each access is checked against the memory.

use bytes::Bytes;
use wasmtime::{AsContextMut, StoreContextMut, Val};

use super::fault::Fault;
use super::state::{Kernel, State};
use crate::limits::MESSAGE_MAX;

/// A store, or the caller of a host function.
pub(super) trait Context: AsContextMut<Data = State> {
    /// Returns the shared memory and what is known of it.
    fn shared(&mut self) -> Result<(&mut [u8], &mut State), Fault> {
        let kernel = self.kernel()?;
        Ok(kernel.memory.data_and_store_mut(self.as_context_mut()))
    }

    fn kernel(&mut self) -> Result<Kernel, Fault> {
        let kernel = self.as_context_mut().data().kernel;
        kernel.ok_or_else(|| Fault::Missing {
            what: "the shared memory",
        })
    }

    /// Copies the block at `offset`, which has at most `limit` bytes. Offset 0 is an empty block.
    fn read(&mut self, argument: &'static str, offset: u64, limit: u64) -> Result<Vec<u8>, Fault> {
        if offset == 0 {
            return Ok(Vec::new());
        }
        let (bytes, state) = self.shared()?;
        let length = state.blocks.length(offset);
        if length > limit {
            return Err(Fault::TooLong {
                argument,
                length,
                limit,
            });
        }
        match slice(bytes, offset, length) {
            Some(block) if length > 0 => Ok(block.to_vec()),
            _ => Err(Fault::NoBlock { argument }),
        }
    }

    /// Copies the block at `offset` and frees it: the host owns what is passed to its functions.
    fn take(&mut self, argument: &'static str, offset: u64, limit: u64) -> Result<Vec<u8>, Fault> {
        let bytes = self.read(argument, offset, limit)?;
        self.free(offset)?;
        Ok(bytes)
    }

    /// Copies the text at `offset`, which has at most `limit` bytes.
    fn read_text(
        &mut self,
        argument: &'static str,
        offset: u64,
        limit: u64,
    ) -> Result<String, Fault> {
        let bytes = self.read(argument, offset, limit)?;
        String::from_utf8(bytes).map_err(|_| Fault::NotUtf8 { argument })
    }

    /// Copies `bytes` into a new block and returns its offset; 0 for no bytes.
    fn give(&mut self, bytes: &[u8]) -> wasmtime::Result<u64> {
        let length = u64::try_from(bytes.len())?;
        let offset = self.allocate(length)?;
        let (memory, _) = self.shared()?;
        if let Some(block) = slice_mut(memory, offset, length) {
            block.copy_from_slice(bytes);
        }
        Ok(offset)
    }

    /// Allocates a block and returns its offset; 0 for no bytes. What cannot be had ends the call.
    fn allocate(&mut self, length: u64) -> wasmtime::Result<u64> {
        if length == 0 {
            return Ok(0);
        }
        let kernel = self.kernel()?;
        let mut context = self.as_context_mut();
        let size = u64::try_from(kernel.memory.data_size(&context))?;
        let blocks = &mut context.data_mut().blocks;
        let place = blocks.allocate(length, size).ok_or(Fault::OutOfMemory)?;
        if place.end > size {
            let pages = (place.end - size).div_ceil(super::preflight::PAGE);
            if let Err(error) = kernel.memory.grow(&mut context, pages) {
                context.data_mut().blocks.free(place.offset);
                return Err(error);
            }
        }
        Ok(place.offset)
    }

    fn free(&mut self, offset: u64) -> Result<(), Fault> {
        let kernel = self.kernel()?;
        let mut context = self.as_context_mut();
        let was_block = context.data_mut().blocks.free(offset);
        if was_block && global(&mut context, kernel.input) == offset {
            set_global(&mut context, kernel.length, 0);
        }
        Ok(())
    }

    /// Frees all blocks, clears what they held, and forgets input, output and error.
    fn reset(&mut self) -> Result<(), Fault> {
        let (bytes, state) = self.shared()?;
        let written = usize::try_from(state.blocks.reset()).unwrap_or(usize::MAX);
        let written = written.min(bytes.len());
        bytes[..written].fill(0);
        state.output = (0, 0);
        state.error = 0;
        if state.has_input {
            self.set_input(0, 0)?;
        }
        Ok(())
    }

    fn set_input(&mut self, offset: u64, length: u64) -> Result<(), Fault> {
        let kernel = self.kernel()?;
        let mut context = self.as_context_mut();
        context.data_mut().has_input = length > 0;
        set_global(&mut context, kernel.input, offset);
        set_global(&mut context, kernel.length, length);
        Ok(())
    }

    /// Returns the message that the plugin set for the failure of the call, cut at
    /// [`MESSAGE_MAX`], if it set one.
    fn message(&mut self) -> Option<Bytes> {
        let (bytes, state) = self.shared().ok()?;
        let length = state.blocks.length(state.error);
        let message = slice(bytes, state.error, length.min(MESSAGE_MAX))?;
        (length > 0).then(|| Bytes::copy_from_slice(message))
    }
}

impl<T: AsContextMut<Data = State>> Context for T {}

/// Returns the bytes at `offset`, if all of them are memory.
pub(super) fn slice(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    bytes.get(start..end)
}

fn slice_mut(bytes: &mut [u8], offset: u64, length: u64) -> Option<&mut [u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    bytes.get_mut(start..end)
}

fn global(context: &mut StoreContextMut<'_, State>, global: wasmtime::Global) -> u64 {
    match global.get(context) {
        Val::I64(value) => value.cast_unsigned(),
        _ => 0,
    }
}

fn set_global(context: &mut StoreContextMut<'_, State>, global: wasmtime::Global, value: u64) {
    // It fails for a global of another type or an immutable one; the kernel's are neither.
    let _ = global.set(context, Val::I64(value.cast_signed()));
}
