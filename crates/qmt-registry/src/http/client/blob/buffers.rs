//! Buffers for blobs in transfer: filled from the network, shared by readers, then used again.
//!
//! One read of a socket gives any number of bytes, in memory that is allocated each time. Whole
//! buffers are passed on less often, and are written in one piece.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of one buffer: 256 KiB, which stays in a processor's cache from one reader to the next.
pub(crate) const CHUNK: usize = 256 * 1024;
/// How many free buffers are kept. More are in use only where consumers are slow.
const KEPT: usize = 8;

type Free = Arc<Mutex<Vec<Vec<u8>>>>;

/// The buffers of one transfer.
#[derive(Default)]
pub(crate) struct Buffers {
    free: Free,
    filling: Vec<u8>,
}

impl Buffers {
    /// Bytes that were filled in and not taken yet.
    pub(crate) fn filled(&self) -> usize {
        self.filling.len()
    }

    /// Takes as much of `bytes` as fits. `expected` counts all bytes to come, `bytes` included.
    pub(crate) fn fill(&mut self, bytes: &mut Bytes, expected: u64) {
        if self.filling.capacity() == 0 {
            let expected = usize::try_from(expected).unwrap_or(usize::MAX);
            let free = self.lock().pop();
            self.filling = free.unwrap_or_else(|| Vec::with_capacity(CHUNK.min(expected).max(1)));
        }
        let room = self.filling.capacity().saturating_sub(self.filling.len());
        let part = bytes.split_to(room.min(bytes.len()));
        self.filling.extend_from_slice(&part);
    }

    /// Reports whether nothing more fits.
    pub(crate) fn is_full(&self) -> bool {
        self.filling.len() >= self.filling.capacity()
    }

    /// Takes the filled bytes.
    pub(crate) fn take(&mut self) -> Bytes {
        Bytes::from_owner(Lent {
            bytes: std::mem::take(&mut self.filling),
            free: Arc::clone(&self.free),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that returns to the free ones after its last reader.
struct Lent {
    bytes: Vec<u8>,
    free: Free,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
