//! Which PEM files are read.

use super::*;

#[test]
fn one_and_many_blocks_are_read_and_text_between_is_ignored() {
    let one = "-----BEGIN A-----\nAQID\n-----END A-----\n";
    let text = format!("subject=x\n{one}\r\n# comment\n{one}");
    let read = blocks(text.as_bytes()).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(
        read[0],
        Block {
            label: Label::Other,
            name: "A".to_owned(),
            der: vec![1, 2, 3]
        }
    );
    assert_eq!(blocks(b"").unwrap(), []);
    for other in [
        format!("\u{feff}{one}"),
        one.replace('\n', "\r\n"),
        one.replace("AQID", " AQ ID\t"),
        one.replace("AQID", "AQ\n\nID"),
    ] {
        assert_eq!(blocks(other.as_bytes()).unwrap(), read[..1], "{other:?}");
    }
}

/// SIG-15: garbage in a PEM file is an error, not an empty list.
#[test]
fn broken_blocks_are_errors() {
    for (text, problem) in [
        ("-----BEGIN A-----\nAQID\n", "does not end"),
        (
            "-----BEGIN A-----\nAQID\n-----END B-----\n",
            "another label",
        ),
        ("-----END A-----\n", "did not begin"),
        ("-----BEGIN A-----\n-----BEGIN A-----\n", "inside another"),
        ("-----BEGIN A-----\nA!ID\n-----END A-----\n", "not base64"),
        ("-----BEGIN A-----\n-----END A-----\n", "empty"),
    ] {
        let error = blocks(text.as_bytes()).unwrap_err();
        assert!(error.contains(problem), "{text}: {error}");
    }
    assert!(blocks(&[0xff, 0xfe]).is_err());
}

/// A private key, and a file that holds one, is no public key in another form.
#[test]
fn files_in_der_are_called_by_name() {
    for (file, problem) in [
        (
            &b"\x30\x82\x04\x0d\x02\x01\x03\x30\x82\x03\xc3\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xff"[..],
            "it is a PKCS #12 file",
        ),
        (b"\x30\x82\x04\xbd\x02\x01\x00\x30\xff", "it is a private key in DER"),
        (b"\x30\x81\x87\x02\x01\x00\x30\xff", "it is a private key in DER"),
        (b"\x30\x2e\x02\x01\x00\x30\xff", "it is a private key in DER"),
        (b"\x30\x59\x30\x13\xff", "`openssl pkey -pubin"),
        (b"\x30\x82\x01\x02\x30\x81\xff", "`openssl x509 -inform DER"),
        (b"\xff\xff", "it is not text"),
    ] {
        let error = blocks(file).unwrap_err();
        assert!(error.contains(problem), "{error}");
        assert_eq!(error.contains("-inform DER"), problem.starts_with('`'), "{error}");
    }
}

#[test]
fn the_number_of_blocks_is_bounded() {
    let one = "-----BEGIN A-----\nAQID\n-----END A-----\n";
    assert_eq!(
        blocks(one.repeat(BLOCKS_MAX).as_bytes()).unwrap().len(),
        BLOCKS_MAX
    );
    assert!(blocks(one.repeat(BLOCKS_MAX + 1).as_bytes()).is_err());
}

/// A key without its line breaks is refused, and no part of it is shown.
#[test]
fn the_lines_of_a_block_are_not_shown() {
    for text in [
        "-----BEGIN PRIVATE KEY----- c2VjcmV0 -----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\\nc2VjcmV0\\n-----END PRIVATE KEY-----\\n",
        "-----BEGIN c2VjcmV0-----",
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0 -----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n-----END c2VjcmV0",
    ] {
        let error = blocks(text.as_bytes()).unwrap_err();
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
    let old_mac = "-----BEGIN PUBLIC KEY-----\rAQID\r-----END PUBLIC KEY-----\r";
    assert_eq!(blocks(old_mac.as_bytes()).unwrap()[0].der, [1, 2, 3]);
}
