//! Schemes that are misspelled, or those of other tools.

use qmt_oci_ref::{Reference, text};

use super::{HTTP, HTTPS, LAYOUT, OCI, SourceError};

/// What a path can begin with if its scheme was misspelled, and the scheme that was meant. The
/// words of other tools are among them.
const MISSPELLED: [(&str, &str); 13] = [
    ("oci-layout:", LAYOUT),
    ("oci-archive:", LAYOUT),
    ("oci-dir:", LAYOUT),
    ("ocidir:", LAYOUT),
    ("oci:", OCI),
    ("docker:", OCI),
    ("https:", HTTPS),
    ("http:", HTTPS),
    ("oci-layout//", LAYOUT),
    ("oci-layout/", LAYOUT),
    ("oci//", OCI),
    ("oci/", OCI),
    ("https//", HTTPS),
];
/// Where skopeo and podman find images that are in no registry and in no layout.
const OTHER_STORES: [&str; 4] = [
    "docker-archive:",
    "docker-daemon:",
    "containers-storage:",
    "dir:",
];
/// The error for a URL without `sha256`, whose part after the scheme is `rest`: the name of an image
/// has a tag or a digest, and URLs of files have not.
pub(super) fn without_sha256(rest: &str) -> SourceError {
    let name = rest.rsplit('/').next().unwrap_or_default();
    if name.contains([':', '@']) && is_like_image(rest) {
        let meant = format!("{OCI}{rest}");
        return SourceError::Misspelled { meant };
    }
    SourceError::NoSha256
}

/// Refuses the URL of a web site in place of the name of an image: URLs of files are for the config.
pub(super) fn check_web_address(text: &str) -> Result<(), SourceError> {
    let lower = text.to_ascii_lowercase();
    let web = [HTTPS, HTTP].into_iter().find(|web| lower.starts_with(web));
    match web.and_then(|web| text.get(web.len()..)) {
        None => Ok(()),
        Some(rest) => {
            let meant = text::without_credentials(&format!("{OCI}{rest}")).into_owned();
            Err(SourceError::Misspelled { meant })
        }
    }
}

/// Refuses schemes of other tools, and `oci-layout://` or `oci://` where it is misspelled.
pub(super) fn check_scheme(path: &str) -> Result<(), SourceError> {
    if OTHER_STORES.iter().any(|store| path.starts_with(store)) {
        let path = path.to_owned();
        return Err(SourceError::OtherStore { path });
    }
    if let Some(meant) = misspelled(path) {
        let meant = text::without_credentials(&meant).into_owned();
        return Err(SourceError::Misspelled { meant });
    }
    Ok(())
}

/// Returns the path with the scheme that was probably meant.
fn misspelled(path: &str) -> Option<String> {
    let lower = path.to_ascii_lowercase();
    let (start, meant) = MISSPELLED
        .iter()
        .find(|(start, _)| lower.starts_with(start))?;
    let rest = path.get(start.len()..)?;
    // For skopeo, `oci:` is the scheme of layouts.
    let is_layout = *start == "oci:" && !rest.starts_with("//");
    if is_layout && !begins_with_host(rest.trim_start_matches('/')) {
        return Some(format!("{LAYOUT}{rest}"));
    }
    let rest = match *meant {
        // The path of a layout can be absolute.
        LAYOUT if !rest.starts_with("//") => rest,
        LAYOUT => rest.get(2..)?,
        _ => rest.trim_start_matches('/'),
    };
    Some(format!("{meant}{rest}"))
}

/// Reports whether a path reads like the name of an image: `ghcr.io/my-org/my-plugin:1`.
pub(crate) fn is_like_image(path: &str) -> bool {
    let Some((_, rest)) = path.split_once('/') else {
        return false;
    };
    (begins_with_host(path) || rest.contains(':')) && path.parse::<Reference>().is_ok()
}

/// Reports whether the first of several parts can be the host of a registry.
pub(crate) fn begins_with_host(path: &str) -> bool {
    path.split_once('/').is_some_and(|(host, _)| {
        host == "localhost" || (!host.starts_with('.') && host.contains(['.', ':']))
    })
}
