//! The HTTP client for registries, as the config wants it.

use std::collections::BTreeMap;
use std::sync::Arc;

use qmt_oci_ref::RegistryHost;
use qmt_registry::{
    CredentialChain, HostOptions, HttpRegistry, MirrorOptions, RegistryError, RegistryEvent,
};

use crate::config::{ConfigFile, RegistryConfig};
use crate::events::{Event, EventSink};

/// Builds the client. Nothing is connected yet, but the files of certificates are read.
pub(crate) fn build(
    file: &ConfigFile,
    events: Option<EventSink>,
) -> Result<HttpRegistry, RegistryError> {
    let config = file.config();
    let mut builder =
        HttpRegistry::builder().credentials(Arc::new(CredentialChain::from_environment()));
    for (name, registry) in &config.registries {
        // `config/check.rs` has parsed every name already.
        if let Ok(host) = name.parse::<RegistryHost>() {
            builder = builder.host(host, options(file, registry, &config.registries));
        }
    }
    if let Some(timeout) = config.oci.timeout {
        builder = builder.timeout(timeout.duration());
    }
    if let Some(sink) = events {
        builder = builder.events(Arc::new(move |event| forward(&sink, &event)));
    }
    builder.build()
}

/// The options of one registry; its mirrors bring those of their own tables.
fn options(
    file: &ConfigFile,
    registry: &RegistryConfig,
    all: &BTreeMap<String, RegistryConfig>,
) -> HostOptions {
    let folder = file.folder();
    let mut options = HostOptions::new().plain_http(registry.plain_http);
    if let Some(path) = &registry.ca_file {
        options = options.ca_file(folder.join(path));
    }
    if let (Some(cert), Some(key)) = (&registry.client_cert, &registry.client_key) {
        options = options.client_certificate(folder.join(cert), folder.join(key));
    }
    if let Some(proxy) = &registry.proxy {
        options = options.proxy(proxy.clone());
    }
    for realm in &registry.allow_realms {
        options = options.allow_realm(realm.clone());
    }
    for mirror in &registry.mirrors {
        let Ok(parsed) = mirror.parse::<MirrorOptions>() else {
            continue;
        };
        let own = all.get(
            mirror
                .trim_start_matches("http://")
                .trim_start_matches("https://")
                .split('/')
                .next()
                .unwrap_or_default(),
        );
        options = options.mirror(match own {
            Some(own) => {
                let table = RegistryConfig {
                    mirrors: Vec::new(),
                    ..own.clone()
                };
                let plain = own.plain_http || mirror.starts_with("http://");
                parsed
                    .authoritative(own.resolve_tags)
                    .options(self::options(file, &table, all).plain_http(plain))
            }
            None => parsed,
        });
    }
    options
}

fn forward(sink: &EventSink, event: &RegistryEvent) {
    let message = match event {
        RegistryEvent::Retry {
            url,
            attempt,
            wait,
            asked_for,
            reason,
        } => {
            let who = if *asked_for {
                "as it asked"
            } else {
                "before the next try"
            };
            format!(
                "{url}: try {attempt} failed ({reason}); waiting {:.1} s {who}",
                wait.as_secs_f32()
            )
        }
        RegistryEvent::Resumed {
            digest,
            offset,
            host,
        } => {
            format!("{digest}: going on at byte {offset}, from {host}")
        }
        RegistryEvent::RateLimit {
            host,
            limit,
            remaining,
            ..
        } => {
            // Every answer of such a registry says it; only the end of it is news.
            if *remaining > limit.unwrap_or(0) / 10 {
                return;
            }
            format!("{host} allows {remaining} more pulls; log in to raise the limit")
        }
        RegistryEvent::MirrorSkipped {
            mirror,
            reason,
            lied,
        } => {
            let what = if *lied {
                "sent other content than was asked for"
            } else {
                "was skipped"
            };
            format!("the mirror {mirror} {what}: {reason}")
        }
        RegistryEvent::CredentialRefused { host, repository } => {
            format!("{host} refused the stored credential for {repository}; going on without")
        }
        _ => return,
    };
    sink(Event::Warning {
        plugin: "registry".to_owned(),
        message,
    });
}
