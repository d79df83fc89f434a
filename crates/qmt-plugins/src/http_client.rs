//! The HTTP client for registries, with the options of the config.

use std::sync::Arc;

use qmt_oci_ref::text::counted;
use qmt_oci_ref::{RegistryError, RegistryErrorKind, RegistryHost};
use qmt_registry::credentials::{CredentialChain, CredentialOrigin};
use qmt_registry::{HostOptions, HttpRegistry, MirrorOptions, Mirrors, RegistryEvent};

use crate::config::path::join;
use crate::config::{ConfigFile, RegistryConfig};
use crate::events::{Event, EventSink};

/// Builds the client. Nothing is connected yet; the files of certificates are read when their registry
/// is.
pub(crate) fn build(
    file: &ConfigFile,
    events: Option<EventSink>,
) -> Result<HttpRegistry, RegistryError> {
    let config = file.config();
    let mut builder =
        HttpRegistry::builder().credentials(Arc::new(CredentialChain::from_environment()));
    for (name, registry) in &config.registries {
        // `config/check.rs` has parsed every name.
        if let Ok(host) = name.parse::<RegistryHost>() {
            builder = builder.host(host, options(file, registry));
        }
    }
    if let Some(timeout) = config.oci.timeout {
        builder = builder.timeout(timeout.duration());
    }
    if let Some(sink) = events {
        builder = builder.events(Arc::new(move |event| forward(&sink, &event)));
    }
    builder.deferred().build()
}

/// Puts the mirrors of the config in front of `client`, with the options that their own tables set.
pub(crate) fn mirrors(client: HttpRegistry, file: &ConfigFile) -> Result<Mirrors, RegistryError> {
    let registries = &file.config().registries;
    let mut mirrors = Mirrors::new(client);
    for (name, registry) in registries {
        let Ok(host) = name.parse::<RegistryHost>() else {
            continue;
        };
        for mirror in &registry.mirrors {
            let parsed = mirror.parse::<MirrorOptions>();
            let mut parsed = parsed
                .map_err(|error| RegistryError::new(RegistryErrorKind::Configuration, error))?;
            if let Some(table) = file.config().registry(parsed.host()) {
                let plain_http = table.plain_http || mirror.starts_with("http://");
                parsed = parsed
                    .authoritative(table.resolve_tags)
                    .options(options(file, table).plain_http(plain_http));
            }
            mirrors = mirrors.mirror(&host, parsed)?;
        }
    }
    Ok(mirrors)
}

fn options(file: &ConfigFile, registry: &RegistryConfig) -> HostOptions {
    let folder = file.folder();
    let mut options = HostOptions::new().plain_http(registry.plain_http);
    if let Some(path) = &registry.ca_file {
        options = options.ca_file(join(folder, path));
    }
    if let (Some(cert), Some(key)) = (&registry.client_cert, &registry.client_key) {
        options = options.client_certificate(join(folder, cert), join(folder, key));
    }
    if let Some(proxy) = &registry.proxy {
        options = options.proxy(proxy.clone());
    }
    let realms = registry.allow_realms.iter();
    realms.fold(options, |options, realm| options.allow_realm(realm.clone()))
}

fn forward(sink: &EventSink, event: &RegistryEvent) {
    let plugin = "registry".to_owned();
    let message = match event {
        RegistryEvent::Resumed {
            digest,
            offset,
            host,
        } => {
            let message = format!("{digest}: resuming at byte {offset}, from {host}");
            return sink(Event::Note { plugin, message });
        }
        RegistryEvent::Retry {
            url,
            attempt,
            wait,
            asked_for,
            reason,
        } => {
            let why = if *asked_for {
                "as requested"
            } else {
                "before the next attempt"
            };
            format!(
                "{url}: attempt {attempt} failed ({reason}); waiting {:.1} s {why}",
                wait.as_secs_f32()
            )
        }
        RegistryEvent::RateLimit {
            host,
            limit,
            remaining,
            ..
        } => {
            // Every response says it; it is worth a warning only near the limit.
            if *remaining > limit.unwrap_or(0) / 10 {
                return;
            }
            let pulls = counted(*remaining, "more pull");
            format!("{host} allows {pulls}; many registries allow more after a login")
        }
        RegistryEvent::MirrorSkipped {
            mirror,
            reason,
            wrong_content,
        } => {
            let what = if *wrong_content {
                "sent wrong content"
            } else {
                "was skipped"
            };
            format!("the mirror {mirror} {what}: {reason}")
        }
        RegistryEvent::CredentialSkipped { host, reason }
        | RegistryEvent::CredentialRefused {
            host,
            answer: Some(reason),
            ..
        } => {
            format!("continuing without a credential for {host}: {reason}")
        }
        RegistryEvent::CredentialRefused {
            host,
            repository,
            origin,
            answer: None,
        } => {
            let credential = match origin {
                CredentialOrigin::Variables(_) => format!("credential in {origin}"),
                _ => "stored credential".to_owned(),
            };
            format!("{host} refused the {credential} for {repository}; continuing without one")
        }
        _ => return,
    };
    sink(Event::Warning { plugin, message });
}
