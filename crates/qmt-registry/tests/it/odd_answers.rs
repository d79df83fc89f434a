//! Odd answers of proxies and content delivery networks that change nothing: they are read, as curl and
//! other clients read them. What they declare wrongly is not used.

use bytes::Bytes;
use qmt_oci_ref::{
    Descriptor, Digest, DigestAlgorithm, PinnedReference, Registry as _, RegistryErrorKind,
    manifest,
};
use qmt_testkit::{Auth, FakeRegistry, Fault};

use crate::support::{
    CANARY, MANIFEST, builder, client, client_with_password, full_text, image_behind, noise, pull,
    pull_rest, put_image, quick,
};

/// An answer with these header lines, of which the length is one if `with_length` is set.
fn answer(head: &str, with_length: bool, body: &[u8]) -> Bytes {
    let length = format!("Content-Length: {}\r\n", body.len());
    let length = if with_length { &length } else { "" };
    let head = head.replace("LENGTH", &body.len().to_string());
    [format!("{head}\r\n{length}\r\n").as_bytes(), body]
        .concat()
        .into()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let size = format!("{:X}\r\n", body.len());
    [size.as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

/// Heads of answers with status 200, each without a length of its own, and whether one is added.
const HEADS: &[(&str, bool)] = &[
    ("HTTP/1.1 200 OK", true),
    ("HTTP/1.1 200", true),
    ("HTTP/1.1 200 ", true),
    ("HTTP/1.1 200 Alles gut", true),
    ("HTTP/1.1 200 OK", false),
    ("HTTP/1.0 200 OK", false),
    ("HTTP/1.0 200 OK\r\nConnection: keep-alive", true),
    ("HTTP/1.1 200 OK\r\nConnection: close", false),
    ("HTTP/1.1 200 OK\r\nContent-Length: LENGTH", true),
    ("HTTP/1.1 200 OK\r\ncontent-length:LENGTH", true),
    ("HTTP/1.1 200 OK\r\nContent-Length: LENGTH, LENGTH", false),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity", false),
    ("HTTP/1.1 200 OK\r\nContent-Encoding: identity", true),
    ("HTTP/1.1 200 OK\r\nContent-Encoding: ", true),
    ("HTTP/1.1 200 OK\r\nContent-Encoding: utf-8", true),
    ("HTTP/1.1 200 OK\r\nContent-Encoding: none", true),
    ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", true),
    (
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK",
        true,
    ),
    // Lines that are not those of HTTP.
    ("HTTP/1.1 200 OK\r\nX-A : b", true),
    ("HTTP/1.1 200 OK\r\nX-A\t: b\r\nX-B: c", true),
    ("HTTP/1.1 200 OK\r\nX A: b", true),
    ("HTTP/1.1 200 OK\r\n: b", true),
    ("HTTP/1.1 200 OK\r\nno colon", true),
    ("HTTP/1.1 200 OK\r\nX-\u{fc}: b", true),
    ("HTTP/1.1 200 OK\r\n\"X-A\": b", true),
    ("HTTP/1.1 200 OK\r\nX-A: \u{1}b\u{7f}", true),
    ("HTTP/1.1 200 OK\r\nX-A : b\r\n folded", true),
    ("HTTP/1.1 200 OK\nX-A: b", true),
];

#[tokio::test]
async fn odd_heads_are_read() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(1000);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    let client = client(&server);
    for (head, with_length) in HEADS {
        server.clear_faults();
        let manifest = answer(head, *with_length, MANIFEST.as_bytes());
        server.fault(Fault::on("GET", "/v2/*/manifests/*").raw(manifest));
        server.fault(Fault::on("GET", "/v2/*/blobs/*").raw(answer(head, *with_length, &content)));
        let resolved = client.resolve(&server.reference("acme/echo:1")).await;
        let resolved = resolved.unwrap_or_else(|error| panic!("{head:?}: {}", full_text(&error)));
        assert_eq!(resolved.bytes(), MANIFEST, "{head:?}");
        let pulled = pull(&client, &from, &blob).await;
        let pulled = pulled.unwrap_or_else(|error| panic!("{head:?}: {}", full_text(&error)));
        assert!(pulled == content, "{head:?}");
    }
    for encoding in [
        "chunked",
        "Chunked",
        "CHUNKED",
        " chunked ",
        "identity, chunked",
    ] {
        server.clear_faults();
        let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {encoding}");
        for (path, body) in [("manifests", MANIFEST.as_bytes()), ("blobs", &content[..])] {
            let fault = Fault::on("GET", format!("/v2/*/{path}/*"));
            server.fault(fault.raw(answer(&head, false, &chunked(body))));
        }
        let resolved = client.resolve(&server.reference("acme/echo:1")).await;
        assert_eq!(resolved.unwrap().bytes(), MANIFEST, "{encoding}");
        assert!(
            pull(&client, &from, &blob).await.unwrap() == content,
            "{encoding}"
        );
    }
}

/// Where a line is malformed, what it declares is not used.
#[tokio::test]
async fn a_malformed_line_declares_nothing() {
    let server = FakeRegistry::builder().serve().await;
    put_image(&server);
    let other = FakeRegistry::builder().serve().await;
    put_image(&other);
    let client = client(&server);
    let reference = server.reference("acme/echo:1");
    let wrong = Digest::sha256("other");
    for line in [
        format!("Docker-Content-Digest : {wrong}"),
        format!("X-A: \u{1}\r\n Docker-Content-Digest: {wrong}"),
        format!("X-A : b\r\n Docker-Content-Digest: {wrong}"),
        "Content-Type : text/html".to_owned(),
        "Content-Length : 3".to_owned(),
        "Content-Encoding : gzip".to_owned(),
    ] {
        server.clear_faults();
        let head = format!("HTTP/1.1 200 OK\r\n{line}");
        let fault = Fault::on("GET", "/v2/*").raw(answer(&head, true, MANIFEST.as_bytes()));
        server.fault(fault);
        let resolved = client.resolve(&reference).await;
        let resolved = resolved.unwrap_or_else(|error| panic!("{line}: {}", full_text(&error)));
        assert_eq!(resolved.bytes(), MANIFEST, "{line}");
    }
    let target = format!("{}/v2/acme/echo/manifests/1", other.url());
    let basic = "WWW-Authenticate : Basic realm=\"x\"";
    for (head, words) in [
        (
            format!("HTTP/1.1 307 No\r\nLocation : {target}"),
            "exactly one `Location`",
        ),
        (
            format!("HTTP/1.1 401 No\r\n{basic}"),
            "no `WWW-Authenticate`",
        ),
    ] {
        server.clear_faults();
        server.fault(Fault::on("GET", "/v2/*").raw(answer(&head, true, b"")));
        let refused = client_with_password(&server).resolve(&reference).await;
        let text = full_text(&refused.unwrap_err());
        assert!(text.contains(words), "{text}");
        assert!(other.requests().is_empty());
    }
    // No number of such lines gets around the limit of a head.
    let lines = "X A: b\r\n".repeat(100_000);
    server.clear_faults();
    let head = format!("HTTP/1.1 200 OK\r\n{lines}X-B: c");
    let endless = answer(&head, true, MANIFEST.as_bytes());
    server.fault(Fault::on("GET", "/v2/*").raw(endless));
    client.resolve(&reference).await.unwrap_err();
}

/// Several lengths that differ, and lengths next to an encoding, are no harmless ones.
#[tokio::test]
async fn lengths_that_differ_are_refused() {
    let server = FakeRegistry::builder().serve().await;
    let client = builder(&server).limits(quick().tries(1)).build().unwrap();
    let reference = server.reference("acme/echo:1");
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: LENGTH",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, LENGTH",
        "HTTP/1.1 200 OK\r\nContent-Length: +LENGTH",
    ] {
        server.clear_faults();
        let fault = Fault::on("GET", "/v2/*").raw(answer(head, false, MANIFEST.as_bytes()));
        server.fault(fault);
        client.resolve(&reference).await.unwrap_err();
    }
}

