//! `run`: loads a plugin and calls one export.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use qmt_plugins::config::{ConfigFile, IdentityRule};
use qmt_plugins::loader::Plugin;
use qmt_plugins::verify::VerifyError;
use qmt_plugins::{Error, PluginHost, PluginSource, Target};
use serde_json::json;

use super::CommandResult;
use crate::args::{Global, Run, Signer};
use crate::exit::{Advice, Code, Failure};
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
    let mut builder = session::builder(global, output, file);
    if is_file {
        builder = builder.or_temporary_cache();
    }
    let host = builder.build()?;
    let mut target = session::target(global, &host, &run.target)?;
    if run.allow_native {
        target = target.with_native_allowed();
    }
    let limit = host.load_options(&target).limits.memory_max;
    let input = input(run, limit).await?;
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
        let mut config = file.config().clone();
        config.oci.insecure_skip_signature = true;
        config.oci.identity = IdentityRule::default();
        return Ok(file.with_config(config).map_err(Error::from)?);
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
            _ if target.is_configured() => return error.into(),
            Error::NotVerified {
                source: VerifyError::NoSignature { .. },
                ..
            } => "`--insecure-skip-signature` runs it without one",
            Error::NativeForbidden { .. } => {
                "on the command line, `--allow-native` allows it, unless `native = \"deny\"` is set"
            }
            _ => return session::failure(error, signer),
        };
        Failure::advised(error, Advice::Also(advice))
    })
}

/// Reads the input, of which the plugin takes at most `limit` bytes.
async fn input(run: &Run, limit: u64) -> Result<Bytes, Failure> {
    let more = limit.saturating_add(1);
    let (doing, read) = match (&run.input, &run.input_file) {
        (Some(text), _) => return Ok(Bytes::from(text.clone())),
        (None, None) => return Ok(Bytes::new()),
        (None, Some(path)) if path == Path::new("-") => {
            let input = session::stdin(more).await;
            ("stdin".to_owned(), input.map(|input| input.to_vec()))
        }
        (None, Some(path)) => {
            let file = path.clone();
            let read = session::apart(move || {
                let mut bytes = Vec::new();
                File::open(file)?.take(more).read_to_end(&mut bytes)?;
                Ok(bytes)
            });
            (format!("the input file `{}`", path.display()), read.await)
        }
    };
    let bytes = read.map_err(|error| Failure::other(format!("{doing} can't be read"), error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(Failure::Negative {
            code: Code::Failure,
            message: format!(
                "{doing} has more than {limit} bytes, the most that the plugin takes; `memory_max` in \
                 its `limits` sets this limit"
            ),
        });
    }
    Ok(bytes.into())
}
