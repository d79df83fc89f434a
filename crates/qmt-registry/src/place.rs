//! What a variable holds that names a file or folder.
//!
//! Variables of CI systems often hold the content of a file where a program expects its path. The
//! content can be a secret, so messages describe it and never show it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use qmt_oci_ref::text;
use qmt_storage::files::has_shell_variable;
use url::Url;
use zeroize::Zeroizing;

/// Most bytes of a path and of a name in it, on Linux. Other systems allow no more.
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a value is that is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Json,
    Base64OfJson,
    Base64OfPair,
    Pem,
    Base64OfKey,
    Lines,
    Url,
    Braces,
    Long,
}

impl Content {
    /// What it is, as the object of "holds".
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Base64OfJson => "JSON in base64",
            Self::Base64OfPair => "text in base64",
            Self::Pem => "PEM",
            Self::Base64OfKey => "a key or certificate in base64",
            Self::Lines => "text with line breaks or control characters",
            Self::Url => "a URL",
            Self::Braces => "text with braces or quotation marks",
            Self::Long => "a text that is too long for a path",
        }
    }

    /// Returns what `value` is, unless it can be a path. The name of an existing file is a path, if
    /// it is not like a document.
    pub(crate) fn of(value: &OsStr) -> Option<Self> {
        let text = value.to_string_lossy();
        let is_long =
            text.len() > PATH_MAX || text.split(['/', '\\']).any(|name| name.len() > NAME_MAX);
        let document = if is_json(&text) {
            Some(Self::Json)
        } else if text.contains("-----BEGIN ") {
            Some(Self::Pem)
        } else if text::is_key_material(&text) {
            Some(Self::Base64OfKey)
        } else if let Some(decoded) = from_base64(&text)
            && is_json(&decoded)
        {
            Some(Self::Base64OfJson)
        } else if text.contains(char::is_control) {
            Some(Self::Lines)
        } else {
            is_long.then_some(Self::Long)
        };
        document.or_else(|| Self::of_line(&text).filter(|_| !Path::new(value).exists()))
    }

    fn of_line(text: &str) -> Option<Self> {
        if Url::parse(text).is_ok_and(|url| url.has_host() && text.contains("://"))
            || is_file_url(text)
        {
            Some(Self::Url)
        } else if has_braces(text) {
            Some(Self::Braces)
        } else {
            let decoded = from_base64(text)?;
            let is_pair = decoded.contains(':') && !decoded.contains(char::is_control);
            is_pair.then_some(Self::Base64OfPair)
        }
    }
}

/// The path that a value names, also as a URL or with a slash at its end; what it is, if it can't be a path.
pub(crate) fn path(value: &OsStr) -> Result<PathBuf, Content> {
    if let Some(text) = value.to_str().filter(|text| is_file_url(text)) {
        let url = Url::parse(text).ok();
        return url
            .and_then(|url| url.to_file_path().ok())
            .ok_or(Content::Url);
    }
    // A slash at the end would make a file a folder that does not exist.
    let path = || Path::new(value).components().collect();
    Content::of(value).map_or_else(|| Ok(path()), Err)
}

/// What only a shell replaces in a path, as a clause; `None` for a path that programs can use.
pub(crate) fn unexpanded(path: &Path) -> Option<&'static str> {
    if path.starts_with("~") {
        Some("only shells replace `~` by the home folder")
    } else if has_shell_variable(path) {
        Some("only shells replace the variable in it")
    } else {
        None
    }
}

fn is_file_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("file"))
}

/// Whether it begins as an object in JSON does.
fn is_json(text: &str) -> bool {
    let inner = text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .strip_prefix('{');
    inner.is_some_and(|inner| inner.trim_start().starts_with(['"', '\'', '}', '\\']))
}

/// Whether it has braces that are not those of a variable, as `${HOME}` has, or quotation marks.
fn has_braces(text: &str) -> bool {
    let mut before: Vec<_> = text.split('{').collect();
    before.pop();
    text.contains('"') || before.iter().any(|before| !before.ends_with('$'))
}

fn from_base64(text: &str) -> Option<Zeroizing<String>> {
    let text: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    let decoded = BASE64.decode(text.as_bytes()).ok()?;
    String::from_utf8(decoded).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<Content> {
        Content::of(OsStr::new(value))
    }

    #[test]
    fn documents_are_no_paths() {
        let long = "a".repeat(256);
        let key = format!("MIGHAgEAMBMGByqGSM49/{}", "A".repeat(60));
        for (value, content) in [
            (r#"{"auths":{}}"#, Content::Json),
            ("\n{\n  \"auths\": {}\n}\n", Content::Json),
            ("{}", Content::Json),
            (r#"{\"auths\":{}}"#, Content::Json),
            ("eyJhdXRocyI6e319", Content::Base64OfJson),
            ("ewogICJhdXRocyI6\nIHt9Cn0K", Content::Base64OfJson),
            ("dXNlcjpodW50ZXIy", Content::Base64OfPair),
            ("-----BEGIN CERTIFICATE-----", Content::Pem),
            (&key, Content::Base64OfKey),
            ("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t", Content::Base64OfKey),
            ("one\ntwo", Content::Lines),
            ("https://u:p@example.com/x", Content::Url),
            ("file://host/x", Content::Url),
            ("x {y}", Content::Braces),
            ("\"auths\"", Content::Braces),
            (&long, Content::Long),
            (&"ab/".repeat(2000), Content::Long),
        ] {
            assert_eq!(of(value), Some(content), "{value}");
        }
    }

    #[test]
    fn paths_are_paths() {
        let folder = tempfile::tempdir().unwrap();
        let braces = folder.path().join("a {b}");
        std::fs::create_dir(&braces).unwrap();
        for value in [
            "/home/me/.docker",
            ".docker",
            "docker",
            "~/.docker",
            "${HOME}/.docker",
            "$HOME/.docker",
            r"C:\Users\me\.docker",
            "C:/Users/me",
            "config/docker/auth.json",
            "dockerconfig",
            braces.to_str().unwrap(),
        ] {
            assert_eq!(of(value), None, "{value}");
            assert_eq!(path(OsStr::new(value)), Ok(PathBuf::from(value)));
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_url_of_a_file_names_its_path() {
        let named = |value: &str| path(OsStr::new(value));
        assert_eq!(named("file:///a/b%20c"), Ok(PathBuf::from("/a/b c")));
        assert_eq!(named("FILE://localhost/a"), Ok(PathBuf::from("/a")));
        assert_eq!(named("file://host/a"), Err(Content::Url));
    }
}
