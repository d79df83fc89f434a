//! Credentials that servers repeat.

use bytes::Bytes;

use super::super::message::ErrorBody;
use super::*;

fn message(secrets: &Secrets, body: &str) -> String {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let is_html = false;
    secrets.message(&ErrorBody { bytes, is_html })
}

/// CFG-01: a server that repeats what it was sent, in any encoding, is not quoted.
#[test]
fn cfg_01_a_message_that_repeats_the_credential_is_not_shown() {
    let basic = HeaderValue::from_static("Basic YWxpY2U6Y2FuYXJ5L3Bhc3M/IHdvcmQ=");
    let bearer = HeaderValue::from_static("Bearer canary.to-ken_");
    let mut posted = Secrets::default();
    posted.add("refresh canary");
    for (secrets, echoes) in [
        (
            Secrets::of_header(Some(&basic)),
            &[
                "you sent Basic YWxpY2U6Y2FuYXJ5L3Bhc3M/IHdvcmQ=",
                "YWxpY2U6Y2FuYXJ5L3Bhc3M/IHdvcmQ",
                r#"["sent",{"as":"YWxpY2U6Y2FuYXJ5L3Bhc3M\/IHdvcmQ="}]"#,
                r#"{"errors":[{"code":"DENIED","message":"alice:canary/pass? word"}]}"#,
                "wrong password canary/pass? word",
                "WRONG PASSWORD CANARY/PASS? WORD",
                "password=canary%2Fpass%3F+word",
                "password=canary%2fpass%3f%20word",
                "Y2FuYXJ5L3Bhc3M/IHdvcmQ=",
                "Y2FuYXJ5L3Bhc3M_IHdvcmQ",
                "<Error><Code>X</Code><Message>canary/pass? word</Message></Error>",
            ][..],
        ),
        (
            Secrets::of_header(Some(&bearer)),
            &[
                "no canary.to-ken_",
                r#"{"details":"canary.to-ken_"}"#,
                "Y2FuYXJ5LnRvLWtlbl8=",
            ],
        ),
        (
            posted,
            &["refresh canary", "refresh+canary", "cmVmcmVzaCBjYW5hcnk"],
        ),
    ] {
        for echo in echoes {
            let shown = message(&secrets, echo);
            assert!(shown.contains("is not shown"), "{echo}: {shown}");
        }
        assert_eq!(message(&secrets, "denied to alice"), "denied to alice");
    }
    let short = HeaderValue::from_static("Basic YTph");
    assert_eq!(message(&Secrets::of_header(Some(&short)), "a: no"), "a: no");
    assert_eq!(message(&Secrets::of_header(None), "no"), "no");
}

/// CFG-01: nor is one that repeats a part of it, or all of it with other escapes.
#[test]
fn cfg_01_parts_and_escapes_of_the_credential_are_recognised() {
    let mut secrets = Secrets::default();
    secrets.add("canary&\"pass/word<1>");
    for echo in [
        "token 'canary&\"pas...' is invalid",
        "it ends in /word<1>",
        "sent: canary&amp;&quot;pass/word&lt;1&gt;",
        "sent: canary&#38;&#x22;pass/word",
        r#"{"message":"{\"sent\":\"canary\\u0026\\\"pass\\/word\"}"}"#,
        r"canary\u0026amp;\x22pass\/word",
        "canary%26%22pass%2Fword",
        "canary%2526%2522pass",
        "can ary&\"\n pass/word",
        // Base64 of it, in lines; of its end; of a text that has it in the middle.
        "Y2FuYXJ5JiJw\r\n  YXNzL3dv\r\ncmQ8MT4=",
        "L3dvcmQ8MT4",
        "eDpjYW5hcnkmInBhc3Mvd29yZDwxPg==",
        "0x63616e61727926227061",
        "63 61 6E 61 72 79 26 22 70 61",
    ] {
        assert!(message(&secrets, echo).contains("is not shown"), "{echo}");
    }
    for other in [
        "the canary died &amp; passed away",
        "unknown user canary",
        "Y2FuYXI",
        "63616e617279",
        "&#xffffffff; &#; %zz \\u12 &unknown; %",
    ] {
        let shown = message(&secrets, other);
        assert!(!shown.contains("is not shown"), "{other}: {shown}");
    }
    let basic = HeaderValue::from_static("Basic YWRtaW5pc3RyYXRvcjpzM2NyM3Q=");
    let secrets = Secrets::of_header(Some(&basic));
    assert_eq!(
        message(&secrets, "no rights for administrator"),
        "no rights for administrator"
    );
    for echo in ["administrator:s3cr3t", "(s3cr3t)", "YWRtaW5pc3Ry..."] {
        assert!(message(&secrets, echo).contains("is not shown"), "{echo}");
    }
}