/// The headers of a manifest.
#[tokio::test]
async fn odd_headers_of_manifests_are_read() {
    let server = FakeRegistry::builder().serve().await;
    put_image(&server);
    let reference = server.reference("acme/echo:1");
    let on = || Fault::on("GET", "/v2/*/manifests/*");
    let typed = |text: &str| on().header("content-type", text);
    let digest = Digest::sha256(MANIFEST);
    let hinted = |text: String| on().header("docker-content-digest", text);
    let sha512 = Digest::of(DigestAlgorithm::Sha512, MANIFEST);
    for fault in [
        on().without_header("content-type"),
        typed(""),
        typed("application/json"),
        typed("application/octet-stream"),
        typed("text/plain; charset=utf-8"),
        typed("APPLICATION/VND.OCI.IMAGE.MANIFEST.V1+JSON ; Charset=UTF-8"),
        typed("application/vnd.oci.image.manifest.v1+json;"),
        typed("application/vnd.oci.image.manifest.v1+json").add_header("content-type", "x/y"),
        hinted(digest.to_string().to_uppercase()),
        hinted(format!("sha256:{}", digest.hex().to_uppercase())),
        hinted(format!("\"{digest}\"")),
        hinted(format!(" {digest} ")),
        hinted(sha512.to_string()),
        hinted(sha512.to_string()).add_header("docker-content-digest", digest.to_string()),
    ] {
        server.clear_faults();
        let name = format!("{fault:?}");
        server.fault(fault);
        let resolved = client(&server).resolve(&reference).await;
        let resolved = resolved.unwrap_or_else(|error| panic!("{name}: {}", full_text(&error)));
        assert_eq!(*resolved.digest(), digest, "{name}");
    }
    server.clear_faults();
    for text in [
        format!("{MANIFEST}\n"),
        format!("\r\n {MANIFEST} \r\n"),
        format!("\u{feff}{MANIFEST}"),
    ] {
        let media_type = manifest::OCI_MANIFEST;
        let image = server.put_manifest("acme/echo", "1", media_type, text.clone());
        let resolved = client(&server).resolve(&reference).await;
        let resolved = resolved.unwrap_or_else(|error| panic!("{text}: {}", full_text(&error)));
        assert_eq!(
            (resolved.digest(), resolved.bytes()),
            (image.digest(), &Bytes::from(text))
        );
    }
}

