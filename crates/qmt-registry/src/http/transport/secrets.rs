//! Recognises credentials that a server repeats in its messages, also in other encodings or in part.

use std::collections::{HashMap, HashSet};

use base64::engine::general_purpose::{
    GeneralPurpose, GeneralPurposeConfig, NO_PAD, STANDARD, URL_SAFE_NO_PAD,
};
use base64::{Engine as _, alphabet};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use qmt_oci_ref::Digest;
use url::Url;
use zeroize::Zeroizing;

use super::endpoint::Endpoint;
use super::proxy::ProxyUrl;
use super::request::RequestSpec;
use crate::error::ClientError;

/// What is shorter than this occurs in any text, in bytes.
const SECRET_MIN: usize = 4;
/// A part of a secret that no message may have, in bytes.
const PART: usize = 8;
/// What is shorter than this can be a word of a media type, a path or a manifest, in bytes.
const CHANCE_MIN: usize = 15;
/// Of a longer secret, as many bytes of its beginning are searched for. A server can make both the
/// secret and the content, so that they differ at the end of each comparison.
const COMPARED_MAX: usize = 512;
/// The headers that have URLs.
const WITH_URLS: [HeaderName; 3] = [header::LINK, header::LOCATION, header::WWW_AUTHENTICATE];
/// What is shorter than this in a query is no secret, in bytes.
const QUERY_MIN: usize = 8;
/// The same for values of a query whose other forms are recognised: shorter ones can be words.
const QUERY_FORMS_MIN: usize = 16;
/// A part of a value of a query that no message may have, in bytes. Types and scopes in a query
/// share shorter parts with other texts.
const QUERY_PART: usize = 32;
/// How often escapes are resolved: JSON in JSON in HTML.
const ROUNDS: usize = 4;

/// What was sent as authorization, so that no server's message repeats it.
#[derive(Default)]
pub(crate) struct Secrets {
    all: Vec<Secret>,
    /// Values of a signed URL's query. Unlike a credential, a message is shown without them: some
    /// are dates and names that stores mention.
    values: Vec<Zeroizing<String>>,
}

struct Secret {
    /// In the form that [`stripped`] gives.
    text: Zeroizing<Vec<u8>>,
    /// The length of a part that gives it away, at most that of the text.
    part: usize,
}

impl Secrets {
    /// The secrets in an `Authorization` header.
    pub(crate) fn of_header(header: Option<&HeaderValue>) -> Self {
        let mut secrets = Self::default();
        let sent = header.and_then(|header| header.to_str().ok());
        let Some(sent) = sent
            .and_then(|text| text.split_once(' '))
            .map(|(_, sent)| sent)
        else {
            return secrets;
        };
        secrets.add(sent);
        let pair = STANDARD.decode(sent).map(Zeroizing::new).ok();
        let pair = pair
            .as_ref()
            .and_then(|pair| std::str::from_utf8(pair).ok());
        if let Some((_, password)) = pair.and_then(|pair| pair.split_once(':')) {
            secrets.add(password);
            // Not its parts, because the user's name is no secret.
            secrets.add_forms(pair.unwrap_or_default(), usize::MAX);
        }
        secrets
    }

    /// The secrets in a request, for which `url` sent the answer: those of the `Authorization`
    /// header, and the query of a URL that another server made. Its signature authorizes as well.
    pub(crate) fn of_exchange(
        endpoint: &Endpoint,
        spec: &RequestSpec<'_>,
        header: Option<&HeaderValue>,
        url: &Url,
    ) -> Self {
        let mut secrets = Self::of_header(header);
        if *url != spec.url || !endpoint.is_origin_of(url) {
            secrets.add_query(url);
        }
        secrets
    }

    /// Adds the password of a proxy: one that answers in place of the server may repeat it.
    pub(super) fn with_proxy(mut self, proxy: Option<&ProxyUrl>) -> Self {
        let password = proxy.and_then(|ProxyUrl(url)| url.password());
        let password = decoded(password.unwrap_or_default().as_bytes());
        if let Ok(password) = std::str::from_utf8(&password) {
            self.add(password);
        }
        self
    }

