//! Cosign's encrypted private keys: PKCS #8 in a `NaCl` `secretbox`, its key derived by scrypt.
//!
//! Spec: <https://github.com/sigstore/cosign/blob/main/KEYS.md>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use serde::Deserialize;
use zeroize::Zeroizing;

/// Most bytes that deriving a key may take: cosign's own choice takes 64 MiB.
const KDF_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bytes of a secretbox's key and of its nonce.
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

#[derive(Deserialize)]
struct Encrypted {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Decrypts the body of the PEM block to PKCS #8.
pub(super) fn decrypt(body: &[u8], password: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let file: Encrypted = serde_json::from_slice(body)
        .map_err(|_| "what it encrypts is not described as cosign does it".to_owned())?;
    if file.kdf.name != "scrypt" || file.cipher.name != "nacl/secretbox" {
        return Err(
            "it is encrypted by another scheme than cosign's scrypt and nacl/secretbox".to_owned(),
        );
    }
    let params = cost(&file.kdf.params)?;
    let salt = decode(&file.kdf.salt)?;
    let nonce: [u8; NONCE_BYTES] = decode(&file.cipher.nonce)?
        .try_into()
        .map_err(|_| format!("its nonce is not {NONCE_BYTES} bytes long"))?;
    let ciphertext = decode(&file.ciphertext)?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    scrypt::scrypt(password.as_bytes(), &salt, &params, key.as_mut_slice())
        .map_err(|_| "no key can be derived from the password".to_owned())?;
    let secretbox = XSalsa20Poly1305::new(key.as_slice().into());
    secretbox
        .decrypt(&nonce.into(), ciphertext.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| "the password in COSIGN_PASSWORD does not open it".to_owned())
}

/// The cost of the derivation, bounded: the file says it, and a file may be anyone's.
fn cost(params: &Params) -> Result<scrypt::Params, String> {
    let Params { n, r, p } = *params;
    let bytes = n
        .saturating_mul(u64::from(r))
        .saturating_mul(u64::from(p))
        .saturating_mul(128);
    if bytes > KDF_BYTES_MAX {
        return Err(format!(
            "deriving its key would take {bytes} bytes, more than {KDF_BYTES_MAX}"
        ));
    }
    let log = n
        .checked_ilog2()
        .and_then(|log| u8::try_from(log).ok())
        .filter(|_| n.is_power_of_two());
    log.and_then(|log| scrypt::Params::new(log, r, p).ok())
        .ok_or_else(|| "its scrypt parameters make no sense".to_owned())
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text)
        .map_err(|_| "part of it is not base64".to_owned())
}

#[cfg(test)]
mod tests {
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
            ("/ciphertext", "AAAA", "does not open"),
        ] {
            let error = refusal(path, value.into());
            assert!(error.contains(says), "{path}: {error}");
        }
        assert!(decrypt(b"{}", "x").is_err());
        assert!(decrypt(b"\0", "x").is_err());
    }
}
