//! Which of cosign's encrypted keys are read.

use super::*;

fn cost_of(n: u64, r: u32, p: u32) -> Result<(), String> {
    cost(&Params { n, r, p }).map(drop)
}

#[test]
fn the_cost_is_bounded() {
    assert!(cost_of(65536, 8, 1).is_ok());
    assert!(cost_of(KDF_BYTES_MAX / 128 / 8, 8, 1).is_ok());
    assert!(cost_of(KDF_BYTES_MAX / 128 / 4, 8, 1).is_err());
    assert!(cost_of(1 << 60, u32::MAX, u32::MAX).is_err());
    for nonsense in [(0, 8, 1), (65535, 8, 1), (65536, 0, 1), (65536, 8, 0)] {
        let (n, r, p) = nonsense;
        assert!(cost_of(n, r, p).is_err(), "{nonsense:?}");
    }
}

#[test]
fn what_is_not_cosigns_is_refused() {
    let good = serde_json::json!({
        "kdf": {"name": "scrypt", "params": {"N": 2, "r": 1, "p": 1}, "salt": "AAAA"},
        "cipher": {"name": "nacl/secretbox", "nonce": "A".repeat(32)},
        "ciphertext": "AAAA",
    });
    let refusal = |path: &str, value: serde_json::Value| {
        let mut file = good.clone();
        *file.pointer_mut(path).unwrap() = value;
        decrypt(file.to_string().as_bytes(), "x").unwrap_err()
    };
    for (path, value, says) in [
        ("/kdf/name", "argon2", "another scheme"),
        ("/cipher/name", "aes", "another scheme"),
        ("/kdf/salt", "?", "not base64"),
        ("/cipher/nonce", "AAAA", "24 bytes"),
        ("/ciphertext", "?", "not base64"),
        ("/ciphertext", "AAAA", "does not decrypt"),
    ] {
        let error = refusal(path, value.into());
        assert!(error.contains(says), "{path}: {error}");
    }
    assert!(decrypt(b"{}", "x").is_err());
    assert!(decrypt(b"\0", "x").is_err());
}
