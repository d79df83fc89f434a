//! ECDSA signatures are malleable: (r, n − s) verifies where (r, s) does.

use der::asn1::{Uint, UintRef};
use der::{Decode as _, Encode as _, Sequence};

use super::codec::Must;

/// The order of P-256's group.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

#[derive(Sequence)]
struct Pair {
    r: Uint,
    s: Uint,
}

#[derive(Sequence)]
struct PairRef<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The other signature of the same message by the same P-256 key.
pub(super) fn other_of_two(signature: &[u8]) -> Vec<u8> {
    let pair = PairRef::from_der(signature).must("read an ECDSA signature");
    let s = pair.s.as_bytes();
    let mut out = [0; 32];
    let mut borrow = 0_i16;
    for (place, (digit, order)) in out.iter_mut().rev().zip(ORDER.iter().rev()).enumerate() {
        let at = s.len().checked_sub(place + 1);
        let subtrahend = at.and_then(|at| s.get(at)).copied().unwrap_or(0);
        let difference = i16::from(*order) - i16::from(subtrahend) - borrow;
        borrow = i16::from(difference < 0);
        *digit = difference.rem_euclid(256).try_into().must("fit a digit");
    }
    Pair {
        r: Uint::new(pair.r.as_bytes()).must("write r"),
        s: Uint::new(&out).must("write s"),
    }
    .to_der()
    .must("write an ECDSA signature")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    use super::*;
    use crate::sigstore::key::{KeyKind, KeyPair};

    #[test]
    fn the_other_signature_verifies_and_has_the_first_as_its_other() {
        for _ in 0..50 {
            let key = KeyPair::generate(KeyKind::P256);
            let first = key.sign(b"message");
            let other = other_of_two(&first);
            assert_ne!(first, other);
            assert_eq!(other_of_two(&other), first);
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_bits())
                .verify(b"message", &other)
                .unwrap();
        }
    }
}
