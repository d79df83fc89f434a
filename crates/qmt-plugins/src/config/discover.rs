//! Where a config file is searched for if none is named.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::path::expand;
use super::writers::{Owner, owner};
use super::{ConfigError, ConfigFile};

/// The file names that are searched for, without extension.
const NAMES: [&str; 3] = ["extism_plugins", "plugins", "providers"];
const ENDINGS: [&str; 4] = ["toml", "json", "yaml", "yml"];
/// The variable that names the config file; no folder is searched then.
const PATH_VARIABLE: &str = "QMT_PROVIDER_CONFIG";

impl ConfigFile {
    /// Reads the first config file that exists: the one that `QMT_PROVIDER_CONFIG` names, else
    /// `extism_plugins`, `plugins` or `providers` (`.toml`, `.json`, `.yaml`, `.yml`) in
    /// `QMT_CONFIG_DIR`, `QMT_HOME`, `~/.qmt`, and the platform's config folder.
    ///
    /// The working folder is not searched: a program that is started in a cloned repository would
    /// take its policy from there. [`Self::discover_in`] does it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotFound`] with all folders, or those of [`Self::read`].
    pub fn discover() -> Result<Self, ConfigError> {
        discover(None, &NAMES, Folders::of_environment()?)
    }

    /// As [`Self::discover`], but searches for files called one of `names`, in their order and
    /// without extension: for hosts whose config has another name.
    ///
    /// # Errors
    ///
    /// Those of [`Self::discover`].
    pub fn discover_named(names: &[&str]) -> Result<Self, ConfigError> {
        discover(None, names, Folders::of_environment()?)
    }

    /// As [`Self::discover`], but searches `folder` as well: first for a file that belongs to this
    /// user, and last for one of root. A file of any other user is not taken.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ForeignOwner`] if there is only a file of another user, or those of
    /// [`Self::discover`].
    pub fn discover_in(folder: impl AsRef<Path>) -> Result<Self, ConfigError> {
        discover(Some(folder.as_ref()), &NAMES, Folders::of_environment()?)
    }
}

/// What the environment says about config files.
struct Folders {
    /// The file that `QMT_PROVIDER_CONFIG` names.
    file: Option<PathBuf>,
    /// Where a file is searched for if none is named.
    folders: Vec<PathBuf>,
}

impl Folders {
    fn of_environment() -> Result<Self, ConfigError> {
        let variable = |name: &str| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            let expanded = value.map(|path| expand(Path::new(&path))).transpose();
            expanded.map_err(|rule| ConfigError::VariableValue {
                name: name.to_owned(),
                problem: rule.to_owned(),
            })
        };
        let file = variable(PATH_VARIABLE)?;
        if file.is_some() {
            let folders = Vec::new();
            return Ok(Self { file, folders });
        }
        let mut folders: Vec<PathBuf> = [variable("QMT_CONFIG_DIR")?, variable("QMT_HOME")?]
            .into_iter()
            .flatten()
            .collect();
        if let Some(home) = directories::BaseDirs::new() {
            folders.push(home.home_dir().join(".qmt"));
            folders.push(home.config_dir().join("querymt"));
        }
        Ok(Self { file, folders })
    }
}

fn discover(
    working: Option<&Path>,
    names: &[&str],
    environment: Folders,
) -> Result<ConfigFile, ConfigError> {
    let Folders { file, mut folders } = environment;
    if let Some(path) = file {
        return match ConfigFile::read(&path) {
            Err(ConfigError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Err(ConfigError::VariableValue {
                    name: PATH_VARIABLE.to_owned(),
                    problem: format!("there is no file {}", path.display()),
                })
            }
            read => read,
        };
    }
    let in_working = |owner: Owner| {
        let mut files = candidates(working?, names);
        files.find(|path| is_there(path) && owner_of(path) == owner)
    };
    if let Some(path) = in_working(Owner::Own) {
        return ConfigFile::read(path);
    }
    let candidates = folders.iter().flat_map(|folder| candidates(folder, names));
    let known = candidates.into_iter().find(|path| is_there(path));
    let known = known.or_else(|| in_working(Owner::Root));
    match (known, in_working(Owner::Other)) {
        (Some(path), foreign) => {
            let mut file = ConfigFile::read(path)?;
            file.warn(foreign.map(|path| {
                format!(
                    "{} belongs to another user and was not taken; name it with `--config` to use it",
                    path.display()
                )
            }));
            Ok(file)
        }
        (None, Some(path)) => Err(ConfigError::ForeignOwner { path }),
        (None, None) => {
            if let Some(folder) = working {
                folders.insert(0, folder.to_owned());
            }
            Err(ConfigError::NotFound {
                names: shown(names),
                folders,
            })
        }
    }
}

/// Determines the owner of a file. To read a link that leads nowhere is an error that says so.
fn owner_of(path: &Path) -> Owner {
    match owner(path) {
        Ok(owner) => owner,
        Err(error) if error.kind() == ErrorKind::NotFound => Owner::Own,
        Err(_) => Owner::Other,
    }
}

