//! Prints results to stdout, and everything else to stderr.

use std::fmt::{self, Write as _};
use std::io::{IsTerminal, Write};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use qmt_plugins::oci_ref::text;
use serde_json::{Value, json};

use crate::args::{Format, Global};
use crate::exit::Failure;

/// Where and how to print.
pub(crate) struct Output {
    format: Format,
    is_quiet: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            format: global.format,
            is_quiet: global.quiet,
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Reports whether progress bars are drawn: stderr is a terminal, and the format is for people.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.is_quiet && !self.is_json() && std::io::stderr().is_terminal()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Prints a result in the requested format.
    pub(crate) fn result(&self, data: &Value, text: &str) {
        if self.is_json() {
            self.raw(format!("{data:#}\n").as_bytes());
        } else if !text.is_empty() {
            self.raw(format!("{}\n", text.trim_end()).as_bytes());
        }
    }

    /// Prints bytes to stdout as they are. A closed pipe is not an error.
    #[expect(clippy::unused_self, reason = "all printing goes through this type")]
    pub(crate) fn raw(&self, bytes: &[u8]) {
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
    }

    /// Prints a line to stderr, unless the output is quiet or JSON.
    pub(crate) fn note(&self, line: impl fmt::Display) {
        if !self.is_quiet && !self.is_json() {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    /// Prints why the command failed: as JSON to stdout, or as text to stderr.
    pub(crate) fn failure(&self, failure: &Failure) {
        if matches!(failure, Failure::Reported(_)) {
            return;
        }
        if self.is_json() {
            self.raw(format!("{:#}\n", json!({ "error": error_data(failure) })).as_bytes());
            return;
        }
        let mut text = String::new();
        let is_terminal = std::io::stderr().is_terminal();
        let has_color =
            is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let theme = if has_color {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
        if handler
            .render_report(&mut text, &Shown::of(failure))
            .is_err()
        {
            text = failure.messages().join(": ");
        }
        let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
    }
}

/// Returns a failure as data: kind, message, causes, hint and each rejected signature.
pub(crate) fn error_data(failure: &Failure) -> Value {
    let messages = failure.messages();
    json!({
        "kind": failure.kind(),
        "message": messages.first(),
        "causes": messages.get(1..),
        "hint": failure.hint(),
        "rejected": failure.rejections(),
        "trust_root": failure.trust_root(),
    })
}

/// A failure in the form that miette renders.
#[derive(Debug)]
struct Shown {
    message: String,
    cause: Option<Box<Self>>,
    hint: Option<String>,
}

impl Shown {
    fn of(failure: &Failure) -> Self {
        let mut messages = failure.messages().into_iter().rev();
        let innermost = messages.next().unwrap_or_default();
        let mut shown = Self {
            message: innermost,
            cause: None,
            hint: None,
        };
        for message in messages {
            shown = Self {
                message,
                cause: Some(Box::new(shown)),
                hint: None,
            };
        }
        shown.hint = failure.hint();
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

/// Formats a table with two columns, one line per row. Images name some of the values, so all of
/// them are escaped.
pub(crate) fn table(rows: &[(String, String)]) -> String {
    let escape = |text: &String| text::escape_to(text, usize::MAX);
    let rows: Vec<_> = rows
        .iter()
        .map(|(key, value)| (escape(key), escape(value)))
        .collect();
    let width = rows
        .iter()
        .map(|(key, _)| key.chars().count())
        .max()
        .unwrap_or(0);
    rows.iter().fold(String::new(), |mut table, (key, value)| {
        let _ = writeln!(table, "{key:width$}  {value}");
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_steer_the_terminal_or_add_a_row() {
        let rows = [("a\u{1b}[2J".to_owned(), "x\nsigner  me\u{202e}".to_owned())];
        let table = table(&rows);
        assert_eq!(table, "a\\u{1b}[2J  x\\nsigner  me\\u{202e}\n");
    }
}
