//! Floods of frames: each ends soon, and costs hardly more memory than a good answer.

use std::time::Duration;

use qmt_oci_ref::{RawManifest, Reference, Registry as _, RegistryError, Repository, Tag};
use qmt_registry::{HostOptions, HttpRegistry};
use qmt_testkit::{Flood, FloodServer};

use crate::support::{MANIFEST, full_text, quick};

/// Names the server and the file with its authority for a process that asks it.
const SERVER: &str = "QMT_FLOOD_SERVER";
const AUTHORITY: &str = "QMT_FLOOD_AUTHORITY";
/// How much more memory a flood may take than a good answer: 16 MiB.
const MORE_KIB_MAX: u64 = 16 << 10;
/// How much of a flood is taken before the client hangs up, where what it breaks is a limit: 8 MiB.
const TAKEN_MAX: u64 = 8 << 20;

/// Asks the server that the environment names, and tells the outcome.
async fn ask() -> Result<RawManifest, RegistryError> {
    let host = std::env::var(SERVER).unwrap();
    let options = HostOptions::new().ca_file(std::env::var(AUTHORITY).unwrap());
    let limits = quick()
        .header_timeout(Duration::from_secs(1))
        .tries(2)
        .total_timeout(Duration::from_secs(20));
    let client = HttpRegistry::builder()
        .host(host.parse().unwrap(), options)
        .limits(limits)
        .build()
        .unwrap();
    let tag: Tag = "1".parse().unwrap();
    let repository = Repository::new(host.parse().unwrap(), "acme/echo").unwrap();
    client
        .resolve(&Reference::new(repository, Some(tag), None))
        .await
}

/// The most memory that this process ever held, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse().unwrap()
}

struct Outcome {
    fine: bool,
    full_text: String,
    peak_kib: u64,
    taken: u64,
    connections: u64,
}

/// Runs this very test in a separate process against a server that floods.
fn outcome(flood: Flood) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let server = FloodServer::start(flood, MANIFEST).unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, server.certificates().ca_pem()).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "http2::floods::floods_of_frames_do_not_exhaust_memory",
        ])
        .arg("--nocapture")
        .env(SERVER, server.address().to_string())
        .env(AUTHORITY, &authority)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{flood:?}: {text}");
    let line = |name: &str| {
        let line = text.lines().find_map(|line| line.split_once(name));
        line.unwrap_or_else(|| panic!("{flood:?}: {text}")).1.trim()
    };
    Outcome {
        fine: line("fine:") == "true",
        full_text: line("full text:").to_owned(),
        peak_kib: line("peak:").parse().unwrap(),
        taken: server.sent(),
        connections: server.connections(),
    }
}

/// AUTH-21: endless heads, heads that explode, empty frames, frames that want answers. The client
/// ends them with an error, soon, and needs hardly more memory than for a good answer.
#[test]
fn floods_of_frames_do_not_exhaust_memory() {
    if std::env::var_os(SERVER).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let outcome = runtime.block_on(ask());
        println!("\nfine: {}", outcome.is_ok());
        let text = outcome.map_or_else(|error| full_text(&error), |_| String::new());
        println!("full text: {}", text.replace('\n', " "));
        println!("peak: {}", peak_kib());
        return;
    }
    let good = outcome(Flood::None);
    assert!(good.fine, "{}", good.full_text);
    for flood in Flood::ALL {
        let bad = outcome(flood);
        let seen = format!(
            "{flood:?}: {} KiB, {} taken, {}",
            bad.peak_kib, bad.taken, bad.full_text
        );
        assert!(!bad.fine, "{seen}");
        assert!(bad.peak_kib < good.peak_kib + MORE_KIB_MAX, "{seen}");
        let expected = match flood {
            // They are answered, and end with the time for the head of an answer.
            Flood::Pings | Flood::Settings => "did not answer within 1s",
            Flood::Promises => "unspecific protocol error",
            _ => "flood of HTTP/2 frames",
        };
        assert!(bad.full_text.contains(expected), "{seen}");
        if expected.contains("flood") {
            assert!(bad.taken < TAKEN_MAX, "{seen}");
            assert_eq!(bad.connections, 1, "a flood is not asked for again: {seen}");
        }
    }
}
