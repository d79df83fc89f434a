//! Scripted faults, one test each, and the same request without the fault.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use qmt_testkit::{Cut, FakeRegistry, Fault, Gate, PlainServer};

use crate::http::{Reply, get, head, request};

const BODY: &[u8] = b"0123456789";
const BLOBS: &str = "/v2/*/blobs/*";

/// A registry with one blob and one fault, and the path of the blob.
async fn with(fault: Fault) -> (FakeRegistry, String) {
    let registry = FakeRegistry::builder().serve().await;
    let blob = registry.put_blob("a/b", BODY);
    registry.fault(fault);
    let path = format!("/v2/a/b/blobs/{}", blob.digest());
    (registry, path)
}

fn assert_good(reply: &Reply) {
    assert_eq!(
        (reply.status, reply.body.as_slice(), reply.complete),
        (200, BODY, true)
    );
    assert_eq!(reply.error, None);
}

#[tokio::test]
async fn a_status_with_header_and_body() {
    let fault = Fault::on("GET", BLOBS)
        .once()
        .respond(503)
        .header("Retry-After", "7")
        .body("busy");
    let (registry, path) = with(fault).await;
    let reply = get(registry.address(), &path);
    assert_eq!(
        (reply.status, reply.header("retry-after"), reply.text()),
        (503, "7", "busy")
    );
    assert_eq!(reply.header("content-length"), "4");
    assert_good(&get(registry.address(), &path));
    assert_eq!(registry.requests()[0].status, Some(503));
}

#[tokio::test]
async fn only_the_nth_request_is_hit_and_faults_can_be_forgotten() {
    let (registry, path) = with(Fault::on("GET", BLOBS).nth(2).respond(500)).await;
    let status = || get(registry.address(), &path).status;
    assert_eq!([status(), status(), status()], [200, 500, 200]);
    registry.fault(Fault::on("*", "*").respond(418));
    assert_eq!(status(), 418);
    registry.clear_faults();
    assert_eq!(status(), 200);
}

#[tokio::test]
async fn a_body_is_cut_with_fin_at_every_byte() {
    for after in 0..BODY.len() {
        let fault = Fault::on("GET", BLOBS).once().cut(after as u64, Cut::Fin);
        let (registry, path) = with(fault).await;
        let reply = get(registry.address(), &path);
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (200, &BODY[..after]),
            "{after}"
        );
        assert_eq!(reply.header("content-length"), "10");
        assert_eq!((reply.complete, reply.error), (false, None));
        assert_good(&get(registry.address(), &path));
    }
}

#[tokio::test]
async fn a_body_is_cut_with_a_reset() {
    let (registry, path) = with(Fault::on("GET", BLOBS).once().cut(4, Cut::Reset)).await;
    let reply = get(registry.address(), &path);
    assert_eq!(reply.error, Some(ErrorKind::ConnectionReset));
    assert!(!reply.complete);
    assert!(BODY.starts_with(&reply.body), "{reply:?}");
    assert_good(&get(registry.address(), &path));
}

#[tokio::test]
async fn a_large_body_is_cut_where_it_should_be() {
    let registry = FakeRegistry::builder().serve().await;
    let body = vec![7_u8; 8 << 20];
    let blob = registry.put_blob("a/b", body.clone());
    registry.fault(Fault::on("GET", BLOBS).once().cut(5 << 20, Cut::Fin));
    let path = format!("/v2/a/b/blobs/{}", blob.digest());
    let reply = get(registry.address(), &path);
    assert_eq!((reply.body.len(), reply.complete), (5 << 20, false));
    // What was lost can be asked for by range.
    let reply = request(registry.address(), "GET", &path)
        .header("range", "bytes=5242880-")
        .send();
    assert_eq!((reply.status, reply.body.len()), (206, 3 << 20));
}

#[tokio::test]
async fn a_connection_is_dropped_without_an_answer() {
    for (how, error) in [
        (Cut::Fin, None),
        (Cut::Reset, Some(ErrorKind::ConnectionReset)),
    ] {
        let (registry, path) = with(Fault::on("GET", BLOBS).once().drop_connection(how)).await;
        let reply = get(registry.address(), &path);
        assert_eq!((reply.raw.len(), reply.error), (0, error), "{how:?}");
        assert_eq!(registry.requests()[0].status, None);
        assert_good(&get(registry.address(), &path));
    }
}

