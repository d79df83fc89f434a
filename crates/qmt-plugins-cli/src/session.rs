//! What the global options open: the config and the host.

use std::path::PathBuf;

use qmt_plugins::config::{
    AuthorityConfig, Config, ConfigError, ConfigFile, OneOrMany, PolicyConfig, TransparencyRule,
};
use qmt_plugins::{Error, LockMode, PluginHost};

use crate::args::{Global, Signer};
use crate::exit::Failure;
use crate::output::Output;
use crate::progress;

/// Reads the config that the options name, or the first that is found.
pub(crate) fn config(global: &Global) -> Result<ConfigFile, Failure> {
    let read = match &global.config {
        Some(path) => ConfigFile::read(path),
        None => ConfigFile::discover(),
    };
    Ok(read.map_err(Error::from)?)
}

/// Like [`config`], but an empty one will do where none is found: for commands that a reference
/// and options are enough for.
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

/// Lays the options that name a signer over the config: they replace its policies for this call.
pub(crate) fn with_signer(file: &ConfigFile, signer: &Signer) -> Result<ConfigFile, Failure> {
    let mut config = file.config().clone();
    let here = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let mut authority = AuthorityConfig::default();
    if let Some(key) = &signer.key {
        authority.key = Some(here(key));
        if signer.insecure_ignore_tlog {
            authority.transparency_log = TransparencyRule::Optional;
            // A key alone needs no Sigstore: none is fetched where the config names none.
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
