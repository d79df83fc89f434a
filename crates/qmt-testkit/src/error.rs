//! Errors of setting up a fixture.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use qmt_storage::LayoutError;

/// Why a server could not start or a fixture could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestkitError {
    /// The server could not listen on the address.
    #[error("cannot listen on {address}; choose another port, or port 0 for a free one")]
    Bind {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The certificates of a TLS server could not be made or loaded.
    #[error("cannot make the server's certificates")]
    Tls {
        /// The error of the certificate library.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be read or written.
    #[error("cannot access `{}`", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// An OCI image layout could not be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The C compiler could not be run or refused the source.
    #[error("`{compiler}` did not compile the native plugin: {output}")]
    Compile {
        /// The program that was run.
        compiler: String,
        /// Its output, or why it did not start.
        output: String,
    },
}
