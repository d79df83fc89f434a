//! The registries that the config uses.

use std::collections::BTreeSet;

use qmt_oci_ref::{RegistryHost, Repository};
use qmt_registry::MirrorOptions;

use super::{Config, RegistryConfig};
use crate::source::PluginSource;

impl Config {
    /// Returns the table of a registry, however its name is written.
    pub fn registry(&self, host: &RegistryHost) -> Option<&RegistryConfig> {
        let is_of = |name: &str| name.parse().is_ok_and(|named: RegistryHost| named == *host);
        let mut tables = self.registries.iter();
        tables.find_map(|(name, table)| is_of(name).then_some(table))
    }

    /// Returns the registries of the plugins and of their signatures, and the mirrors of these
    /// registries.
    pub fn registries_in_use(&self) -> BTreeSet<RegistryHost> {
        let mut hosts: BTreeSet<RegistryHost> = self.plugin_registries().collect();
        let signatures = self.oci.signature_repository.as_ref();
        let signatures = signatures.and_then(|text| text.parse::<Repository>().ok());
        hosts.extend(signatures.map(|repository| repository.host().clone()));
        let tables = hosts.iter().filter_map(|host| self.registry(host));
        let mirrors = tables.flat_map(|table| &table.mirrors);
        // Those that can't be parsed were refused when the config was read.
        let mirrors = mirrors.filter_map(|mirror| mirror.parse::<MirrorOptions>().ok());
        let mirrors: Vec<RegistryHost> = mirrors.map(|mirror| mirror.host().clone()).collect();
        hosts.extend(mirrors);
        hosts
    }

    /// Returns a warning for each table of a registry that is not in use, if a plugin uses a similar
    /// registry without a table: the name is probably misspelled.
    pub(crate) fn misspelled_registries(&self) -> Vec<String> {
        let in_use = self.registries_in_use();
        let names = self.registries.keys().filter_map(|name| name.parse().ok());
        let unused = names.filter(|host: &RegistryHost| !in_use.contains(host));
        let similar = unused.filter_map(|unused| {
            let mut candidates = self
                .plugin_registries()
                .filter(|host| self.registry(host).is_none());
            let other = candidates.find(|host| {
                host.host() == unused.host()
                    || strsim::damerau_levenshtein(host.as_str(), unused.as_str()) <= 2
            })?;
            Some(format!(
                "no plugin uses the registry of `[registries.\"{unused}\"]`; did you mean \
                 `[registries.\"{other}\"]`?"
            ))
        });
        similar.collect()
    }

    fn plugin_registries(&self) -> impl Iterator<Item = RegistryHost> {
        self.providers.iter().filter_map(|provider| {
            match PluginSource::parse(&provider.path, None).ok()? {
                PluginSource::Registry(reference) => Some(reference.repository().host().clone()),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use qmt_oci_ref::RegistryHost;

    use crate::config::{Config, ProviderConfig, RegistryConfig};

    #[test]
    fn tables_are_found_by_host_and_not_by_spelling() {
        let config = config(
            "oci://ghcr.io/a/b:1",
            &[("GHCR.io", &["m.example"]), ("docker.io", &[])],
        );
        let mirrors = |host: &str| Some(config.registry(&host.parse().unwrap())?.mirrors.len());
        assert_eq!(mirrors("ghcr.io"), Some(1));
        assert_eq!(mirrors("index.docker.io"), Some(0));
        assert_eq!(mirrors("quay.io"), None);
        let hosts = config.registries_in_use();
        let hosts: Vec<&str> = hosts.iter().map(RegistryHost::as_str).collect();
        assert_eq!(hosts, ["ghcr.io", "m.example"]);
    }

    #[test]
    fn the_registry_of_the_signatures_is_in_use() {
        let mut config = config("oci://registry.corp/a/b:1", &[("registry.corp:5443", &[])]);
        assert_eq!(config.misspelled_registries().len(), 1);
        config.oci.signature_repository = Some("registry.corp:5443/signatures".to_owned());
        assert_eq!(config.misspelled_registries(), [] as [String; 0]);
        let hosts = config.registries_in_use();
        let hosts: Vec<&str> = hosts.iter().map(RegistryHost::as_str).collect();
        assert_eq!(hosts, ["registry.corp", "registry.corp:5443"]);
    }

    fn config(image: &str, registries: &[(&str, &[&str])]) -> Config {
        let mut config = Config::default();
        config.providers.push(ProviderConfig::new("p", image));
        for (name, mirrors) in registries {
            let table = RegistryConfig {
                mirrors: mirrors.iter().map(|mirror| (*mirror).to_owned()).collect(),
                ..RegistryConfig::default()
            };
            config.registries.insert((*name).to_owned(), table);
        }
        config
    }

    #[test]
    fn a_misspelled_table_is_named_with_the_registry_in_use() {
        for (registries, similar) in [
            (&[("ghrc.io", &[][..])][..], Some("ghcr.io")),
            (&[("ghcr.io:443", &[])], Some("ghcr.io")),
            (&[("ghcr.io", &[])], None),
            (&[("quay.io", &[])], None),
            // It has a table of its own, and the other one is that of its mirror.
            (&[("ghcr.io", &["ghcr.in/a"]), ("ghcr.in", &[])], None),
        ] {
            let config = config("oci://ghcr.io/a/b:1", registries);
            let warnings = config.misspelled_registries();
            match similar {
                None => assert_eq!(warnings, [] as [String; 0], "{registries:?}"),
                Some(host) => {
                    let meant = format!("`[registries.\"{host}\"]`?");
                    assert!(warnings[0].ends_with(&meant), "{warnings:?}");
                }
            }
        }
    }

    #[test]
    fn the_mirrors_of_registries_in_use_are_in_use() {
        let registries = [
            ("ghcr.io", &["http://m.example:5000/ghcr"][..]),
            ("quay.io", &["n.example"]),
        ];
        let config = config("oci://ghcr.io/a/b:1", &registries);
        let hosts = config.registries_in_use();
        let hosts: Vec<&str> = hosts.iter().map(RegistryHost::as_str).collect();
        assert_eq!(hosts, ["ghcr.io", "m.example:5000"]);
    }
}