/// Ranges that were requested, or not.
#[tokio::test]
async fn odd_ranges_are_read() {
    let server = FakeRegistry::builder().serve().await;
    let content = noise(1000);
    let blob = server.put_blob("acme/echo", content.clone());
    let from = server.repository("acme/echo");
    let on = || Fault::on("GET", "/v2/*/blobs/*");
    let partial = |range: &str| on().respond(206).header("content-range", range);
    for fault in [
        partial("bytes 0-999/1000"),
        partial("bytes 0-999/*"),
        partial("Bytes 0-999/1000"),
        partial("bytes  0-999/1000"),
        partial("bytes=0-999/1000"),
        partial(""),
        on().respond(206).without_header("content-range"),
    ] {
        server.clear_faults();
        let name = format!("{fault:?}");
        server.fault(fault.body(content.clone()));
        let whole = pull(&client(&server), &from, &blob).await;
        let whole = whole.unwrap_or_else(|error| panic!("{name}: {}", full_text(&error)));
        assert!(whole == content, "{name}");
    }
    for fault in [
        partial("bytes 500-999/1000").body(content.slice(500..)),
        partial("Bytes 500-999/1000").body(content.slice(500..)),
        partial("bytes 500-999/*").body(content.slice(500..)),
        on().respond(200).body(content.clone()),
    ] {
        server.clear_faults();
        server.clear_requests();
        let name = format!("{fault:?}");
        server.fault(fault);
        let rest = pull_rest(&client(&server), &from, &blob, &content[..500]).await;
        assert!(rest.unwrap() == content[500..], "{name}");
        assert_eq!(server.requests().len(), 1, "{name}");
    }
    // Nothing is requested of a blob that is complete, so that no 416 is answered.
    server.clear_requests();
    let rest = pull_rest(&client(&server), &from, &blob, &content).await;
    assert!(rest.unwrap().is_empty() && server.requests().is_empty());
}

