//! `run`: loads a plugin and calls one export.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use bytes::Bytes;
use qmt_plugins::Error;
use serde_json::json;

use super::CommandResult;
use crate::args::{Global, Run};
use crate::exit::Failure;
use crate::output::Output;
use crate::session;

/// Prints the plugin's output as it is.
pub(crate) async fn run(global: &Global, output: &Output, run: &Run) -> CommandResult {
    let input = input(run)?;
    let host = session::host(global, output, session::config(global)?)?;
    let plugin = host.load(&run.name).await?;
    let answer = plugin
        .call(&run.export, input)
        .await
        .map_err(|source| Error::Load {
            plugin: run.name.clone(),
            doing: format!("calling `{}`", run.export),
            source,
        })?;
    if output.is_json() {
        let text = std::str::from_utf8(&answer).ok();
        let hex = text.is_none().then(|| hex::encode(&answer));
        output.result(
            &json!({ "plugin": run.name, "export": run.export, "output": text, "output_hex": hex }),
            "",
        );
    } else {
        output.raw(&answer);
        // On a terminal the shell's prompt starts on a new line; a pipe gets the exact bytes.
        if std::io::stdout().is_terminal() && !answer.ends_with(b"\n") {
            output.raw(b"\n");
        }
    }
    Ok(())
}

fn input(run: &Run) -> Result<Bytes, Failure> {
    match (&run.input, &run.input_file) {
        (Some(text), _) => Ok(Bytes::from(text.clone())),
        (None, Some(path)) if path == Path::new("-") => {
            let mut input = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut input);
            read.map_err(|error| Failure::other("stdin can't be read", error))?;
            Ok(input.into())
        }
        (None, Some(path)) => std::fs::read(path).map(Bytes::from).map_err(|error| {
            Failure::other(
                format!("the input file {} can't be read", path.display()),
                error,
            )
        }),
        (None, None) => Ok(Bytes::new()),
    }
}
