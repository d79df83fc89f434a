//! What is checked before the first worker of a plugin starts, and the same for all of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Once;

use super::super::frame::{HELLO_MAX, Hello, VERSION};
use super::super::isolation::{self, Settings};
use super::super::{sealed, worker};
use super::process::cpu_seconds;
use crate::error::LoadError;
use crate::grants;
use crate::limits::{Limits, LoadOptions};
use crate::loader::Artifact;

/// This process's own program, also where its file was replaced.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How each worker of a plugin is started.
pub(in crate::native) struct Spec {
    pub(super) name: String,
    pub(super) program: PathBuf,
    /// The sealed memory file.
    pub(super) library: File,
    /// The first message.
    pub(super) hello: Vec<u8>,
    pub(super) required: bool,
    /// The seconds of processor time that a worker has at first.
    pub(super) cpu_seconds: Option<u64>,
    pub(super) limits: Limits,
    pub(super) at_start: Option<String>,
}

impl Spec {
    /// Checks the rights and seals the library. Nothing is started.
    pub(in crate::native) fn new(
        artifact: &Artifact,
        options: &LoadOptions,
        settings: &Settings,
    ) -> Result<Self, LoadError> {
        let program = program(artifact.name(), settings)?;
        let cpu_seconds = cpu_seconds(options.limits.timeout);
        let hello = hello(artifact, options, settings, cpu_seconds)?;
        Ok(Self {
            name: artifact.name().to_owned(),
            program,
            library: sealed::memory(artifact)?,
            hello,
            required: settings.required,
            cpu_seconds,
            limits: options.limits.clone(),
            at_start: options.at_start.clone(),
        })
    }

    /// Logs what the kernel lacks, once in the life of this process.
    pub(super) fn warn(&self, missing: &[&str]) {
        static ONCE: Once = Once::new();
        if missing.is_empty() {
            return;
        }
        ONCE.call_once(|| {
            tracing::warn!(
                plugin = self.name,
                missing = missing.join(", "),
                "isolated plugins are not fully confined: the kernel lacks parts of the confinement"
            );
        });
    }
}

fn program(plugin: &str, settings: &Settings) -> Result<PathBuf, LoadError> {
    match &settings.program {
        Some(program) if program.is_absolute() => Ok(program.clone()),
        Some(_) => Err(isolation::refused(
            plugin,
            "the path of the worker program must be absolute",
        )),
        // Without the call in `main`, the host itself would run a second time as its worker.
        None if worker::is_prepared() => Ok(PathBuf::from(THIS_PROGRAM)),
        None => Err(isolation::refused(
            plugin,
            "the `main` of the host must call `qmt_loader::native::run_worker_if_asked` first, or \
             its loader must name a worker program (`NativeLoader::worker`)",
        )),
    }
}

/// The rights of a worker.
struct Grants {
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    config: BTreeMap<String, String>,
}

fn refused(plugin: &str, grant: &str, rule: &'static str, source: Option<io::Error>) -> LoadError {
    LoadError::Grant {
        plugin: plugin.to_owned(),
        grant: grant.to_owned(),
        rule,
        source,
    }
}

/// Checks the rights that are granted.
pub(in crate::native) fn check(plugin: &str, options: &LoadOptions) -> Result<(), LoadError> {
    Grants::new(plugin, options).map(drop)
}

impl Grants {
    fn new(plugin: &str, options: &LoadOptions) -> Result<Self, LoadError> {
        if let Some(host) = options.allow.hosts.first() {
            let rule =
                "an isolated native plugin has no network; a Wasm plugin can be granted hosts";
            return Err(refused(plugin, host, rule, None));
        }
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        for (host, guest) in &options.allow.paths {
            let shown = host.display().to_string();
            let (read_only, folder) = grants::host_folder(host)
                .map_err(|(rule, source)| refused(plugin, &shown, rule, source))?;
            if grants::without_mark(host).1 != guest {
                let rule = "a native plugin sees the folders of the host under their own paths; \
                            write the same path on both sides";
                return Err(refused(plugin, &shown, rule, None));
            }
            if folder.to_str().is_none() {
                return Err(refused(
                    plugin,
                    &shown,
                    "the path of the folder must be UTF-8",
                    None,
                ));
            }
            let folders = if read_only {
                &mut readable
            } else {
                &mut writable
            };
            folders.push(folder);
        }
        if let Some(folder) =
            grants::writable_as_well(&readable, &writable.iter().collect::<Vec<_>>())
        {
            let shown = format!("ro:{}", folder.display());
            return Err(refused(plugin, &shown, grants::WRITABLE_AS_WELL, None));
        }
        let config =
            grants::config(options).map_err(|(name, rule)| refused(plugin, name, rule, None))?;
        Ok(Self {
            readable,
            writable,
            config,
        })
    }
}

/// Writes the first message.
fn hello(
    artifact: &Artifact,
    options: &LoadOptions,
    settings: &Settings,
    cpu_seconds: Option<u64>,
) -> Result<Vec<u8>, LoadError> {
    let granted = Grants::new(artifact.name(), options)?;
    let limits = &options.limits;
    let hello = Hello {
        version: VERSION,
        host: std::process::id(),
        required: settings.required,
        memory_max: limits.memory_max,
        library_len: u64::try_from(artifact.bytes().len()).unwrap_or(u64::MAX),
        cpu_seconds,
        readable: granted.readable,
        writable: granted.writable,
        config: granted.config,
    };
    // Text and numbers are always valid JSON; paths were checked to be UTF-8.
    let hello = serde_json::to_vec(&hello).unwrap_or_default();
    if let Ok(1..=HELLO_MAX) = u64::try_from(hello.len()) {
        return Ok(hello);
    }
    let rule = "a plugin's configuration has at most 16 MiB";
    Err(refused(artifact.name(), "config", rule, None))
}
