//! Prints results to stdout, and everything else to stderr.

mod report;

pub(crate) use self::report::has_color;

use std::fmt::{self, Write as _};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use qmt_plugins::config::config_lines;
use qmt_plugins::oci_ref::text as oci_text;
use qmt_plugins::{Error, Event, EventSink};
use serde_json::{Value, json};

use crate::args::{Arguments, CACHE_VARIABLE, CONFIG_VARIABLE, Command, Format};
use crate::exit::{self, Code, Failure};
use crate::progress::{Detail, Progress};
use crate::text;

/// Where and how to print.
pub(crate) struct Output {
    format: Format,
    is_quiet: bool,
    progress: Arc<Progress>,
    /// The config that the command has read.
    config: OnceLock<PathBuf>,
    /// What `qmt-plugins` in a hint becomes: with the option that names the config, if it was given.
    command: String,
    /// What sets the folder of the cache, if it is not the config.
    cache_setting: Option<&'static str>,
}

/// The program's name, as hints have it.
const PROGRAM: &str = "qmt-plugins";

impl Output {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let global = &arguments.global;
        let detail = if global.quiet {
            Detail::Nothing
        } else if global.format == Format::Json {
            Detail::Warnings
        } else if io::stderr().is_terminal() && global.verbose == 0 {
            Detail::Bars
        } else if matches!(arguments.command, Command::Run(_)) {
            // A program reads the plugin's answer.
            Detail::Warnings
        } else {
            Detail::Lines
        };
        Self {
            is_quiet: global.quiet,
            progress: Arc::new(Progress::new(detail)),
            command: command(global.config.as_deref()),
            cache_setting: global.cache_dir.as_deref().map(cache_setting),
            ..Self::of_unparsed(global.format)
        }
    }

    /// Prints what is wrong with arguments that were not understood.
    pub(crate) fn of_unparsed(format: Format) -> Self {
        Self {
            format,
            is_quiet: false,
            progress: Arc::new(Progress::new(Detail::Nothing)),
            config: OnceLock::new(),
            command: PROGRAM.to_owned(),
            cache_setting: None,
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Remembers the config: the lines for it that are printed have its format.
    pub(crate) fn set_config(&self, path: &Path) {
        let _ = self.config.set(path.to_owned());
    }

    /// Writes config lines in TOML in the format of the config.
    pub(crate) fn config_lines(&self, toml: &str) -> String {
        let config = self.config.get();
        config.map_or_else(|| toml.to_owned(), |path| config_lines(path, toml))
    }

    /// Adds the option that names the config to the commands in a hint.
    pub(crate) fn commands(&self, hint: &str) -> String {
        with_command(hint, &self.command)
    }

    /// Returns a failure as data; the commands in its hint name the config.
    pub(crate) fn failure_data(&self, failure: &Failure) -> Value {
        self.with_commands(failure.data())
    }

    /// Does the same for an error of the library.
    pub(crate) fn error_data(&self, error: &Error) -> Value {
        self.with_commands(exit::error_data(error))
    }

    /// Does the same for the hints of an error or of a report, and of the signatures that it rejects.
    pub(crate) fn with_commands(&self, mut data: Value) -> Value {
        if let Some(hint) = data.get_mut("hint")
            && let Some(text) = hint.as_str()
        {
            *hint = self.commands(text).into();
        }
        let rejected = data.get_mut("rejected").and_then(Value::as_array_mut);
        for rejection in rejected.into_iter().flatten() {
            *rejection = self.with_commands(rejection.take());
        }
        data
    }

    /// Does the same for all of `warnings`.
    pub(crate) fn warnings(&self, warnings: &[String]) -> Vec<String> {
        let warnings = warnings.iter();
        warnings.map(|warning| self.commands(warning)).collect()
    }

    /// Returns the sink that prints events. Commands in them name the config.
    pub(crate) fn events(&self) -> EventSink {
        let (progress, command) = (Arc::clone(&self.progress), self.command.clone());
        Arc::new(move |mut event| {
            if let Event::Warning { message, .. } | Event::Note { message, .. } = &mut event {
                *message = with_command(message, &command);
            }
            progress.show(&event);
        })
    }

    /// Returns the plugins whose download is under way.
    pub(crate) fn downloads(&self) -> Vec<String> {
        self.progress.downloads()
    }

    /// Prints a result in the requested format.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`] if stdout can't be written.
    pub(crate) fn result(&self, data: &Value, text: &str) -> Result<(), Failure> {
        if self.is_json() {
            self.raw(format!("{}\n", escaped_json(data)).as_bytes())
        } else if text.is_empty() {
            Ok(())
        } else {
            self.raw(format!("{}\n", text::escaped(text.trim_end())).as_bytes())
        }
    }

    /// Prints a result that is also a failure, and returns the failure without its message.
    pub(crate) fn refusal(&self, mut data: Value, text: &str, failure: &Failure) -> Failure {
        if let Some(object) = data.as_object_mut() {
            object.insert("error".to_owned(), self.failure_data(failure));
        }
        match self.result(&data, text) {
            Ok(()) => Failure::Reported(failure.code()),
            Err(error) => {
                self.print(failure);
                error
            }
        }
    }

    /// Prints the results of several plugins, and returns the failure that decides the exit code, if
    /// any of them failed.
    pub(crate) fn results(
        &self,
        data: Value,
        text: &str,
        failed: Option<Failure>,
    ) -> Result<(), Failure> {
        match failed {
            None => self.result(&data, text),
            Some(failure) => Err(self.refusal(data, text, &failure)),
        }
    }

    /// Prints bytes to stdout as they are. A closed pipe is not an error.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`] if stdout can't be written.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.progress.end();
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Output(error)),
            _ => Ok(()),
        }
    }

    /// Prints the answer of a plugin. A pipe gets the exact bytes. A terminal gets text that can't
    /// steer it, and a line of its own for the shell's prompt.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`] if stdout can't be written.
    pub(crate) fn answer(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.progress.clear();
        if !io::stdout().is_terminal() {
            return self.raw(bytes);
        }
        let lines = String::from_utf8_lossy(bytes);
        let lines = lines
            .split('\n')
            .map(|line| line.split('\t').map(text::escaped));
        let lines: Vec<String> = lines
            .map(|cells| cells.collect::<Vec<_>>().join("\t"))
            .collect();
        let text = lines.join("\n");
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        self.raw(format!("{text}{end}").as_bytes())
    }

    /// Prints a line to stderr, unless the output is quiet or JSON. Commands in it name the config.
    pub(crate) fn note(&self, line: impl fmt::Display) {
        if !self.is_quiet && !self.is_json() {
            self.progress.line(&self.commands(&line.to_string()));
        }
    }

    /// Prints why the command failed: as JSON to stdout, or as text to stderr. Returns what
    /// determines the exit code: that the output can't be written comes first.
    pub(crate) fn failure(&self, failure: Failure) -> Failure {
        if matches!(failure, Failure::Reported(_)) {
            return failure;
        }
        let failure = failure.with_cache_setting(self.cache_setting);
        self.progress.end();
        if self.is_json() && !matches!(failure, Failure::Output(_)) {
            match self.refusal(json!({}), "", &failure) {
                error @ Failure::Output(_) => self.print(&error),
                reported => return reported,
            }
            return Failure::Reported(Code::Failure);
        }
        self.print(&failure);
        failure
    }

    fn print(&self, failure: &Failure) {
        let hint = failure.hint().map(|hint| self.commands(&hint));
        report::print(failure, hint, &|toml| self.config_lines(toml));
    }

    /// Prints why one of several plugins failed, unless that is part of the result, and returns it as
    /// data. `failed` keeps the failure that decides the exit code.
    pub(crate) fn partial_failure(
        &self,
        failure: impl Into<Failure>,
        failed: &mut Option<Failure>,
    ) -> Value {
        let failure = failure.into().with_cache_setting(self.cache_setting);
        if !self.is_json() {
            // The bars of the other plugins go on.
            self.progress.above(|| self.print(&failure));
        }
        let data = self.failure_data(&failure);
        failure.add_to(failed);
        data
    }
}

