//! What hostile documents may cost in memory, measured in a separate process.
#![cfg(target_os = "linux")]

use std::process::Command;

use qmt_oci_ref::{PinnedReference, Registry as _, RegistryError};
use qmt_testkit::{Auth, Fault};

use crate::support::{client, image_behind, resolve};

/// Set where this process is the one that is measured.
const MEASURED: &str = "QMT_MEASURED";
/// How much a process may grow, in KiB. Each document has 4 MiB.
const GROWTH_MAX: u64 = 64 << 10;

/// The most memory that this process ever held, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// LIM-01: a manifest, and a list that can't be read, of as many objects as the bytes allow.
#[tokio::test]
async fn documents_of_many_values_do_not_eat_the_memory() {
    const NAME: &str = "memory::documents_of_many_values_do_not_eat_the_memory";
    if std::env::var_os(MEASURED).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", NAME, "--nocapture"]);
        let output = command.env(MEASURED, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        let line = text.lines().find_map(|line| line.strip_prefix("grew by "));
        let grown: u64 = line.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
        assert!(grown < GROWTH_MAX, "{grown} KiB");
        return;
    }
    let server = image_behind(Auth::None).await;
    let client = client(&server);
    let good = resolve(&client, &server).await.unwrap();
    let tiny = r#"{"":0},"#.repeat((4 << 20) / 8);
    let document = |head: &str| format!(r#"{{{head},"a":[{tiny}0]}}"#);
    let before = peak_kib();

    let manifest = document(r#""schemaVersion":2,"config":{},"layers":[]"#);
    let sent = Fault::on("GET", "/v2/*/manifests/*").without_header("docker-content-digest");
    server.fault(sent.body(manifest).once());
    resolve(&client, &server).await.unwrap();

    let list = document(r#""manifests":5"#);
    let sent = Fault::on("GET", "/v2/*/referrers/*").respond(200);
    let sent = sent.header("content-type", "application/vnd.oci.image.index.v1+json");
    server.fault(sent.body(list).once());
    let pin = PinnedReference::new(server.repository("acme/echo"), good.digest().clone());
    let _: RegistryError = client.referrers(&pin).await.unwrap_err();
    println!("\ngrew by {}", peak_kib() - before);
}
