//! Credentials: from the caller, the environment, the files of docker and podman, and helpers.
//!
//! The order is docker's, with the more explicit sources before it. The first source that has an
//! entry for the registry is used. What can't be read is an error only where no other source has a
//! credential for the registry: continuing without it would look like a missing permission.

#[cfg(feature = "http")]
mod auth_file;
#[cfg(feature = "http")]
mod chain;
#[cfg(feature = "http")]
mod entry;
#[cfg(feature = "http")]
mod environment;
#[cfg(feature = "http")]
mod helper;
#[cfg(feature = "http")]
mod key;
#[cfg(feature = "http")]
mod misspelled;
mod origin;
#[cfg(feature = "http")]
mod save;
mod store;

#[cfg(feature = "http")]
pub use self::chain::CredentialChain;
#[cfg(feature = "http")]
pub use self::environment::Environment;
#[cfg(feature = "http")]
pub(crate) use self::environment::begins_with_bearer;
pub(crate) use self::origin::AUTH_VARIABLE;
pub use self::origin::CredentialOrigin;
#[cfg(feature = "http")]
pub use self::save::{LoggedIn, StoredIn};
#[cfg(feature = "test-util")]
pub use self::store::MockCredentialStore;
pub use self::store::{Credential, CredentialStore};

#[cfg(test)]
#[cfg(feature = "http")]
mod tests;
