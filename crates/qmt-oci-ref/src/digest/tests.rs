//! Tests of digests.

use super::*;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn known_answers() {
    assert_eq!(Digest::sha256("").to_string(), EMPTY);
    assert_eq!(
        Digest::of(DigestAlgorithm::Sha512, "abc").hex(),
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    );
}

#[test]
fn pieces_hash_like_the_whole() {
    let mut digester = Digester::new(DigestAlgorithm::Sha256);
    digester.update(b"a");
    digester.update(b"");
    digester.update(b"bc");
    assert_eq!(digester.count(), 3);
    assert_eq!(digester.finish(), Digest::sha256("abc"));
}

/// DIG-06, DIG-07: only lower-case sha256 and sha512 of the exact length pass.
#[test]
fn malformed_digests_are_refused() {
    let f = |n: usize| "f".repeat(n);
    let good = [format!("sha256:{}", f(64)), format!("sha512:{}", f(128))];
    for text in &good {
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), *text);
    }
    let bad = [
        String::new(),
        "sha256".into(),
        "sha256:".into(),
        "sha256:../../x".into(),
        format!("sha256:{}", f(63)),
        format!("sha256:{}", f(65)),
        format!("sha256:{}F", f(63)),
        format!("SHA256:{}", f(64)),
        format!("sha384:{}", f(96)),
        format!("md5:{}", f(32)),
        format!("sha1:{}", f(40)),
        format!("blake3:{}", f(64)),
        format!("sha256:{}\0", f(63)),
        format!("sha256:{}٣", f(62)), // A digit of another script, two bytes long.
        format!("sha256: {}", f(63)),
        format!("sha256:{}", f(10 * 1024)),
        format!("sha256:sha256:{}", f(57)),
    ];
    for text in bad {
        assert!(text.parse::<Digest>().is_err(), "{text:?} was accepted");
    }
}
