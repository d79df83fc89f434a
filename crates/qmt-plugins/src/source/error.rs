//! Why a path does not name a plugin.

use qmt_oci_ref::{DigestError, ReferenceError, RegistryHost, text};

/// Why a provider's path is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It is not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The digest of a layout or of `sha256` is malformed.
    #[error("the digest is malformed")]
    Digest(#[from] DigestError),
    /// The folder of a layout is missing.
    #[error("`oci-layout://` must be followed by a folder, then `:tag` or `@sha256:…`")]
    NoLayoutPath,
    /// The tag of a layout is missing.
    #[error(
        "`oci-layout://{path}:` ends without a tag; add the tag or `@sha256:…`, or remove the colon"
    )]
    NoLayoutTag {
        /// The folder or tar file.
        path: String,
    },
    /// The image is where only other tools find it.
    #[error(
        "`{path}` is an image for skopeo, not a file; copy it with `skopeo copy {} oci:LAYOUT:latest`, and \
         use `oci-layout://LAYOUT:latest`",
        text::shell_word(.path)
    )]
    OtherStore {
        /// The path.
        path: String,
    },
    /// As [`Self::OtherStore`], where an image is to be published.
    #[error(
        "only other tools write this form; publish to `oci-layout://LAYOUT:TAG`, and copy it with \
         `skopeo copy oci:LAYOUT:TAG {}`",
        text::shell_word(.path)
    )]
    OtherDestination {
        /// The path.
        path: String,
    },
    /// An image of Docker Hub, or the file or layout of the same name.
    #[error(
        "a file or layout here has this name; write `./{path}` for it, or `{image}` for the image"
    )]
    FileOrImage {
        /// The path.
        path: String,
        /// The repository.
        image: String,
    },
    /// The host of a registry in place of an image.
    #[error("`{host}` is a registry without a repository; did you mean `{meant}`?")]
    RegistryAlone {
        /// The registry.
        host: RegistryHost,
        /// The form of an image in it.
        meant: String,
    },
    /// The content of a URL can change, so its digest is required.
    #[error("a plugin at a URL requires `sha256 = \"<64 hexadecimal digits>\"` next to its `path`")]
    NoSha256,
    /// As [`Self::NoSha256`], where the URL can be meant as the name of an image.
    #[error(
        "a plugin at a URL requires `sha256 = \"<64 hexadecimal digits>\"` next to its `path`; if it is an \
         image, write `{image}`"
    )]
    UrlOrImage {
        /// The image, with `oci://`.
        image: String,
    },
    /// `sha256` is given for a path that is not a URL.
    #[error("`sha256` goes with an `https://` path only; write a digest as `@sha256:…` instead")]
    NeedlessSha256,
    /// Plain HTTP.
    #[error("plugins are fetched by `https://` only")]
    PlainHttp,
    /// It has white space at one of its ends.
    #[error("it begins or ends with a space; write `{meant}`")]
    Space {
        /// The path without it.
        meant: String,
    },
    /// The path of a file or layout, or the URL, is not written as the config requires.
    #[error("{0}")]
    Path(&'static str),
    /// The path is not a valid name of an image, but the intended one is known.
    #[error("{error}; did you mean `{meant}`?")]
    MisspelledImage {
        /// The rule that the path breaks.
        error: ReferenceError,
        /// The name that is meant, with `oci://`.
        meant: String,
    },
    /// The path begins with a scheme that is written in another way.
    #[error("did you mean `{meant}`?")]
    Misspelled {
        /// The path with the scheme that was meant.
        meant: String,
    },
    /// The path begins with another scheme than that of images, and its name is not valid either.
    #[error("an image is written as `oci://registry/repository:tag`")]
    NoImage(#[source] ReferenceError),
    /// The scheme is not supported.
    #[error(
        "`{scheme}://` is not supported; use `oci://`, `oci-layout://`, `https://` or a file path"
    )]
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
}