#[tokio::test]
async fn a_stalled_answer_never_comes_and_does_not_hold_up_others() {
    let (registry, path) = with(Fault::on("GET", BLOBS).once().stall()).await;
    let patience = Duration::from_millis(800);
    let reply = request(registry.address(), "GET", &path)
        .patience(patience)
        .send();
    assert_eq!(reply.raw.len(), 0);
    assert_eq!(reply.error, Some(ErrorKind::WouldBlock));
    assert_good(&get(registry.address(), &path));

    let (registry, path) = with(Fault::on("GET", BLOBS).once().stall_after(3)).await;
    let reply = request(registry.address(), "GET", &path)
        .patience(patience)
        .send();
    assert_eq!(
        (reply.body.as_slice(), reply.error),
        (&BODY[..3], Some(ErrorKind::WouldBlock))
    );
    assert_good(&get(registry.address(), &path));
}

#[tokio::test]
async fn a_slow_answer_takes_its_time() {
    let pause = Duration::from_millis(20);
    let (registry, path) = with(Fault::on("GET", BLOBS).once().slow(2, pause)).await;
    let start = Instant::now();
    assert_good(&get(registry.address(), &path));
    assert!(start.elapsed() >= pause * 5, "{:?}", start.elapsed());
    registry.fault(Fault::on("GET", BLOBS).once().delay(pause));
    let start = Instant::now();
    assert_good(&get(registry.address(), &path));
    assert!(start.elapsed() >= pause, "{:?}", start.elapsed());
}

#[tokio::test]
async fn headers_are_changed_added_and_taken_away() {
    let fault = Fault::on("*", BLOBS)
        .header("Docker-Content-Digest", "sha256:lie")
        .add_header("docker-content-digest", b"\xff\xfe")
        .without_header("accept-ranges");
    let (registry, path) = with(fault).await;
    for reply in [
        get(registry.address(), &path),
        head(registry.address(), &path),
    ] {
        assert_eq!(reply.all("docker-content-digest").len(), 2);
        assert_eq!(reply.all("docker-content-digest")[0], "sha256:lie");
        assert_eq!(reply.header("accept-ranges"), "");
        assert_eq!(reply.header("content-length"), "10");
    }
    assert_eq!(get(registry.address(), &path).body, BODY);
}

#[tokio::test]
async fn a_flood_of_headers() {
    for count in [500, 10_000] {
        let (registry, path) = with(Fault::on("GET", BLOBS).once().header_flood(count, 10)).await;
        let reply = get(registry.address(), &path);
        assert_eq!((reply.status, reply.body.as_slice()), (200, BODY));
        let last = format!("x-flood-{}", count - 1);
        assert_eq!(reply.header(&last), "ffffffffff");
        assert_good(&get(registry.address(), &path));
    }
    let (registry, path) = with(Fault::on("GET", BLOBS).once().header_flood(100_000, 10)).await;
    let reply = get(registry.address(), &path);
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.header("x-flood-99999"), "ffffffffff");
}

#[tokio::test]
async fn bodies_are_replaced_flipped_shortened_and_lengthened() {
    for (fault, body) in [
        (Fault::on("GET", BLOBS).body("other"), b"other".as_slice()),
        (Fault::on("GET", BLOBS).flip_bit(8), b"0023456789"),
        (Fault::on("GET", BLOBS).flip_bit(800), BODY),
        (Fault::on("GET", BLOBS).truncate(3), b"012"),
        (Fault::on("GET", BLOBS).append("x"), b"0123456789x"),
    ] {
        let (registry, path) = with(fault.once()).await;
        let reply = get(registry.address(), &path);
        assert_eq!(
            (reply.status, reply.body.as_slice(), reply.complete),
            (200, body, true)
        );
        assert_eq!(reply.header("content-length"), body.len().to_string());
        assert_good(&get(registry.address(), &path));
    }
}

#[tokio::test]
async fn content_length_lies_both_ways() {
    let (registry, path) = with(Fault::on("GET", BLOBS).once().content_length(99)).await;
    let reply = get(registry.address(), &path);
    assert_eq!(
        (reply.header("content-length"), reply.body.as_slice()),
        ("99", BODY)
    );
    assert!(!reply.complete);
    registry.fault(Fault::on("GET", BLOBS).once().content_length(4));
    let reply = get(registry.address(), &path);
    assert_eq!(
        (reply.header("content-length"), reply.body.as_slice()),
        ("4", &BODY[..4])
    );
    assert_good(&get(registry.address(), &path));
}

