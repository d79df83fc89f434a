//! Which plugin a call is about: one of the config, or an image by its reference.

use std::fmt;
use std::path::Path;

use qmt_oci_ref::Repository;

use crate::config::spelling::nearest;
use crate::config::{Config, ConfigFile, ProviderConfig};
use crate::error::Error;
use crate::events::EventSink;
use crate::source::{PluginSource, SourceError, begins_with_host};

/// The name that errors about a provider in code give instead of a config file.
const IN_CODE: &str = "the provider of a target";

/// A plugin of the config, or an image by its reference.
#[derive(Clone)]
pub struct Target {
    provider: ProviderConfig,
    source: PluginSource,
    is_configured: bool,
    events: Option<EventSink>,
}

impl Target {
    /// Returns the provider called `text`, else the image or the file that `text` names, as
    /// [`PluginSource::parse_argument`] reads it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownPlugin`] if it can only be a name. [`Error::Source`] if it is neither, or an
    /// image of Docker Hub without its host's name, and a file of that name exists.
    pub fn parse(config: &Config, text: &str) -> Result<Self, Error> {
        if let Some(provider) = config.provider(text) {
            return Self::of_provider(provider);
        }
        // A plain word could be an image of Docker Hub, but is more likely a misspelled name.
        let is_plain = !text.contains(['/', ':', '@', '.']);
        if is_plain && !is_file_or_layout(Path::new(text)) {
            return Err(unknown(config, text));
        }
        let source = PluginSource::parse_argument(text);
        let is_file = matches!(source, Ok(PluginSource::File(_)));
        if !is_file
            && names_no_registry(text)
            && is_file_or_layout(Path::new(text))
            && let Ok(repository) = text.parse::<Repository>()
        {
            let (path, image) = (text.to_owned(), repository.to_string());
            return Err(Error::source(
                text,
                SourceError::FileOrImage { path, image },
            ));
        }
        let source = source.map_err(|source| Error::source(text, source))?;
        Ok(Self::of_source(source))
    }

    /// Returns the provider called `text`, else all providers with `text` as their reference, else
    /// the image with that reference.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_all(config: &Config, text: &str) -> Result<Vec<Self>, Error> {
        let target = Self::parse(config, text)?;
        if target.is_configured {
            return Ok(vec![target]);
        }
        let providers = config.providers.iter().map(Self::of_provider);
        let mut targets: Vec<Self> = providers
            .filter_map(Result::ok)
            .filter(|provider| provider.source == target.source)
            .collect();
        if targets.is_empty() {
            targets.push(target);
        }
        Ok(targets)
    }

    /// Returns the provider called `name`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownPlugin`], with the most similar name.
    pub fn named(config: &Config, name: &str) -> Result<Self, Error> {
        match config.provider(name) {
            Some(provider) => Self::of_provider(provider),
            None => Err(unknown(config, name)),
        }
    }

    /// Returns a plugin that the host program describes, with its name, rights, limits and
    /// configuration, as `[[providers]]` of a config would. It is treated as a plugin of the
    /// config: relative paths start at the config's folder, and what it was resolved to and its
    /// signer are recorded in the lockfile under its name, which no other plugin may have.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the config would be refused with this provider.
    pub fn from_provider(provider: ProviderConfig) -> Result<Self, Error> {
        let name = provider.name.clone();
        let mut config = Config::default();
        config.providers.push(provider);
        let file = ConfigFile::in_memory(IN_CODE, config)?;
        Self::named(file.config(), &name)
    }

    fn of_provider(provider: &ProviderConfig) -> Result<Self, Error> {
        let source = PluginSource::parse(&provider.path, provider.sha256.as_deref())
            .map_err(|source| Error::source(&provider.path, source))?;
        Ok(Self {
            provider: provider.clone(),
            source,
            is_configured: true,
            events: None,
        })
    }

    /// Returns a plugin that the config does not name. It gets no configuration and no rights. A
    /// relative path starts at the working folder, not at the config's.
    pub fn of_source(source: PluginSource) -> Self {
        let name = source.to_string();
        Self {
            provider: ProviderConfig::new(name.clone(), name),
            source,
            is_configured: false,
            events: None,
        }
    }

    /// Allows native code without a verified signature, as `allow.native = true` does in the
    /// config.
    #[must_use]
    pub fn with_native_allowed(mut self) -> Self {
        self.provider.allow.native = Some(true);
        self
    }

    /// Sends the events about this target to `sink` as well as to that of the host, such as for the
    /// progress bar of one call. Events of the cache and of registries, which can be about several
    /// plugins, go to the host's sink alone.
    #[must_use]
    pub fn with_events(mut self, sink: EventSink) -> Self {
        self.events = Some(sink);
        self
    }

    /// Returns the provider's name, or the reference if the config does not name it.
    pub fn name(&self) -> &str {
        &self.provider.name
    }

    /// Returns where the plugin comes from.
    pub fn source(&self) -> &PluginSource {
        &self.source
    }

    /// Returns the source with its path made absolute: paths in the config start at its `folder`.
    pub(crate) fn located(&self, folder: &Path) -> PluginSource {
        if self.is_configured {
            self.source.clone().relative_to(folder)
        } else {
            // The shell does not replace `~` within a reference.
            self.source.clone().relative_to(Path::new(""))
        }
    }

    /// Reports whether it has a provider: one of the config, or that of [`Self::from_provider`].
    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    pub(crate) fn events(&self) -> Option<&EventSink> {
        self.events.as_ref()
    }

    pub(crate) fn provider(&self) -> &ProviderConfig {
        &self.provider
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("provider", &self.provider)
            .field("source", &self.source)
            .field("is_configured", &self.is_configured)
            .finish_non_exhaustive()
    }
}

/// Reports whether an image is named by its repository alone, as only those of Docker Hub can be.
fn names_no_registry(text: &str) -> bool {
    !text.contains([':', '@']) && !begins_with_host(text)
}

/// Reports whether the path is that of a file, or of the folder of a layout.
fn is_file_or_layout(path: &Path) -> bool {
    path.is_file() || path.join("oci-layout").is_file()
}

fn unknown(config: &Config, name: &str) -> Error {
    let known: Vec<String> = config
        .providers
        .iter()
        .map(|provider| provider.name.clone())
        .collect();
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
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
    fn a_reference_leads_to_its_plugins() {
        let names = |text: &str| -> Vec<String> {
            let targets = Target::parse_all(&config(), text).unwrap();
            targets
                .iter()
                .map(|target| target.name().to_owned())
                .collect()
        };
        assert_eq!(names("echo"), ["echo"]);
        assert_eq!(names("a.b/c"), ["echo", "greeter"]);
        assert_eq!(names("oci://a.b/c:latest"), ["echo", "greeter"]);
        assert_eq!(names("a.b/c:2"), ["oci://a.b/c:2"]);
    }

    #[test]
    fn a_misspelled_name_gets_the_most_similar_one() {
        let error = Target::parse(&config(), "gretter").unwrap_err().to_string();
        assert!(error.contains("did you mean `greeter`?"), "{error}");
        assert!(error.ends_with("it names `echo`, `greeter`"), "{error}");
        assert!(Target::named(&config(), "ghcr.io/acme/echo:1").is_err());
        assert!(matches!(
            Target::parse(&config(), "ghcr.io/Acme"),
            Err(Error::Source { .. })
        ));
    }
}
