//! Extism's own host functions, once more: bounded, and silent while a module starts.
//!
//! Extism links functions that are registered under its own names before those that it provides.
//! Each function here replaces one of Extism's, because Extism's function:
//! - follows a pointer that is null or stale while start functions run, or
//! - trusts the lengths that Extism's kernel keeps next to each block of memory, where a plugin can
//!   overwrite them, and reads or writes past the end of that memory, or
//! - has no limit on log lines, their length, their control characters, or redirects.
//!
//! Calling convention and ownership of handles are those of Extism's plug-in development kits:
//! handles that go in are freed here. <https://extism.org/docs/concepts/pdk>

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use extism::{CurrentPlugin, Error, Function, PTR, UserData, Val, ValType};

use super::http::{AllowedHost, HttpState};
use super::imports::EXTISM_ENV;
use super::log::LogBudget;
use super::memory::{KnownMemory, give, offset, read, set, take, take_text};
use crate::limits::Limits;

/// The bytes of a key of configuration or variables.
const KEY_MAX: usize = 4096;
/// The bytes of all variables of an instance: 1 MiB, which is Extism's own default.
const VARIABLES_MAX: usize = 1024 * 1024;
/// The bytes of what a plugin says that went wrong; 1 KiB of it is shown.
const ERROR_MAX: usize = 64 * 1024;
/// WASI's number for "bad file descriptor".
const EBADF: i32 = 8;

/// State that the host functions of one instance share.
#[derive(Debug)]
pub(super) struct InstanceState {
    plugin: String,
    http_body_max: usize,
    log_line_max: usize,
    calling: AtomicBool,
    /// What is known of Extism's memory.
    pub(super) memory: KnownMemory,
    output: Mutex<Vec<u8>>,
    error: Mutex<Option<String>>,
    http: Mutex<HttpState>,
    log: Mutex<LogBudget>,
}

impl InstanceState {
    pub(super) fn new(plugin: &str, hosts: Vec<AllowedHost>, limits: &Limits) -> Self {
        let length = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            plugin: plugin.to_owned(),
            http_body_max: length(limits.http_body_max),
            log_line_max: length(limits.log_line_max),
            calling: AtomicBool::new(false),
            memory: KnownMemory::default(),
            output: Mutex::default(),
            error: Mutex::default(),
            http: Mutex::new(HttpState::new(hosts, limits.http_body_max)),
            log: Mutex::new(LogBudget::new(limits.log_lines_per_second)),
        }
    }

    /// Opens the functions of the host until the returned guard is dropped.
    pub(super) fn calling(&self) -> Calling<'_> {
        self.output().clear();
        *self.error() = None;
        self.calling.store(true, Ordering::SeqCst);
        Calling(self)
    }

    /// Forgets what was known of an instance that is no more.
    pub(super) fn new_instance(&self) {
        self.memory.forget();
    }

    /// Returns what the plugin gave out in the last call.
    pub(super) fn take_output(&self) -> Vec<u8> {
        std::mem::take(&mut self.output())
    }

    /// Returns what the plugin said in the last call of what went wrong.
    pub(super) fn take_error(&self) -> Option<String> {
        self.error().take()
    }

    fn output(&self) -> MutexGuard<'_, Vec<u8>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self) -> MutexGuard<'_, Option<String>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses while start functions run, when Extism's pointers are not there yet.
    pub(super) fn must_be_calling(&self) -> Result<(), Error> {
        if self.calling.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(Error::msg(
            "functions of the host cannot be called while a module starts",
        ))
    }
}

/// A call is under way.
pub(super) struct Calling<'a>(&'a InstanceState);

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.0.calling.store(false, Ordering::SeqCst);
    }
}

