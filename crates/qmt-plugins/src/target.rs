//! What a call is about: a plugin of the config, or an image that is named in full.

use std::path::Path;

use crate::config::{Config, ProviderConfig};
use crate::error::Error;
use crate::source::PluginSource;

/// What a call is about.
#[derive(Clone, Debug)]
pub struct Target {
    provider: ProviderConfig,
    source: PluginSource,
    is_configured: bool,
}

impl Target {
    /// Takes the provider called `text`, else takes `text` as a reference.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownPlugin`] where it can only have been a name, [`Error::Source`] where it is
    /// neither.
    pub fn parse(config: &Config, text: &str) -> Result<Self, Error> {
        if let Some(provider) = config.provider(text) {
            return Self::of_provider(provider);
        }
        // A plain word could be an image of Docker Hub, but is far more likely a name mistyped.
        if !text.contains(['/', ':', '@', '.']) {
            return Err(unknown(config, text));
        }
        let source = PluginSource::parse_reference(text).map_err(|source| Error::Source {
            text: text.to_owned(),
            source,
        })?;
        Ok(Self::of_source(source))
    }

    /// Takes the provider called `name`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownPlugin`], with the nearest name.
    pub fn named(config: &Config, name: &str) -> Result<Self, Error> {
        match config.provider(name) {
            Some(provider) => Self::of_provider(provider),
            None => Err(unknown(config, name)),
        }
    }

    fn of_provider(provider: &ProviderConfig) -> Result<Self, Error> {
        let source =
            PluginSource::parse(&provider.path, provider.sha256.as_deref()).map_err(|source| {
                Error::Source {
                    text: provider.path.clone(),
                    source,
                }
            })?;
        Ok(Self {
            provider: provider.clone(),
            source,
            is_configured: true,
        })
    }

    /// Takes an image that the config does not name. It gets no config and no rights. A relative
    /// path starts from the working folder, not from the config's.
    pub fn of_source(source: PluginSource) -> Self {
        let name = source.to_string();
        let provider = ProviderConfig {
            path: name.clone(),
            name,
            ..ProviderConfig::default()
        };
        Self {
            provider,
            source,
            is_configured: false,
        }
    }

    /// Returns the provider's name, or the reference where there is none.
    pub fn name(&self) -> &str {
        &self.provider.name
    }

    /// Returns where the plugin comes from.
    pub fn source(&self) -> &PluginSource {
        &self.source
    }

    /// Returns where it is found from here: what stands in the config is relative to its `folder`.
    pub(crate) fn located(&self, folder: &Path) -> PluginSource {
        if self.is_configured {
            self.source.clone().relative_to(folder)
        } else {
            self.source.clone()
        }
    }

    /// Reports whether the config names it.
    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    pub(crate) fn provider(&self) -> &ProviderConfig {
        &self.provider
    }
}

fn unknown(config: &Config, name: &str) -> Error {
    let known: Vec<String> = config
        .providers
        .iter()
        .map(|provider| provider.name.clone())
        .collect();
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= name.len().div_ceil(2))
        .min()
        .map(|(_, known)| known.clone());
    Error::UnknownPlugin {
        name: name.to_owned(),
        nearest,
        known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let provider = |name: &str| ProviderConfig {
            name: name.to_owned(),
            path: "oci://a.b/c".to_owned(),
            ..ProviderConfig::default()
        };
        Config {
            providers: vec![provider("echo"), provider("greeter")],
            ..Config::default()
        }
    }

    #[test]
    fn names_come_before_references() {
        assert!(Target::parse(&config(), "echo").unwrap().is_configured());
        let ad_hoc = Target::parse(&config(), "ghcr.io/acme/echo:1").unwrap();
        assert_eq!(ad_hoc.name(), "oci://ghcr.io/acme/echo:1");
        assert!(!ad_hoc.is_configured());
        assert!(Target::parse(&config(), "oci-layout://dir:1").is_ok());
    }

    #[test]
    fn mistyped_names_get_the_nearest() {
        let error = Target::parse(&config(), "gretter").unwrap_err().to_string();
        assert!(error.contains("did you mean `greeter`?"), "{error}");
        assert!(Target::named(&config(), "ghcr.io/acme/echo:1").is_err());
        assert!(matches!(
            Target::parse(&config(), "ghcr.io/Acme"),
            Err(Error::Source { .. })
        ));
    }
}
