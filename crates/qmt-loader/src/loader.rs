//! The seam: what is loaded, by whom, and what is known of it before it runs.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use qmt_oci_ref::Digest;

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

    /// Checks what can be checked without running or compiling anything.
    ///
    /// # Errors
    /// [`LoadError::KindMismatch`], [`LoadError::WasmRefused`] or [`LoadError::NativeRefused`].
    fn preflight(&self, artifact: &Artifact) -> Result<Preflight, LoadError>;
}

/// What a plugin is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A WebAssembly core module for Extism.
    Wasm,
    /// A shared library for this machine.
    Native,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasm => "wasm",
            Self::Native => "native",
        })
    }
}

/// The bytes to load, as they were proven, and what to call them in messages.
#[derive(Clone)]
pub struct Artifact {
    kind: Kind,
    bytes: Bytes,
    digest: Digest,
    name: String,
}

impl Artifact {
    /// Puts together what the cache proved: `bytes` are the very bytes that hash to `digest`.
    ///
    /// `name` appears in messages and logs only.
    pub fn new(kind: Kind, bytes: Bytes, digest: Digest, name: impl Into<String>) -> Self {
        Self {
            kind,
            bytes,
            digest,
            name: name.into(),
        }
    }

    /// Returns what the artifact is said to be; the loaders check it against the content.
    pub fn kind(&self) -> Kind {
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

/// What a look at the bytes says, before any of them runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preflight {
    /// What the content is.
    pub kind: Kind,
    /// For Wasm the functions that can be called; for a native library the functions it exports.
    pub exports: Vec<String>,
    /// For Wasm `module.name` of each import; for a native library the libraries it needs.
    pub imports: Vec<String>,
    /// Whether a Wasm module wants WASI, of which it gets clocks and random numbers, and no more
    /// than [`crate::Allow`] grants.
    pub wasi: bool,
    /// The version of `qmt_plugin.h` that a native library declares in a way that can be read
    /// without running it.
    pub abi: Option<u32>,
}
