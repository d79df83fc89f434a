//! The functions of `extism:host/env` that the host answers itself.
//!
//! Loads, stores and reads of the input are the kernel's (`kernel.wat`). Blocks that are passed to
//! the functions here belong to the host, which frees them.
//! <https://extism.org/docs/concepts/pdk>

use tracing::Level;
use tracing::level_filters::LevelFilter;
use wasmtime::{Caller, Linker, Result};

use super::fault::Fault;
use super::http::REQUEST_MAX;
use super::imports::EXTISM_ENV;
use super::memory::{Context, slice};
use super::state::State;

/// The bytes of a key of configuration or variables.
const KEY_MAX: u64 = 4096;
/// The bytes of all variables of an instance: 1 MiB, which is Extism's own default.
const VARIABLES_MAX: usize = 1024 * 1024;
/// What a variable costs in addition to its key and value, in bytes; an empty one is not free.
const VARIABLE_OVERHEAD: usize = size_of::<String>() + size_of::<Vec<u8>>();

type Plugin<'a> = Caller<'a, State>;

pub(super) fn link(linker: &mut Linker<State>) -> Result<()> {
    let env = EXTISM_ENV;
    linker.func_wrap(env, "alloc", |mut plugin: Plugin<'_>, length: u64| {
        plugin.allocate(length)
    })?;
    linker.func_wrap(env, "free", |mut plugin: Plugin<'_>, offset: u64| {
        Ok(plugin.free(offset)?)
    })?;
    for name in ["length", "length_unsafe"] {
        linker.func_wrap(env, name, |plugin: Plugin<'_>, offset: u64| {
            plugin.data().blocks.length(offset)
        })?;
    }
    linker.func_wrap(env, "memory_bytes", |mut plugin: Plugin<'_>| {
        let (bytes, _) = plugin.shared()?;
        Ok(u64::try_from(bytes.len())?)
    })?;
    linker.func_wrap(env, "reset", |mut plugin: Plugin<'_>| Ok(plugin.reset()?))?;
    linker.func_wrap(
        env,
        "input_set",
        |mut plugin: Plugin<'_>, offset: u64, length: u64| {
            let (bytes, _) = plugin.shared()?;
            if offset != 0 && slice(bytes, offset, length).is_some() {
                plugin.set_input(offset, length)?;
            }
            Ok(())
        },
    )?;
    linker.func_wrap(
        env,
        "output_set",
        |mut plugin: Plugin<'_>, offset: u64, length: u64| {
            let (bytes, state) = plugin.shared()?;
            // What is not memory is ignored, and so is the null handle.
            if offset != 0 && slice(bytes, offset, length).is_some() {
                state.output = (offset, length);
            }
            Ok(())
        },
    )?;
    linker.func_wrap(env, "output_offset", |plugin: Plugin<'_>| {
        plugin.data().output.0
    })?;
    linker.func_wrap(env, "output_length", |plugin: Plugin<'_>| {
        plugin.data().output.1
    })?;
    linker.func_wrap(env, "error_set", |mut plugin: Plugin<'_>, offset: u64| {
        let (bytes, state) = plugin.shared()?;
        if slice(bytes, offset, 0).is_some() {
            state.error = offset;
        }
        Ok(())
    })?;
    linker.func_wrap(env, "error_get", |plugin: Plugin<'_>| plugin.data().error)?;
    variables(linker)?;
    http(linker)?;
    log(linker)
}

