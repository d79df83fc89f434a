//! Extism's memory, through which plugin and host hand bytes to each other, within its bounds.
//!
//! Extism believes the lengths that its kernel keeps in that memory, where a plugin can overwrite
//! them. Here a block is proven to lie within the memory before it is read or written.

use std::sync::atomic::{AtomicU64, Ordering};

use extism::convert::MemoryHandle;
use extism::{CurrentPlugin, Error, Val};

use super::builtin::InstanceState;
use super::preflight::PAGE;
use qmt_oci_ref::text::escape;

/// The bytes of the smallest block that is asked for where one byte proves too little.
const PROBE_FIRST: u64 = 4096;
/// Up to this size, each such block is twice as large as the last one: 1 MiB.
const PROBE_DOUBLED: u64 = 1024 * 1024;

/// How much of the memory of one instance is known to be there.
#[derive(Debug, Default)]
pub(super) struct KnownMemory {
    /// An address up to which everything is there; memory never shrinks.
    proven: AtomicU64,
    /// The size of the last block of more than a byte that was asked for to prove it.
    probe: AtomicU64,
}

impl KnownMemory {
    /// Starts again, for a new instance.
    pub(super) fn forget(&self) {
        self.proven.store(0, Ordering::SeqCst);
        self.probe.store(0, Ordering::SeqCst);
    }

    /// Proves that a block lies within the memory, whatever its length claims to be.
    ///
    /// The proof is an allocation: to hand out a block at an address, the kernel has written the
    /// block's header before that address, and WebAssembly let it, so all up to there is memory;
    /// and as memory comes in pages, all up to the end of that page. The kernel gives new addresses
    /// until its memory is full, so that one byte is mostly enough, once for each page. After that
    /// it looks for blocks that were freed, and only one larger than all of them is new.
    pub(super) fn prove(
        &self,
        plugin: &mut CurrentPlugin,
        handle: MemoryHandle,
    ) -> Result<(), Error> {
        let end = handle.offset().saturating_add(u64::try_from(handle.len())?);
        let mut proven = self.proven.load(Ordering::SeqCst);
        if proven >= end {
            return Ok(());
        }
        let mut probes = Vec::new();
        let mut refused = None;
        // `None` is a block larger than all before it, and the byte behind it proves the whole of
        // that; the last four are for a memory that is nearly full.
        for size in [
            Some(1),
            None,
            Some(1),
            Some(4096),
            Some(256),
            Some(16),
            Some(1),
        ] {
            match plugin.memory_alloc(size.unwrap_or_else(|| self.next_size())) {
                Ok(probe) => {
                    proven = proven.max(probe.offset().next_multiple_of(PAGE));
                    probes.push(probe);
                }
                // A smaller one may still fit; and the reason may be that the call was stopped.
                Err(error) => refused = Some(error),
            }
            if proven >= end {
                break;
            }
        }
        for probe in probes {
            plugin.memory_free(probe)?;
        }
        self.proven.store(proven, Ordering::SeqCst);
        if proven < end {
            let behind = || Error::msg("a block of memory ends behind the end of memory");
            return Err(refused.unwrap_or_else(behind));
        }
        Ok(())
    }

    /// A size that is larger than those of all the blocks that were asked for here.
    fn next_size(&self) -> u64 {
        let last = self.probe.load(Ordering::SeqCst);
        let size = if last < PROBE_DOUBLED {
            last.saturating_mul(2).max(PROBE_FIRST)
        } else {
            last.saturating_add(PROBE_FIRST)
        };
        self.probe.store(size, Ordering::SeqCst);
        size
    }
}

pub(super) fn offset(value: Option<&Val>) -> u64 {
    value.and_then(Val::i64).unwrap_or(0).cast_unsigned()
}

/// Copies what a handle names.
pub(super) fn read(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    value: Option<&Val>,
    limit: usize,
) -> Result<Vec<u8>, Error> {
    let Some(handle) = plugin.memory_handle(offset(value)) else {
        return Err(Error::msg("a handle names no memory of the plugin"));
    };
    if handle.len() > limit {
        let length = handle.len();
        return Err(Error::msg(format!(
            "an argument has {length} bytes, more than the {limit} that it may have"
        )));
    }
    state.memory.prove(plugin, handle)?;
    Ok(plugin.memory_bytes(handle)?.to_vec())
}

/// Copies what a handle names, and frees it.
pub(super) fn take(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    value: Option<&Val>,
    limit: usize,
) -> Result<Vec<u8>, Error> {
    let bytes = read(plugin, state, value, limit)?;
    if let Some(handle) = plugin.memory_handle(offset(value)) {
        plugin.memory_free(handle)?;
    }
    Ok(bytes)
}

pub(super) fn take_text(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    value: Option<&Val>,
    limit: usize,
) -> Result<String, Error> {
    let bytes = take(plugin, state, value, limit)?;
    String::from_utf8(bytes).map_err(|error| {
        Error::msg(format!(
            "a key is not UTF-8: {}",
            escape(&error.to_string())
        ))
    })
}

/// Hands bytes to the plugin; nothing is the null handle.
pub(super) fn give(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    outputs: &mut [Val],
    bytes: Option<&[u8]>,
) -> Result<(), Error> {
    let offset = match bytes {
        None | Some([]) => 0,
        Some(bytes) => {
            let handle = plugin.memory_alloc(u64::try_from(bytes.len())?)?;
            state.memory.prove(plugin, handle)?;
            plugin.memory_bytes_mut(handle)?.copy_from_slice(bytes);
            handle.offset()
        }
    };
    set(outputs, Val::I64(offset.cast_signed()));
    Ok(())
}

/// Answers a function.
pub(super) fn set(outputs: &mut [Val], value: Val) {
    if let Some(slot) = outputs.first_mut() {
        *slot = value;
    }
}
