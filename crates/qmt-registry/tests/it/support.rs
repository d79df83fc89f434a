//! What the tests share: a client with short pauses, a store with one credential, a small image.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use qmt_oci_ref::{
    Descriptor, Digester, RawManifest, Reference, Registry, RegistryError, RegistryHost,
    Repository, manifest,
};
use qmt_registry::credentials::{Credential, CredentialStore};
use qmt_registry::limits::Limits;
use qmt_registry::{ClientError, HostOptions, HttpRegistry, HttpRegistryBuilder, RegistryEvent};
use qmt_testkit::{Auth, FakeRegistry};
use tempfile::TempDir;

/// A password that must never be seen where it does not belong.
pub(crate) const CANARY: &str = "canary-password";
/// An image manifest without layers.
pub(crate) const MANIFEST: &str = concat!(
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":"#,
    r#"{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f"#,
    r#"7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#
);

/// Limits with pauses that a test can wait for.
pub(crate) fn quick() -> Limits {
    Limits::default()
        .retry_wait_min(Duration::from_millis(1))
        .header_timeout(Duration::from_secs(5))
        .stall_window(Duration::from_secs(5))
        .total_timeout(Duration::from_secs(30))
}

/// A client of `server`, over plain HTTP.
pub(crate) fn builder(server: &FakeRegistry) -> HttpRegistryBuilder {
    HttpRegistry::builder()
        .host(server.host(), plain())
        .limits(quick())
}

pub(crate) fn plain() -> HostOptions {
    HostOptions::new().plain_http(true)
}

pub(crate) fn client(server: &FakeRegistry) -> HttpRegistry {
    builder(server).build().unwrap()
}

/// A client that has the canary as its password for every host that it is asked for.
/// A client of plain HTTP that tries once, and an image at `host`.
pub(crate) fn plain_client(host: &str) -> (HttpRegistry, Reference) {
    let client = HttpRegistry::builder()
        .host(host.parse().unwrap(), plain())
        .limits(quick().tries(1))
        .build()
        .unwrap();
    (client, format!("{host}/acme/echo:1").parse().unwrap())
}

pub(crate) fn client_with_password(server: &FakeRegistry) -> HttpRegistry {
    builder(server).credentials(password()).build().unwrap()
}

pub(crate) fn password() -> Arc<Fixed> {
    Arc::new(Fixed(Credential::basic("alice", CANARY)))
}

/// A store that knows one credential for all.
pub(crate) struct Fixed(pub(crate) Credential);

#[async_trait::async_trait]
impl CredentialStore for Fixed {
    async fn credential(
        &self,
        _host: &RegistryHost,
        _repository: Option<&Repository>,
    ) -> Result<Option<Credential>, RegistryError> {
        Ok(Some(self.0.clone()))
    }
}

/// Collects events.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<RegistryEvent>>>);

impl Recorder {
    pub(crate) fn sink(&self) -> Arc<dyn Fn(RegistryEvent) + Send + Sync> {
        let events = Arc::clone(&self.0);
        Arc::new(move |event| events.lock().unwrap().push(event))
    }

    pub(crate) fn count(&self, is: impl Fn(&RegistryEvent) -> bool) -> usize {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|event| is(event))
            .count()
    }

    pub(crate) fn all(&self) -> Vec<RegistryEvent> {
        self.0.lock().unwrap().clone()
    }
}

/// Puts [`MANIFEST`] at `acme/echo:1`.
pub(crate) fn put_image(server: &FakeRegistry) -> Descriptor {
    server.put_manifest("acme/echo", "1", manifest::OCI_MANIFEST, MANIFEST)
}

/// A registry that asks for `auth`, with [`MANIFEST`] at `acme/echo:1`.
pub(crate) async fn image_behind(auth: Auth) -> FakeRegistry {
    let server = FakeRegistry::builder().auth(auth).serve().await;
    put_image(&server);
    server
}

/// Writes the authority that vouches for `server` into `folder`.
pub(crate) fn ca_of(server: &FakeRegistry, folder: &TempDir) -> PathBuf {
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, server.certificates().unwrap().ca_pem()).unwrap();
    path
}

/// Resolves `acme/echo:1`.
pub(crate) async fn resolve(
    client: &dyn Registry,
    server: &FakeRegistry,
) -> Result<RawManifest, RegistryError> {
    client.resolve(&server.reference("acme/echo:1")).await
}

/// Pulls a whole blob.
pub(crate) async fn pull(
    client: &dyn Registry,
    from: &Repository,
    blob: &Descriptor,
) -> Result<Bytes, RegistryError> {
    pull_rest(client, from, blob, &[]).await
}

/// Pulls the bytes after `known`.
pub(crate) async fn pull_rest(
    client: &dyn Registry,
    from: &Repository,
    blob: &Descriptor,
    known: &[u8],
) -> Result<Bytes, RegistryError> {
    let mut digester = Digester::new(blob.digest().algorithm());
    digester.update(known);
    let mut stream = client.blob(from, blob, digester).await?;
    let mut content = Vec::new();
    while let Some(chunk) = stream.next().await {
        content.extend_from_slice(&chunk?);
    }
    Ok(content.into())
}

/// Bytes that differ from one another, so that a wrong order is noticed.
pub(crate) fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_u32;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[0]
        })
        .collect()
}

/// The error's whole text, causes included: what a log would show.
pub(crate) fn full_text(error: &RegistryError) -> String {
    let mut text = format!("{error} / {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(" / ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The error that this crate wraps in a [`RegistryError`].
pub(crate) trait Detail {
    fn detail(&self) -> Option<&ClientError>;
}

impl Detail for RegistryError {
    fn detail(&self) -> Option<&ClientError> {
        self.downcast_ref()
    }
}

impl<T> Detail for Result<T, RegistryError> {
    fn detail(&self) -> Option<&ClientError> {
        self.as_ref().err()?.detail()
    }
}
