//! The policy scope of an image: for config lines that messages propose, and as configs write it.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use qmt_oci_ref::{Digest, Tag};
use qmt_storage::files::real_path;

use super::OciConfig;
use crate::source::{LAYOUT, PluginSource};

/// Returns the scope of a policy for the repository of `reference` alone, or for the layout that it
/// names; `**` if it is neither. A layout with a digest has no tag, as in the texts of pins.
pub fn scope_of(reference: &str) -> String {
    if let Some(path) = reference.strip_prefix(LAYOUT).and_then(without_digest) {
        return format!("{LAYOUT}{path}");
    }
    let source = PluginSource::parse(reference, None);
    let is_image = |source: &PluginSource| !matches!(source, PluginSource::File(_));
    let source = source.ok().filter(is_image);
    match source.or_else(|| PluginSource::parse_reference(reference).ok()) {
        Some(PluginSource::Registry(reference)) => reference.repository().to_string(),
        Some(PluginSource::Layout { path, .. }) => format!("{LAYOUT}{}", path.display()),
        _ => "**".to_owned(),
    }
}

/// Returns why [`scope_of`] covers more than the layout of `reference`; `None` where it does not.
pub fn scope_problem(reference: &str) -> Option<&'static str> {
    let scope = scope_of(reference);
    let path = Path::new(scope.strip_prefix(LAYOUT)?);
    let names = path.components().map(Component::as_os_str);
    let mut names = names.map(OsStr::to_string_lossy);
    names.any(|name| name.contains('*')).then_some(
        "no policy can be for this layout alone, because a name in its path has the wildcard `*`: \
         rename that file or folder",
    )
}

/// Returns the path of a layout in front of its digest.
fn without_digest(layout: &str) -> Option<&str> {
    let (path, digest) = layout.rsplit_once('@')?;
    // The text of a pin has a slash behind a name with a colon.
    let path = path.strip_suffix('/').unwrap_or(path);
    digest.parse::<Digest>().is_ok().then_some(path)
}

/// Returns a warning for each scope that probably ends with a tag: there is no layout of that name,
/// and there is one of the name without the tag.
pub(crate) fn scopes_with_tags(oci: &OciConfig, folder: &Path) -> Vec<String> {
    let warnings = oci.policy.iter().enumerate().filter_map(|(index, policy)| {
        let scope = &policy.scope;
        let (meant, tag) = scope.strip_prefix(LAYOUT)?.rsplit_once(':')?;
        let is_tag = tag.parse::<Tag>().is_ok();
        let path = folder.join(scope.strip_prefix(LAYOUT)?);
        (is_tag && !path.exists() && folder.join(meant).exists()).then(|| {
            format!(
                "`oci.policy[{index}].scope = \"{scope}\"`: a scope is the path of a layout, without \
                 tag; did you mean `{LAYOUT}{meant}`?"
            )
        })
    });
    warnings.collect()
}

