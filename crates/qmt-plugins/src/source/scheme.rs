//! Schemes that are misspelled, or those of other tools.

use std::path::Path;

use qmt_oci_ref::{Digest, Reference, ReferenceError, RegistryHost, text};

use super::{FILE_ENDINGS, HTTP, HTTPS, LAYOUT, OCI, SourceError};

/// What a path can begin with if its scheme was misspelled, and the scheme that was meant. The
/// words of other tools are among them.
const MISSPELLED: [(&str, &str); 15] = [
    ("oci-layout:", LAYOUT),
    ("oci-archive:", LAYOUT),
    ("oci-dir:", LAYOUT),
    ("ocidir:", LAYOUT),
    ("oci+layout:", LAYOUT),
    ("oci_layout:", LAYOUT),
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

/// The error for a path with white space at one of its ends.
pub(super) fn with_space(path: &str) -> SourceError {
    let path = path.trim();
    let meant = if let Some(meant) = proposed(path) {
        meant
    } else if is_like_image(path) {
        format!("{OCI}{path}")
    } else {
        text::without_credentials(path).into_owned()
    };
    SourceError::Space { meant }
}

/// Returns the path that is meant in place of a misspelled one, if it can be used.
pub(super) fn proposed(path: &str) -> Option<String> {
    if let Some(SourceError::Misspelled { meant }) = misspelled(path) {
        Some(meant)
    } else {
        None
    }
}

/// The error for a URL with `http://`, whose part after the scheme is `rest`.
pub(super) fn plain_http(rest: &str) -> SourceError {
    match image_in_url(rest) {
        Some((meant, _)) => SourceError::Misspelled { meant },
        None => SourceError::PlainHttp,
    }
}

/// The error for a URL without `sha256`, whose part after the scheme is `rest`.
pub(super) fn without_sha256(rest: &str) -> SourceError {
    match image_in_url(rest) {
        Some((meant, true)) => SourceError::Misspelled { meant },
        Some((image, false)) => SourceError::UrlOrImage { image },
        None => SourceError::NoSha256,
    }
}

/// Refuses the host of a registry in place of the name of an image.
pub(super) fn check_repository(name: &str) -> Result<(), SourceError> {
    match registry_alone(name) {
        None => Ok(()),
        Some(host) => {
            let meant = format!("{OCI}{host}/NAMESPACE/NAME:TAG");
            Err(SourceError::RegistryAlone { host, meant })
        }
    }
}

/// Returns the registry that is written in place of an image. By the grammar it is an image of Docker
/// Hub, where no image has such a name.
pub(crate) fn registry_alone(name: &str) -> Option<RegistryHost> {
    let name = match name.split_once('@') {
        Some((name, digest)) if digest.parse::<Digest>().is_ok() => name,
        // A password can be before the host.
        Some(_) => return None,
        None => name,
    };
    let name = name.trim_end_matches('/');
    let host = name.split(':').next().unwrap_or_default();
    let is_host = host == "localhost" || host.contains('.');
    let ending = Path::new(host)
        .extension()
        .and_then(|ending| ending.to_str());
    let is_file = ending.is_some_and(|ending| FILE_ENDINGS.contains(&ending));
    if !is_host || is_file || name.contains('/') {
        return None;
    }
    // Behind the colon is a port or a tag.
    name.parse().or_else(|_| host.parse()).ok()
}

/// Returns the image, with `oci://`, that the part of a URL after the scheme can name, and whether it
/// can name nothing else: the name of an image mostly has a tag or a digest, and the path of a file an
/// ending.
fn image_in_url(rest: &str) -> Option<(String, bool)> {
    let image = image_name(rest).ok()?;
    let name = rest.rsplit('/').next().unwrap_or_default();
    if !is_like_image(&image) || rest.contains(['?', '#']) {
        return None;
    }
    let has_tag = name.contains([':', '@']);
    (has_tag || !name.contains('.')).then(|| (format!("{OCI}{image}"), has_tag))
}

/// Refuses a URL whose host no name can be, such as `https://${HOST}/x.wasm`.
pub(super) fn check_host(url: &str) -> Result<(), SourceError> {
    let host = url::Url::parse(url).ok();
    let host = host.as_ref().and_then(url::Url::domain).unwrap_or_default();
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.bytes().all(is_of_name) {
        return Ok(());
    }
    Err(SourceError::Path(
        "the host of the URL is not a name or an address; environment variables are not replaced, so \
         write it out",
    ))
}

/// Refuses the URL of a web site in place of the name of an image: URLs of files are for the config.
pub(super) fn check_web_address(text: &str) -> Result<(), SourceError> {
    let lower = text.to_ascii_lowercase();
    let web = [HTTPS, HTTP].into_iter().find(|web| lower.starts_with(web));
    match web.and_then(|web| text.get(web.len()..)) {
        None => Ok(()),
        Some(rest) => Err(image(rest)),
    }
}

/// The error for the name of an image behind another scheme than `oci://`.
fn image(name: &str) -> SourceError {
    if let Err(error) = check_repository(name) {
        return error;
    }
    match image_name(name) {
        Ok(name) => check_repository(&name).err().unwrap_or_else(|| {
            let meant = format!("{OCI}{name}");
            SourceError::Misspelled { meant }
        }),
        Err(error) => SourceError::NoImage(error),
    }
}

/// Returns the name of an image without user, password and query, and with the host in lower case: a
/// name that can be used.
fn image_name(name: &str) -> Result<String, ReferenceError> {
    let name = text::without_query(name);
    // A password may have slashes, and a digest has none.
    let parts = name.rmatch_indices('@');
    let mut parts = parts.filter_map(|(at, _)| name.get(at + 1..));
    let host = parts.find(|part| part.contains('/') || registry_alone(part).is_some());
    let name = host.unwrap_or(name);
    let name = name.split('#').next().unwrap_or_default();
    // One scheme after another, as in `oci://https://`.
    let name = name.rsplit("://").next().unwrap_or_default().trim();
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty()).collect();
    let name = &*parts.join("/");
    let of_page = image_of_page(name);
    let name = of_page.as_deref().unwrap_or(name);
    let name = match name.split_once('/') {
        Some((host, rest)) if begins_with_host(name) => {
            format!("{}/{rest}", host.to_ascii_lowercase())
        }
        _ => name.to_owned(),
    };
    name.parse::<Reference>()?;
    Ok(name)
}

