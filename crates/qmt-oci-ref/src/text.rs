//! Untrusted text, made safe to show.
//!
//! What a registry, an archive or a plugin says may reach a terminal or a log: nothing that moves
//! the cursor, reorders letters or hides some of them goes through.

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
