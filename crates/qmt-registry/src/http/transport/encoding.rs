//! Content encodings. Digests are those of plain bytes, so every request asks for `identity`. Some
//! proxies compress all the same: documents are decompressed if the encoding is gzip, which other
//! clients ask for. Blobs and other encodings are refused, with the encoding as the reason.
//!
//! A label alone refuses nothing, because stores and proxies label content that is not compressed,
//! or that was uploaded compressed.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header};

use super::body::length;
use crate::error::ClientError;
use crate::redact::RedactedUrl;

/// An encoding that compresses, and the rule that an answer breaks by it.
#[derive(Clone, Copy)]
pub(super) struct Compression {
    pub(super) name: &'static str,
    rule: &'static str,
    format: Format,
}

/// Whether documents in an encoding are read.
#[derive(Clone, Copy)]
enum Format {
    Gzip,
    Other,
}

/// What the bytes of a gzip file begin with: <https://www.rfc-editor.org/rfc/rfc1952#page-6>
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Declares the encodings by their names in `Content-Encoding`.
macro_rules! compressions {
    ($($name:literal $format:ident),*) => {
        &[$(Compression {
            name: $name,
            format: Format::$format,
            rule: concat!(
                "an answer has the requested encoding `identity`: the server, or a proxy in front of \
                 it, compresses it with `", $name, "`"
            ),
        }),*]
    };
}

/// <https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding>
const COMPRESSIONS: &[Compression] = compressions![
    "gzip" Gzip,
    "x-gzip" Gzip,
    "deflate" Other,
    "br" Other,
    "zstd" Other,
    "compress" Other,
    "x-compress" Other
];

impl Compression {
    /// The encoding that the head of an answer names, if it is one of them.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::CONTENT_ENCODING).iter();
        let mut names = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim);
        names.find_map(|name| {
            let mut known = COMPRESSIONS.iter().copied();
            known.find(|known| known.name.eq_ignore_ascii_case(name))
        })
    }

    /// The error for content from `url` that was compressed.
    pub(super) fn refused(self, url: RedactedUrl) -> ClientError {
        broken_rule(url, self.rule)
    }

    /// Decompresses a document from `url` to at most `limit` bytes; `what` names it in errors. `None`
    /// if `sent` is not compressed in an encoding that is read.
    pub(super) fn decompressed(
        self,
        sent: &[u8],
        limit: u64,
        what: &'static str,
        url: &RedactedUrl,
    ) -> Result<Option<Bytes>, ClientError> {
        match self.format {
            Format::Gzip if sent.starts_with(&GZIP_MAGIC) => {}
            Format::Gzip | Format::Other => return Ok(None),
        }
        let mut content = Vec::new();
        let mut decoder = MultiGzDecoder::new(sent).take(limit.saturating_add(1));
        let outcome = decoder.read_to_end(&mut content);
        if length(&content) > limit {
            return Err(ClientError::TooLarge {
                what,
                limit,
                unit: "bytes",
                url: url.clone(),
            });
        }
        outcome.map_err(|_| broken_rule(url.clone(), DAMAGED))?;
        Ok(Some(content.into()))
    }
}

/// The rule that a document breaks if its gzip data is cut off or altered.
const DAMAGED: &str = "an answer that is labelled and begins as gzip is gzip data that is complete and \
     intact: the server, or a proxy in front of it, damages what it compresses";

fn broken_rule(url: RedactedUrl, rule: &'static str) -> ClientError {
    ClientError::Protocol {
        url,
        rule,
        compressed: true,
    }
}

/// Whether a body is text, which nothing that is compressed is.
pub(super) fn is_text(body: &[u8]) -> bool {
    let is_binary = |c: char| c.is_control() && !c.is_ascii_whitespace();
    let text = match std::str::from_utf8(body) {
        // The last character is cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(body.get(..error.valid_up_to()).unwrap_or_default())
        }
        text => text,
    };
    text.is_ok_and(|text| !text.contains(is_binary))
}
