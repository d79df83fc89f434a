//! `publish`: files → image → registry, and a signature if a key is given.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use qmt_plugins::PluginSource;
use qmt_plugins::config::{Config, scope_problem};
use qmt_plugins::oci_ref::text;
use qmt_plugins::publish::{PublishRequest, Published};
use qmt_plugins::verify::KeySigner;
use serde_json::json;
use zeroize::Zeroizing;

use super::CommandResult;
use super::accepting::config_lines;
use crate::args::{Global, Publish};
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::session;
use crate::text::counted;

/// Largest key file that is read, in bytes.
const KEY_BYTES_MAX: u64 = 64 * 1024;

/// Pushes, then prints the digest and how to sign it.
pub(crate) async fn publish(global: &Global, output: &Output, publish: &Publish) -> CommandResult {
    if publish.wasm.is_none() && publish.native.is_empty() {
        return Err(Failure::usage(
            "there is nothing to publish: give `--wasm` or `--native`",
        ));
    }
    let destination = PluginSource::parse_destination(&publish.reference).map_err(|error| {
        let shown = text::without_credentials(&publish.reference);
        Failure::usage(format!(
            "`{shown}` is not a destination to publish to: {}",
            text::messages(&error).join(": ")
        ))
    })?;
    if !destination.is_mutable() {
        return Err(Failure::usage(format!(
            "`{destination}` is not a destination to publish to: a destination has a tag, and no \
             digest"
        )));
    }
    let mut request = PublishRequest::new(destination.clone()).created_at(source_date_epoch()?);
    if let Some(file) = &publish.wasm {
        request = request.with_wasm(file);
    }
    for (platform, file) in &publish.native {
        request = request.with_native(platform.clone(), file);
    }
    for (name, value) in annotations(publish)? {
        request = request.with_annotation(name, value);
    }
    let mut public_key = None;
    if let Some(file) = &publish.sign_key {
        let signer = signer(file)?;
        let name = file.with_extension("pub");
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        public_key = Some((name.into_owned(), signer.public_key_pem()));
        request = request.signed_by(signer);
    }
    let config = session::config_or_default(global, output)?;
    let plain_http = is_plain_http(config.config(), &destination);
    let builder = session::builder(global, output, config);
    let host = builder.or_temporary_cache().without_lockfile().build()?;
    let published = host.publish(&request).await?;
    let image = format!("{}@{}", published.reference.repository(), published.digest);
    let http = if plain_http {
        " --allow-http-registry"
    } else {
        ""
    };
    // cosign only supports registries.
    let is_in_registry = matches!(destination, PluginSource::Registry(_));
    let sign = is_in_registry.then(|| format!("cosign sign{http} {image}"));
    let verify = public_key
        .as_ref()
        .filter(|_| is_in_registry)
        .map(|(key, _)| {
            let key = text::shell_word(key);
            format!("cosign verify --key {key} --insecure-ignore-tlog=true{http} {image}")
        });
    let mut rows = vec![
        ("published", published.destination.clone()),
        ("digest", published.digest.to_string()),
        ("size", counted(published.size, "byte")),
        ("manifests", published.manifests.len().to_string()),
    ];
    if let Some(signature) = &published.signature {
        rows.push(("signed by", signature.signer.to_string()));
    }
    rows.push(match (&verify, &sign, &published.signature) {
        (Some(verify), ..) => ("verify it", verify.clone()),
        (None, Some(sign), _) => ("sign it", sign.clone()),
        (None, None, None) => {
            let next = "copy it to a registry, and sign it there";
            ("next", next.to_owned())
        }
        (None, None, Some(_)) => {
            let next = "copy it to a registry, together with the signature that refers to it";
            ("next", next.to_owned())
        }
    });
    let mut text = output::table(&rows);
    if let Some((name, pem)) = &public_key {
        text.push_str(&accepting(output, &published, name, pem));
    }
    output.result(
        &json!({ "published": published, "sign": sign, "verify": verify }),
        &text,
    )
}

/// Returns what a host needs to accept a signature that is in no transparency log.
fn accepting(output: &Output, published: &Published, name: &str, pem: &str) -> String {
    let key = json!(name);
    let line = format!("any_of = [{{ key = {key}, transparency_log = \"optional\" }}]");
    let reference = published.reference.to_string();
    let lines = match scope_problem(&reference) {
        None => format!(
            "with these config lines:\n\n{}",
            config_lines(output, &reference, &line)
        ),
        Some(problem) => format!("with a policy in it; {problem}"),
    };
    format!(
        "\nhosts accept this signature with the public key below in `{name}` next to their config, and \
         {lines}\n\n{}\n",
        pem.trim_end()
    )
}

/// Collects the annotations of all options. A duplicate is an error, because one of them would be
/// lost.
fn annotations(publish: &Publish) -> Result<BTreeMap<&str, &str>, Failure> {
    let options = [
        ("org.opencontainers.image.title", &publish.title),
        ("org.opencontainers.image.version", &publish.image_version),
    ];
    let named = options
        .iter()
        .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let given = publish
        .annotation
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut all = BTreeMap::new();
    for (name, value) in named.chain(given) {
        if all.insert(name, value).is_some() {
            return Err(Failure::usage(format!(
                "the annotation `{name}` is given twice"
            )));
        }
    }
    Ok(all)
}

/// Reads the signing key. This is done before anything is sent.
fn signer(file: &Path) -> Result<KeySigner, Failure> {
    session::require_key_file(file)?;
    let mut pem = Zeroizing::new(Vec::new());
    File::open(file)
        .and_then(|key| key.take(KEY_BYTES_MAX + 1).read_to_end(&mut pem))
        .map_err(|error| Failure::key(file, error))?;
    let password = std::env::var("COSIGN_PASSWORD").ok().map(Zeroizing::new);
    let password = password.as_ref().map(|password| password.as_str());
    KeySigner::from_pem(&pem, password).map_err(|error| Failure::key(file, error))
}

/// Reports whether the config uses the registry without TLS, because cosign needs an option then.
fn is_plain_http(config: &Config, destination: &PluginSource) -> bool {
    let PluginSource::Registry(reference) = destination else {
        return false;
    };
    let host = reference.repository().host();
    config
        .registry(host)
        .is_some_and(|registry| registry.plain_http)
}

/// Returns the time for reproducible builds; default: 1970.
fn source_date_epoch() -> Result<u64, Failure> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(0),
        Ok(text) if text.is_empty() => Ok(0),
        Ok(text) => text.trim().parse().map_err(|_| {
            Failure::usage("SOURCE_DATE_EPOCH must be a number of seconds since 1970")
        }),
    }
}