/// Challenges over several lines, and the answers of token servers.
#[tokio::test]
async fn odd_answers_of_token_servers_are_read() {
    let server = image_behind(Auth::token("alice", CANARY)).await;
    let client = || client_with_password(&server);
    let reference = server.reference("acme/echo:1");
    client().resolve(&reference).await.unwrap();
    let requests = server.requests();
    let sent = requests
        .iter()
        .find_map(|one| one.header("authorization")?.strip_prefix("Bearer "));
    let token = sent.unwrap().to_owned();
    for body in [
        format!(r#"{{"access_token":"{token}"}}"#),
        format!("\u{feff}{{\"token\":\"{token}\"}}\n"),
        format!(" \r\n{{\"token\":\"{token}\"}}\r\n "),
        format!(r#"{{"token":"{token}","expires_in":"300"}}"#),
        format!(r#"{{"token":"{token}","expires_in":"","issued_at":""}}"#),
        format!(r#"{{"token":"{token}","expires_in":0,"issued_at":0}}"#),
        format!(r#"{{"token":"{token}","expires_in":-1,"issued_at":"0001-01-01T00:00:00Z"}}"#),
        format!(r#"{{"token":"{token}","expires_in":true,"issued_at":null}}"#),
        format!(r#"{{"token":"{token}","access_token":7,"scope":["x"]}}"#),
        format!(r#"{{"token":7,"access_token":"{token}"}}"#),
    ] {
        for kind in ["application/json", "text/plain", "text/html"] {
            server.clear_faults();
            let answer = Fault::on("GET", "/token").respond(200).body(body.clone());
            server.fault(answer.header("content-type", kind));
            let resolved = client().resolve(&reference).await;
            resolved.unwrap_or_else(|error| panic!("{body}: {}", full_text(&error)));
        }
    }
    let realm = format!("realm=\"{}/token\",service=registry", server.url());
    for lines in [
        format!("WWW-Authenticate: Negotiate\r\nWWW-Authenticate: Bearer {realm}"),
        format!("WWW-Authenticate: Basic realm=\"x\"\r\nwww-authenticate: bearer {realm}"),
        format!("WWW-Authenticate: Basic realm=x, Negotiate, Bearer {realm},x=y,flag"),
        format!("WWW-Authenticate: NTLM, Bearer {realm}, Digest nonce=\"a,b\""),
    ] {
        server.clear_faults();
        let challenge = answer(&format!("HTTP/1.1 401 No\r\n{lines}"), true, b"");
        server.fault(Fault::on("GET", "/v2/*").once().raw(challenge));
        let resolved = client().resolve(&reference).await;
        resolved.unwrap_or_else(|error| panic!("{lines}: {}", full_text(&error)));
    }
}

/// The links of lists: relative, absolute, with other parameters and other links.
#[tokio::test]
async fn odd_links_lead_to_the_next_page() {
    let server = FakeRegistry::builder().serve().await;
    let image = put_image(&server);
    let subject = server
        .reference("acme/echo:1")
        .with_digest(image.digest().clone());
    let referrer = Descriptor::of("a/b".into(), b"referrer");
    let page = |entries: &str| format!(r#"{{"schemaVersion":2,"manifests":[{entries}]}}"#);
    let path = format!("/v2/acme/echo/referrers/{}?n=2", image.digest());
    let url = format!("{}{path}", server.url());
    let next = format!("./{}?n=2", image.digest());
    for link in [
        format!("<{path}>; rel=\"next\""),
        format!("<{url}>;rel=next"),
        format!("< {path} > ; REL = next"),
        "<?n=2>; rel=\"next\"".to_owned(),
        format!("<{next}>; rel='next'"),
        format!("<{path}>; title=\"a; b\"; rel=\"last next\""),
        format!("<{path}>; title=\"1 < 2\"; rel=\"next\""),
        format!("</x>; rel=prev, <{path}>; rel=next, </y>; rel=last"),
        format!("<{path}>; title=\"S\u{e4}tze\"; rel=\"next\""),
        format!("</\u{e4}>; rel=prev\r\nLink: <{path}>; rel=next"),
    ] {
        server.clear_faults();
        let list = Fault::on("GET", "/v2/*/referrers/*");
        let entry = serde_json::to_string(&referrer).unwrap();
        let index = format!("Content-Type: {}", manifest::OCI_INDEX);
        let first = format!("HTTP/1.1 200 OK\r\n{index}\r\nLink: {link}");
        let second = format!("HTTP/1.1 200 OK\r\n{index}");
        server.fault(Fault::on("GET", "/v2/*/referrers/*?n=2").raw(answer(
            &second,
            true,
            page(&entry).as_bytes(),
        )));
        server.fault(list.raw(answer(&first, true, page("").as_bytes())));
        let listed = client(&server).referrers(&subject).await;
        let listed = listed.unwrap_or_else(|error| panic!("{link}: {}", full_text(&error)));
        let expected = std::slice::from_ref(&referrer);
        assert_eq!(listed.into_entries(), expected, "{link}");
    }
}

/// An error with the status of success: its words are shown, and nothing is used.
#[tokio::test]
async fn an_error_with_status_200_is_shown() {
    let server = image_behind(Auth::basic("alice", CANARY)).await;
    let digest = Digest::of(DigestAlgorithm::Sha256, MANIFEST.as_bytes());
    let pin = PinnedReference::new(server.repository("acme/echo"), digest);
    let client = client_with_password(&server);
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone\u001b[31m"}]}"#;
    let answer = |body: String| {
        let fault = Fault::on("GET", "/v2/*/manifests/*").respond(200);
        fault
            .when(|request| request.header("authorization").is_some())
            .body(body)
    };
    server.fault(answer(body.to_owned()));
    let tag = server.reference("acme/echo:1");
    let by_tag = client.resolve(&tag).await.unwrap_err();
    let by_digest = client.manifest(&pin, 4096).await.unwrap_err();
    assert!(by_digest.is_other_content() && !by_tag.is_other_content());
    for error in [by_tag, by_digest] {
        let text = full_text(&error);
        let words = "answers with status 200: MANIFEST_UNKNOWN: gone\\u{1b}[31m";
        assert!(text.contains(words), "{text}");
        assert_eq!(error.kind(), RegistryErrorKind::Content);
    }
    server.clear_faults();
    server.fault(answer(body.replace("gone", CANARY)));
    let error = client.resolve(&tag).await.unwrap_err();
    assert!(!full_text(&error).contains(CANARY));
    // What is a manifest is read, whatever else it has.
    server.clear_faults();
    let odd = MANIFEST.replacen('{', r#"{"errors":[],"#, 1);
    server.put_manifest("acme/echo", "odd", manifest::OCI_MANIFEST, odd);
    client
        .resolve(&server.reference("acme/echo:odd"))
        .await
        .unwrap();
}

/// The same for a list of referrers under its own media type.
#[tokio::test]
async fn an_error_in_place_of_referrers_is_shown() {
    let server = image_behind(Auth::None).await;
    let digest = Digest::of(DigestAlgorithm::Sha256, MANIFEST.as_bytes());
    let pin = PinnedReference::new(server.repository("acme/echo"), digest);
    let body = r#"{"errors":[{"code":"UNKNOWN","message":"try the other host"}]}"#;
    let fault = Fault::on("GET", "/v2/*/referrers/*")
        .respond(200)
        .body(body);
    server.fault(fault.header("content-type", manifest::OCI_INDEX));
    let error = client(&server).referrers(&pin).await.unwrap_err();
    let text = full_text(&error);
    assert!(text.contains("UNKNOWN: try the other host"), "{text}");
    assert_eq!(error.kind(), RegistryErrorKind::Content);
}