/// Returns the program's name with the option for `config`, quoted for a shell, unless a variable names
/// it, or the path can't be quoted.
fn command(config: Option<&Path>) -> String {
    let is_variable = |path: &Path| std::env::var_os(CONFIG_VARIABLE).is_some_and(|it| it == *path);
    let path = config.filter(|path| !is_variable(path));
    let path = path.and_then(Path::to_str);
    match path.filter(|path| !path.contains(char::is_control)) {
        Some(path) => format!("{PROGRAM} --config {}", oci_text::shell_word(path)),
        None => PROGRAM.to_owned(),
    }
}

/// Puts `command` in the place of the program's name, where a text has a command.
fn with_command(text: &str, command: &str) -> String {
    text.replace(&format!("`{PROGRAM} "), &format!("`{command} "))
}

/// Returns what sets the folder of the cache, if it is not the config.
fn cache_setting(folder: &Path) -> &'static str {
    if std::env::var_os(CACHE_VARIABLE).is_some_and(|set| set == *folder) {
        "the variable `QMT_CACHE_DIR` sets the folder of the cache, whatever the config has"
    } else {
        "the option `--cache-dir` sets the folder of the cache, whatever the config has"
    }
}

/// Breaks a paragraph of a result at the width of the terminal; `indent` precedes each line but the
/// first.
pub(crate) fn paragraph(text: &str, indent: &str) -> String {
    text::filled(text, text::width_of_stdout(), indent)
}

/// Formats JSON in which all that could steer a terminal is escaped. Outside of texts JSON has no
/// such characters but line breaks.
fn escaped_json(data: &Value) -> String {
    let mut json = String::new();
    for character in format!("{data:#}").chars() {
        let mut buffer = [0; 4];
        let is_safe = character == '\n'
            || oci_text::escape(character.encode_utf8(&mut buffer))
                .chars()
                .eq([character]);
        if is_safe {
            json.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(json, "\\u{unit:04x}");
            }
        }
    }
    json
}

/// Formats a table with two columns, one line per row. Images name some of the values, so all of
/// them are escaped.
pub(crate) fn table(rows: &[(impl AsRef<str>, String)]) -> String {
    let escape = |text: &str| oci_text::escape_to(text, usize::MAX);
    let rows: Vec<_> = rows
        .iter()
        .map(|(key, value)| (escape(key.as_ref()), escape(value)))
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

    #[test]
    fn commands_in_hints_can_be_pasted() {
        let with = |config: &str| command(Some(Path::new(config)));
        assert_eq!(with("a/b.toml"), "qmt-plugins --config a/b.toml");
        assert_eq!(with("it's `x`"), r"qmt-plugins --config 'it'\''s `x`'");
        assert_eq!(with("a\nb"), "qmt-plugins");
    }

    #[test]
    fn json_cannot_steer_the_terminal_and_means_the_same() {
        let data = json!({ "a\u{9b}1m": ["\u{1b}[2J\u{202e}é\u{e0001}\u{7f}\n"] });
        let text = escaped_json(&data);
        assert!(
            text.contains("\\u009b") && text.contains("\\u202e") && text.contains("é"),
            "{text}"
        );
        assert!(
            text.contains("\\udb40\\udc01") && text.contains("\\u007f"),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), data);
    }
}