/// Returns `scope` as the policies of `qmt-verify` read it: the path of a layout starts at
/// `folder`, and its symbolic links are resolved as far as it exists.
#[cfg_attr(
    not(feature = "sigstore"),
    expect(dead_code, reason = "without Sigstore there are no policies")
)]
pub(crate) fn absolute_scope(scope: &str, folder: &Path) -> String {
    let Some(path) = scope.strip_prefix(LAYOUT).filter(|path| *path != "**") else {
        return scope.to_owned();
    };
    let path = folder.join(path);
    let path = std::path::absolute(&path).unwrap_or(path);
    let is_name = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains('*');
    let names: PathBuf = path.components().take_while(is_name).collect();
    let pattern: PathBuf = path.components().skip_while(is_name).collect();
    let names = real_path(&names);
    // An empty pattern would add a slash.
    let path = if pattern.as_os_str().is_empty() {
        names
    } else {
        names.join(pattern)
    };
    format!("{LAYOUT}{}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposed_scope_is_the_repository_or_the_layout() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (reference, scope) in [
            ("ghcr.io/acme/echo:1".to_owned(), "ghcr.io/acme/echo"),
            ("oci://ghcr.io/acme/echo:1".to_owned(), "ghcr.io/acme/echo"),
            (format!("ghcr.io/acme/echo:1@{digest}"), "ghcr.io/acme/echo"),
            (
                format!("oci-layout:///srv/echo@{digest}"),
                "oci-layout:///srv/echo",
            ),
            (
                "oci-layout:///srv/echo:1".to_owned(),
                "oci-layout:///srv/echo",
            ),
            // The text of a pin has no tag, so that this is all of the layout's name.
            (
                format!("oci-layout:///srv/x:1.tar@{digest}"),
                "oci-layout:///srv/x:1.tar",
            ),
            (
                format!("oci-layout:///srv/x:1.tar/@{digest}"),
                "oci-layout:///srv/x:1.tar",
            ),
            (
                format!("oci-layout:///srv/my@2@{digest}"),
                "oci-layout:///srv/my@2",
            ),
            (
                "oci-layout:///srv/my@2:1".to_owned(),
                "oci-layout:///srv/my@2",
            ),
            ("a b".to_owned(), "**"),
        ] {
            assert_eq!(scope_of(&reference), scope, "{reference}");
        }
    }

    #[test]
    fn a_folder_with_the_name_of_a_wildcard_has_no_scope() {
        for (reference, has_scope) in [
            ("ghcr.io/acme/echo:1", true),
            ("a b", true),
            ("oci-layout:///srv/echo:1", true),
            // `*` stands for whole names only, so that this is no scope.
            ("oci-layout:///srv/a*:1", false),
            ("oci-layout:///srv/**:1", false),
            ("oci-layout:///srv/*/echo:1", false),
            ("oci-layout://**:1", false),
            ("oci-layout://**", false),
        ] {
            assert_eq!(scope_problem(reference).is_none(), has_scope, "{reference}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_scope_with_a_tag_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x", "y", "y:1"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let root = folder.path().display();
        for (scope, meant) in [
            ("oci-layout://x".to_owned(), None),
            ("oci-layout://x:1".to_owned(), Some("`oci-layout://x`?")),
            (format!("oci-layout://{root}/x:1"), Some("/x`?")),
            ("oci-layout://y:1".to_owned(), None),
            ("oci-layout://z:1".to_owned(), None),
            ("oci-layout://**".to_owned(), None),
            ("127.0.0.1:5000/x".to_owned(), None),
        ] {
            let mut oci = OciConfig::default();
            let policy = crate::config::PolicyConfig::new(&*scope, Vec::new());
            oci.policy.push(policy);
            let warnings = scopes_with_tags(&oci, folder.path());
            assert_eq!(warnings.len(), usize::from(meant.is_some()), "{scope}");
            let has_meant = |warning: &String| warning.ends_with(meant.unwrap_or_default());
            assert!(warnings.iter().all(has_meant), "{warnings:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn scopes_of_layouts_start_at_the_folder_of_the_config() {
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(folder.path()).unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        let root = root.display();
        for (scope, absolute) in [
            ("ghcr.io/acme/**", "ghcr.io/acme/**".to_owned()),
            ("**", "**".to_owned()),
            ("oci-layout://**", "oci-layout://**".to_owned()),
            ("oci-layout:///srv/*", "oci-layout:///srv/*".to_owned()),
            ("oci-layout://new", format!("oci-layout://{root}/new")),
            ("oci-layout://link", format!("oci-layout://{root}/real")),
            (
                "oci-layout://link/**",
                format!("oci-layout://{root}/real/**"),
            ),
            (
                "oci-layout://link/gone/**",
                format!("oci-layout://{root}/real/gone/**"),
            ),
        ] {
            assert_eq!(absolute_scope(scope, folder.path()), absolute, "{scope}");
        }
    }
}
