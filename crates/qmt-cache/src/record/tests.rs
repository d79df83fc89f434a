//! The form of records on disk, and the rules for file names.

use super::*;

fn record(name: &str) -> Record {
    let digest = Digest::sha256(b"x");
    Record::new(
        digest.clone(),
        digest.clone(),
        PluginKind::Wasm,
        name,
        digest,
        1,
    )
}

#[test]
fn plain_names_are_accepted() {
    for name in [
        "plugin.wasm",
        "libfoo.so.1",
        "a",
        "Plugin-1_2.dll",
        &"n".repeat(255),
    ] {
        assert_eq!(record(name).broken_rule(), None, "{name}");
    }
}

#[test]
fn names_that_leave_the_folder_or_clash_are_refused() {
    let long = "n".repeat(256);
    for name in [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "../a",
        "a\\b",
        "c:d",
        "a\0b",
        "record.json",
        "RECORD.json",
        "a\nb",
        "trailing.",
        "trailing ",
        &long,
    ] {
        assert!(record(name).broken_rule().is_some(), "{name:?}");
    }
}

/// The form on disk stays readable by every version with this schema.
#[test]
fn the_form_on_disk_is_unchanged() {
    let digest = Digest::sha256(b"x");
    let mut platform = qmt_oci_ref::manifest::platform("windows", "arm64");
    platform.set_os_version(Some("10.0".to_owned()));
    platform.set_variant(Some("v8".to_owned()));
    let record = record("plugin.wasm")
        .with_platform(platform)
        .with_manifest_media_type(MediaType::ImageManifest);
    let text = format!(
        r#"{{"manifest":"{digest}","root":"{digest}","kind":"wasm","file_name":"plugin.wasm","file_digest":"{digest}","size":1,"verified":false,"platform":{{"architecture":"arm64","os":"windows","os.version":"10.0","variant":"v8"}},"manifest_media_type":"application/vnd.oci.image.manifest.v1+json"}}"#
    );
    assert_eq!(serde_json::to_string(&record).unwrap(), text);
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    let other = text.replace("\"wasm\"", "\"python\"");
    assert!(serde_json::from_str::<Record>(&other).is_err());
}
