//! HTTP/2, as public registries speak it. The suite of behaviours runs over it as well.

#[cfg(target_os = "linux")] // Which tells how much memory a process took.
mod floods;

use qmt_registry::{HostOptions, HttpRegistry};
use qmt_testkit::{Cut, FakeRegistry, Fault, TlsOptions};

use crate::support::{ca_of, noise, pull, quick};

/// F5: over one connection for all, downloads that break off go on where they were.
#[tokio::test]
async fn broken_transfers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = FakeRegistry::builder()
        .tls(TlsOptions::new().http2())
        .serve()
        .await;
    let client = HttpRegistry::builder()
        .host(
            server.host(),
            HostOptions::new().ca_file(ca_of(&server, &folder)),
        )
        .limits(quick())
        .build()
        .unwrap();
    let from = server.repository("acme/echo");
    let contents: Vec<_> = (0..8).map(|more| noise((3 << 20) + more)).collect();
    for cut in [Cut::Fin, Cut::Reset] {
        let blobs = contents
            .iter()
            .map(|content| server.put_blob("acme/echo", content.clone()));
        let blobs: Vec<_> = blobs.collect();
        server.fault(
            Fault::on("GET", "/v2/*/blobs/*")
                .times(2)
                .cut(1_000_000, cut),
        );
        let pulls = blobs.iter().map(|blob| pull(&client, &from, blob));
        let pulled = futures_util::future::join_all(pulls).await;
        for (pulled, content) in pulled.into_iter().zip(&contents) {
            assert!(pulled.unwrap() == *content, "{cut:?}");
        }
        let ranges = server
            .requests()
            .iter()
            .filter(|r| r.header("range").is_some())
            .count();
        assert!(ranges >= 1, "{}", server.request_log());
        server.clear_faults();
        server.clear_requests();
    }
}
