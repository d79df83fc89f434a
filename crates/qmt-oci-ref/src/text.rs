//! Untrusted text, made safe to show.
//!
//! What a registry, an archive or a plugin says may reach a terminal or a log: nothing that moves
//! the cursor, reorders letters or hides some of them goes through.

use std::borrow::Cow;
use std::error::Error;

use oci_spec::image::{MediaType, Platform};

/// Most characters that [`escape`] keeps.
const CHARS_MAX: usize = 1024;
/// Most characters that [`escape_ascii`] keeps: names are shorter than messages.
const ASCII_CHARS_MAX: usize = 200;
/// Most characters of a media type: twice the limit of RFC 6838 for a name, and the slash.
const MEDIA_TYPE_CHARS_MAX: usize = 255;

/// Escapes control, bidirectional and invisible characters, and keeps at most 1,024 characters.
pub fn escape(text: &str) -> String {
    escape_to(text, CHARS_MAX)
}

/// Does what [`escape`] does, with another limit: at most `max_chars` characters are kept.
pub fn escape_to(text: &str, max_chars: usize) -> String {
    filtered(text, max_chars, |character| {
        !character.is_control() && !is_invisible(character)
    })
}

/// Most characters of a message that [`shorten`] keeps.
const MESSAGE_CHARS_MAX: usize = 16 * 1024;

/// Shortens a message that has texts from files in it: of each run without white space at most 1,024
/// characters are kept, and of the message 16,384. What is shortened loses the user names and passwords
/// of URLs, because half of a URL would not be recognized as one later.
pub fn shorten(message: &str) -> Cow<'_, str> {
    let is_short = |word: &str| word.len() <= CHARS_MAX;
    if message.len() <= MESSAGE_CHARS_MAX && message.split_whitespace().all(is_short) {
        return Cow::Borrowed(message);
    }
    let message = without_user_info(message);
    let (mut shown, mut room) = (String::new(), MESSAGE_CHARS_MAX);
    for part in message.split_inclusive(char::is_whitespace) {
        let count = part.chars().count();
        let most = CHARS_MAX.min(room);
        if count <= most {
            shown.push_str(part);
        } else {
            let end = part.chars().next_back().filter(|last| last.is_whitespace());
            let kept = most.saturating_sub(1 + usize::from(end.is_some()));
            shown.extend(part.chars().take(kept).chain(['…']).chain(end));
        }
        room = room.saturating_sub(count.min(CHARS_MAX));
        if room == 0 {
            break;
        }
    }
    Cow::Owned(shown)
}

/// Escapes everything but printable ASCII, and keeps at most 200 characters: for names, in which a
/// letter of another script can pass for a Latin one.
pub fn escape_ascii(text: &str) -> String {
    filtered(text, ASCII_CHARS_MAX, is_printable_ascii)
}

/// Escapes one character as [`escape_ascii`] does, in backticks.
pub(crate) fn quoted(character: char) -> String {
    format!("`{}`", escape_ascii(character.encode_utf8(&mut [0; 4])))
}

/// Reads a media type from a header or a document.
///
/// Parameters such as `; charset=utf-8` and surrounding white space are dropped. Characters that
/// no media type may hold are kept in escaped form, and more than 255 characters are cut, so the
/// result matches no known type and is safe to show.
/// Grammar: <https://www.rfc-editor.org/rfc/rfc6838#section-4.2>
pub fn media_type(text: &str) -> MediaType {
    let text = text.split(';').next().unwrap_or_default().trim();
    MediaType::from(&*filtered(text, MEDIA_TYPE_CHARS_MAX, is_printable_ascii))
}

/// Writes a platform as `os/architecture[/variant]`, escaped.
pub fn platform(platform: &Platform) -> String {
    let mut text = format!("{}/{}", platform.os(), platform.architecture());
    if let Some(variant) = platform.variant() {
        text.push('/');
        text.push_str(variant);
    }
    escape_ascii(&text)
}

