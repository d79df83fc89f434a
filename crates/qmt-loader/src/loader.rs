//! The trait of loaders, what they load, and what is known of it before it runs.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::{Digest, PluginKind};

use crate::error::LoadError;
use crate::limits::LoadOptions;
use crate::plugin::Plugin;

/// Turns an [`Artifact`] into a [`Plugin`].
#[cfg_attr(feature = "test-util", mockall::automock)]
#[async_trait]
pub trait Loader: Send + Sync {
    /// Checks `artifact`, loads it under `options` and returns it ready to be called.
    ///
    /// # Errors
    /// Everything that [`Loader::preflight`] refuses, [`LoadError::Grant`] for a right that cannot
    /// be given as written, and what goes wrong while the code is compiled, linked or opened.
    ///
    /// # Cancel safety
    /// Dropping the future loses the plugin and nothing else; a compilation that has begun runs to
    /// its end and stays in the compilation cache.
    async fn load(
        &self,
        artifact: Artifact,
        options: LoadOptions,
    ) -> Result<Arc<dyn Plugin>, LoadError>;

    /// Does the part of loading that requires no bytes, while these are read and verified. Nothing of
    /// the plugin runs. As long as the result is held, [`Loader::load`] under the same `options` has
    /// less to do; without it, it does the same. What fails here is reported there.
    async fn prepare(
        &self,
        digest: &Digest,
        options: &LoadOptions,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        let _ = (digest, options);
        None
    }

    /// Checks what can be checked without running or compiling anything.
    ///
    /// # Errors
    /// [`LoadError::KindMismatch`], [`LoadError::WasmRefused`] or [`LoadError::NativeRefused`].
    fn preflight(&self, artifact: &Artifact) -> Result<Preflight, LoadError>;

    /// Checks as [`Loader::preflight`] does, under the limits and rights of `options` where they
    /// matter to this loader.
    ///
    /// # Errors
    /// Those of [`Loader::preflight`].
    fn preflight_with(
        &self,
        artifact: &Artifact,
        options: &LoadOptions,
    ) -> Result<Preflight, LoadError> {
        let _ = options;
        self.preflight(artifact)
    }
}

/// The bytes to load, their digest, and a name for messages.
#[derive(Clone)]
pub struct Artifact {
    kind: PluginKind,
    bytes: Bytes,
    digest: Digest,
    name: String,
}

impl Artifact {
    /// Hashes `bytes`, a plugin of this kind. `name` appears in messages and logs only.
    pub fn from_bytes(kind: PluginKind, bytes: impl Into<Bytes>, name: impl Into<String>) -> Self {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        Self::from_verified(kind, bytes, digest, name)
    }

    /// Takes bytes that were verified and hash to `digest`, without hashing them again. `name`
    /// appears in messages and logs only.
    pub fn from_verified(
        kind: PluginKind,
        bytes: Bytes,
        digest: Digest,
        name: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            bytes,
            digest,
            name: name.into(),
        }
    }

    /// Returns the claimed kind; the loaders check it against the content.
    pub fn kind(&self) -> PluginKind {
        self.kind
    }

    /// Returns the content.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the digest of the content.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Returns the name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact")
            .field("kind", &self.kind)
            .field("digest", &self.digest)
            .field("name", &self.name)
            .field("size", &self.bytes.len())
            .finish()
    }
}

/// What the bytes show before any of them runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preflight {
    /// What the content is.
    pub kind: PluginKind,
    /// For Wasm, and for a native library that was made with `qmt-plugin-sdk`, the functions that can
    /// be called; for another native library the functions among its symbols.
    pub exports: Vec<String>,
    /// For Wasm `module.name` of each import; for a native library the libraries that it requires.
    pub imports: Vec<String>,
    /// Whether a Wasm module imports WASI, of which it gets clocks and random numbers, and what
    /// [`crate::Allow`] grants.
    pub wasi: bool,
    /// The version of `qmt_plugin.h` that a native library declares in a way that can be read
    /// without running it.
    pub abi: Option<u32>,
}
