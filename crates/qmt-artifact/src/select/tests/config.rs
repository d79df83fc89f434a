//! Image configs, and content that is not what its descriptor names.

use super::super::config::ImageConfig;
use super::*;

fn read(text: &str) -> Result<ImageConfig, ArtifactError> {
    ImageConfig::read(&Digest::sha256(text), text.as_bytes())
}

#[test]
fn configs_say_platform_and_layers_or_nothing() {
    let diff_id = Digest::sha256(b"");
    let config = read(&format!(
        r#"{{"os":"linux","architecture":"arm","variant":"v7","rootfs":{{"diff_ids":["{diff_id}"]}}}}"#
    ))
    .unwrap();
    assert_eq!(config.platform(), Some(platform("linux/arm/v7")));
    assert_eq!(config.into_diff_ids(), [diff_id]);
    let config = read(r#"{"os":"","architecture":"amd64","rootfs":null}"#).unwrap();
    assert_eq!((config.platform(), config.into_diff_ids().len()), (None, 0));
    let config = read(" null\n").unwrap();
    assert_eq!((config.platform(), config.into_diff_ids().len()), (None, 0));
    for bad in [
        "[]",
        "\"null\"",
        r#"{"os":1}"#,
        r#"{"os":"a","os":"b"}"#,
        r#"{"rootfs":{"diff_ids":["x"]}}"#,
    ] {
        assert!(read(bad).is_err(), "{bad} was accepted");
    }
}

/// LIM-01: 4 MiB of image config, and one byte more.
#[test]
fn lim_01_config_bytes_at_the_limit_and_past_it() {
    let store = Store::default();
    let padded = |size: usize| {
        let config = format!("{{}}{}", " ".repeat(size - 2));
        let config_descriptor = Descriptor::of(MediaType::from(IMAGE_CONFIG), config.as_bytes());
        store.0.put(config_descriptor.digest().clone(), config);
        let layer = Descriptor::of(MediaType::from(GZIP_LAYER), b"");
        store.manifest_of(&json!({
            "schemaVersion": 2, "config": config_descriptor, "layers": [layer],
        }))
    };
    assert!(store.select(&padded(4_194_304)).is_ok());
    match store.select(&padded(4_194_305)).unwrap_err() {
        ArtifactError::LimitExceeded {
            what: Limit::ConfigBytes,
            limit: 4_194_304,
            found: 4_194_305,
        } => assert_eq!(store.requests(), 0),
        error => panic!("{error:?}"),
    }
}

/// DIG-08: another size or digest than the descriptor names.
#[test]
fn dig_08_other_content_than_the_descriptor_names_is_refused() {
    let content = b"content";
    let good = Descriptor::of(MediaType::ImageManifest, content);
    assert!(check_content(&good, content).is_ok());
    let (digest, size) = (good.digest().clone(), good.size());
    let longer = Descriptor::new(MediaType::ImageManifest, digest, size + 1);
    let other = Descriptor::of(MediaType::ImageManifest, b"other");
    for wrong in [longer, other] {
        let error = check_content(&wrong, content).unwrap_err();
        assert!(
            matches!(error, ArtifactError::DigestMismatch { .. }),
            "{error:?}"
        );
        // Where only the size differs, the digest is not called wrong.
        let is_digest_wrong = wrong.digest() != good.digest();
        let text = error.to_string();
        assert_eq!(text.contains("hashes to"), is_digest_wrong, "{text}");
        assert!(text.contains(&format!("{} bytes", wrong.size())), "{text}");
        assert!(text.contains(&format!("{size} ")), "{text}");
    }
}

/// DIG-04, DIG-09: a malformed manifest is named, and the reason with it.
#[test]
fn dig_04_malformed_manifests_are_refused() {
    let store = Store::default();
    let mixed = json!({"schemaVersion": 2, "manifests": [], "layers": []});
    let mixed = store.put(OCI_INDEX, &mixed);
    let inner = store.index(&[on("linux/amd64", store.manifest_of(&json!({})))]);
    for root in [mixed, inner] {
        let error = store.select(&root).unwrap_err();
        assert!(matches!(error, ArtifactError::Manifest { .. }), "{error:?}");
    }
}
