//! A pull over a faulty connection: which side causes the fault, and what the pull must return.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use qmt_oci_ref::{
    Descriptor, PinnedReference, Registry as _, RegistryError, RegistryHost, Repository, manifest,
};
use qmt_registry::HttpRegistry;
use qmt_registry::limits::Limits;
use qmt_registry::limits::MANIFEST_MAX;
use qmt_testkit::{Auth, FakeRegistry, TokenOptions, WireFault, WireProxy};

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
        let image = server.put_manifest("acme/echo", "1", manifest::OCI_MANIFEST, manifest.clone());
        let referrer = self::manifest(&config, &config, Some(&image));
        server.put_manifest("acme/echo", None, manifest::OCI_MANIFEST, referrer.clone());
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
        self.wire.arm(WireFault::None);
        assert_eq!(self.pull().await.unwrap(), self.genuine);
        self.wire.passed()
    }

    /// One pull with one fault: it must end, with the genuine bytes or an error.
    pub(super) async fn case(&self, fault: WireFault) -> Tally {
        self.wire.arm(fault.clone());
        let mut tally = Tally {
            cases: 1,
            ..Tally::default()
        };
        match tokio::time::timeout(HANGS, self.pull()).await {
            Ok(Ok(got)) if got == self.genuine => tally.genuine = 1,
            // A list of referrers is not signed: an attacker can withhold an entry, not forge one.
            Ok(Ok(got))
                if matches!(fault, WireFault::Change(_)) && got.without_referrer(&self.genuine) =>
            {
                tally.genuine = 1;
            }
            Ok(Ok(_)) => tally.violations.push(format!("{fault:?}: other bytes")),
            Ok(Err(_)) => tally.refused = 1,
            Err(_) => tally.violations.push(format!("{fault:?}: hangs")),
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
        let pin = PinnedReference::new(repository.clone(), resolved.digest().clone());
        let again = client.manifest(&pin, MANIFEST_MAX).await?;
        // One digest: the same content as was resolved.
        assert_eq!(again.bytes(), resolved.bytes());
        let mut referrer = Bytes::new();
        for entry in client.referrers(&pin).await?.into_entries() {
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
        "mediaType": manifest::OCI_MANIFEST,
        "config": config,
        "layers": [layer],
    });
    if let Some(subject) = subject {
        manifest["subject"] = serde_json::json!(subject);
        manifest["artifactType"] = "a/signature".into();
    }
    manifest.to_string().into()
}

/// Tries all faults, `at_once` pulls at the same time, each over its own wire.
pub(super) async fn run(faults: Vec<WireFault>, at_once: usize, patience: Duration) -> Tally {
    let next = Arc::new(AtomicUsize::new(0));
    let faults = Arc::new(faults);
    let mut workers = Vec::new();
    for _ in 0..at_once.min(faults.len()) {
        let (next, faults) = (Arc::clone(&next), Arc::clone(&faults));
        workers.push(tokio::spawn(async move {
            let stand = Stand::new(patience).await;
            let mut tally = Tally::default();
            while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                tally.add(stand.case(fault.clone()).await);
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
