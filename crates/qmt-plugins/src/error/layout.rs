//! What to do about a layout that is written in another form, or was made for another use.

use std::path::{Path, PathBuf};

use qmt_oci_ref::PinnedReference;
use qmt_oci_ref::text::{escape, shell_word};
use qmt_storage::Layout;

use crate::source::LAYOUT;

/// Returns the path that is meant by `reference`, an image of a layout that does not exist at
/// `missing`: an absolute one with three slashes, or one with a tag alone where skopeo writes the name
/// of the image.
pub(super) fn meant(reference: &str, missing: &Path) -> Option<String> {
    let rest = reference.strip_prefix(LAYOUT)?;
    let (path, tag) = rest.rsplit_once(':')?;
    let absolute = Path::new("/").join(path);
    if !path.starts_with('/') && absolute.exists() {
        let meant = escape(&format!("{LAYOUT}/{rest}"));
        return Some(format!(
            "did you mean `{meant}`? An absolute path makes three slashes"
        ));
    }
    let missing = missing.to_str()?;
    let mut colons = missing.match_indices(':');
    let (colon, _) =
        colons.find(|(at, _)| missing.get(..*at).is_some_and(|it| Path::new(it).exists()))?;
    let name = missing.get(colon..)?;
    let layout = path.strip_suffix(name)?;
    let meant = escape(&format!("{LAYOUT}{layout}:{tag}"));
    Some(format!(
        "did you mean `{meant}`? Images of a layout are named by their tag alone"
    ))
}

/// Returns the path of the layout with `subject` if `cache export` made it: it has the signatures where
/// only `cache import` finds them.
pub(super) fn exported(subject: &PinnedReference) -> Option<PathBuf> {
    let path = subject.repository().layout()?;
    let digest = subject.digest();
    let name = format!(
        "signatures/{}-{}.json",
        digest.algorithm().as_str(),
        digest.hex()
    );
    let is_there = Layout::open(path).ok()?.file(&name).ok()?.is_some();
    is_there.then(|| path.to_owned())
}

/// Says how an image in a layout that `cache export` made is used.
pub(super) fn import(layout: &Path) -> String {
    let path = layout.display().to_string();
    format!(
        "`qmt-plugins cache export` made this layout, and its signatures are read by `qmt-plugins cache \
         import {}` alone; after that, the image has the name that it has in its registry",
        shell_word(&path)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_that_is_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        std::fs::create_dir(folder.path().join("l")).unwrap();
        let reference = |path: &str| format!("oci-layout://{path}");
        let relative = root.trim_start_matches('/');
        if root.starts_with('/') {
            let hint = meant(&reference(&format!("{relative}/l:v1")), Path::new("x")).unwrap();
            assert!(
                hint.contains(&format!("`oci-layout://{root}/l:v1`")),
                "{hint}"
            );
        }
        let missing = format!("{root}/l:acme/x");
        for written in [&missing, "l:acme/x"] {
            let hint = meant(&reference(&format!("{written}:v1")), Path::new(&missing)).unwrap();
            let layout = written.strip_suffix(":acme/x").unwrap();
            assert!(
                hint.contains(&format!("`oci-layout://{layout}:v1`")),
                "{hint}"
            );
        }
        let missing = format!("{root}/m:acme/x");
        assert_eq!(meant(&reference("m:acme/x:v1"), Path::new(&missing)), None);
        assert_eq!(meant("ghcr.io/a/b:v1", Path::new(&missing)), None);
    }
}
