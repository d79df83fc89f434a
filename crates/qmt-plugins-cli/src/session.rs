//! Opens the config and the host that the global options name.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use qmt_plugins::config::{
    AuthorityConfig, Config, ConfigError, ConfigFile, TransparencyRule, expand_path,
};
use qmt_plugins::verify::VerifyError;
use qmt_plugins::verify::report::RejectionCode;
use qmt_plugins::{Error, ErrorKind, Event, LockMode, PluginHost, PluginHostBuilder, Target};
use zeroize::Zeroizing;

use crate::args::{CONFIG_VARIABLE, Global, Signer};
use crate::exit::{Advice, Failure};
use crate::output::Output;

/// The working folder.
const HERE: &str = ".";

/// Reads the config that the options name, or the first one in the usual folders. One in the
/// working folder is named on stderr, because the user may not be its author.
pub(crate) fn config(global: &Global, output: &Output) -> Result<ConfigFile, Failure> {
    let file = read(global, output).map_err(Error::from)?;
    Ok(with_warnings(file, output))
}

/// As [`config`], but returns an empty config if there is none: for commands that only require a
/// reference.
pub(crate) fn config_or_default(global: &Global, output: &Output) -> Result<ConfigFile, Failure> {
    let file = match read(global, output) {
        Err(ConfigError::NotFound { .. }) if global.config.is_none() => {
            ConfigFile::in_memory(PathBuf::from(HERE), Config::default())
        }
        read => read,
    };
    Ok(with_warnings(file.map_err(Error::from)?, output))
}

/// Warns of environment variables that set nothing.
fn with_warnings(file: ConfigFile, output: &Output) -> ConfigFile {
    let warn = output.events();
    for message in file.unknown_variables() {
        let plugin = "environment".to_owned();
        warn(Event::Warning { plugin, message });
    }
    file
}

fn read(global: &Global, output: &Output) -> Result<ConfigFile, ConfigError> {
    let file = discover(global).inspect_err(|error| {
        if let ConfigError::Contradiction { path, .. } = error {
            output.set_config(path);
        }
    })?;
    output.set_config(file.path());
    if global.config.is_none() && file.folder() == HERE {
        // A program that runs a plugin reads warnings and the answer only.
        let note = output.events();
        note(Event::Note {
            plugin: "config".to_owned(),
            message: format!("using {}", file.path().display()),
        });
    }
    Ok(file)
}

fn discover(global: &Global) -> Result<ConfigFile, ConfigError> {
    let variable = std::env::var_os(CONFIG_VARIABLE);
    match &global.config {
        // Errors name the variable then.
        Some(path) if variable.is_some_and(|variable| variable == *path) => {
            ConfigFile::discover_in(HERE)
        }
        Some(path) => ConfigFile::read(path),
        None => ConfigFile::discover_in(HERE),
    }
}

/// Opens the host.
pub(crate) fn host(
    global: &Global,
    output: &Output,
    file: ConfigFile,
) -> Result<PluginHost, Failure> {
    Ok(builder(global, output, file).build()?)
}

/// Starts to build the host.
pub(crate) fn builder(global: &Global, output: &Output, file: ConfigFile) -> PluginHostBuilder {
    let mode = match (global.frozen, global.locked) {
        (true, _) => LockMode::Frozen,
        (false, true) => LockMode::Locked,
        (false, false) => LockMode::Update,
    };
    let mut builder = PluginHost::builder(file)
        .lock_mode(mode)
        .offline(global.offline);
    if let Some(folder) = &global.cache_dir {
        builder = builder.cache_dir(folder);
    }
    builder.events(output.events())
}

/// Refuses a command that queries registries if an option forbids the network.
pub(crate) fn require_network(global: &Global, command: &str) -> Result<(), Failure> {
    let flags = [(global.frozen, "--frozen"), (global.offline, "--offline")];
    refuse(command, "requires the network", flags)
}

/// Refuses a command that changes the lockfile if an option forbids that.
pub(crate) fn require_lockfile(global: &Global, command: &str) -> Result<(), Failure> {
    let flags = [(global.frozen, "--frozen"), (global.locked, "--locked")];
    refuse(command, "changes the lockfile", flags)
}

/// Refuses what a command does if one of the flags is set, which forbids it.
fn refuse(command: &str, does: &str, flags: [(bool, &str); 2]) -> Result<(), Failure> {
    let forbidding = flags.into_iter().find(|(is_set, _)| *is_set);
    forbidding.map_or(Ok(()), |(_, flag)| {
        let message = format!("`{command}` {does}, and `{flag}` forbids it");
        Err(Failure::usage(message))
    })
}