/// The byte order mark that some editors write at the start of a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Drops the byte order mark at the start of a text in UTF-8, if there is one.
pub fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Decodes the content of a text file: UTF-8, with or without a byte order mark.
///
/// # Errors
///
/// A text that says what is wrong with the encoding, to be shown after the name of the file.
pub fn from_file(bytes: Vec<u8>) -> Result<String, &'static str> {
    if let Some(problem) = utf_16(&bytes) {
        return Err(problem);
    }
    let text = match bytes.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => String::from_utf8(rest.to_vec()),
        None => String::from_utf8(bytes),
    };
    text.map_err(|_| "it is not text in UTF-8")
}

/// Returns what to say, after the name of the file, of a text in UTF-16, as PowerShell writes it;
/// `None` for other content. Without a byte order mark, it begins with two ASCII characters.
pub fn utf_16(bytes: &[u8]) -> Option<&'static str> {
    let is_without_mark = matches!(
        bytes,
        [1..=0x7f, 0, 1..=0x7f, 0, ..] | [0, 1..=0x7f, 0, 1..=0x7f, ..]
    );
    (is_without_mark || matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]))
        .then_some("it is text in UTF-16; save it as UTF-8")
}

/// Reports whether a text that should be a path is a key or certificate itself: PEM, PEM in base64,
/// or DER in base64. Such a text must not be shown.
pub fn is_key_material(text: &str) -> bool {
    const PEM: &str = "-----BEGIN ";
    const PEM_IN_BASE64: &str = "LS0tLS1CRUdJTi";
    // A DER sequence with a length of several bytes, and private keys of Ed25519, which are
    // shorter.
    const DER_IN_BASE64: [&str; 3] = ["MI", "MC4CAQ", "MFECAQ"];
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(&byte);
    let text = text.trim_start();
    text.contains(PEM)
        || text.starts_with(PEM_IN_BASE64)
        || (DER_IN_BASE64.iter().any(|start| text.starts_with(start))
            && text.len() >= 64
            && text.bytes().all(is_base64))
}

/// Writes one argument of a command so that a shell reads it as it is: in quotes, if it has more than
/// letters, digits and `/._-:@=+`.
pub fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:@=+".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Hides what can be a secret in a name that a user typed: the password before an `@`, as in
/// `user:password@ghcr.io/a/b`, and the query of a URL. The text is returned as it is if it has
/// neither.
pub fn without_credentials(text: &str) -> Cow<'_, str> {
    let start = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at(start);
    let name = without_query(rest);
    let query = if name == rest { "" } else { "?***" };
    // What precedes the digest can have a password as well.
    let (name, digest) = match name.rsplit_once('@') {
        Some((before, digest)) if before.contains('@') && is_like_digest(digest) => {
            (before, format!("@{digest}"))
        }
        _ => (name, String::new()),
    };
    // A layout is named by its path, which may have an `@`.
    let is_path = ["oci-layout://", "file://"].contains(&&*scheme.to_ascii_lowercase());
    let host = name.rsplit_once('@').filter(|(before, after)| {
        // A password may have slashes, and so has what follows a host and its port.
        let is_whole = !before.contains('/')
            || (!is_path && (after.contains('/') || (start > 0 && !begins_with_port(before))));
        before.contains(':') && is_whole && !is_like_digest(after)
    });
    match host {
        Some((_, host)) => Cow::Owned(format!("{scheme}***@{host}{digest}{query}")),
        None if query.is_empty() => Cow::Borrowed(text),
        None => Cow::Owned(format!("{scheme}{name}{digest}{query}")),
    }
}

/// Drops the query of a URL without its scheme, or of a name that a user typed. A password may have a
/// question mark.
pub fn without_query(text: &str) -> &str {
    let is_password = |(user, _): &(&str, &str)| user.contains(':') && !user.contains('/');
    let user = text.split_once('?').filter(is_password);
    let user = user.and_then(|_| text.rfind('@')).unwrap_or(0);
    let (user, name) = text.split_at(user);
    let name = name.split('?').next().unwrap_or_default();
    text.get(..user.len() + name.len()).unwrap_or(text)
}

