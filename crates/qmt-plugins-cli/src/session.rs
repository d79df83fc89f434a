//! Opens the config and the host that the global options name.

use std::path::PathBuf;

use qmt_plugins::config::{
    AuthorityConfig, Config, ConfigError, ConfigFile, OneOrMany, PolicyConfig, TransparencyRule,
};
use qmt_plugins::{Error, LockMode, PluginHost};

use crate::args::{Global, Signer};
use crate::exit::Failure;
use crate::output::Output;
use crate::progress;

/// Reads the config that the options name, or the first one in the usual folders.
pub(crate) fn config(global: &Global) -> Result<ConfigFile, Failure> {
    let read = match &global.config {
        Some(path) => ConfigFile::read(path),
        None => ConfigFile::discover(),
    };
    Ok(read.map_err(Error::from)?)
}

/// As [`config`], but returns an empty config if there is none: for commands that only require a
/// reference.
pub(crate) fn config_or_default(global: &Global) -> Result<ConfigFile, Failure> {
    match (&global.config, ConfigFile::discover()) {
        (None, Err(ConfigError::NotFound { .. })) => Ok(ConfigFile::in_memory(
            PathBuf::from("."),
            Config::default(),
        )
        .map_err(Error::from)?),
        (None, found) => Ok(found.map_err(Error::from)?),
        (Some(path), _) => Ok(ConfigFile::read(path).map_err(Error::from)?),
    }
}

/// Opens the host.
pub(crate) fn host(
    global: &Global,
    output: &Output,
    file: ConfigFile,
) -> Result<PluginHost, Failure> {
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
    Ok(builder.events(progress::sink(output)).build()?)
}

/// Applies the options that name a signer: they replace the config's policies for this call.
pub(crate) fn with_signer(file: &ConfigFile, signer: &Signer) -> Result<ConfigFile, Failure> {
    let mut config = file.config().clone();
    let here = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let mut authority = AuthorityConfig::default();
    if let Some(key) = &signer.key {
        authority.key = Some(here(key));
        if signer.insecure_ignore_tlog {
            authority.transparency_log = TransparencyRule::Optional;
            // Without a log, a key requires no trust root, so none is fetched unless the config names one.
            let oci = &mut config.oci;
            if oci.trusted_root.is_none() && oci.tuf_url.is_none() {
                oci.use_sigstore_tuf_data.get_or_insert(false);
            }
        }
    }
    authority.identity.clone_from(&signer.certificate_identity);
    authority.issuer.clone_from(&signer.certificate_oidc_issuer);
    if authority.key.is_some() || authority.identity.is_some() {
        let oci = &mut config.oci;
        oci.policy = vec![PolicyConfig::new("**", vec![authority])];
        oci.cert_email = None;
        oci.cert_url = None;
        oci.cert_issuer = None;
        oci.github_workflow_repository = None;
        oci.public_keys = OneOrMany::default();
        oci.insecure_skip_signature = false;
    }
    if let Some(root) = &signer.trusted_root {
        let root = if root == "embedded" {
            root.clone()
        } else {
            here(&PathBuf::from(root)).display().to_string()
        };
        config.oci.trusted_root = Some(root);
        config.oci.use_sigstore_tuf_data = None;
        config.oci.tuf_url = None;
        config.oci.tuf_root = None;
    }
    Ok(ConfigFile::in_memory(file.path().to_owned(), config).map_err(Error::from)?)
}