/// Reads at most `limit` bytes from stdin.
pub(crate) async fn stdin(limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let read = apart(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    read.await
}

/// Runs what waits for input on another thread, so that Ctrl-C ends the wait.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// Parses the name of a plugin of the config, of an image or of a file. If there is no config, a
/// plain name is an error about that.
pub(crate) fn target(global: &Global, host: &PluginHost, text: &str) -> Result<Target, Failure> {
    match Target::parse(host.config(), text) {
        Err(error @ Error::UnknownPlugin { .. }) if host.config().providers.is_empty() => {
            discover(global).map_err(Error::from)?;
            Err(error.into())
        }
        target => Ok(target?),
    }
}

/// Adds what the options can do about the error of an image whose signer they name.
pub(crate) fn failure(error: Error, signer: &Signer) -> Failure {
    use RejectionCode::{NoKey, NoLog, OnlyKeys, OtherIdentity, OtherIssuer, OtherKey};
    let rejected = |codes: &[RejectionCode]| match &error {
        Error::NotVerified { source, .. } => {
            let mut rejections = source.rejections().iter();
            rejections.any(|one| codes.contains(&one.code))
        }
        _ => false,
    };
    // Only the log requires a trust root then.
    let has_no_root = match error.trust() {
        Some(VerifyError::NotStored { .. }) => true,
        Some(_) => error.kind() == ErrorKind::Network,
        None => false,
    };
    let (has_key, has_identity) = (signer.key.is_some(), signer.certificate_identity.is_some());
    let requires_log = !signer.insecure_ignore_tlog;
    let has_no_log_key = matches!(error.trust(), Some(VerifyError::NoLogKey { .. }));
    let lacks_log = requires_log && (rejected(&[NoLog]) || has_no_log_key);
    let advice = if has_key && lacks_log {
        Advice::Instead(
            "`--insecure-ignore-tlog` accepts signatures without a log entry; the policies of the \
             config do not apply to `--key`",
        )
    } else if has_identity && lacks_log {
        Advice::Instead(
            "`--insecure-ignore-tlog` accepts signatures without a log entry that have a timestamp; the \
             policies of the config do not apply to `--certificate-identity`",
        )
    } else if has_key && requires_log && has_no_root {
        Advice::Also(
            "with `--insecure-ignore-tlog`, signatures need no log entry, and `--key` needs no trust root",
        )
    } else if has_key && rejected(&[OtherKey, NoKey, OnlyKeys]) {
        Advice::Instead(
            "only signatures with the key that `--key` names are accepted; the policies of the config \
             do not apply",
        )
    } else if has_identity && rejected(&[OtherIdentity, OtherIssuer, NoKey]) {
        Advice::Instead(
            "only the signer that `--certificate-identity` and `--certificate-oidc-issuer` name is \
             accepted; the policies of the config do not apply",
        )
    } else {
        return error.into();
    };
    Failure::advised(error, advice)
}

/// Refuses a key that is not in a file.
pub(crate) fn require_key_file(key: &Path) -> Result<(), Failure> {
    let text = key.to_string_lossy();
    if text.contains("://") || text.starts_with("pkcs11:") {
        return Err(Failure::usage(format!(
            "the key `{text}` can't be used: a URL or a key in a key management service is not \
             supported; name a file"
        )));
    }
    Ok(())
}

/// Applies the options that name a signer: they replace the config's policies for this call.
pub(crate) fn with_signer(file: &ConfigFile, signer: &Signer) -> Result<ConfigFile, Failure> {
    let mut config = file.config().clone();
    let here = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let mut authority = AuthorityConfig::default();
    if let Some(key) = &signer.key {
        require_key_file(key)?;
        authority.key = Some(here(key));
    }
    // `transparency_log` of the config applies to its own signers only.
    authority.transparency_log = Some(if signer.insecure_ignore_tlog {
        TransparencyRule::Optional
    } else {
        TransparencyRule::Required
    });
    authority.identity.clone_from(&signer.certificate_identity);
    authority.issuer.clone_from(&signer.certificate_oidc_issuer);
    let oci = &mut config.oci;
    let trusts_keys_alone = oci.trusts_keys_alone();
    if authority.key.is_some() || authority.identity.is_some() {
        oci.accept_only(authority);
    }
    if let Some(root) = &signer.trusted_root {
        oci.trust_only(if root == "embedded" {
            root.clone()
        } else {
            let path = expand_path(Path::new(root)).map_err(Failure::usage)?;
            here(&path).display().to_string()
        });
    }
    file.with_config(config).map_err(|error| match error {
        // The config alone is valid, so no lines for it are proposed.
        ConfigError::Contradiction { .. } if trusts_keys_alone => Failure::Usage {
            message: "the options require a trust root, and the config names none".to_owned(),
            hint: Some(
                "`--trusted-root` names the trust root that certificates and log entries need; with \
                 `--insecure-ignore-tlog`, `--key` needs none"
                    .to_owned(),
            ),
        },
        ConfigError::Contradiction { key, rule, .. } => Failure::usage(format!(
            "the options can't be used with this config: `{key}`: {rule}"
        )),
        error => Error::from(error).into(),
    })
}
