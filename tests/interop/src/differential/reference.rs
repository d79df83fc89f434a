//! The reference: crate `extism`, as a host uses it that does no more than its documents say.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use extism::{
    CompiledPlugin, CurrentPlugin, Error, Function, Manifest, PTR, Plugin, PluginBuilder, UserData,
    Val, Wasm,
};
use qmt_oci_ref::text;
// For a feature without which crate `extism` does not compile.
use wasmtime_of_extism as _;

use super::host::{Answer, Call, Called, Host, Module, Outcome, Stop, reverse};
use super::logs::{self, Alone};

/// The bytes of a page of Wasm.
const PAGE: u64 = 64 * 1024;

/// Crate `extism`.
pub(super) struct Extism<'a> {
    alone: &'a Alone,
    compiled: Mutex<HashMap<Key, CompiledPlugin>>,
}

/// What a compiled module depends on.
type Key = (Vec<u8>, Duration, u64);

impl<'a> Extism<'a> {
    pub(super) fn new(alone: &'a Alone) -> Self {
        Self {
            alone,
            compiled: Mutex::default(),
        }
    }

    /// Compiles a module once.
    fn plugin(&self, module: &Module) -> Result<Plugin, Error> {
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (module.wasm.clone(), module.timeout, module.memory_max);
        let compiled = match compiled.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(compile(module)?),
        };
        Plugin::new_from_compiled(compiled)
    }
}

fn compile(module: &Module) -> Result<CompiledPlugin, Error> {
    let pages = u32::try_from(module.memory_max / PAGE)?;
    let manifest = Manifest::new([Wasm::data(module.wasm.clone())])
        .with_memory_max(pages)
        .with_config(module.config.clone().into_iter())
        .disallow_all_hosts()
        .with_timeout(module.timeout);
    let reverse = Function::new("reverse", [PTR], [PTR], UserData::new(()), call_reverse);
    PluginBuilder::new(manifest)
        .with_cache_disabled()
        .with_wasi(true)
        .with_functions([reverse])
        .compile()
}

fn call_reverse(
    plugin: &mut CurrentPlugin,
    inputs: &[Val],
    outputs: &mut [Val],
    _: UserData<()>,
) -> Result<(), Error> {
    let [input] = inputs else {
        return Err(Error::msg("one argument"));
    };
    let input: Vec<u8> = plugin.memory_get_val(input)?;
    let output = reverse(&input).map_err(Error::msg)?;
    let output = plugin.memory_new(&output)?;
    if let Some(slot) = outputs.first_mut() {
        *slot = plugin.memory_to_val(output);
    }
    Ok(())
}

impl Host for Extism<'_> {
    fn run(&self, module: &Module, calls: &[Call]) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        let (plugin, logs) = logs::listen(self.alone, || self.plugin(module));
        let mut plugin = match plugin {
            Ok(plugin) => plugin,
            // Start functions run while Extism links, too.
            Err(error) => {
                let is_trap = error.root_cause().to_string().starts_with("wasm trap");
                let trap = Answer::Stopped(Stop::Trap);
                let answer = if is_trap { trap } else { Answer::Refused };
                outcome.calls.push(Called { answer, logs });
                return Ok(outcome);
            }
        };
        for call in calls {
            let (result, logs) = logs::listen(self.alone, || {
                plugin.call::<&[u8], Vec<u8>>(&call.export, &call.input)
            });
            let answer = match result {
                Ok(output) => Answer::Output(output),
                Err(error) => failure(&error),
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

/// Tells from Extism's words what a call ended with: its errors have no types.
fn failure(error: &Error) -> Answer {
    let message = error.to_string();
    let root = error.root_cause().to_string();
    if message.starts_with("Function not found") || message.contains(" results, expected 0 or 1") {
        Answer::Refused
    } else if message == "timeout" {
        Answer::Stopped(Stop::Time)
    } else if root == "oom" {
        Answer::Stopped(Stop::Memory)
    } else if let Some(status) = number_after(&root, "Exited with i32 exit status ") {
        Answer::Exit(status)
    } else if let Some(code) = number_after(&message, "Returned non-zero exit code: ") {
        Answer::Code(code)
    } else if error.chain().count() == 1 && !root.starts_with("wasm trap") {
        Answer::Error(text::escape(&message))
    } else {
        Answer::Stopped(Stop::Trap)
    }
}

/// Reads the number that ends `text`, if it is `words` and a number.
pub(super) fn number_after(text: &str, words: &str) -> Option<i32> {
    text.strip_prefix(words)?.parse().ok()
}