/// Reports whether the name exists, also if it is not a file, or is a link that leads nowhere.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn candidates(folder: &Path, names: &[&str]) -> impl Iterator<Item = PathBuf> {
    names.iter().flat_map(move |name| {
        let file = move |ending| folder.join(format!("{name}.{ending}"));
        ENDINGS.iter().map(file)
    })
}

/// Returns `names` and the endings for an error message.
fn shown(names: &[&str]) -> String {
    let endings = ENDINGS.map(|ending| format!(".{ending}")).join(", ");
    let names = match names {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        names => names.concat(),
    };
    format!("{names} ({endings})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plugins.toml"), text).unwrap();
        folder
    }

    fn environment(folders: &[&tempfile::TempDir]) -> Folders {
        Folders {
            file: None,
            folders: folders.iter().map(|one| one.path().to_owned()).collect(),
        }
    }

    /// A cloned repository must not decide about trust, so its folder is searched on request only.
    #[test]
    fn the_working_folder_is_searched_on_request_only() {
        let (here, home) = (folder("[oci]\nparallel = 1"), folder("[oci]\nparallel = 2"));
        let parallel = |working, folders| {
            let file = discover(working, &NAMES, folders).unwrap();
            file.config().oci.parallel
        };
        assert_eq!(parallel(None, environment(&[&home])), Some(2));
        assert_eq!(parallel(Some(here.path()), environment(&[&home])), Some(1));
        let empty = tempfile::tempdir().unwrap();
        let error = discover(None, &NAMES, environment(&[&empty])).unwrap_err();
        assert!(matches!(error, ConfigError::NotFound { .. }), "{error}");
        let absent = Folders {
            file: Some(empty.path().join("plugins.toml")),
            ..environment(&[&home])
        };
        let error = discover(None, &NAMES, absent).unwrap_err();
        assert!(
            matches!(error, ConfigError::VariableValue { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_host_can_name_its_config_files() {
        let usual = folder("");
        let own = tempfile::tempdir().unwrap();
        let path = own.path().join("my.host.toml");
        std::fs::write(&path, "").unwrap();
        let folders = || environment(&[&usual, &own]);
        let names = ["absent", "my.host"];
        assert_eq!(discover(None, &names, folders()).unwrap().path(), path);
        let usual = discover(None, &NAMES, folders()).unwrap();
        assert!(usual.path().ends_with("plugins.toml"));
        let error = discover(None, &["absent", "other", "third"], folders()).unwrap_err();
        let words = "no absent, other or third (.toml, .json, .yaml, .yml) in";
        assert!(error.to_string().contains(words), "{error}");
        let error = discover(None, &["absent"], folders()).unwrap_err();
        assert!(error.to_string().contains("no absent (.toml"), "{error}");
    }

    #[test]
    fn the_first_folder_with_a_file_counts() {
        let empty = tempfile::tempdir().unwrap();
        let (one, two) = (folder("[oci]\nparallel = 1"), folder("[oci]\nparallel = 2"));
        let file = discover(Some(empty.path()), &NAMES, environment(&[&one, &two])).unwrap();
        assert_eq!(file.path(), one.path().join("plugins.toml"));
        let named = Folders {
            file: Some(two.path().join("plugins.toml")),
            ..environment(&[&one])
        };
        let file = discover(Some(one.path()), &NAMES, named).unwrap();
        assert_eq!(file.config().oci.parallel, Some(2));
    }

    /// A config that can't be read is no reason to take another one.
    #[cfg(unix)]
    #[test]
    fn a_name_that_leads_nowhere_is_an_error() {
        let home = folder("");
        let here = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("absent", here.path().join("plugins.toml")).unwrap();
        for (working, folders) in [(Some(here.path()), &home), (None, &here)] {
            let error = discover(working, &NAMES, environment(&[folders])).unwrap_err();
            assert!(matches!(error, ConfigError::Read { .. }), "{error}");
        }
    }

    /// Only root can give a file away, so this test does nothing for other users.
    #[cfg(unix)]
    #[test]
    fn a_file_of_another_user_in_the_working_folder_is_refused() {
        let (here, home) = (folder("[oci]\nparallel = 1"), folder("[oci]\nparallel = 2"));
        let path = here.path().join("plugins.toml");
        if std::os::unix::fs::chown(&path, Some(4711), None).is_err() {
            return;
        }
        let empty = tempfile::tempdir().unwrap();
        let error = discover(Some(here.path()), &NAMES, environment(&[&empty])).unwrap_err();
        assert!(matches!(error, ConfigError::ForeignOwner { .. }), "{error}");
        let file = discover(Some(here.path()), &NAMES, environment(&[&home])).unwrap();
        assert_eq!(file.config().oci.parallel, Some(2));
        assert!(
            file.warnings()
                .iter()
                .any(|line| line.contains("another user"))
        );
        // Named, it is read with a warning.
        let file = ConfigFile::read(&path).unwrap();
        assert!(
            file.warnings()
                .iter()
                .any(|line| line.contains("another user"))
        );
    }
}