fn variables(linker: &mut Linker<State>) -> Result<()> {
    let env = EXTISM_ENV;
    linker.func_wrap(env, "config_get", |mut plugin: Plugin<'_>, key: u64| {
        let block = key;
        let key = plugin.read_text("the key of a configuration value", block, KEY_MAX)?;
        plugin.free(block)?;
        let settings = std::sync::Arc::clone(&plugin.data().settings);
        match settings.grants.config.get(&key) {
            Some(value) => plugin.give(value.as_bytes()),
            None => Ok(0),
        }
    })?;
    linker.func_wrap(env, "var_get", |mut plugin: Plugin<'_>, key: u64| {
        let block = key;
        let key = plugin.read_text("the key of a variable", block, KEY_MAX)?;
        plugin.free(block)?;
        match plugin.data().variables.get(&key).cloned() {
            Some(value) => plugin.give(&value),
            None => Ok(0),
        }
    })?;
    linker.func_wrap(
        env,
        "var_set",
        |mut plugin: Plugin<'_>, key: u64, value: u64| -> Result<()> {
            // Both may be one block, so it is freed after both are read.
            let blocks = [key, value];
            let key = plugin.read_text("the key of a variable", key, KEY_MAX)?;
            let limit = u64::try_from(VARIABLES_MAX)?;
            let value = plugin.read("the value of a variable", value, limit)?;
            for block in blocks {
                plugin.free(block)?;
            }
            if blocks[1] == 0 {
                plugin.data_mut().variables.remove(&key);
                return Ok(());
            }
            let variables = &mut plugin.data_mut().variables;
            let others = variables.iter().filter(|(other, _)| **other != key);
            let cost = |key: &str, value: &[u8]| key.len() + value.len() + VARIABLE_OVERHEAD;
            let used: usize = others.map(|(key, value)| cost(key, value)).sum();
            if used + cost(&key, &value) > VARIABLES_MAX {
                return Err(Fault::VariablesFull {
                    limit: VARIABLES_MAX,
                    overhead: VARIABLE_OVERHEAD,
                }
                .into());
            }
            variables.insert(key, value);
            Ok(())
        },
    )?;
    Ok(())
}

fn http(linker: &mut Linker<State>) -> Result<()> {
    let env = EXTISM_ENV;
    linker.func_wrap_async(
        env,
        "http_request",
        |mut plugin: Plugin<'_>, (request, body): (u64, u64)| {
            Box::new(async move {
                let request = plugin.take("an HTTP request", request, REQUEST_MAX)?;
                let body_max = plugin.data().settings.limits.http_body_max;
                let body = plugin.take("the body of an HTTP request", body, body_max)?;
                let deadline = plugin.data().stop.deadline;
                let exchange = plugin
                    .data_mut()
                    .http
                    .request(&request, body, deadline)
                    .map_err(Fault::Http)?;
                let response = exchange.await.map_err(Fault::Http)?;
                plugin.data_mut().http.finish(&response);
                plugin.give(&response.body)
            })
        },
    )?;
    linker.func_wrap(env, "http_status_code", |plugin: Plugin<'_>| {
        u32::from(plugin.data().http.status())
    })?;
    linker.func_wrap(env, "http_headers", |mut plugin: Plugin<'_>| {
        let headers = plugin.data().http.headers();
        plugin.give(headers.as_bytes())
    })?;
    Ok(())
}

fn log(linker: &mut Linker<State>) -> Result<()> {
    for (name, level) in [
        ("log_trace", Level::TRACE),
        ("log_debug", Level::DEBUG),
        ("log_info", Level::INFO),
        ("log_warn", Level::WARN),
        ("log_error", Level::ERROR),
    ] {
        linker.func_wrap(
            EXTISM_ENV,
            name,
            move |mut plugin: Plugin<'_>, offset: u64| -> Result<()> {
                log_line(&mut plugin, level, offset)?;
                Ok(plugin.free(offset)?)
            },
        )?;
    }
    linker.func_wrap(
        EXTISM_ENV,
        "get_log_level",
        |_: Plugin<'_>| match LevelFilter::current().into_level() {
            Some(Level::TRACE) => 0,
            Some(Level::DEBUG) => 1,
            Some(Level::INFO) => 2,
            Some(Level::WARN) => 3,
            Some(Level::ERROR) => 4,
            None => i32::MAX,
        },
    )?;
    Ok(())
}

fn log_line(plugin: &mut Plugin<'_>, level: Level, offset: u64) -> Result<(), Fault> {
    if level > LevelFilter::current() {
        return Ok(());
    }
    let Some(dropped) = plugin.data_mut().log.take() else {
        return Ok(());
    };
    let limit = plugin.data().settings.limits.log_line_max;
    let line = match plugin.read("a log line", offset, limit) {
        Ok(line) => super::log::line(&line),
        Err(Fault::TooLong { length, .. }) => {
            format!("(a line of {length} bytes, which is too long)")
        }
        Err(fault) => return Err(fault),
    };
    super::log::emit(&plugin.data().settings.plugin, level, &line, dropped);
    Ok(())
}
