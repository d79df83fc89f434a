//! `config`: checks the config, or prints its schema or path.

use qmt_plugins::config::config_schema;
use serde_json::json;

use super::CommandResult;
use crate::args::{ConfigCommand, Global};
use crate::output::Output;
use crate::session;

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
            let mut global = global.clone();
            global.config = file.or(global.config);
            let file = session::config(&global, output)?;
            let path = file.path().display().to_string();
            let count = file.config().providers.len();
            let host = session::host(&global, output, file)?;
            let warnings = host.check().await?;
            for warning in &warnings {
                output.note(format!("warning: {warning}"));
            }
            let text = format!("{path} is valid: {count} plugins");
            let data = json!({ "path": path, "plugins": count, "warnings": warnings });
            output.result(&data, &text)
        }
    }
}
