//! The Merkle tree of a transparency log.
//!
//! Spec: <https://www.rfc-editor.org/rfc/rfc6962#section-2.1>.

use super::key::sha256;

pub(super) type Hash = [u8; 32];

pub(super) fn leaf(entry: &[u8]) -> Hash {
    let mut bytes = vec![0];
    bytes.extend_from_slice(entry);
    sha256(&bytes)
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = vec![1];
    bytes.extend_from_slice(left);
    bytes.extend_from_slice(right);
    sha256(&bytes)
}

pub(super) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The sibling hashes on the path from leaf `index` up to the root.
pub(super) fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let at = split(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut hashes, other) = if index < at {
        (path(left, index), root(right))
    } else {
        (path(right, index - at), root(left))
    };
    hashes.push(other);
    hashes
}

/// The largest power of two below `count`, which is at least two.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_the_root_for_every_leaf_of_every_size() {
        for size in 1..20_u8 {
            let leaves: Vec<Hash> = (0..size).map(|n| leaf(&[n])).collect();
            for (index, start) in leaves.iter().enumerate() {
                let (mut hash, mut at, mut last) = (*start, index, leaves.len() - 1);
                for other in path(&leaves, index) {
                    if at % 2 == 1 || at == last {
                        hash = node(&other, &hash);
                        while at % 2 == 0 && at != 0 {
                            at /= 2;
                            last /= 2;
                        }
                    } else {
                        hash = node(&hash, &other);
                    }
                    at /= 2;
                    last /= 2;
                }
                assert_eq!(hash, root(&leaves), "leaf {index} of {size}");
            }
        }
    }
}
