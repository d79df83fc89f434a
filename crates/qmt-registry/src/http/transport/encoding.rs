//! Content encodings. Digests are those of plain bytes, so every request asks for `identity`, and
//! nothing is decompressed: an answer that is compressed all the same is refused with its encoding.
//!
//! A label alone refuses nothing, because stores and proxies label content that is not compressed,
//! or that was uploaded compressed.

use http::{HeaderMap, header};

use crate::error::ClientError;
use crate::redact::RedactedUrl;

/// An encoding that compresses, and the rule that an answer breaks by it.
#[derive(Clone, Copy)]
pub(super) struct Compression {
    pub(super) name: &'static str,
    rule: &'static str,
}

/// Declares the encodings by their names in `Content-Encoding`.
macro_rules! compressions {
    ($($name:literal),*) => {
        &[$(Compression {
            name: $name,
            rule: concat!(
                "an answer has the requested encoding `identity`: the server, or a proxy in front of \
                 it, compresses it with `", $name, "`"
            ),
        }),*]
    };
}

/// <https://www.iana.org/assignments/http-parameters/http-parameters.xhtml#content-coding>
const COMPRESSIONS: &[Compression] = compressions![
    "gzip",
    "x-gzip",
    "deflate",
    "br",
    "zstd",
    "compress",
    "x-compress"
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
        ClientError::Protocol {
            url,
            rule: self.rule,
            compressed: true,
        }
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
