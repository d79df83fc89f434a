//! `run`: loads a plugin and calls one export.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use qmt_plugins::config::ConfigFile;
use qmt_plugins::loader::Plugin;
use qmt_plugins::verify::VerifyError;
use qmt_plugins::{Error, PluginHost, PluginSource, Target};
use serde_json::json;

use super::CommandResult;
use crate::args::{Global, Run, Signer};
use crate::exit::{Advice, Failure};
use crate::output::Output;
use crate::session;

/// Prints the plugin's output as it is.
pub(crate) async fn run(global: &Global, output: &Output, run: &Run) -> CommandResult {
    let file = config_for(global, output, run)?;
    let target = Target::parse(file.config(), &run.target);
    let is_file = target.is_ok_and(|target| matches!(target.source(), PluginSource::File(_)));
    if is_file && run.signer != Signer::default() {
        return Err(Failure::Usage {
            message: "a local file has no signature, so no option can name its signer".to_owned(),
            hint: Some("`--allow-native` runs native code without one".to_owned()),
        });
    }
    let host = if is_file {
        session::host_without_cache(global, output, file)?
    } else {
        session::host(global, output, file)?
    };
    let mut target = session::target(global, &host, &run.target)?;
    if run.allow_native {
        target = target.with_native_allowed();
    }
    let input = input(run).await?;
    let plugin = load(&host, &target, &run.signer).await?;
    let answer = plugin
        .call(&run.export, input)
        .await
        .map_err(|source| Error::Load {
            plugin: target.name().to_owned(),
            doing: format!("calling `{}`", run.export),
            source,
        })?;
    if !output.is_json() {
        return output.answer(&answer);
    }
    let text = std::str::from_utf8(&answer).ok();
    let hex = text.is_none().then(|| hex::encode(&answer));
    output.result(
        &json!({ "plugin": target.name(), "export": run.export, "output": text, "output_hex": hex }),
        "",
    )
}

/// Reads the config, with the options that decide about trust.
fn config_for(global: &Global, output: &Output, run: &Run) -> Result<ConfigFile, Failure> {
    let file = session::config_or_default(global, output)?;
    let decides =
        run.insecure_skip_signature || run.allow_native || run.signer != Signer::default();
    if decides && file.config().provider(&run.target).is_some() {
        let name = &run.target;
        return Err(Failure::Usage {
            message: format!("the config decides which signature `{name}` must have"),
            hint: Some("these options are for plugins that are not in the config".to_owned()),
        });
    }
    let file = session::with_signer(&file, &run.signer)?;
    if run.insecure_skip_signature {
        return session::without_verification(&file);
    }
    Ok(file)
}

async fn load(
    host: &PluginHost,
    target: &Target,
    signer: &Signer,
) -> Result<Arc<dyn Plugin>, Failure> {
    host.load_target(target).await.map_err(|error| {
        let advice = match &error {
            _ if target.is_configured() => None,
            Error::NotVerified {
                source: VerifyError::NoSignature { .. },
                ..
            } => Some(Advice::Also(
                "`--insecure-skip-signature` runs it without one",
            )),
            Error::NativeForbidden { .. } => Some(Advice::Also(
                "on the command line, `--allow-native` allows it, unless `native = \"deny\"` is set",
            )),
            _ => return session::failure(error, signer),
        };
        let error = Box::new(error);
        Failure::Library { error, advice }
    })
}

async fn input(run: &Run) -> Result<Bytes, Failure> {
    match (&run.input, &run.input_file) {
        (Some(text), _) => Ok(Bytes::from(text.clone())),
        (None, Some(path)) if path == Path::new("-") => {
            let input = session::stdin(u64::MAX).await;
            let input = input.map_err(|error| Failure::other("stdin can't be read", error))?;
            Ok(input.to_vec().into())
        }
        (None, Some(path)) => tokio::fs::read(path)
            .await
            .map(Bytes::from)
            .map_err(|error| {
                Failure::other(
                    format!("the input file `{}` can't be read", path.display()),
                    error,
                )
            }),
        (None, None) => Ok(Bytes::new()),
    }
}