/// CFG-01: of a message that repeats values of a signed URL, the rest is shown.
#[test]
fn cfg_01_the_values_of_a_signed_query_are_cut_out() {
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let query = format!(
        "se=2026-01-01T00%3A00%3A00Z&sp=r&digest={digest}&sig=canary%2Fc4n4ry%2Bcanary%3D&naked-value"
    );
    let mut secrets = Secrets::default();
    secrets.add_query(&Url::parse(&format!("https://store.example/x?{query}")).unwrap());
    for (body, shown) in [
        ("wrong: sig=canary%2Fc4n4ry%2Bcanary%3D.", "wrong: sig=…."),
        ("wrong: canary/c4n4ry+canary=.", "wrong: …."),
        (
            r#"{"errors":[{"code":"X","message":"canary\/c4n4ry+canary="}]}"#,
            "X: …",
        ),
        ("expired at 2026-01-01T00:00:00Z", "expired at …"),
        ("not naked-value", "not …"),
        (digest, digest),
        ("sp=r", "sp=r"),
        ("the sig is wrong", "the sig is wrong"),
    ] {
        assert_eq!(message(&secrets, body), shown, "{body}");
    }
    // In another form, it can't be cut out.
    for body in [
        "canary%2fc4n4ry%2bcanary%3d",
        "canary%252Fc4n4ry%252Bcanary%253D",
        "CANARY/C4N4RY+CANARY=",
        "Y2FuYXJ5L2M0bjRyeStjYW5hcnk9",
    ] {
        assert!(message(&secrets, body).contains("is not shown"), "{body}");
    }
    // A long value that the limit of messages cuts.
    let long = "canary0123456789".repeat(100);
    let mut secrets = Secrets::default();
    secrets.add_query(&Url::parse(&format!("https://store.example/?t={long}")).unwrap());
    let text = format!("{}{long}", "x".repeat(900));
    assert!(!message(&secrets, &text).contains("canary"));
    let text = format!("cut by the store: {}", &long[..200]);
    assert!(!message(&secrets, &text).contains("canary"));
}

/// A token server makes the token, and a registry the answer: together they can't keep a client
/// busy.
#[test]
fn a_long_token_is_searched_for_in_a_long_answer_quickly() {
    let numbers: Vec<String> = (0..2_000).map(|at| format!("{at:04}")).collect();
    let token = numbers.concat();
    let mut secrets = Secrets::default();
    secrets.add(&token);
    let started = std::time::Instant::now();
    let text = "x.1".repeat(20_000);
    assert!(!secrets.are_in(&text));
    assert!(secrets.are_in(&format!("{text}{}", &token[4_000..4_008])));
    assert!(started.elapsed() < std::time::Duration::from_secs(30));
}

/// CFG-01: only a URL has a query that is not shown; a media type has none.
#[test]
fn cfg_01_a_header_without_a_url_is_hidden_from_its_beginning_to_its_end() {
    let header = HeaderValue::from_static("Bearer canary-token-0123456789");
    let secrets = Secrets::of_header(Some(&header));
    let url = Url::parse("https://r.example/v2/").unwrap();
    let typed = HeaderValue::from_static("application/x?canary-token-0123456789");
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, typed)]);
    secrets.hide_in(&mut headers, &url).unwrap();
    assert_eq!(headers[header::CONTENT_TYPE], "(not shown)");
    // The query of a redirect may authorize, and is not shown.
    let to = HeaderValue::from_static("https://s.example/x?t=canary-token-0123456789");
    let mut headers = HeaderMap::from_iter([(header::LOCATION, to.clone())]);
    secrets.hide_in(&mut headers, &url).unwrap();
    assert_eq!(headers[header::LOCATION], to);
}

/// A server makes both its token and its manifests, and the search is quick all the same.
#[test]
fn a_long_token_is_searched_for_in_a_long_manifest_quickly() {
    let manifest = vec![b'a'; 4 << 20];
    let started = std::time::Instant::now();
    for (length, is_found) in [(600_000, true), (500, false)] {
        let mut secrets = Secrets::default();
        secrets.add(&format!("{}b", "a".repeat(length)));
        assert_eq!(secrets.are_repeated_in(&manifest), is_found, "{length}");
        let repeated = format!("{{\"x\":\"{}b\"}}", "a".repeat(length));
        assert!(secrets.are_repeated_in(repeated.as_bytes()));
    }
    let took = started.elapsed();
    assert!(took < std::time::Duration::from_secs(30), "{took:?}");
}

/// CFG-01: escapes hide no credential in headers and manifests either.
#[test]
fn cfg_01_an_escaped_credential_is_recognised_in_a_header_and_a_manifest() {
    let mut secrets = Secrets::default();
    secrets.add("canary/pass & word");
    let url = Url::parse("https://r.example/v2/").unwrap();
    for to in ["canary%2Fpass%20%26%20word", "canary%2fpass+%26+word"] {
        let to = HeaderValue::from_str(&format!("ftp://s.example/{to}")).unwrap();
        let mut headers = HeaderMap::from_iter([(header::LOCATION, to)]);
        secrets.hide_in(&mut headers, &url).unwrap_err();
    }
    for text in [r"canary\/pass \u0026 word", "canary/pass & word"] {
        let manifest = format!(r#"{{"artifactType":"x/{text}"}}"#);
        assert!(secrets.are_repeated_in(manifest.as_bytes()), "{text}");
    }
}
