//! Buffers for blobs on their way: filled from the network, shared by all who look at them, and
//! used again as soon as the last one is done.
//!
//! What one read of a socket gives is of any size, and its memory would be asked of the system anew
//! each time. Whole buffers make few hand-overs and large writes.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of one buffer: 256 KiB, which stays in a processor's cache from one reader to the next.
pub(crate) const CHUNK: usize = 256 * 1024;
/// How many buffers wait for their next use. More are in use only where consumers are slow.
const KEPT: usize = 8;

type Free = Arc<Mutex<Vec<Vec<u8>>>>;

/// The buffers of one transfer.
#[derive(Default)]
pub(crate) struct Pool {
    free: Free,
    filling: Vec<u8>,
}

impl Pool {
    /// Bytes that were put in and not taken yet.
    pub(crate) fn gathered(&self) -> usize {
        self.filling.len()
    }

    /// Takes as much of `bytes` as fits. `expected` is what is still to come, itself included.
    pub(crate) fn fill(&mut self, bytes: &mut Bytes, expected: u64) {
        if self.filling.capacity() == 0 {
            let expected = usize::try_from(expected).unwrap_or(usize::MAX);
            let free = self.lock().pop();
            self.filling = free.unwrap_or_else(|| Vec::with_capacity(CHUNK.min(expected).max(1)));
        }
        let room = self.filling.capacity().saturating_sub(self.filling.len());
        let piece = bytes.split_to(room.min(bytes.len()));
        self.filling.extend_from_slice(&piece);
    }

    /// Reports whether nothing more fits.
    pub(crate) fn is_full(&self) -> bool {
        self.filling.len() >= self.filling.capacity()
    }

    /// Takes what was put in.
    pub(crate) fn take(&mut self) -> Bytes {
        Bytes::from_owner(Lent {
            bytes: std::mem::take(&mut self.filling),
            home: Arc::clone(&self.free),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that goes home when nobody looks at it any more.
struct Lent {
    bytes: Vec<u8>,
    home: Free,
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
        let mut free = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_filled_handed_on_and_used_again() {
        let mut pool = Pool::default();
        let mut bytes = Bytes::from(vec![7; CHUNK + 5]);
        pool.fill(&mut bytes, u64::MAX);
        assert!(pool.is_full());
        assert_eq!(bytes.len(), 5);
        let first = pool.take();
        let address = first.as_ptr();
        assert!(first.len() == CHUNK && pool.gathered() == 0);
        drop(first.clone());
        pool.fill(&mut bytes, 5);
        assert_eq!(pool.gathered(), 5);
        let second = pool.take();
        assert_ne!(second.as_ptr(), address, "the first is still looked at");
        drop((first, second));
        pool.fill(&mut Bytes::from_static(b"x"), 1);
        let third = pool.take();
        assert_eq!(&third[..], b"x");
        assert!(pool.lock().len() == 1, "one of two is used again");
    }
}