#[tokio::test]
async fn an_endless_body_goes_on_until_the_client_leaves() {
    use std::io::{Read as _, Write as _};
    let (registry, path) = with(Fault::on("GET", BLOBS).once().endless(vec![b'x'; 4096])).await;
    let mut stream = std::net::TcpStream::connect(registry.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut read = 0;
    let mut buffer = vec![0; 1 << 16];
    while read < 16 << 20 {
        let len = stream.read(&mut buffer).unwrap();
        assert!(len > 0, "it ended after {read} bytes");
        read += len;
    }
    drop(stream);
    assert_good(&get(registry.address(), &path));
}

#[tokio::test]
async fn raw_bytes_in_place_of_http() {
    let garbage = b"HTTP/1.1 2OO maybe\r\n\x00: \xff\r\n\r\n".as_slice();
    let (registry, path) = with(Fault::on("GET", BLOBS).once().raw(garbage)).await;
    let reply = get(registry.address(), &path);
    assert_eq!((reply.raw.as_slice(), reply.error), (garbage, None));
    assert_good(&get(registry.address(), &path));
}

#[tokio::test]
async fn a_redirect_leads_to_a_plain_server() {
    let storage = PlainServer::start().unwrap();
    let url = storage.put("/storage/blob", BODY);
    let (registry, path) = with(Fault::on("GET", BLOBS).redirect(307, &url)).await;
    let reply = get(registry.address(), &path);
    assert_eq!(
        (reply.status, reply.header("location")),
        (307, url.as_str())
    );
    assert_good(&get(storage.address(), "/storage/blob"));
    assert_eq!(get(storage.address(), "/storage/other").status, 404);
    assert_eq!(
        (storage.count("GET", "/storage/*"), storage.requests().len()),
        (2, 2)
    );
    storage.fault(Fault::on("GET", "/storage/*").respond(403));
    assert_eq!(get(storage.address(), "/storage/blob").status, 403);
}

#[tokio::test]
async fn an_upload_is_cut_within_its_body() {
    let registry = FakeRegistry::builder().serve().await;
    let reply = request(registry.address(), "POST", "/v2/a/b/blobs/uploads/").send();
    let location = reply.header("location").to_owned();
    registry.fault(Fault::on("PATCH", "*").once().cut_request(4, Cut::Fin));
    let reply = request(registry.address(), "PATCH", &location)
        .body(BODY)
        .send();
    assert_eq!(reply.raw.len(), 0);
    assert_eq!(get(registry.address(), &location).header("range"), "0-3");
    assert_eq!(registry.requests()[1].body_len, 4);
}

#[tokio::test]
async fn a_fault_may_depend_on_the_headers() {
    let fault = Fault::on("GET", BLOBS)
        .when(|r| r.header("range").is_some())
        .respond(500);
    let (registry, path) = with(fault).await;
    assert_good(&get(registry.address(), &path));
    let reply = request(registry.address(), "GET", &path)
        .header("range", "bytes=1-")
        .send();
    assert_eq!(reply.status, 500);
}

#[tokio::test]
async fn a_redirect_to_another_origin_keeps_path_and_query() {
    let storage = PlainServer::start().unwrap();
    let fault = Fault::on("GET", BLOBS).redirect_to_origin(302, storage.url());
    let (registry, path) = with(fault).await;
    storage.put(&path, BODY);
    let reply = get(registry.address(), &format!("{path}?x=1"));
    assert_eq!(reply.status, 302);
    assert_eq!(
        reply.header("location"),
        format!("{}{path}?x=1", storage.url())
    );
    let range = |range: &str| {
        let reply = request(storage.address(), "GET", &path)
            .header("range", range)
            .send();
        (
            reply.status,
            reply.header("content-range").to_owned(),
            reply.body,
        )
    };
    assert_eq!(
        range("bytes=8-"),
        (206, "bytes 8-9/10".to_owned(), b"89".to_vec())
    );
    assert_eq!(
        range("bytes=10-"),
        (416, "bytes */10".to_owned(), Vec::new())
    );
}

#[tokio::test]
async fn a_gate_holds_requests_until_it_is_opened() {
    let gate = Gate::new();
    let (registry, path) = with(Fault::on("GET", BLOBS).hold(&gate)).await;
    let address = registry.address();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || get(address, &path))
        })
        .collect();
    while registry.count("GET", BLOBS) < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(
        registry
            .requests()
            .iter()
            .all(|request| request.status.is_none())
    );
    assert!(waiting.iter().all(|thread| !thread.is_finished()));
    gate.open();
    for thread in waiting {
        assert_good(&thread.join().unwrap());
    }
    assert_good(&get(address, &path));
    let times: Vec<_> = registry
        .requests()
        .iter()
        .map(|request| request.at)
        .collect();
    assert!(times.is_sorted());
}
