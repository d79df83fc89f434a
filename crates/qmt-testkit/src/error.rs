//! What can go wrong while a fixture is being set up.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server could not start or a fixture could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestkitError {
    /// The address could not be listened on.
    #[error("cannot listen on {address}; choose another port, or port 0 for a free one")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The certificates of a TLS server could not be made or loaded.
    #[error("cannot make the server's certificates")]
    Tls {
        /// What the certificate library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be read or written.
    #[error("cannot access `{}`", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A folder is not an OCI image layout.
    #[error("`{}` is not an OCI image layout: {reason}", path.display())]
    Layout {
        /// The folder or the file in it that is at fault.
        path: PathBuf,
        /// The rule that does not hold.
        reason: &'static str,
    },
    /// A JSON document of a layout could not be parsed.
    #[error("`{}` is not valid JSON", path.display())]
    Json {
        /// The document.
        path: PathBuf,
        /// What the parser said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The C compiler could not be run or refused the source.
    #[error("`{compiler}` did not compile the native plugin: {output}")]
    Compile {
        /// The program that was run.
        compiler: String,
        /// What it printed, or why it did not start.
        output: String,
    },
}
