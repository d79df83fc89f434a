//! Text that a plugin chose, made fit for a message.

/// Names at most ten of `names`, so that a message stays readable.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", shown(name)))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text += " and ";
        text += &(names.len() - SHOWN).to_string();
        text += " more";
    }
    text
}

/// The bytes of a plugin's own words that are shown.
pub(super) const SHOWN_MAX: usize = 1024;

/// Makes text that a plugin chose fit to be shown: control characters escaped, cut at 1 KiB.
pub(crate) fn shown(text: &str) -> String {
    let mut result = String::new();
    for character in text.chars() {
        if result.len() >= SHOWN_MAX {
            result.push('…');
            break;
        }
        // Bidirectional controls can reorder what a reader sees, as ANSI escapes can.
        let reorders = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if reorders || (character.is_control() && character != '\t') {
            result.extend(character.escape_unicode());
        } else {
            result.push(character);
        }
    }
    result
}
