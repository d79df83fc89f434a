//! Tests of descriptors.

use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(extra: &str) -> Result<Descriptor, serde_json::Error> {
    serde_json::from_str(&format!(
        r#"{{"mediaType":"application/wasm","digest":"{DIGEST}","size":3{extra}}}"#
    ))
}

#[test]
fn the_oci_form_comes_back_unchanged() {
    let text = format!(
        r#"{{"mediaType":"a/b","digest":"{DIGEST}","size":3,"artifactType":"c/d","platform":{{"architecture":"arm","os":"windows","os.version":"10.0","os.features":["win32k"],"variant":"v7"}},"annotations":{{"a":"1","k":"v"}}}}"#
    );
    let descriptor: Descriptor = serde_json::from_str(&text).unwrap();
    let platform = descriptor.platform().unwrap();
    assert_eq!(text::platform(platform), "windows/arm/v7");
    assert_eq!(platform.os_version().as_deref(), Some("10.0"));
    assert_eq!(descriptor.annotation("k"), Some("v"));
    assert_eq!(serde_json::to_string(&descriptor).unwrap(), text);
    let wire = descriptor.as_oci().clone();
    assert_eq!(Descriptor::try_from(wire).unwrap(), descriptor);
}

/// DIG-07: a digest of another algorithm is not a digest of ours.
#[test]
fn wire_descriptors_with_weak_digests_are_refused() {
    let weak: oci_spec::image::Digest = format!("sha384:{}", "0".repeat(96)).parse().unwrap();
    let wire = oci_spec::image::Descriptor::new(MediaType::ImageLayer, 1, weak);
    assert!(Descriptor::try_from(wire).is_err());
}

/// DIG-13: foreign URLs and embedded data are not read.
#[test]
fn urls_and_data_are_ignored() {
    let descriptor = parse(r#","urls":["http://evil.example/x"],"data":"AAAA""#).unwrap();
    assert_eq!(descriptor, parse("").unwrap());
}

#[test]
fn names_from_outside_are_harmless_to_show() {
    let descriptor =
        parse(r#","artifactType":"\u001b[2J","platform":{"os":"\u001b[1m","architecture":"a\nb"}"#)
            .unwrap();
    assert_eq!(
        descriptor.artifact_type().unwrap().to_string(),
        "\\u{1b}[2J"
    );
    let platform = descriptor.platform().unwrap();
    assert_eq!(platform.os().to_string(), "\\u{1b}[1m");
    assert_eq!(platform.architecture().to_string(), "a\\nb");
}

/// DIG-05, DIG-08: a key given twice, a negative, huge or missing size.
#[test]
fn ambiguous_descriptors_are_refused() {
    assert!(parse(r#","annotations":{"a":"1","b":"2"}"#).is_ok());
    for extra in [
        r#","size":4"#,
        r#","digest":"x""#,
        r#","annotations":{"a":"1","a":"2"}"#,
        r#","annotations":{"a":"1","\u0061":"2"}"#,
        r#","annotations":{"a":1}"#,
    ] {
        assert!(parse(extra).is_err(), "{extra} was accepted");
    }
    for size in ["-1", "18446744073709551616", "1e3", "\"3\"", "null"] {
        let text = format!(r#"{{"mediaType":"a/b","digest":"{DIGEST}","size":{size}}}"#);
        assert!(
            serde_json::from_str::<Descriptor>(&text).is_err(),
            "{size} was accepted"
        );
    }
    let without = format!(r#"{{"mediaType":"a/b","digest":"{DIGEST}"}}"#);
    assert!(serde_json::from_str::<Descriptor>(&without).is_err());
}

/// Go programs write `null` or `""` for absent values.
#[test]
fn null_and_empty_are_absence() {
    let plain = parse("").unwrap();
    for extra in [
        r#","annotations":null"#,
        r#","platform":null"#,
        r#","platform":{}"#,
        r#","platform":{"os":"","architecture":""}"#,
        r#","platform":{"os":null,"architecture":null,"os.features":null}"#,
        r#","artifactType":"""#,
        r#","urls":null,"data":null"#,
    ] {
        assert_eq!(parse(extra).unwrap(), plain, "{extra}");
    }
    let named = |extra: &str| {
        let platform = r#""os":"linux","architecture":"amd64""#;
        let text = format!(r#","platform":{{{platform}{extra}}}"#);
        parse(&text).unwrap().platform().cloned().unwrap()
    };
    for extra in [
        r#","variant":null"#,
        r#","variant":"""#,
        r#","os.version":"""#,
        r#","os.features":null"#,
        r#","os.features":[]"#,
    ] {
        assert_eq!(named(extra), named(""), "{extra}");
    }
    let odd = named(r#","os.features":["a\nb"],"os.version":"a\nb""#);
    let features = odd.os_features().as_ref().unwrap();
    assert_eq!(Some(&features[0]), odd.os_version().as_ref());
    assert!(!features[0].contains('\n'));
    for media_type in [r#""mediaType":null,"#, r#""mediaType":"","#, ""] {
        let text = format!(r#"{{{media_type}"digest":"{DIGEST}","size":3}}"#);
        let descriptor: Descriptor = serde_json::from_str(&text).unwrap();
        assert!(manifest::is_generic(descriptor.media_type()), "{text}");
    }
}
