//! Adds a plugin to a config file, and changes nothing else in it.

use std::io::Read as _;
use std::path::Path;

use figment::providers::{Format as _, Toml};
use figment::value::Value;
use qmt_storage::{ReplaceOptions, replace};

use super::file::{Syntax, read_text};
use super::{ConfigError, ConfigFile, ProviderConfig, check};

const BYTE_ORDER_MARK: &str = "\u{feff}";

impl ConfigFile {
    /// Returns the config with another plugin, as [`Self::append`] would write it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ProviderName`] if no plugin can have the name, [`ConfigError::Contradiction`] if the
    /// config would be refused, such as for a second plugin with the name, and the errors of
    /// [`Self::append`].
    pub fn with_provider(&self, name: &str, path: &str) -> Result<Self, ConfigError> {
        if let Some(rule) = check::name_rule(name).or_else(|| check::option_rule(name)) {
            let name = name.to_owned();
            return Err(ConfigError::ProviderName { name, rule });
        }
        let mut config = self.config().clone();
        config.providers.push(ProviderConfig::new(name, path));
        let file = self.with_config(config)?;
        self.appended(name, path)?;
        Ok(file)
    }

    /// Appends a plugin to the file on disk, which must be TOML. All other lines stay as they are.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotAppendable`] if the file is not TOML, or lists its plugins in one value,
    /// [`ConfigError::Read`] and [`ConfigError::Write`].
    pub fn append(&self, name: &str, path: &str) -> Result<(), ConfigError> {
        let text = self.appended(name, path)?;
        let write = |source| ConfigError::Write {
            path: self.path().to_owned(),
            source,
        };
        let options = mode_of(self.path()).map_err(write)?.follow_symlink();
        let mark = if has_byte_order_mark(self.path()).map_err(write)? {
            BYTE_ORDER_MARK
        } else {
            ""
        };
        replace(self.path(), format!("{mark}{text}").as_bytes(), options).map_err(write)
    }

    fn appended(&self, name: &str, path: &str) -> Result<String, ConfigError> {
        let refused = || ConfigError::NotAppendable {
            path: self.path().to_owned(),
        };
        if Syntax::of(self.path()) != Some(Syntax::Toml) {
            return Err(refused());
        }
        let (text, _) = read_text(self.path())?;
        let string = |value: &str| toml::Value::from(value).to_string();
        let (name, path) = (string(name), string(path));
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let gap = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            end
        };
        let added = [
            "[[providers]]".to_owned(),
            format!("name = {name}"),
            format!("path = {path}{end}"),
        ];
        let text = format!("{text}{gap}{end}{}", added.join(end));
        // An array of tables can't be added to a value in brackets.
        Toml::from_str::<Value>(&text).map_err(|_| refused())?;
        Ok(text)
    }
}

/// Reports whether the file begins with the byte order mark that some editors write.
fn has_byte_order_mark(path: &Path) -> std::io::Result<bool> {
    let mut beginning = Vec::new();
    let file = qmt_storage::files::open_regular(path)?;
    file.take(BYTE_ORDER_MARK.len() as u64)
        .read_to_end(&mut beginning)?;
    Ok(beginning == BYTE_ORDER_MARK.as_bytes())
}

/// Returns options that keep the mode of the file at `path`.
fn mode_of(path: &Path) -> std::io::Result<ReplaceOptions> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path)?.permissions().mode();
        Ok(ReplaceOptions::SHARED.mode(mode & 0o777))
    }
    #[cfg(not(unix))]
    {
        std::fs::metadata(path).map(|_| ReplaceOptions::SHARED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "oci://ghcr.io/my-org/two:1";

    fn file(name: &str, text: &str) -> (tempfile::TempDir, ConfigFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let file = ConfigFile::read(&path).unwrap();
        (folder, file)
    }

    #[test]
    fn everything_else_in_the_file_stays() {
        let first = "# ours\n[[providers]]\nname = \"one\"   # the first\npath = \"oci://a.b/one\"";
        let (_folder, file) = file("plugins.toml", first);
        file.with_provider("two", PATH).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), first);
        file.append("two", PATH).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let added = format!("\n\n[[providers]]\nname = \"two\"\npath = \"{PATH}\"\n");
        assert_eq!(text, format!("{first}{added}"));
        let config = ConfigFile::read(file.path()).unwrap();
        let names = config.config().providers.iter().map(|it| it.name.clone());
        assert_eq!(names.collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn byte_order_mark_and_line_ends_stay() {
        let first = "\u{feff}[oci]\r\nparallel = 2\r\n";
        let (_folder, file) = file("plugins.toml", first);
        file.append("two", PATH).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let added = format!("\r\n[[providers]]\r\nname = \"two\"\r\npath = \"{PATH}\"\r\n");
        assert_eq!(text, format!("{first}{added}"));
        assert_eq!(
            ConfigFile::read(file.path()).unwrap().config().oci.parallel,
            Some(2)
        );
    }

    #[test]
    fn a_name_is_given_once() {
        let (_folder, file) = file("plugins.toml", "");
        file.append("two", PATH).unwrap();
        let file = ConfigFile::read(file.path()).unwrap();
        let error = file.with_provider("two", PATH).unwrap_err();
        assert!(
            matches!(error, ConfigError::Contradiction { .. }),
            "{error:?}"
        );
    }

    #[test]
    fn a_new_name_is_not_an_option() {
        let (_folder, file) = file("plugins.toml", "");
        let error = file.with_provider("-p", PATH).unwrap_err();
        assert!(error.to_string().contains("as an option"), "{error}");
    }

    #[test]
    fn only_toml_with_tables_can_be_appended_to() {
        let inline = "providers = [{ name = \"one\", path = \"oci://a.b/one\" }]\n";
        for (name, text) in [
            ("plugins.toml", inline),
            ("plugins.json", "{}"),
            ("plugins.yaml", "providers: []\n"),
        ] {
            let (_folder, file) = file(name, text);
            for error in [
                file.with_provider("two", PATH).unwrap_err(),
                file.append("two", PATH).unwrap_err(),
            ] {
                let is_refused = matches!(error, ConfigError::NotAppendable { .. });
                assert!(is_refused, "{name}: {error:?}");
            }
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_mode_of_the_file_stays() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, file) = file("plugins.toml", "");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file.path(), private).unwrap();
        file.append("two", PATH).unwrap();
        let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