/// Returns the image that a page of a registry's web site is about.
fn image_of_page(address: &str) -> Option<String> {
    let (host, path) = address.split_once('/')?;
    let parts: Vec<&str> = path.split('/').collect();
    match (&*host.to_ascii_lowercase(), &*parts) {
        ("hub.docker.com", ["_", name, ..]) => Some(format!("docker.io/library/{name}")),
        ("hub.docker.com", ["layers", user, name, tag, ..]) => {
            Some(format!("docker.io/{user}/{name}:{tag}"))
        }
        ("hub.docker.com", ["r", user, name, ..]) => Some(format!("docker.io/{user}/{name}")),
        (
            "github.com",
            [
                "orgs" | "users",
                owner,
                "packages",
                "container",
                "package",
                name,
                ..,
            ]
            | [owner, _, "pkgs", "container", name, ..],
        ) => Some(format!("ghcr.io/{}/{name}", owner.to_ascii_lowercase())),
        ("quay.io", ["repository", namespace, name, ..]) => {
            Some(format!("quay.io/{namespace}/{name}"))
        }
        _ => None,
    }
}

/// Refuses a path in place of the name of an image: that of a layout has a scheme.
pub(super) fn check_path(text: &str) -> Result<(), SourceError> {
    let is_path = ["/", "./", "../", "~/"]
        .iter()
        .any(|start| text.starts_with(start));
    if is_path || is_layout(text) {
        let meant = format!("{LAYOUT}{text}");
        return Err(SourceError::Misspelled { meant });
    }
    Ok(())
}

/// Reports whether a path, without its tag, is that of a layout which is a folder.
fn is_layout(text: &str) -> bool {
    let tag = text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    let path = tag.map_or(text, |(path, _)| path);
    Path::new(path).join("oci-layout").is_file()
}

/// Refuses schemes of other tools, and `oci-layout://` or `oci://` where it is misspelled.
pub(super) fn check_scheme(path: &str) -> Result<(), SourceError> {
    if OTHER_STORES.iter().any(|store| path.starts_with(store)) {
        let path = path.to_owned();
        return Err(SourceError::OtherStore { path });
    }
    misspelled(path).map_or(Ok(()), Err)
}

/// Returns the error for a path whose scheme is misspelled.
fn misspelled(path: &str) -> Option<SourceError> {
    let lower = path.to_ascii_lowercase();
    let mut schemes = MISSPELLED.iter();
    let Some((start, meant)) = schemes.find(|(start, _)| lower.starts_with(start)) else {
        return of_other_scheme(path);
    };
    let rest = path.get(start.len()..)?;
    let name = rest.trim_start_matches('/');
    // For skopeo, `oci:` is the scheme of layouts.
    let is_of_skopeo = *start == "oci:" && (!rest.starts_with("//") || rest.starts_with("///"));
    if is_of_skopeo && !begins_with_host(name) {
        let root = if rest.starts_with('/') { "/" } else { "" };
        return Some(SourceError::Misspelled {
            meant: format!("{LAYOUT}{root}{name}"),
        });
    }
    let rest = match *meant {
        OCI => return Some(image(name)),
        // The path of a layout can be absolute.
        LAYOUT if !rest.starts_with("//") => rest,
        LAYOUT => rest.get(2..)?,
        _ => {
            if let Some((meant, true)) = image_in_url(name) {
                return Some(SourceError::Misspelled { meant });
            }
            let server = name.split(['/', '?', '#']).next()?;
            let user = server.rfind('@').map_or(0, |at| at + 1);
            name.get(user..)?
        }
    };
    // The name of a folder may have an `@`.
    let is_there = *meant == LAYOUT && is_layout(rest);
    let mut meant = format!("{meant}{rest}");
    if !is_there {
        meant = text::without_credentials(&meant).into_owned();
    }
    Some(SourceError::Misspelled { meant })
}

/// Returns the error for an image behind the scheme of another tool.
fn of_other_scheme(path: &str) -> Option<SourceError> {
    let (_, rest) = path.split_once("://")?;
    let image = image_in_url(rest).filter(|(_, is_sure)| *is_sure);
    image.map(|(meant, _)| SourceError::Misspelled { meant })
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
