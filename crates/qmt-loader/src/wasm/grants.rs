//! Reads [`Allow`](crate::Allow) and refuses what cannot be granted as it is written.

use std::collections::BTreeMap;
use std::path::Path;

use super::http::AllowedHost;
use super::preflight::PAGE;
use super::wasi::Folder;
use crate::error::LoadError;
use crate::grants::{self, Refused};
use crate::limits::LoadOptions;

/// What a plugin gets, checked and resolved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grants {
    /// The configuration, named environment variables included.
    pub(super) config: BTreeMap<String, String>,
    pub(super) hosts: Vec<AllowedHost>,
    pub(super) folders: Vec<Folder>,
}

impl Grants {
    /// Checks every entry of `options`; nothing is granted by halves.
    pub(super) fn new(plugin: &str, options: &LoadOptions) -> Result<Self, LoadError> {
        let refused = |grant: &str, rule, source| LoadError::Grant {
            plugin: plugin.to_owned(),
            grant: grant.to_owned(),
            rule,
            source,
        };
        if options.limits.memory_max < PAGE {
            return Err(refused(
                &format!("memory_max = {}", options.limits.memory_max),
                "a plugin needs at least one page of 65536 bytes",
                None,
            ));
        }
        let hosts = options
            .allow
            .hosts
            .iter()
            .map(|host| AllowedHost::parse(host).map_err(|rule| refused(host, rule, None)))
            .collect::<Result<_, _>>()?;
        let mut folders: Vec<Folder> = Vec::new();
        for (host, guest) in &options.allow.paths {
            let shown = host.display().to_string();
            // The pair as a config has it.
            let pair = format!("{:?} = {:?}", shown, guest.display().to_string());
            let granted =
                folder(host, guest).map_err(|(rule, source)| refused(&pair, rule, source))?;
            if folders.iter().any(|other| other.guest == granted.guest) {
                let rule = "another folder is granted under the same name";
                return Err(refused(&shown, rule, None));
            }
            folders.push(granted);
        }
        let (read_only, writable): (Vec<_>, Vec<_>) =
            folders.iter().partition(|folder| folder.read_only);
        let writable: Vec<_> = writable.iter().map(|folder| &folder.host).collect();
        let read_only = read_only.iter().map(|folder| &folder.host);
        if let Some(folder) = grants::writable_as_well(read_only, &writable) {
            let shown = format!("ro:{}", folder.display());
            return Err(refused(&shown, grants::WRITABLE_AS_WELL, None));
        }
        let config = grants::config(options).map_err(|(name, rule)| refused(name, rule, None))?;
        Ok(Self {
            config,
            hosts,
            folders,
        })
    }
}

