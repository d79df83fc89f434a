//! How text is shown: escaped, and broken where a line of a terminal ends.

use std::ffi::OsString;

use qmt_plugins::oci_ref::text;
pub(crate) use qmt_plugins::oci_ref::text::counted;
use terminal_size::{Height, terminal_size_of};
use textwrap::{Options, WordSeparator, WordSplitter};

/// The placeholder for a space at which no line may be broken; [`shown`] replaces it.
const FIXED_SPACE: char = '\u{a0}';
/// The width that is assumed for narrower terminals, in columns.
const WIDTH_MIN: usize = 20;

/// The width at which lines are broken; `None` if they are not, because no terminal shows them.
pub(crate) type Width = Option<usize>;

/// Returns the width of the terminal that shows stdout.
pub(crate) fn width_of_stdout() -> Width {
    width(terminal_size_of(std::io::stdout()))
}

/// Returns the width of the terminal that shows stderr.
pub(crate) fn width_of_stderr() -> Width {
    width(terminal_size_of(std::io::stderr()))
}

fn width(size: Option<(terminal_size::Width, Height)>) -> Width {
    size.map(|(width, _)| usize::from(width.0).max(WIDTH_MIN))
}

/// Escapes what could steer a terminal, in each line of `text`.
pub(crate) fn escaped(text: &str) -> String {
    let lines = text.split('\n');
    let lines: Vec<String> = lines
        .map(|line| text::escape_to(line, usize::MAX))
        .collect();
    lines.join("\n")
}

/// Escapes `text` and breaks it at `width`; `indent` precedes each line but the first.
pub(crate) fn filled(text: &str, width: Width, indent: &str) -> String {
    let text = escaped(text);
    let Some(width) = width else {
        return text;
    };
    let options = Options::new(width)
        .subsequent_indent(indent)
        .break_words(false)
        .word_separator(WORD_SEPARATOR)
        .word_splitter(WORD_SPLITTER);
    shown(&textwrap::fill(&fixed(&text), options))
}

/// Words end at spaces only, so that references, digests and paths stay whole.
pub(crate) const WORD_SEPARATOR: WordSeparator = WordSeparator::AsciiSpace;
/// No word is split.
pub(crate) const WORD_SPLITTER: WordSplitter = WordSplitter::NoHyphenation;

/// Marks the spaces of `text` at which no line may be broken: those of commands and other literals,
/// which stand between backticks, those of all lines after the first, which can be pasted, and
/// those of paths that the user named.
pub(crate) fn fixed(text: &str) -> String {
    fixed_with(text, &named_paths())
}

/// Returns the folders and arguments that messages repeat and that contain spaces.
fn named_paths() -> Vec<String> {
    let arguments = std::env::args_os().skip(1);
    let folders = [std::env::current_dir().ok(), std::env::home_dir()];
    let folders = folders.into_iter().flatten().map(OsString::from);
    let texts = arguments
        .chain(folders)
        .filter_map(|text| text.into_string().ok());
    // `--config=FILE` and `linux/amd64=FILE` name a file too.
    let texts = texts.flat_map(|text| {
        let value = text.split_once('=').map(|(_, value)| value.to_owned());
        value.into_iter().chain([text])
    });
    texts.filter(|text| text.contains(' ')).collect()
}

fn fixed_with(text: &str, paths: &[String]) -> String {
    let mark = |text: String, path: &String| text.replace(path, &path.replace(' ', "\u{a0}"));
    let text = paths.iter().fold(text.to_owned(), mark);
    let mut is_literal = false;
    let mut is_first = true;
    let mark = |character: char| {
        match character {
            '`' => is_literal = !is_literal,
            '\n' => (is_literal, is_first) = (false, false),
            ' ' if is_literal || !is_first => return FIXED_SPACE,
            _ => {}
        }
        character
    };
    text.chars().map(mark).collect()
}

/// Turns the marks of [`fixed`] into spaces.
pub(crate) fn shown(text: &str) -> String {
    text.replace(FIXED_SPACE, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_line_is_broken_at_spaces_alone() {
        let text = format!("the image ghcr.io/my-org/my-plugin@{DIGEST} is not signed at all");
        let expected =
            format!("the image\n  ghcr.io/my-org/my-plugin@{DIGEST}\n  is not signed at\n  all");
        assert_eq!(filled(&text, Some(20), "  "), expected);
        assert_eq!(filled(&text, None, "  "), text);
    }

    #[test]
    fn a_command_stays_on_one_line() {
        let text = "run `qmt-plugins update my_plugin` to accept the new version";
        let expected = "run\n`qmt-plugins update my_plugin`\nto accept the new\nversion";
        assert_eq!(filled(text, Some(20), ""), expected);
        // A backtick without its other half ends with its line.
        assert_eq!(filled("a ` b c", Some(20), ""), "a ` b c");
    }

    #[test]
    fn a_path_that_the_user_named_stays_whole() {
        let path = "/home/me/my plugins of today/plugins.toml".to_owned();
        let text = format!("{path} can't be read");
        let fixed = fixed_with(&text, &[path]);
        assert_eq!(fixed.split(' ').count(), 4, "{fixed}");
        assert_eq!(shown(&fixed), text);
    }

    #[test]
    fn what_can_be_pasted_is_not_broken() {
        let block = "any_of = [{ issuer = \"https://accounts.example\", identity = \"me\" }]";
        let text = format!("accept it:\n[[oci.policy]]\n{block}");
        assert_eq!(filled(&text, Some(20), ""), text);
    }

    #[test]
    fn no_text_steers_the_terminal() {
        let text = "a\u{1b}[2J\u{9b}1m\u{202e}b\rc\nd";
        assert_eq!(
            filled(text, None, ""),
            "a\\u{1b}[2J\\u{9b}1m\\u{202e}b\\rc\nd"
        );
        assert_eq!(
            filled(text, Some(80), ""),
            "a\\u{1b}[2J\\u{9b}1m\\u{202e}b\\rc\nd"
        );
    }
}
