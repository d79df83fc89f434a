//! Tests of buffers.

use super::*;

#[test]
fn buffers_are_filled_taken_and_used_again() {
    let mut buffers = Buffers::default();
    let mut bytes = Bytes::from(vec![7; CHUNK + 5]);
    buffers.fill(&mut bytes, u64::MAX);
    assert!(buffers.is_full());
    assert_eq!(bytes.len(), 5);
    let first = buffers.take();
    let address = first.as_ptr();
    assert!(first.len() == CHUNK && buffers.filled() == 0);
    drop(first.clone());
    buffers.fill(&mut bytes, 5);
    assert_eq!(buffers.filled(), 5);
    let second = buffers.take();
    assert_ne!(second.as_ptr(), address, "the first still has a reader");
    drop((first, second));
    buffers.fill(&mut Bytes::from_static(b"x"), 1);
    let third = buffers.take();
    assert_eq!(&third[..], b"x");
    assert!(buffers.lock().len() == 1, "one of two is used again");
}
