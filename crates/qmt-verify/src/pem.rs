//! PEM files with one or many blocks. <https://www.rfc-editor.org/rfc/rfc7468>

use qmt_oci_ref::text::{utf_16, without_byte_order_mark};

use crate::signature::base64_text;

/// Most blocks that one file may hold.
const BLOCKS_MAX: usize = 256;
/// Longest label, in bytes.
const LABEL_MAX: usize = 40;

/// The curve of the key that follows, as `openssl ecparam` writes it. The key names it as well.
const EC_PARAMETERS: &str = "EC PARAMETERS";

const BEGIN: &str = "-----BEGIN ";

/// How the labels of PGP begin.
const PGP: &str = "PGP ";

/// The header of a block under a password; others follow it.
/// <https://www.rfc-editor.org/rfc/rfc1421#section-4.6.1.1>
const ENCRYPTED_HEADER: &str = "Proc-Type: 4,ENCRYPTED";

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) label: Label,
    /// The label as it is written, for messages.
    pub(crate) name: String,
    pub(crate) der: Vec<u8>,
}

/// What a block says it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Certificate,
    PublicKey,
    /// PKCS #1.
    PublicKeyOfPkcs1,
    /// PKCS #8.
    PrivateKey,
    /// PKCS #8 under a password.
    EncryptedPrivateKey,
    /// PKCS #1 or SEC 1 under a password, as older versions of OpenSSL write it.
    EncryptedLegacyKey,
    /// cosign's own form of a private key under a password.
    EncryptedCosignKey,
    /// PKCS #1 or SEC 1.
    LegacyPrivateKey,
    Other,
}

impl Label {
    fn parse(label: &str) -> Self {
        match label {
            "CERTIFICATE" => Self::Certificate,
            "PUBLIC KEY" => Self::PublicKey,
            "RSA PUBLIC KEY" => Self::PublicKeyOfPkcs1,
            "PRIVATE KEY" => Self::PrivateKey,
            "ENCRYPTED PRIVATE KEY" => Self::EncryptedPrivateKey,
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                Self::EncryptedCosignKey
            }
            "EC PRIVATE KEY" | "RSA PRIVATE KEY" => Self::LegacyPrivateKey,
            _ => Self::Other,
        }
    }
}

/// What a file in DER is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Der {
    Pkcs12,
    /// PKCS #8, PKCS #1 or SEC 1, without a password.
    PrivateKey,
    /// A public key, a certificate or an encrypted private key, most likely.
    Other,
}

impl Der {
    pub(crate) fn of(file: &[u8]) -> Option<Self> {
        const SEQUENCE: u8 = 0x30;
        /// The version of PKCS #12, and the start of what follows it.
        /// <https://www.rfc-editor.org/rfc/rfc7292#section-4>
        const VERSION: &[u8] = &[0x02, 0x01, 0x03, SEQUENCE];
        /// Data or signed data in the form of PKCS #7.
        const PKCS7: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
        // Lengths have up to five bytes.
        let start = file.get(..32).unwrap_or(file);
        let has = |part: &[u8]| start.windows(part.len()).any(|found| found == part);
        match file {
            [SEQUENCE, ..] if has(VERSION) && has(PKCS7) => Some(Self::Pkcs12),
            // The version, 0 or 1.
            [SEQUENCE, 0x82, _, _, 0x02, 0x01, 0x00 | 0x01, ..]
            | [SEQUENCE, 0x81, _, 0x02, 0x01, 0x00 | 0x01, ..]
            | [SEQUENCE, 0x00..=0x7f, 0x02, 0x01, 0x00 | 0x01, ..] => Some(Self::PrivateKey),
            [SEQUENCE, ..] => Some(Self::Other),
            _ => None,
        }
    }
}

/// Whether `text` begins with a block.
pub(crate) fn is_pem(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(BEGIN.as_bytes())
}

/// Whether `text` has a block of PGP.
pub(crate) fn has_pgp(text: &[u8]) -> bool {
    let begin = format!("{BEGIN}{PGP}");
    let mut parts = text.windows(begin.len());
    parts.any(|part| part == begin.as_bytes())
}

/// Reads all blocks of `text` and ignores the text between them, and the [`EC_PARAMETERS`]. A block
/// that does not end, ends with another label, or does not decode is an error, so that nothing is
/// dropped silently.
pub(crate) fn blocks(text: &[u8]) -> Result<Vec<Block>, String> {
    let text = without_byte_order_mark(text);
    let text = std::str::from_utf8(text).map_err(|_| {
        let problem = utf_16(text).unwrap_or(match Der::of(text) {
            Some(Der::Pkcs12) => {
                "it is a PKCS #12 file, which holds a private key; `openssl pkcs12 -in FILE -nokeys \
                 -out NEW` writes its certificates in PEM"
            }
            Some(Der::PrivateKey) => "it is a private key in DER; name the public one",
            Some(Der::Other) => {
                "it is in DER, not in PEM form; convert a public key with `openssl pkey -pubin -inform \
                 DER -in FILE -out NEW`, a certificate with `openssl x509 -inform DER -in FILE -out NEW`"
            }
            None => "it is not text",
        });
        problem.to_owned()
    })?;
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    let mut is_encrypted = false;
    // Some files have the line ends of old Macs.
    let lines = text.lines().flat_map(|line| line.split('\r'));
    for (index, line) in lines.enumerate() {
        let line = line.trim();
        let at = |problem: &str| format!("line {}: {problem}", index + 1);
        if let Some(label) = delimiter(line, BEGIN).map_err(at)? {
            if open.is_some() {
                return Err(at("a block begins inside another"));
            }
            if label.starts_with(PGP) {
                return Err(at("it is a PGP block, which Sigstore does not use"));
            }
            open = Some((label.to_owned(), String::new()));
            is_encrypted = false;
        } else if let Some(label) = delimiter(line, "-----END ").map_err(at)? {
            let Some((begun, body)) = open.take() else {
                return Err(at("a block ends that did not begin"));
            };
            if begun != label {
                return Err(at("a block ends with another label than it began with"));
            }
            let der = base64_text::decode(&body);
            let der = der.map_err(|_| at("the block is not base64"))?;
            if der.is_empty() {
                return Err(at("the block is empty"));
            }
            if begun == EC_PARAMETERS {
                continue;
            }
            if blocks.len() == BLOCKS_MAX {
                return Err(format!("it holds over {BLOCKS_MAX} blocks"));
            }
            let label = if is_encrypted {
                Label::EncryptedLegacyKey
            } else {
                Label::parse(&begun)
            };
            blocks.push(Block {
                label,
                name: begun,
                der,
            });
        } else if line.starts_with(ENCRYPTED_HEADER) {
            is_encrypted = true;
        } else if let Some((_, body)) = &mut open
            && !(is_encrypted && line.contains(':'))
        {
            body.push_str(line);
        }
    }
    match open {
        Some((label, _)) => Err(format!("the block `{label}` does not end")),
        None => Ok(blocks),
    }
}

/// Returns the label of a line that begins with `start`. Such a line may have the key itself, so
/// the error shows nothing of it.
fn delimiter<'a>(line: &'a str, start: &str) -> Result<Option<&'a str>, &'static str> {
    let Some(after) = line.strip_prefix(start) else {
        return Ok(None);
    };
    let is_of_label = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    let label = after.strip_suffix("-----");
    let label = label.filter(|label| label.len() <= LABEL_MAX && label.bytes().all(is_of_label));
    label.map(Some).ok_or(
        "`-----BEGIN …-----` and `-----END …-----` must each be a line of its own, with the base64 \
         text between them",
    )
}

#[cfg(test)]
mod tests;