/// Makes the functions of one instance.
///
/// # Errors
/// `EXTISM_ENABLE_WASI_OUTPUT` makes Extism connect a plugin to the host's standard streams, and
/// can be defeated only by taking the plugin's writing away; with folders granted that would hurt.
pub(super) fn functions(
    state: &Arc<InstanceState>,
    wasi: bool,
    paths: &BTreeMap<String, String>,
) -> Result<Vec<Function>, &'static str> {
    let mut functions = vec![
        error_set_function(state),
        builtin(state, "output_set", [PTR, PTR], [], output_set),
        builtin(state, "config_get", [PTR], [PTR], config_get),
        builtin(state, "var_get", [PTR], [PTR], var_get),
        builtin(state, "var_set", [PTR, PTR], [], var_set),
        builtin(state, "http_request", [PTR, PTR], [PTR], http_request),
        builtin(
            state,
            "http_status_code",
            [],
            [ValType::I32],
            http_status_code,
        ),
        builtin(state, "http_headers", [], [PTR], http_headers),
    ];
    for (name, level) in [
        ("log_trace", tracing::Level::TRACE),
        ("log_debug", tracing::Level::DEBUG),
        ("log_info", tracing::Level::INFO),
        ("log_warn", tracing::Level::WARN),
        ("log_error", tracing::Level::ERROR),
    ] {
        let body = move |plugin: &mut CurrentPlugin,
                         state: &InstanceState,
                         input: &[Val],
                         _: &mut [Val]| { log(plugin, state, input, level) };
        functions.push(builtin(state, name, [PTR], [], body));
    }
    if wasi && std::env::var_os("EXTISM_ENABLE_WASI_OUTPUT").is_some() {
        if !paths.is_empty() {
            return Err(
                "no folder can be granted while EXTISM_ENABLE_WASI_OUTPUT is set in the host's environment; unset it",
            );
        }
        for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
            for (name, last) in [("fd_write", None), ("fd_pwrite", Some(ValType::I64))] {
                let mut params = vec![ValType::I32, ValType::I32, ValType::I32];
                params.extend(last);
                params.push(ValType::I32);
                let closed =
                    |_: &mut CurrentPlugin, _: &[Val], outputs: &mut [Val], _: UserData<()>| {
                        set(outputs, Val::I32(EBADF));
                        Ok(())
                    };
                functions.push(
                    Function::new(name, params, [ValType::I32], UserData::new(()), closed)
                        .with_namespace(module),
                );
            }
        }
    }
    Ok(functions)
}

/// Wraps `body` so that it runs only during calls.
fn builtin<F>(
    state: &Arc<InstanceState>,
    name: &str,
    params: impl IntoIterator<Item = ValType>,
    results: impl IntoIterator<Item = ValType>,
    body: F,
) -> Function
where
    F: Fn(&mut CurrentPlugin, &InstanceState, &[Val], &mut [Val]) -> Result<(), Error>
        + Send
        + Sync
        + 'static,
{
    let state = Arc::clone(state);
    let guarded =
        move |plugin: &mut CurrentPlugin, inputs: &[Val], outputs: &mut [Val], _: UserData<()>| {
            state.must_be_calling()?;
            body(plugin, &state, inputs, outputs)
        };
    Function::new(name, params, results, UserData::new(()), guarded).with_namespace(EXTISM_ENV)
}

/// Extism clears the error by the same function, at any time and without a look at memory.
fn error_set_function(state: &Arc<InstanceState>) -> Function {
    let state = Arc::clone(state);
    let body = move |plugin: &mut CurrentPlugin, inputs: &[Val], _: &mut [Val], _: UserData<()>| {
        if offset(inputs.first()) == 0 {
            *state.error() = None;
            return Ok(());
        }
        state.must_be_calling()?;
        let words = read(plugin, &state, inputs.first(), ERROR_MAX)?;
        *state.error() = Some(String::from_utf8_lossy(&words).into_owned());
        Ok(())
    };
    Function::new("error_set", [PTR], [], UserData::new(()), body).with_namespace(EXTISM_ENV)
}

fn output_set(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    inputs: &[Val],
    _: &mut [Val],
) -> Result<(), Error> {
    let length = usize::try_from(offset(inputs.get(1))).unwrap_or(usize::MAX);
    let mut output = match length {
        0 => Vec::new(),
        _ => read(plugin, state, inputs.first(), usize::MAX)?,
    };
    if length > output.len() {
        return Err(Error::msg("the output ends behind its block of memory"));
    }
    output.truncate(length);
    *state.output() = output;
    Ok(())
}