/// Resolves a host folder to where it is now, so that a link cannot be turned later.
fn folder(host: &Path, guest: &Path) -> Result<Folder, Refused> {
    let (read_only, host) = grants::host_folder(host)?;
    Ok(Folder {
        host,
        guest: grants::guest_folder(guest)?.to_owned(),
        read_only,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(options: &LoadOptions) -> &'static str {
        match Grants::new("p", options).unwrap_err() {
            LoadError::Grant { rule, .. } => rule,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_is_granted_by_default() {
        let grants = Grants::new("p", &LoadOptions::default()).unwrap();
        assert!(grants.config.is_empty() && grants.hosts.is_empty() && grants.folders.is_empty());
    }

    /// WASM-07: one variable is granted, by name, and others stay away.
    #[test]
    fn environment_variables_are_granted_by_name() {
        let mut options = LoadOptions::default();
        options.allow.env = vec!["PATH".into(), "QMT_LOADER_IS_NOT_SET".into()];
        let grants = Grants::new("p", &options).unwrap();
        assert_eq!(grants.config.keys().collect::<Vec<_>>(), ["PATH"]);
        options.config.insert("PATH".into(), "mine".into());
        let grants = Grants::new("p", &options).unwrap();
        assert_eq!(grants.config["PATH"], "mine");
        for name in ["*", "A=B", "", "$KEY", "${KEY}"] {
            options.allow.env = vec![name.into()];
            assert!(rule(&options).contains("exact names"));
        }
    }

    /// WASM-08: folders are resolved when they are granted.
    #[cfg(unix)]
    #[test]
    fn folders_are_absolute_existing_and_resolved() {
        let home = tempfile::tempdir().unwrap();
        let real = home.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::fs::write(real.join("file"), "x").unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let granted = |host: &Path| {
            let mut options = LoadOptions::default();
            options.allow.paths.insert(host.to_owned(), "/data".into());
            options
        };
        let grants = Grants::new("p", &granted(&link)).unwrap();
        let folder = |read_only| Folder {
            host: real.clone(),
            guest: "/data".to_owned(),
            read_only,
        };
        assert_eq!(grants.folders, [folder(false)]);
        let read_only = format!("ro:{}", link.display());
        let grants = Grants::new("p", &granted(Path::new(&read_only))).unwrap();
        assert_eq!(grants.folders, [folder(true)]);
        assert!(rule(&granted(Path::new("relative"))).contains("absolute"));
        assert!(rule(&granted(Path::new("ro:relative"))).contains("absolute"));
        assert!(rule(&granted(&real.join("missing"))).contains("exist"));
        assert!(rule(&granted(&real.join("file"))).contains("be a folder"));
    }

    /// WASM-08: docker's form of a read-only folder never grants a writable one.
    #[test]
    fn a_mode_in_the_wrong_place_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let host = home.path().to_str().unwrap();
        let granted = |host: &str, guest: &str| {
            let mut options = LoadOptions::default();
            options.allow.paths.insert(host.into(), guest.into());
            options
        };
        for guest in [
            "/data:ro",
            "/data:rw",
            "/data:z",
            "/data:ro,z",
            "/data:",
            "ro:/data",
            ":/data",
            "ro",
            "rw",
        ] {
            for host in [host, &format!("ro:{host}")] {
                let rule = rule(&granted(host, guest));
                assert!(
                    rule.contains("`\"ro:/srv/data\" = \"/data\"`"),
                    "{guest}: {rule}"
                );
            }
        }
        for suffix in [":ro", ":rw", ":z", ":ro,Z", ":cached"] {
            let rule = rule(&granted(&format!("{host}{suffix}"), "/data"));
            assert!(
                rule.contains("`\"ro:/srv/data\" = \"/data\"`"),
                "{suffix}: {rule}"
            );
        }
        for guest in ["/", "/data", "/data/", "/a/b.c/..d", "data", "shared", "."] {
            Grants::new("p", &granted(host, guest)).unwrap();
        }
    }

    /// WASM-08: no other grant makes a read-only folder writable.
    #[cfg(unix)]
    #[test]
    fn a_read_only_folder_within_a_writable_one_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        for folder in ["top/ro", "top2"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(home.join("top/ro"), home.join("link")).unwrap();
        let granted = |folders: &[(&str, &str)]| {
            let mut options = LoadOptions::default();
            for (mark, folder) in folders {
                let host = format!("{mark}{}", home.join(folder).display());
                let guest = format!("/{}", options.allow.paths.len());
                options.allow.paths.insert(host.into(), guest.into());
            }
            options
        };
        for folders in [
            [("", "top"), ("ro:", "top/ro")],
            [("", "top"), ("ro:", "link")],
            [("", "link"), ("ro:", "top/ro")],
            [("", "top"), ("ro:", "top")],
        ] {
            let rule = rule(&granted(&folders));
            assert!(rule.contains("granted for writing"), "{folders:?}: {rule}");
        }
        for folders in [
            [("ro:", "top"), ("", "top/ro")],
            [("", "top"), ("ro:", "top2")],
            [("ro:", "top"), ("ro:", "top/ro")],
            [("", "top"), ("", "top/ro")],
        ] {
            Grants::new("p", &granted(&folders)).unwrap();
        }
    }

    #[test]
    fn a_memory_limit_below_one_page_is_refused() {
        let mut options = LoadOptions::default();
        options.limits.memory_max = PAGE - 1;
        assert!(rule(&options).contains("one page"));
        options.limits.memory_max = PAGE;
        Grants::new("p", &options).unwrap();
    }
}
