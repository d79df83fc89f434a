//! The other side: a loader of `qmt-loader`.

use std::time::Duration;

use bytes::Bytes;
use qmt_loader::{Artifact, LoadError, LoadOptions, Loader};
use qmt_oci_ref::PluginKind;
use tokio::runtime::Runtime;

use super::host::{Answer, Call, Called, Host, Module, Outcome, Stop};
use super::logs::{self, Alone};
use super::reference::number_after;

/// A loader, which must run one instance of each plugin and offer `reverse`.
pub(super) struct Loaded<'a, L> {
    alone: &'a Alone,
    loader: L,
    runtime: Runtime,
}

impl<'a, L: Loader> Loaded<'a, L> {
    pub(super) fn new(alone: &'a Alone, loader: L) -> anyhow::Result<Self> {
        Ok(Self {
            alone,
            loader,
            runtime: Runtime::new()?,
        })
    }
}

impl<L: Loader> Host for Loaded<'_, L> {
    fn run(&self, module: &Module, calls: &[Call]) -> anyhow::Result<Outcome> {
        let artifact =
            Artifact::from_bytes(PluginKind::Wasm, module.wasm.clone(), module.name.as_str());
        let mut outcome = Outcome::default();
        let load = || {
            self.runtime
                .block_on(self.loader.load(artifact, options(module)))
        };
        let (plugin, logs) = logs::listen(self.alone, load);
        let plugin = match plugin {
            Ok(plugin) => plugin,
            // Extism starts a module in the first call of it.
            Err(error) => {
                let answer = load_failure(&error)?;
                outcome.calls.push(Called { answer, logs });
                return Ok(outcome);
            }
        };
        for call in calls {
            let input = Bytes::from(call.input.clone());
            let (result, logs) = logs::listen(self.alone, || {
                self.runtime.block_on(plugin.call(&call.export, input))
            });
            let answer = match result {
                Ok(output) => Answer::Output(output.to_vec()),
                Err(error) => failure(&error)?,
            };
            let goes_on = answer.goes_on();
            outcome.calls.push(Called { answer, logs });
            if !goes_on {
                break;
            }
        }
        Ok(outcome)
    }
}

/// A compiler that is not optimised takes long for what Go makes.
const COMPILE_TIMEOUT: Duration = Duration::from_mins(10);

/// As few limits as there can be: Extism has none on logs.
fn options(module: &Module) -> LoadOptions {
    let mut options = LoadOptions::default();
    options.config.clone_from(&module.config);
    options.limits.memory_max = module.memory_max;
    options.limits.timeout = module.timeout;
    options.limits.compile_timeout = COMPILE_TIMEOUT;
    options.limits.log_line_max = u64::MAX;
    options.limits.log_lines_per_second = u32::MAX;
    options
}

/// Takes every other reason not to load a module as a refusal.
fn load_failure(error: &LoadError) -> anyhow::Result<Answer> {
    match error {
        LoadError::Host { .. }
        | LoadError::Io { .. }
        | LoadError::NotPrivate { .. }
        | LoadError::Grant { .. }
        | LoadError::CompileTimedOut { .. } => anyhow::bail!("the loader failed: {error:?}"),
        error => Ok(failure(error).unwrap_or(Answer::Refused)),
    }
}

/// Fails where the host itself failed: that is no outcome of a call.
fn failure(error: &LoadError) -> anyhow::Result<Answer> {
    Ok(match error {
        LoadError::PluginFailed { message, .. } => {
            let code = ["Returned non-zero exit code: ", "it returned "];
            let number =
                |words: &[&str]| words.iter().find_map(|words| number_after(message, words));
            if let Some(code) = number(&code) {
                Answer::Code(code)
            } else if let Some(status) = number(&["it exited with status "]) {
                Answer::Exit(status)
            } else {
                Answer::Error(message.clone())
            }
        }
        LoadError::TimedOut { .. } => Answer::Stopped(Stop::Time),
        LoadError::OutOfMemory { .. } => Answer::Stopped(Stop::Memory),
        LoadError::Trapped { .. } => match exit_status(error) {
            Some(status) => Answer::Exit(status),
            None => Answer::Stopped(Stop::Trap),
        },
        LoadError::Start { .. } => Answer::Stopped(Stop::Trap),
        LoadError::WasmRefused { .. }
        | LoadError::Compile { .. }
        | LoadError::UnknownExport { .. }
        | LoadError::NotCallable { .. } => Answer::Refused,
        error => anyhow::bail!("the loader failed: {error:?}"),
    })
}

fn exit_status(error: &dyn std::error::Error) -> Option<i32> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| number_after(&error.to_string(), "Exited with i32 exit status "))
}
