//! Fulcio, Rekor v2 and the timestamp authority: how each is started, and where it is then.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use super::authority::{self, Authority};
use super::ct_log::CtLog;
use super::oidc::Issuer;
use super::processes::Processes;
use crate::{real, web};

/// The timestamp server serves its metrics there; no option changes it.
const TIMESTAMP_METRICS: u16 = 2112;
/// How long the port above may be in use, for example by another run.
const PORT_LIMIT: Duration = Duration::from_mins(5);
/// The password for a key that is not encrypted.
const NO_PASSWORD: &str = "none";

/// A service that answers, and the files by which it is trusted.
pub(super) struct Service {
    pub(super) url: String,
    /// A certificate chain or a public key, PEM.
    pub(super) trust: PathBuf,
}

/// Different free ports of loopback.
pub(super) fn ports<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut ports = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    let mut held: Vec<TcpListener> = Vec::new();
    for port in &mut ports {
        let listener = web::listen()?;
        *port = listener.local_addr()?;
        held.push(listener);
    }
    Ok(ports)
}

/// Fulcio with a certificate authority of files, for two issuers.
pub(super) fn fulcio(
    processes: &mut Processes,
    folder: &Path,
    people: &Issuer,
    workflows: &Issuer,
    ct_log: &CtLog,
) -> anyhow::Result<Service> {
    let Authority { key, chain } = authority::fulcio()?;
    let (key, trust) = (
        write(folder, "fulcio.key", &key)?,
        write(folder, "fulcio-chain.pem", &chain)?,
    );
    let ct_key = write(folder, "ctfe.pub", ct_log.public_pem())?;
    let issuer = |issuer: &Issuer, kind: &str| json!({ "IssuerURL": issuer.url(), "ClientID": "sigstore", "Type": kind });
    // Read as JSON, the config has these keys; as YAML it would have others.
    let config = json!({ "OIDCIssuers": {
        people.url(): issuer(people, "email"),
        workflows.url(): issuer(workflows, "github-workflow"),
    }});
    let config = write(folder, "fulcio-config.yaml", &config.to_string())?;
    let [http, grpc, metrics] = ports()?;
    let mut command = Command::new(real::tool("fulcio")?);
    command
        .args(["serve", "--host", "127.0.0.1", "--grpc-host", "127.0.0.1"])
        .args(["--port", &port(http), "--grpc-port", &port(grpc)])
        .args(["--metrics-port", &port(metrics)])
        .args(["--ca", "fileca", "--fileca-watch=false"])
        .args(["--fileca-key-passwd", NO_PASSWORD])
        .arg("--fileca-cert")
        .arg(&trust)
        .arg("--fileca-key")
        .arg(&key)
        .args(["--ct-log-url", &ct_log.url()])
        .arg("--ct-log-public-key-path")
        .arg(&ct_key)
        .arg("--config-path")
        .arg(&config)
        .arg("--legacy-unix-domain-socket")
        .arg(format!("@e2e-fulcio-{}", http.port()));
    processes.start("fulcio", command)?;
    processes.wait_for(http, "/api/v2/trustBundle")?;
    let url = format!("http://{http}");
    Ok(Service { url, trust })
}

/// Rekor v2 on files.
pub(super) fn rekor(processes: &mut Processes, folder: &Path) -> anyhow::Result<Service> {
    let (private, public) = authority::key()?;
    let private = write(folder, "rekor.key", &private)?;
    let trust = write(folder, "rekor.pub", &public)?;
    let [http, grpc, metrics] = ports()?;
    let mut command = Command::new(real::tool("rekor-posix")?);
    command
        // The log is called by this name, and clients expect the one in its URL.
        .args(["serve", "--hostname", "127.0.0.1"])
        .args(["--http-port", &port(http), "--grpc-port", &port(grpc)])
        .args(["--http-metrics-port", &port(metrics)])
        .args(["--checkpoint-interval", "1s", "--batch-max-age", "50ms"])
        .arg("--signer-filepath")
        .arg(&private)
        .arg("--storage-dir")
        .arg(folder.join("rekor-store"));
    processes.start("rekor", command)?;
    processes.wait_for(http, "/healthz")?;
    let url = format!("http://{http}");
    Ok(Service { url, trust })
}

/// The timestamp authority. Started before anything else that might take its second port.
pub(super) fn timestamps(processes: &mut Processes, folder: &Path) -> anyhow::Result<Service> {
    let start = Instant::now();
    while TcpListener::bind((Ipv4Addr::UNSPECIFIED, TIMESTAMP_METRICS)).is_err() {
        anyhow::ensure!(
            start.elapsed() < PORT_LIMIT,
            "port {TIMESTAMP_METRICS} is taken, and the timestamp server can do with no other"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let Authority { key, chain } = authority::timestamps()?;
    let key = write(folder, "tsa.key", &key)?;
    let trust = write(folder, "tsa-chain.pem", &chain)?;
    let [http] = ports()?;
    let mut command = Command::new(real::tool("timestamp-server")?);
    command
        .args(["serve", "--host", "127.0.0.1", "--port", &port(http)])
        .args(["--timestamp-signer", "file", "--disable-ntp-monitoring"])
        .args(["--file-signer-passwd", NO_PASSWORD])
        .arg("--file-signer-key-path")
        .arg(&key)
        .arg("--certificate-chain-path")
        .arg(&trust);
    processes.start("timestamps", command)?;
    processes.wait_for(http, "/ping")?;
    let url = format!("http://{http}/api/v1/timestamp");
    Ok(Service { url, trust })
}

pub(super) fn port(address: SocketAddr) -> String {
    address.port().to_string()
}

pub(super) fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}
