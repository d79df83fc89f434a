//! The message of a failure, as miette draws it.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use crate::exit::{Failure, with_config_lines};
use crate::text::{self, Width};

/// Writes config lines in TOML in the format of the user's config.
type ConfigLines<'a> = &'a dyn Fn(&str) -> String;

/// Prints the message to stderr.
pub(super) fn print(failure: &Failure, hint: Option<String>, lines: ConfigLines<'_>) {
    let is_terminal = io::stderr().is_terminal();
    let theme = if is_terminal && has_color() {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let report = render(failure, hint, lines, theme, text::width_of_stderr());
    let _ = writeln!(io::stderr(), "{}", report.trim_end());
}

/// Reports whether terminals get colours: not with `NO_COLOR`, and not if the terminal has none.
pub(crate) fn has_color() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|name| name.is_empty() || name == "dumb");
    let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    is_wanted && (!is_dumb || cfg!(windows))
}

fn render(
    failure: &Failure,
    hint: Option<String>,
    lines: ConfigLines<'_>,
    theme: GraphicalTheme,
    width: Width,
) -> String {
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_break_words(false)
        .with_word_separator(text::WORD_SEPARATOR)
        .with_word_splitter(text::WORD_SPLITTER)
        .with_wrap_lines(width.is_some())
        // The handler keeps two columns free.
        .with_width(width.map_or(usize::MAX, |width| width + 2));
    let mut report = String::new();
    if handler
        .render_report(&mut report, &Shown::of(failure, hint, lines))
        .is_err()
    {
        report = failure.messages().join(": ");
    }
    text::shown(&report)
}

/// A failure in the form that miette renders.
#[derive(Debug)]
struct Shown {
    message: String,
    cause: Option<Box<Self>>,
    hint: Option<String>,
}

impl Shown {
    fn of(failure: &Failure, hint: Option<String>, lines: ConfigLines<'_>) -> Self {
        let safe = |text: &str| text::fixed(&text::escaped(text));
        let messages = failure.messages();
        let has_lines = failure.has_config_lines();
        // Config lines can be pasted, so nothing may be drawn in front of them.
        let (firsts, changes): (Vec<_>, Vec<_>) = messages
            .iter()
            .map(|text| match with_config_lines(text).filter(|_| has_lines) {
                Some((first, change)) => (first, Some(change)),
                None => (text.as_str(), None),
            })
            .unzip();
        let mut firsts = firsts.into_iter().map(safe).rev();
        let mut shown = Self {
            message: firsts.next().unwrap_or_default(),
            cause: None,
            hint: None,
        };
        for message in firsts {
            shown = Self {
                message,
                cause: Some(Box::new(shown)),
                hint: None,
            };
        }
        let help = hint.into_iter().chain(changes.into_iter().flatten());
        let help = help.map(|help| match help.split_once('\n') {
            Some((first, block)) => format!("{first}\n{}", lines(block)),
            None => help,
        });
        let help: Vec<String> = help.collect();
        shown.hint = (!help.is_empty()).then(|| safe(&help.join("\n")));
        shown
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Shown {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl Diagnostic for Shown {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as _)
    }
}

#[cfg(test)]
mod tests {
    use qmt_plugins::config::ConfigError;

    use super::*;

    const REFERENCE: &str = "registry.example.com/my-org/my-plugin@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn failure() -> Failure {
        let doing = format!("the image `{REFERENCE}` is not what was expected here");
        let cause = format!("run `cosign sign {REFERENCE}` and try again, \u{1b}[31mplease");
        Failure::other(doing, io::Error::other(cause))
    }

    #[test]
    fn a_terminal_gets_lines_of_its_width_and_whole_references() {
        let report = render(
            &failure(),
            None,
            &str::to_owned,
            GraphicalTheme::unicode_nocolor(),
            Some(40),
        );
        assert!(report.contains(REFERENCE), "{report}");
        assert!(
            report.contains(&format!("`cosign sign {REFERENCE}`")),
            "{report}"
        );
        let is_long = |line: &&str| line.chars().count() > 40 && !line.contains(REFERENCE);
        assert_eq!(report.lines().find(is_long), None, "{report}");
        assert!(report.lines().count() > 4, "{report}");
        assert!(!report.contains('\u{1b}'), "{report}");
    }

    /// The message does not announce lines that only the help has.
    #[test]
    fn config_lines_are_in_the_help_alone() {
        let rule = "a key has no log; change this entry to:\n{ key = \"k\" }".to_owned();
        let failure = Failure::from(qmt_plugins::Error::from(ConfigError::Contradiction {
            path: "c.toml".into(),
            key: "oci".to_owned(),
            rule,
        }));
        let theme = GraphicalTheme::unicode_nocolor();
        let report = render(&failure, None, &str::to_owned, theme, None);
        assert!(report.contains("a key has no log\n"), "{report}");
        assert!(report.contains("help: change this entry to:\n"), "{report}");
        assert_eq!(report.matches(':').count(), 4, "{report}");
    }

    #[test]
    fn a_pipe_gets_one_line_for_each_message() {
        let report = render(
            &failure(),
            None,
            &str::to_owned,
            GraphicalTheme::unicode_nocolor(),
            None,
        );
        assert_eq!(report.trim_end().lines().count(), 2, "{report}");
    }
}
