//! A pull over a wire that does harm: who does it, and what it must give.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use qmt_oci_ref::{Descriptor, MediaType, PinnedReference, RegistryHost, Repository};
use qmt_registry::limits::MANIFEST_MAX;
use qmt_registry::{HttpRegistry, Limits, Registry as _, RegistryError};
use qmt_testkit::{Auth, FakeRegistry, Harm, TokenOptions, WireProxy};

use super::Tally;
use crate::support::{CANARY, noise, password, plain, pull};

/// Longer than this, a pull over loopback hangs, however busy the machine is.
const HANGS: Duration = Duration::from_mins(2);

/// How long is waited where a line that is cut says so: a busy machine is no silence.
pub(super) const PATIENT: Duration = Duration::from_secs(30);

/// How long a silent line is waited for where lines go silent.
pub(super) const IMPATIENT: Duration = Duration::from_millis(150);

/// Bytes of the layer: with all heads and manifests about 25 KB in all.
const LAYER: usize = 20_000;

/// A registry with token authentication behind a wire, and the image in it.
pub(super) struct Stand {
    wire: WireProxy,
    /// Serves as long as the stand is there.
    _server: FakeRegistry,
    host: RegistryHost,
    layer: Descriptor,
    genuine: Genuine,
    patience: Duration,
}

/// Everything that a pull brings.
#[derive(Debug, PartialEq, Eq)]
struct Genuine {
    manifest: Bytes,
    referrer: Bytes,
    layer: Bytes,
}

impl Genuine {
    fn without_referrer(&self, genuine: &Self) -> bool {
        self.referrer.is_empty() && self.manifest == genuine.manifest && self.layer == genuine.layer
    }
}

impl Stand {
    /// A stand whose client waits for `patience` where nothing comes.
    pub(super) async fn new(patience: Duration) -> Self {
        let wire = WireProxy::start().unwrap();
        let realm = format!("http://{}/token", wire.address());
        let server = FakeRegistry::builder()
            .auth(Auth::Token(TokenOptions::new("alice", CANARY).realm(realm)))
            .serve()
            .await;
        wire.forward_to(server.address());
        let host = wire.address().to_string().parse().unwrap();
        let content = noise(LAYER);
        let layer = server.put_blob("acme/echo", content.clone());
        let config = server.put_blob("acme/echo", "{}");
        let manifest = manifest(&config, &layer, None);
        let image =
            server.put_manifest("acme/echo", "1", MediaType::OCI_MANIFEST, manifest.clone());
        let referrer = self::manifest(&config, &config, Some(&image));
        server.put_manifest("acme/echo", None, MediaType::OCI_MANIFEST, referrer.clone());
        let genuine = Genuine {
            manifest,
            referrer,
            layer: content,
        };
        Self {
            wire,
            _server: server,
            host,
            layer,
            genuine,
            patience,
        }
    }

    /// How many bytes the answers of one whole pull have.
    pub(super) async fn length(&self) -> u64 {
        self.wire.arm(Harm::None);
        assert_eq!(self.pull().await.unwrap(), self.genuine);
        self.wire.passed()
    }

    /// One pull with one harm: the genuine bytes or an error, and an end.
    pub(super) async fn case(&self, harm: Harm) -> Tally {
        self.wire.arm(harm.clone());
        let mut tally = Tally {
            cases: 1,
            ..Tally::default()
        };
        match tokio::time::timeout(HANGS, self.pull()).await {
            Ok(Ok(got)) if got == self.genuine => tally.genuine = 1,
            // Nothing proves a list of referrers: whoever changes it can withhold one, not make one.
            Ok(Ok(got))
                if matches!(harm, Harm::Change(_)) && got.without_referrer(&self.genuine) =>
            {
                tally.genuine = 1;
            }
            Ok(Ok(_)) => tally.violations.push(format!("{harm:?}: other bytes")),
            Ok(Err(_)) => tally.refused = 1,
            Err(_) => tally.violations.push(format!("{harm:?}: hangs")),
        }
        tally
    }

    /// Resolve, the same by digest, referrers with their manifest, layer.
    async fn pull(&self) -> Result<Genuine, RegistryError> {
        let client = HttpRegistry::builder()
            .host(self.host.clone(), plain())
            .credentials(password())
            .limits(limits(self.patience))
            .build()?;
        let repository = Repository::new(self.host.clone(), "acme/echo").unwrap();
        let reference = format!("{}/acme/echo:1", self.host).parse().unwrap();
        let resolved = client.resolve(&reference).await?;
        let again = client.manifest(resolved.pin(), MANIFEST_MAX).await?;
        // One digest: whatever was resolved is what comes again.
        assert_eq!(again.bytes(), resolved.manifest().bytes());
        let mut referrer = Bytes::new();
        for entry in client.referrers(resolved.pin()).await? {
            let pin = PinnedReference::new(repository.clone(), entry.digest().clone());
            referrer = client.manifest(&pin, MANIFEST_MAX).await?.bytes().clone();
        }
        let layer = pull(&client, &repository, &self.layer).await?;
        Ok(Genuine {
            manifest: again.bytes().clone(),
            referrer,
            layer,
        })
    }
}

/// Limits at which a line that went silent is noticed after `patience`.
fn limits(patience: Duration) -> Limits {
    Limits::default()
        .retry_wait_min(Duration::from_millis(1))
        .retry_wait_max(Duration::from_millis(20))
        .header_timeout(patience)
        .stall_window(patience)
        .total_timeout(HANGS / 2)
}

fn manifest(config: &Descriptor, layer: &Descriptor, subject: Option<&Descriptor>) -> Bytes {
    let mut manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": config,
        "layers": [layer],
    });
    if let Some(subject) = subject {
        manifest["subject"] = serde_json::json!(subject);
        manifest["artifactType"] = "a/signature".into();
    }
    manifest.to_string().into()
}

/// Tries all harms, `at_once` pulls beside one another, each over a wire of its own.
pub(super) async fn run(harms: Vec<Harm>, at_once: usize, patience: Duration) -> Tally {
    let next = Arc::new(AtomicUsize::new(0));
    let harms = Arc::new(harms);
    let mut workers = Vec::new();
    for _ in 0..at_once.min(harms.len()) {
        let (next, harms) = (Arc::clone(&next), Arc::clone(&harms));
        workers.push(tokio::spawn(async move {
            let stand = Stand::new(patience).await;
            let mut tally = Tally::default();
            while let Some(harm) = harms.get(next.fetch_add(1, Ordering::Relaxed)) {
                tally.add(stand.case(harm.clone()).await);
            }
            tally
        }));
    }
    let mut whole = Tally::default();
    for worker in workers {
        whole.add(worker.await.unwrap());
    }
    whole
}
