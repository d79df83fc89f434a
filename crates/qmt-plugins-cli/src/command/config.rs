//! `config`: checks the config, or prints its schema or path.

use std::path::PathBuf;

use qmt_plugins::config::config_schema;
use serde_json::json;

use super::CommandResult;
use crate::args::{CONFIG_VARIABLE, ConfigCommand, Global};
use crate::exit::Failure;
use crate::output::Output;
use crate::session;
use crate::text::counted;

/// Runs the subcommand.
pub(crate) async fn config(
    global: &Global,
    output: &Output,
    command: ConfigCommand,
) -> CommandResult {
    match command {
        ConfigCommand::Schema => output.raw(format!("{:#}\n", config_schema()).as_bytes()),
        ConfigCommand::Path => {
            let file = session::config(global, output)?;
            let path = file.path().display().to_string();
            output.result(&json!({ "path": path }), &path)
        }
        ConfigCommand::Check { file } => {
            let global = with_file(global, file)?;
            let file = session::config(&global, output)?;
            let path = file.path().display().to_string();
            let count = file.config().providers.len();
            let builder = session::builder(&global, output, file);
            let host = builder.or_temporary_cache().build()?;
            let warnings = host.check().await?;
            let data = json!({
                "path": path, "plugins": count, "warnings": output.warnings(&warnings),
            });
            for warning in &warnings {
                output.note(format!("warning: {warning}"));
            }
            let text = format!("{path} is valid: {}", counted(count, "plugin"));
            output.result(&data, &text)
        }
    }
}

/// Uses the config `file`, if one is given. The variable is a default for it; with the option, two
/// files would be named.
fn with_file(global: &Global, file: Option<PathBuf>) -> Result<Global, Failure> {
    let variable = std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from);
    let mut global = global.clone();
    if let Some(file) = file {
        let other = global.config.replace(file);
        if other.is_some() && other != variable {
            return Err(Failure::Usage {
                message: "the config file is named twice, as an argument and with `--config`"
                    .to_owned(),
                hint: Some("leave out `--config`".to_owned()),
            });
        }
    }
    Ok(global)
}
