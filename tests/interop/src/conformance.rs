//! The OCI distribution conformance suite against the test kit's registry, and our own suite of
//! behaviours against the registries of others.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::servers::{PASSWORD, USER};
use crate::tools;

/// The cargo that started the program.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// The test of `qmt-registry` that goes against the server which the environment names.
const SUITE: &str = "suite::an_external_registry";

/// Runs the behaviours of `qmt-registry` against the registry at `host`; gives their number.
pub(super) fn behaviours(sh: &Shell, host: &str, password: bool) -> anyhow::Result<usize> {
    let cargo = cargo();
    let mut test = cmd!(
        sh,
        "{cargo} test --quiet --package qmt-registry --test it {SUITE} -- --exact --nocapture"
    )
    .env("QMT_SUITE_REGISTRY", host)
    .env("RUST_BACKTRACE", "0");
    if password {
        test = test
            .env("QMT_SUITE_USERNAME", USER)
            .env("QMT_SUITE_PASSWORD", PASSWORD);
    }
    let output = test.quiet().ignore_status().output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(
        output.status.success(),
        "behaviours\n{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let count = said.lines().find_map(|line| {
        let count = line
            .strip_prefix("suite: ")?
            .strip_suffix(" behaviours hold")?;
        count.parse().ok()
    });
    count.context("the suite ran no behaviour")
}

/// Serves the test kit's registry as anyone would, and lets the conformance suite at it. `None`
/// where that is not installed.
pub(super) fn official(sh: &Shell, folder: &Path) -> anyhow::Result<Option<usize>> {
    let Some(suite) = tools::find("oci-conformance") else {
        return Ok(None);
    };
    let cargo = cargo();
    cmd!(sh, "{cargo} build --quiet --workspace --example registry")
        .quiet()
        .run()?;
    let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let binary = std::env::current_exe()?.with_file_name("examples/registry");
    let mut server = Command::new(&binary)
        .arg(address.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let result = listening(address, &mut server).and_then(|()| {
        let _there = sh.push_dir(folder);
        let output = cmd!(sh, "{suite}")
            .env("OCI_REGISTRY", address.to_string())
            .env("OCI_TLS", "disabled")
            .env("OCI_VERSION", "1.1")
            .quiet()
            .ignore_status()
            .output()?;
        count(&folder.join("results"), output.status.success())
    });
    // It has served; a process that is gone already is as good as ended.
    let _ = server.kill();
    let _ = server.wait();
    result.map(Some)
}

fn listening(address: std::net::SocketAddr, server: &mut Child) -> anyhow::Result<()> {
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        anyhow::ensure!(
            server.try_wait()?.is_none() && start.elapsed() < Duration::from_secs(10),
            "the test kit's registry does not listen on {address}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Counts the test cases of the `JUnit` report; any failure fails.
fn count(results: &Path, ended_well: bool) -> anyhow::Result<usize> {
    let report = std::fs::read_to_string(results.join("junit.xml")).context("no report")?;
    let failed = report.matches("<failure").count() + report.matches("<error").count();
    let cases = report.matches("<testcase").count();
    anyhow::ensure!(
        failed == 0 && ended_well && cases > 0,
        "{failed} of {cases} checks failed; see {}",
        results.display()
    );
    Ok(cases)
}
