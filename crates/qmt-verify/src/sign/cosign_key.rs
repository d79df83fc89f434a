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
        .map_err(|_| "it is not in the encrypted form that cosign writes".to_owned())?;
    if file.kdf.name != "scrypt" || file.cipher.name != "nacl/secretbox" {
        let problem =
            "it is encrypted with another scheme than scrypt and nacl/secretbox, which cosign uses";
        return Err(problem.to_owned());
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
        .map_err(|_| "the password in COSIGN_PASSWORD does not decrypt it".to_owned())
}

/// The cost of the derivation, bounded: the file says it, and a file may come from anyone.
fn cost(params: &Params) -> Result<scrypt::Params, String> {
    let Params { n, r, p } = *params;
    let bytes = n
        .saturating_mul(u64::from(r))
        .saturating_mul(u64::from(p))
        .saturating_mul(128);
    if bytes > KDF_BYTES_MAX {
        let problem =
            format!("deriving its key would take {bytes} bytes, more than {KDF_BYTES_MAX}");
        return Err(problem);
    }
    let log = n.checked_ilog2().filter(|_| n.is_power_of_two());
    let log = log.and_then(|log| u8::try_from(log).ok());
    log.and_then(|log| scrypt::Params::new(log, r, p).ok())
        .ok_or_else(|| "its scrypt parameters are not valid".to_owned())
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    let decoded = STANDARD.decode(text);
    decoded.map_err(|_| "part of it is not base64".to_owned())
}

#[cfg(test)]
mod tests;