    /// Adds the secrets of `other`.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.all.extend(other.all);
        self.values.extend(other.values);
        self
    }

    /// Adds the values in the query of `url`, as they are written and decoded.
    pub(super) fn add_query(&mut self, url: &Url) {
        let written = url.query().unwrap_or_default().split('&');
        let written = written.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let decoded = url.query_pairs().map(|(_, value)| value.into_owned());
        for value in written.map(str::to_owned).chain(decoded) {
            let value = Zeroizing::new(value);
            if value.len() < QUERY_MIN || value.parse::<Digest>().is_ok() {
                continue;
            }
            if value.len() >= QUERY_FORMS_MIN {
                self.add_forms(&value, QUERY_PART);
            }
            self.values.push(value);
        }
        // One value may be a part of another one.
        self.values
            .sort_by_key(|value| std::cmp::Reverse(value.len()));
    }

    /// Cuts the values of a signed URL's query out of a text.
    pub(super) fn cut_out(&self, mut text: String) -> String {
        for value in &self.values {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), "…");
            }
        }
        text
    }

    /// Adds a secret, no part of which may be repeated.
    pub(crate) fn add(&mut self, secret: &str) {
        self.add_forms(secret, PART);
        if secret.len() >= SECRET_MIN {
            // The case of their letters may be changed, and then they can't be decoded.
            for encoded in [STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)] {
                let encoded = Zeroizing::new(encoded);
                self.add_forms(encoded.trim_end_matches('='), PART);
            }
        }
    }

    fn add_forms(&mut self, secret: &str, part: usize) {
        let secret = secret.as_bytes();
        let (written, decoded) = (stripped(secret), stripped(&decoded(secret)));
        let decoded = Some(decoded).filter(|decoded| *decoded != written);
        for text in [Some(written), decoded].into_iter().flatten() {
            if text.len() >= SECRET_MIN {
                let part = part.min(text.len());
                self.all.push(Secret { text, part });
            }
        }
    }

    /// Whether a text has a secret or a part of one: with other escapes, with white space in it, in
    /// base64, or in hexadecimal digits.
    pub(super) fn are_in(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let parts = self.parts();
        [Zeroizing::new(text.to_vec()), decoded(text)]
            .iter()
            .any(|text| {
                let digits = compact(text);
                let base64 = (0..4).map(|skip| from_base64(&digits, skip));
                let hex = (0..2).map(|skip| from_hex(&digits, skip));
                let mut encoded = base64.chain(hex);
                let has_part = |text: &[u8]| {
                    let text = stripped(text);
                    let mut parts = parts.iter();
                    parts.any(|(part, all)| text.windows(*part).any(|found| all.contains(found)))
                };
                has_part(text) || encoded.any(|text| has_part(&text))
            })
    }

    /// Hides the headers of an answer that repeat a secret. `url` sent it.
    pub(crate) fn hide_in(&self, headers: &mut HeaderMap, url: &Url) -> Result<(), ClientError> {
        for (name, value) in headers.iter_mut() {
            let all = value.as_bytes();
            // The query of a URL is not shown, and may authorize where it leads to.
            let mut bytes = all.iter().filter(|_| WITH_URLS.contains(name));
            let end = bytes.position(|byte| *byte == b'?');
            let shown = all.get(..end.unwrap_or(all.len())).unwrap_or_default();
            if !self.are_repeated_in(shown) {
                continue;
            }
            if *name == header::LOCATION {
                let rule = "a `Location` does not repeat the credential that was sent";
                return Err(ClientError::protocol(url, rule));
            }
            *value = HeaderValue::from_static("(not shown)");
        }
        Ok(())
    }

    /// Refuses a content of which errors and reports quote parts, if it repeats a secret. `url` sent it.
    pub(crate) fn refuse_in(
        &self,
        content: &[u8],
        url: &Url,
        rule: &'static str,
    ) -> Result<(), ClientError> {
        if self.are_repeated_in(content) {
            return Err(ClientError::protocol(url, rule));
        }
        Ok(())
    }

    /// Whether a content has a secret that is too long to be there by chance: the whole of it, or a long
    /// beginning, also with escapes.
    fn are_repeated_in(&self, content: &[u8]) -> bool {
        let secrets = self.all.iter().map(|secret| secret.text.as_slice());
        let secrets: Vec<_> = secrets.filter(|text| text.len() >= CHANCE_MIN).collect();
        if secrets.is_empty() {
            return false;
        }
        [stripped(content), stripped(&decoded(content))]
            .iter()
            .any(|content| {
                secrets.iter().any(|secret| {
                    let secret = secret.get(..COMPARED_MAX).unwrap_or(secret);
                    let mut windows = content.windows(secret.len());
                    windows.any(|found| found == secret)
                })
            })
    }

    /// The parts that give a secret away, by their length: secrets and texts can be long, and a
    /// server may have made both.
    fn parts(&self) -> HashMap<usize, HashSet<&[u8]>> {
        let mut parts = HashMap::<_, HashSet<_>>::new();
        for secret in &self.all {
            let all = secret.text.windows(secret.part);
            parts.entry(secret.part).or_default().extend(all);
        }
        parts
    }
}

