//! Options that name a platform.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use qmt_plugins::config::expand_path;
use qmt_plugins::oci_ref::{Platform, manifest};

/// The form of `--native`.
pub(super) const NATIVE: &str = "OS/ARCH[/VARIANT]=FILE";

/// Parses a platform and the path of a file, which need not be UTF-8.
pub(super) fn native_file() -> impl TypedValueParser<Value = (Platform, PathBuf)> {
    OsStringValueParser::new().try_map(|value| native(&value))
}

fn native(value: &OsStr) -> Result<(Platform, PathBuf), String> {
    let named = split_once(value).filter(|(_, file)| !file.is_empty());
    let named = named.and_then(|(platform, file)| Some((platform_of(platform)?, file)));
    let (platform, file) =
        named.ok_or_else(|| format!("expected {NATIVE}, such as linux/amd64=libplugin.so"))?;
    Ok((platform, expand_path(Path::new(file))?))
}

/// Splits at the first equals sign.
#[cfg(unix)]
fn split_once(value: &OsStr) -> Option<(&str, &OsStr)> {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = value.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let before = std::str::from_utf8(bytes.get(..at)?).ok()?;
    Some((before, OsStr::from_bytes(bytes.get(at + 1..)?)))
}

/// Splits at the first equals sign.
#[cfg(not(unix))]
fn split_once(value: &OsStr) -> Option<(&str, &OsStr)> {
    let (before, after) = value.to_str()?.split_once('=')?;
    Some((before, OsStr::new(after)))
}

/// Parses `OS/ARCH[/VARIANT]`.
pub(super) fn platform(text: &str) -> Result<Platform, String> {
    platform_of(text).ok_or_else(|| "expected OS/ARCH[/VARIANT], such as linux/amd64".to_owned())
}

fn platform_of(text: &str) -> Option<Platform> {
    let mut parts = text.splitn(3, '/');
    let (os, architecture, variant) = (parts.next()?, parts.next()?, parts.next());
    let is_word = |part: &str| {
        let mut bytes = part.bytes();
        let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !part.is_empty() && bytes.all(is_of_word)
    };
    // What other readers refuse about a variant is said where it is used.
    let variant_parts = variant.into_iter().flat_map(|variant| variant.split('/'));
    if ![os, architecture]
        .into_iter()
        .chain(variant_parts)
        .all(is_word)
    {
        return None;
    }
    let mut platform = manifest::platform(os, architecture);
    platform.set_variant(variant.map(str::to_owned));
    Some(platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_names_its_platform() {
        for good in ["linux/amd64=x.so", "linux/arm/v7=a=b.so"] {
            assert!(native(OsStr::new(good)).is_ok(), "{good}");
        }
        for bad in [
            "x.so",
            "linux=x.so",
            "linux/=x.so",
            "/amd64=x.so",
            "linux/arm/=x.so",
            "linux/amd64=",
            "linux/*=x.so",
            "linux/amd64,linux/arm64=x.so",
            "",
        ] {
            let error = native(OsStr::new(bad)).unwrap_err();
            assert!(error.contains(NATIVE), "{bad}: {error}");
        }
    }
}