fn config_get(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    inputs: &[Val],
    outputs: &mut [Val],
) -> Result<(), Error> {
    let key = take_text(plugin, state, inputs.first(), KEY_MAX)?;
    let value = plugin.manifest().config.get(&key).cloned();
    give(plugin, state, outputs, value.as_deref().map(str::as_bytes))
}

fn var_get(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    inputs: &[Val],
    outputs: &mut [Val],
) -> Result<(), Error> {
    let key = take_text(plugin, state, inputs.first(), KEY_MAX)?;
    let value = plugin.vars().get(&key).cloned();
    give(plugin, state, outputs, value.as_deref())
}

fn var_set(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    inputs: &[Val],
    _: &mut [Val],
) -> Result<(), Error> {
    let key = take_text(plugin, state, inputs.first(), KEY_MAX)?;
    if offset(inputs.get(1)) == 0 {
        plugin.vars_mut().remove(&key);
        return Ok(());
    }
    let value = take(plugin, state, inputs.get(1), VARIABLES_MAX)?;
    let others = plugin.vars().iter().filter(|(other, _)| **other != key);
    let used: usize = others.map(|(key, value)| variable_size(key, value)).sum();
    if used.saturating_add(variable_size(&key, &value)) > VARIABLES_MAX {
        return Err(Error::msg("the plugin's variables are full"));
    }
    plugin.vars_mut().insert(key, value);
    Ok(())
}

/// Counts what a variable costs the host; an empty one is not free.
fn variable_size(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + size_of::<String>() + size_of::<Vec<u8>>()
}

fn http_request(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    inputs: &[Val],
    outputs: &mut [Val],
) -> Result<(), Error> {
    let request = take(plugin, state, inputs.first(), super::http::REQUEST_MAX)?;
    let body = match offset(inputs.get(1)) {
        0 => Vec::new(),
        _ => take(plugin, state, inputs.get(1), state.http_body_max)?,
    };
    let time = plugin.time_remaining();
    let mut http = state.http.lock().unwrap_or_else(PoisonError::into_inner);
    let response = http.send(&request, &body, time)?;
    give(plugin, state, outputs, Some(&response))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "all of these functions have one signature"
)]
fn http_status_code(
    _: &mut CurrentPlugin,
    state: &InstanceState,
    _: &[Val],
    outputs: &mut [Val],
) -> Result<(), Error> {
    let http = state.http.lock().unwrap_or_else(PoisonError::into_inner);
    set(outputs, Val::I32(i32::from(http.status())));
    Ok(())
}

fn http_headers(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    _: &[Val],
    outputs: &mut [Val],
) -> Result<(), Error> {
    let http = state.http.lock().unwrap_or_else(PoisonError::into_inner);
    let headers = http.headers()?;
    give(plugin, state, outputs, Some(headers.as_bytes()))
}

fn log(
    plugin: &mut CurrentPlugin,
    state: &InstanceState,
    inputs: &[Val],
    level: tracing::Level,
) -> Result<(), Error> {
    let Some(handle) = plugin.memory_handle(offset(inputs.first())) else {
        return Err(Error::msg("a log line is no memory of the plugin"));
    };
    if level > tracing::level_filters::LevelFilter::current() {
        return plugin.memory_free(handle);
    }
    let dropped = {
        let mut budget = state.log.lock().unwrap_or_else(PoisonError::into_inner);
        match budget.take() {
            Some(dropped) => dropped,
            None => return plugin.memory_free(handle),
        }
    };
    let line = if handle.len() > state.log_line_max {
        format!("(a line of {} bytes, which is too long)", handle.len())
    } else {
        state.memory.prove(plugin, handle)?;
        super::log::line(plugin.memory_bytes(handle)?)
    };
    plugin.memory_free(handle)?;
    super::log::emit(&state.plugin, level, &line, dropped);
    Ok(())
}