/// Drops white space and the backslashes of escapes.
fn compact(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let is_kept = |byte: &u8| (byte.is_ascii_graphic() && *byte != b'\\') || !byte.is_ascii();
    Zeroizing::new(text.iter().copied().filter(is_kept).collect())
}

/// Drops also the `+` that forms have for spaces, and the case of letters.
fn stripped(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut text = compact(text);
    text.retain(|byte| *byte != b'+');
    text.make_ascii_lowercase();
    text
}

/// Resolves the escapes of URLs, JSON and HTML, also nested ones.
fn decoded(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(text.to_vec());
    for _ in 0..ROUNDS {
        let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
        let mut rest = text.as_slice();
        while let Some((first, after)) = rest.split_first() {
            rest = if let Some((character, length)) = escape_at(rest) {
                let mut utf8 = [0; 4];
                decoded.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
                rest.get(length..).unwrap_or_default()
            } else {
                decoded.push(*first);
                after
            };
        }
        if decoded == text {
            break;
        }
        text = decoded;
    }
    text
}

/// The character of the escape with which `text` begins, and the length of the escape.
fn escape_at(text: &[u8]) -> Option<(char, usize)> {
    let number = |from: usize, until: usize, radix: u32| {
        let digits = std::str::from_utf8(text.get(from..until)?).ok()?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let number = u32::from_str_radix(digits, radix)
            .ok()
            .filter(|_| is_number);
        char::from_u32(number?).map(|character| (character, until))
    };
    match text {
        // Secrets are ASCII, so the bytes of other characters need not be joined.
        [b'%', ..] => number(1, 3, 16),
        [b'\\', b'u', ..] => number(2, 6, 16),
        [b'\\', b'x', ..] => number(2, 4, 16),
        [b'&', rest @ ..] => {
            let end = 1 + rest.iter().take(9).position(|byte| *byte == b';')?;
            let named = |character| Some((character, end + 1));
            match text.get(1..end)? {
                b"amp" => named('&'),
                b"lt" => named('<'),
                b"gt" => named('>'),
                b"quot" => named('"'),
                b"apos" => named('\''),
                [b'#', b'x' | b'X', ..] => named(number(3, end, 16)?.0),
                [b'#', ..] => named(number(2, end, 10)?.0),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Decodes each run of base64 digits of both alphabets, without its first `skip` ones.
fn from_base64(text: &[u8], skip: usize) -> Zeroizing<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    let digits = text.iter().map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => *byte,
    });
    let digits: Zeroizing<Vec<u8>> = Zeroizing::new(digits.collect());
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let mut bytes = Zeroizing::new(Vec::new());
    for run in digits.split(|byte| !is_digit(byte)) {
        let run = run.get(skip..).unwrap_or_default();
        // One digit alone is not a byte.
        let length = run.len() - usize::from(run.len() % 4 == 1);
        let _ = ENGINE.decode_vec(&run[..length], &mut bytes);
    }
    bytes
}

/// Decodes each pair of hexadecimal digits, without the first `skip` digits of each run.
fn from_hex(text: &[u8], skip: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::new());
    for run in text.split(|byte| !byte.is_ascii_hexdigit()) {
        let pairs = run.get(skip..).unwrap_or_default().chunks_exact(2);
        let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok());
        bytes.extend(pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()));
    }
    bytes
}

#[cfg(test)]
mod tests;