/// Reports whether a number follows the first colon, as in `host:port/name`.
fn begins_with_port(text: &str) -> bool {
    let first = text
        .split('/')
        .next()
        .and_then(|first| first.split_once(':'));
    first.is_none_or(|(_, port)| port.parse::<u16>().is_ok())
}

/// Hides the user names and passwords of all URLs in a message.
fn without_user_info(message: &str) -> String {
    const SCHEME_END: &str = "://";
    let mut parts = message.split(SCHEME_END);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_outside = |c: char| !c.is_ascii_alphanumeric() && c != '-';
        let scheme = shown.rsplit(is_outside).next().unwrap_or_default();
        // A layout is named by its path, which may have an `@`.
        let has_server = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && !matches!(scheme, "oci-layout" | "file");
        let is_end = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '`' | '"');
        let authority = part.split(is_end).next().unwrap_or_default();
        shown.push_str(SCHEME_END);
        match authority.rfind('@').filter(|_| has_server) {
            Some(at) => {
                shown.push_str("***");
                shown.push_str(part.get(at..).unwrap_or_default());
            }
            None => shown.push_str(part),
        }
    }
    shown
}

/// Reports whether a text is more like a digest than like `host`, `host:port` or what follows them.
fn is_like_digest(text: &str) -> bool {
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    text.split_once(':').is_some_and(|(algorithm, hash)| {
        algorithm.starts_with("sha") || !(text.contains(['.', '/']) || is_port(hash))
    })
}

/// Joins an error, its causes and the hint into one line, as `{:#}` shows it.
pub fn error_line(error: &dyn Error, hint: Option<&str>) -> String {
    let line = messages(error).join(": ");
    match hint {
        Some(hint) => format!("{line} (hint: {hint})"),
        None => line,
    }
}

/// Lists an error, its causes and the hint, each on a line of its own, as `main` shows an error
/// that it returns.
pub fn error_report(error: &dyn Error, hint: Option<&str>) -> String {
    let mut report = messages(error).join("\n  caused by: ");
    if let Some(hint) = hint {
        report.push_str("\n  hint: ");
        report.push_str(hint);
    }
    report
}

/// Returns the messages of an error and its causes, outermost first, without the user names and
/// passwords of URLs, and shortened by [`shorten`]. Some libraries repeat the message of the cause in
/// their own: it is listed once.
pub fn messages(error: &dyn Error) -> Vec<String> {
    let shown = |error: &dyn Error| without_user_info(&shorten(&error.to_string()));
    let mut messages = vec![shown(error)];
    let mut next = error.source();
    while let Some(error) = next {
        let message = shown(error);
        if messages.last() != Some(&message) {
            messages.push(message);
        }
        next = error.source();
    }
    messages
}

/// Formats a number of things: `1 layer`, `2 layers`. The plural of `what` ends with `s`.
pub fn counted<T: Copy + std::fmt::Display + PartialEq + From<u8>>(count: T, what: &str) -> String {
    let end = if count == T::from(1) { "" } else { "s" };
    format!("{count} {what}{end}")
}

fn filtered(text: &str, max_chars: usize, is_safe: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len().min(max_chars));
    let mut room = max_chars;
    for character in text.chars() {
        let escape = (!is_safe(character)).then(|| character.escape_default());
        let length = escape.as_ref().map_or(1, ExactSizeIterator::len);
        if length > room {
            out.push('…');
            break;
        }
        room -= length;
        match escape {
            Some(escape) => out.extend(escape),
            None => out.push(character),
        }
    }
    out
}

fn is_printable_ascii(character: char) -> bool {
    character.is_ascii_graphic() || character == ' '
}

/// Characters that reorder text or have no width.
/// See <https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{00ad}'
            | '\u{061c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests;
