//! What is printed if the arguments ask for help, or are not understood.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{IsTerminal as _, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use qmt_plugins::oci_ref::text::{is_key_material, without_credentials};

use crate::args::Format;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::text;

/// Options of other programs, by name, and what has their meaning here.
const OTHER_OPTIONS: [(&[&str], &str); 4] = [
    (
        &["--plain-http", "--http", "--insecure"],
        "'plain_http = true' in '[registries.\"HOST\"]' of the config is for a registry without TLS",
    ),
    (
        &[
            "--tls-verify",
            "--tls-skip-verify",
            "--skip-tls-verify",
            "--insecure-skip-tls-verify",
            "--ca-file",
            "--cacert",
            "--cert-dir",
        ],
        "certificates are always verified; 'ca_file' in '[registries.\"HOST\"]' of the config names the \
         authority or the server's own certificate",
    ),
    (
        &["--authfile", "--auth-file", "--registry-config"],
        "the variables DOCKER_CONFIG (a folder) and REGISTRY_AUTH_FILE name the files with credentials",
    ),
    (
        &["--token", "--identity-token"],
        "a token is passed on stdin in place of a password, with 'login HOST --password-stdin'",
    ),
];

/// Prints help and version to stdout, and anything else as a failure.
///
/// # Errors
///
/// The failure, which was printed.
pub(crate) fn answer(mut error: clap::Error) -> Result<(), Failure> {
    let output = Output::of_unparsed(format());
    hide_secrets(&mut error, is_login());
    name_settings(&mut error, is_login());
    let text = error.render();
    if !error.use_stderr() {
        let is_colored = std::io::stdout().is_terminal() && output::has_color();
        let text = if is_colored {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        let printed = output.raw(text.as_bytes());
        return printed.map_err(|failure| output.failure(failure));
    }
    let failure = failure(error.kind(), &text.to_string());
    if output.is_json() || error.kind() == ErrorKind::InvalidUtf8 {
        return Err(output.failure(failure));
    }
    // `clap` quotes arguments as they were given.
    let text = text::escaped(text.to_string().trim_end());
    let _ = writeln!(std::io::stderr(), "{text}");
    Err(failure)
}

/// Hides the argument that was not understood if it is a key, or can be the password of a login.
fn hide_secrets(error: &mut clap::Error, is_login: bool) {
    const REST: &str = "…";
    let option = error.get(ContextKind::InvalidArg);
    let is_of_password = matches!(option, Some(ContextValue::String(option))
        if option.starts_with("--password"));
    for kind in [
        ContextKind::InvalidArg,
        ContextKind::InvalidValue,
        ContextKind::InvalidSubcommand,
    ] {
        let Some(ContextValue::String(argument)) = error.get(kind) else {
            continue;
        };
        let is_password = is_login
            && match kind {
                ContextKind::InvalidArg => !argument.starts_with('-'),
                _ => is_of_password,
            };
        let hint = if is_key_material(argument) {
            "a key is passed in a file; the option takes the name of that file"
        } else if is_password {
            "a password is passed on stdin, with '--password-stdin'"
        } else {
            if let Cow::Owned(shown) = without_credentials(argument) {
                error.insert(kind, ContextValue::String(shown));
            }
            continue;
        };
        error.insert(kind, ContextValue::String(REST.to_owned()));
        // Why a value is refused says the same.
        if kind != ContextKind::InvalidValue || is_password {
            let hint = ContextValue::StyledStrs(vec![hint.into()]);
            error.insert(ContextKind::Suggested, hint);
        }
    }
}

/// Names what has the meaning of an option of another program, in place of options with a similar name
/// and of the advice to pass it as a value, which a login has no use for.
fn name_settings(error: &mut clap::Error, is_login: bool) {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    if !option.starts_with('-') || error.kind() != ErrorKind::UnknownArgument {
        return;
    }
    let name = option.split('=').next().unwrap_or_default();
    let mut others = OTHER_OPTIONS.iter();
    let other = others.find(|(names, _)| names.contains(&name));
    if let Some((_, setting)) = other {
        // The usage is that of the similar option.
        if error.remove(ContextKind::SuggestedArg).is_some() {
            error.remove(ContextKind::Usage);
        }
        let setting = ContextValue::StyledStrs(vec![(*setting).into()]);
        error.insert(ContextKind::Suggested, setting);
    } else if is_login && !name.starts_with("--password") {
        error.remove(ContextKind::Suggested);
    }
}

/// Reports whether the command that the arguments name is `login`.
fn is_login() -> bool {
    std::env::args_os()
        .skip(1)
        .any(|argument| argument == "login")
}

/// Returns the format that the arguments ask for, although they were not understood.
fn format() -> Format {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let arguments = arguments.split(|argument| argument == "--").next();
    let arguments = arguments.unwrap_or_default();
    let is_pair =
        |pair: &[_]| matches!(pair, [option, value] if option == "--format" && value == "json");
    let is_one = |argument: &_| argument == OsStr::new("--format=json");
    if arguments.windows(2).any(is_pair) || arguments.iter().any(is_one) {
        Format::Json
    } else {
        Format::Human
    }
}

/// Turns the paragraphs of `text`, what `clap` prints, into a message and a hint.
fn failure(kind: ErrorKind, text: &str) -> Failure {
    if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::Usage {
            message: "a subcommand is required".to_owned(),
            hint: Some("`--help` lists the subcommands".to_owned()),
        };
    }
    if kind == ErrorKind::InvalidUtf8 {
        return Failure::Usage {
            message: "an argument is not UTF-8, and names of plugins and references are".to_owned(),
            hint: Some("use a file with such a name by a link that has another name".to_owned()),
        };
    }
    let line = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paragraphs = text.split("\n\n").map(line).filter(|line| !line.is_empty());
    let message = paragraphs.next().unwrap_or_default();
    let message = message
        .strip_prefix("error: ")
        .unwrap_or(&message)
        .to_owned();
    let hint = paragraphs.collect::<Vec<_>>().join("; ");
    Failure::Usage {
        message,
        hint: (!hint.is_empty()).then_some(hint),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command};

    fn parsed(arguments: &[&str]) -> (String, String) {
        let error = Arguments::try_parse_from(arguments).unwrap_err();
        match failure(error.kind(), &error.render().to_string()) {
            Failure::Usage { message, hint } => (message, hint.unwrap_or_default()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_input_may_begin_with_a_hyphen() {
        let run = ["qmt-plugins", "run", "greeter", "greet", "--input", "-5"];
        let run = Arguments::try_parse_from(run).unwrap().command;
        assert!(matches!(run, Command::Run(run) if run.input.as_deref() == Some("-5")));
    }

    /// A path can be any bytes, and the name of an image can't.
    #[cfg(unix)]
    #[test]
    fn only_paths_may_be_other_text_than_utf_8() {
        use std::ffi::{OsStr, OsString};
        use std::os::unix::ffi::OsStrExt as _;
        let odd = OsStr::from_bytes(b"a\xff.wasm");
        let native = OsStr::from_bytes(b"--native=linux/amd64=a\xff.so");
        let parse = |arguments: &[&OsStr]| {
            let program = [OsStr::new("qmt-plugins")];
            let arguments = program.iter().chain(arguments).map(OsString::from);
            Arguments::try_parse_from(arguments)
        };
        let word = |word: &'static str| OsStr::new(word);
        for arguments in [
            &[word("config"), word("check"), odd][..],
            &[word("cache"), word("import"), odd],
            &[word("cache"), word("export"), odd],
            &[word("publish"), word("a.b/c:1"), word("--wasm"), odd],
            &[word("publish"), word("a.b/c:1"), native],
            &[word("run"), word("p"), word("x"), word("--input-file"), odd],
        ] {
            parse(arguments).unwrap();
        }
        let error = parse(&[word("inspect"), odd]).unwrap_err();
        let Failure::Usage { message, hint } = failure(error.kind(), &error.render().to_string())
        else {
            panic!("{error}");
        };
        assert!(message.contains("not UTF-8"), "{message}");
        assert!(hint.unwrap().contains("link"));
    }

    #[test]
    fn keys_and_passwords_are_not_shown() {
        const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBM\n-----END PRIVATE KEY-----\n";
        let base64 = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t";
        let der = "MIGHAgEAMBM".repeat(10);
        let publish = ["qmt-plugins", "publish", "ghcr.io/a/b:1", "--wasm", "p"];
        for key in [PEM, base64, &der] {
            for arguments in [
                [&publish[..], &["--sign-key", key]].concat(),
                [&publish[..], &[&format!("--sign-key={key}")]].concat(),
                ["qmt-plugins", "verify", "p", "--key", key].to_vec(),
                ["qmt-plugins", "verify", "p", key].to_vec(),
                ["qmt-plugins", key].to_vec(),
            ] {
                let shown = hidden(&arguments, false);
                assert!(
                    !shown.contains("MIGH") && !shown.contains("LS0t"),
                    "{shown}"
                );
                assert!(shown.contains("file"), "{shown}");
            }
        }
        let login = [
            "qmt-plugins",
            "login",
            "ghcr.io",
            "--password-stdin",
            "hunter2",
        ];
        let shown = hidden(&login, true);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("a password is passed on stdin"), "{shown}");
        for argument in [
            "--password-stdin=hunter2",
            "--passwort=hunter2",
            "-Phunter2",
        ] {
            let shown = hidden(&["qmt-plugins", "login", "ghcr.io", argument], true);
            assert!(!shown.contains("hunter2"), "{argument}: {shown}");
        }
        let image = "oci://me:hunter2@h.io/a:1";
        let shown = hidden(&["qmt-plugins", "inspect", "p", image], false);
        assert!(shown.contains("'oci://***@h.io/a:1'"), "{shown}");
        // Anything else is shown.
        let shown = hidden(&["qmt-plugins", "inspect", "p", "surplus"], false);
        assert!(shown.contains("surplus"), "{shown}");
    }

    fn hidden(arguments: &[&str], is_login: bool) -> String {
        let mut error = Arguments::try_parse_from(arguments).unwrap_err();
        hide_secrets(&mut error, is_login);
        error.render().to_string()
    }

    /// The advice of `clap` to pass them as values fails.
    #[test]
    fn options_of_other_programs_lead_to_the_settings() {
        let shown = |option: &str| {
            let arguments = ["qmt-plugins", "login", "r.example", option];
            let mut error = Arguments::try_parse_from(arguments).unwrap_err();
            hide_secrets(&mut error, true);
            name_settings(&mut error, true);
            error.render().to_string()
        };
        for (option, setting) in [
            ("--plain-http", "plain_http = true"),
            ("--insecure", "plain_http = true"),
            ("--tls-verify=false", "ca_file"),
            ("--authfile=x.json", "REGISTRY_AUTH_FILE"),
            ("--token", "--password-stdin"),
            ("--token=hunter2", "--password-stdin"),
        ] {
            let text = shown(option);
            assert!(text.contains(setting), "{option}: {text}");
            assert!(
                !text.contains("-- --") && !text.contains("similar"),
                "{text}"
            );
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(!shown("--colour").contains("-- --"));
        assert!(
            shown("--passwort").contains("--password"),
            "{}",
            shown("--passwort")
        );
        assert!(shown("--offlin").contains("--offline"));
    }

    #[test]
    fn what_clap_says_becomes_a_message_and_a_hint() {
        let (message, hint) = parsed(&["qmt-plugins", "inpsect"]);
        assert_eq!(message, "unrecognized subcommand 'inpsect'");
        assert!(
            hint.contains("'inspect'") && hint.contains("Usage:"),
            "{hint}"
        );
        let (message, _) = parsed(&["qmt-plugins", "run"]);
        assert!(message.contains("<EXPORT>"), "{message}");
        let (message, hint) = parsed(&["qmt-plugins"]);
        assert_eq!(message, "a subcommand is required");
        assert!(hint.contains("--help"), "{hint}");
    }
}
