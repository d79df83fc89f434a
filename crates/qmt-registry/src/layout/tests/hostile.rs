//! Layouts that are malformed or made to mislead.

use std::io::Write;

use super::*;

/// Most files of an archive.
const ENTRIES_MAX: usize = 65_536;

#[tokio::test]
async fn two_images_of_one_name_are_refused() {
    let bed = Bed::new();
    let one = bed.push("v1", "").await;
    let two = bed.push("v2", r#","annotations":{"n":"2"}"#).await;
    bed.set_index(&[entry(&one, Some("v1")), entry(&two, Some("v1"))]);
    let refused = bed.layout.resolve(&bed.tagged("v1")).await;
    let error = refused.unwrap_err();
    let text = qmt_oci_ref::text::error_line(&error, None);
    let digests = [one.digest(), two.digest()].map(|digest| format!("`{digest}`"));
    assert!(digests.iter().all(|digest| text.contains(digest)), "{text}");
    let next = format!("`@{}`", one.digest());
    assert!(text.contains("`v1`") && text.contains(&next), "{text}");
    assert_eq!(
        reason_of::<()>(Err(error)),
        "two of its images have the same name"
    );
    bed.set_index(&[entry(&one, Some("v1")), entry(&one, Some("v1"))]);
    bed.layout.resolve(&bed.tagged("v1")).await.unwrap();
}

/// An entry that can't be read is not an absent one, and does not hide another of its name.
#[tokio::test]
async fn a_damaged_entry_is_named_with_its_cause() {
    let bed = Bed::new();
    let one = bed.push("v1", "").await;
    let (hex, size) = (one.digest().hex().to_owned(), one.bytes().len());
    for name in [Some("v1"), Some("ghcr.io/acme/echo:v1"), None] {
        let whole = entry(&one, name);
        for (damaged, cause) in [
            (whole.replacen("sha256:", "", 1), "no `:`"),
            (whole.replacen(&hex, &hex.to_uppercase(), 1), "lower-case"),
            (whole.replacen("sha256:", "blake3:", 1), "blake3"),
            (
                whole.replacen(&format!(",\"size\":{size}"), "", 1),
                "`size`",
            ),
            (
                whole.replacen(&format!("\"size\":{size}"), "\"size\":-1", 1),
                "-1",
            ),
        ] {
            assert_ne!(damaged, whole);
            bed.set_index(std::slice::from_ref(&damaged));
            let tag = if name.is_some() { "v1" } else { "latest" };
            let error = bed.refusal(tag).await;
            let text = qmt_oci_ref::text::error_line(&error, None);
            assert!(text.contains(&format!("`{tag}`")), "{text}");
            assert!(text.contains(cause) && !text.contains("line 1"), "{text}");
            let is_named = |error| {
                matches!(
                    error,
                    &ClientError::Layout(LayoutError::DamagedEntry { .. })
                )
            };
            assert!(is_named(client(&error)), "{error:?}");
            assert!(bed.refusal("v2").await.is_not_found());
            if name.is_some() {
                bed.set_index(&[damaged, whole.clone()]);
                assert_eq!(bed.layout.resolve(&bed.tagged("v1")).await.unwrap(), one);
            }
        }
    }
}

/// DIG-02: content that is not its name's is refused, manifest and blob.
#[tokio::test]
async fn dig_02_other_content_is_refused() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    std::fs::write(bed.blob_path(layer().digest()), b"\0asm\x02\0\0\0").unwrap();
    let error = read(&bed.layout, &layer()).await.unwrap_err();
    assert!(
        matches!(client(&error), ClientError::DigestMismatch { .. }),
        "{error:?}"
    );
    let other = String::from_utf8(pushed.bytes().to_vec())
        .unwrap()
        .replace("\":2", "\":3");
    std::fs::write(bed.blob_path(pushed.digest()), other).unwrap();
    let error = bed.refusal("v1").await;
    assert!(
        matches!(client(&error), ClientError::DigestMismatch { .. }),
        "{error:?}"
    );
}

/// DIG-08: sizes that differ from the descriptor's are refused before a byte is streamed.
#[tokio::test]
async fn dig_08_wrong_sizes_are_refused() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    for size in [LAYER.len() as u64 - 1, LAYER.len() as u64 + 1] {
        let wrong = Descriptor::new(layer().media_type().clone(), layer().digest().clone(), size);
        let error = read(&bed.layout, &wrong).await.unwrap_err();
        assert!(
            matches!(client(&error), ClientError::SizeMismatch { .. }),
            "{error:?}"
        );
    }
    let wrong = Descriptor::new(pushed.media_type().clone(), pushed.digest().clone(), 1)
        .with_annotation(REF_NAME, "v1");
    bed.set_index(&[serde_json::to_string(&wrong).unwrap()]);
    let error = bed.refusal("v1").await;
    assert!(
        matches!(client(&error), ClientError::SizeMismatch { .. }),
        "{error:?}"
    );
}

/// DIG-04: an index that calls a manifest something else.
#[tokio::test]
async fn dig_04_a_media_type_that_differs_is_refused() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    let lie = entry(&pushed, Some("v1")).replacen("image.manifest", "image.index", 1);
    bed.set_index(&[lie]);
    let error = bed.refusal("v1").await;
    assert!(
        matches!(client(&error), ClientError::NotAManifest { .. }),
        "{error:?}"
    );
}

#[track_caller]
fn assert_too_large(error: &RegistryError, limit: u64) {
    let text = error.to_string();
    let expected = format!("it has more than {limit} bytes");
    assert!(text.ends_with(&expected), "{text}");
    assert_eq!(error.kind(), qmt_oci_ref::RegistryErrorKind::Storage);
}

#[tokio::test]
async fn manifests_have_a_limit() {
    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    let length = pushed.bytes().len() as u64;
    let pin = bed.tagged("v1").with_digest(pushed.digest().clone());
    bed.layout.manifest(&pin, length).await.unwrap();
    let refused = bed.layout.manifest(&pin, length - 1).await.unwrap_err();
    assert_too_large(&refused, length - 1);
}

#[tokio::test]
async fn an_index_has_a_limit() {
    let bed = Bed::new();
    let latest = bed.layout.reference(None, None);
    let limit = 32 << 20;
    let mut index = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
    index.resize(limit, b' ');
    std::fs::write(bed.path("index.json"), &index).unwrap();
    assert!(
        bed.layout
            .resolve(&latest)
            .await
            .unwrap_err()
            .is_not_found()
    );
    index.push(b' ');
    std::fs::write(bed.path("index.json"), &index).unwrap();
    let refused = bed.layout.resolve(&latest).await.unwrap_err();
    assert_too_large(&refused, limit as u64);
}

#[tokio::test]
async fn indexes_that_are_none_are_refused() {
    let bed = Bed::new();
    let latest = bed.layout.reference(None, None);
    for bad in [
        "",
        "[]",
        r#"[2,"application/vnd.oci.image.index.v1+json",[]]"#,
        "{}",
        r#"{"schemaVersion":1}"#,
        r#"{"schemaVersion":2,"manifests":7}"#,
    ] {
        std::fs::write(bed.path("index.json"), bad).unwrap();
        reason_of(bed.layout.resolve(&latest).await);
    }
    let traversal = entry(&image(""), Some("latest")).replacen("sha256:", "../../sha256:", 1);
    bed.set_index(&[traversal]);
    // What is no digest names nothing.
    bed.layout.resolve(&latest).await.unwrap_err();
}

#[test]
fn what_is_no_layout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        reason_of(OciLayout::open(&folder.path().join("absent"))),
        "it can't be opened"
    );
    assert_eq!(
        reason_of(OciLayout::open(folder.path())),
        "it has no file `oci-layout`"
    );
    for (marker, reason) in [
        (
            r#"{"imageLayoutVersion":"2.0.0"}"#,
            "its version is not 1.0.0",
        ),
        ("{}", "its file `oci-layout` is malformed"),
    ] {
        std::fs::write(folder.path().join("oci-layout"), marker).unwrap();
        let error = OciLayout::open(folder.path()).unwrap_err();
        let text = qmt_oci_ref::text::error_line(&error, None);
        assert!(text.contains("`2.0.0`") || marker == "{}", "{text}");
        assert_eq!(reason_of::<()>(Err(error)), reason);
    }
    std::fs::write(
        folder.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    assert_eq!(
        reason_of(OciLayout::open(folder.path())),
        "it has no file `index.json`"
    );
    let refused = tempfile::tempdir().unwrap();
    std::fs::write(refused.path().join("thesis.tex"), "x").unwrap();
    assert!(reason_of(OciLayout::create(refused.path())).contains("something else"));
    let file = folder.path().join("not.tar");
    std::fs::write(&file, vec![1; 2048]).unwrap();
    assert!(reason_of(OciLayout::open(&file)).contains("tar archive"));
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_not_followed() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    let link = "it is a symbolic link, which is not followed; copy the layout with `cp -rL`";

    let bed = Bed::new();
    let pushed = bed.push("v1", "").await;
    let blob = bed.blob_path(layer().digest());
    std::fs::rename(&blob, outside.path().join("blob")).unwrap();
    symlink(outside.path().join("blob"), &blob).unwrap();
    assert_eq!(reason_of(read(&bed.layout, &layer()).await), link);
    let (blob, content) = (layer(), Bytes::from_static(LAYER));
    let again = bed
        .layout
        .push_blob(&bed.layout.repository, &blob, &content, None);
    assert_eq!(reason_of(again.await), link);

    std::fs::rename(bed.path("blobs/sha256"), outside.path().join("sha256")).unwrap();
    symlink(outside.path().join("sha256"), bed.path("blobs/sha256")).unwrap();
    assert_eq!(reason_of(bed.layout.resolve(&bed.tagged("v1")).await), link);
    assert_eq!(
        reason_of(bed.layout.push_manifest(&bed.tagged("v3"), &pushed).await),
        link
    );

    let bed = Bed::new();
    bed.push("v1", "").await;
    std::fs::rename(bed.path("index.json"), outside.path().join("index.json")).unwrap();
    symlink(outside.path().join("index.json"), bed.path("index.json")).unwrap();
    assert_eq!(reason_of(bed.layout.resolve(&bed.tagged("v1")).await), link);

    let bed = Bed::new();
    bed.push("v1", "").await;
    std::fs::remove_file(bed.blob_path(layer().digest())).unwrap();
    std::fs::create_dir(bed.blob_path(layer().digest())).unwrap();
    assert_eq!(
        reason_of(read(&bed.layout, &layer()).await),
        "it is not a regular file"
    );
}

/// A tar archive of a layout with `name` in it as an entry of the given kind.
fn hostile_tar(name: &[u8], kind: tar::EntryType) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut tar = tar::Builder::new(&mut file);
    let mut append = |name: &[u8], kind, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, content).unwrap();
    };
    append(
        b"oci-layout",
        tar::EntryType::Regular,
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    );
    append(
        b"./index.json",
        tar::EntryType::Regular,
        br#"{"schemaVersion":2,"manifests":[]}"#,
    );
    let is_file = kind == tar::EntryType::Regular;
    append(name, kind, if is_file { b"x" } else { b"" });
    tar.finish().unwrap();
    drop(tar);
    file.flush().unwrap();
    file
}

#[tokio::test]
async fn archives_with_misleading_names_are_refused() {
    let file = tar::EntryType::Regular;
    OciLayout::open(hostile_tar(b"./blobs/x", file).path()).unwrap();
    let out = "it has names that lead out of it";
    for name in [&b"../x"[..], b"/../x", b"blobs/../../x", b"blobs/\xff"] {
        assert_eq!(
            reason_of(OciLayout::open(hostile_tar(name, file).path())),
            out
        );
    }
    // An absolute name means the file of the archive, and opens nothing else.
    OciLayout::open(hostile_tar(b"/etc/passwd", file).path()).unwrap();
    for name in [&b"index.json"[..], b"/index.json", b"././oci-layout"] {
        let refused = OciLayout::open(hostile_tar(name, file).path());
        assert_eq!(reason_of(refused), "it has two files of the same name");
    }
    // Links and devices are passed over: nothing is read through them.
    let digest = Digest::sha256("x");
    let name = format!("blobs/sha256/{}", digest.hex());
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Fifo,
    ] {
        let archive = hostile_tar(name.as_bytes(), kind);
        let layout = OciLayout::open(archive.path()).unwrap();
        let blob = Descriptor::of(MediaType::from("a/b"), b"x");
        assert!(read(&layout, &blob).await.unwrap_err().is_not_found());
    }
}

/// `tar` packs a file with two names once, and the second name as a link to the first.
#[tokio::test]
async fn a_hard_link_in_an_archive_is_the_file_before_it() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut tar = tar::Builder::new(&mut file);
    let name = format!("blobs/sha256/{}", Digest::sha256("x").hex());
    let mut append = |name: &str, target: Option<&str>, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        match target {
            Some(target) => {
                header.set_entry_type(tar::EntryType::Link);
                tar.append_link(&mut header, name, target).unwrap();
            }
            None => tar.append_data(&mut header, name, content).unwrap(),
        }
    };
    append("./oci-layout", None, br#"{"imageLayoutVersion":"1.0.0"}"#);
    append(
        "./index.json",
        None,
        br#"{"schemaVersion":2,"manifests":[]}"#,
    );
    append("./x", None, b"x");
    append(&format!("./{name}"), Some("./x"), b"");
    tar.finish().unwrap();
    drop(tar);
    file.flush().unwrap();
    let layout = OciLayout::open(file.path()).unwrap();
    let blob = Descriptor::of(MediaType::from("a/b"), b"x");
    assert_eq!(read(&layout, &blob).await.unwrap(), b"x"[..]);
}

#[test]
fn an_archive_that_is_cut_short_is_refused() {
    let archive = hostile_tar(b"blobs/x", tar::EntryType::Regular);
    let whole = std::fs::read(archive.path()).unwrap();
    for length in [0, 100, 512, 700, 1024, 1536] {
        std::fs::write(archive.path(), &whole[..length]).unwrap();
        reason_of(OciLayout::open(archive.path()));
    }
    std::fs::write(archive.path(), &whole).unwrap();
    OciLayout::open(archive.path()).unwrap();
}

#[test]
fn an_archive_has_a_limit_of_entries() {
    let many = |count: usize| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tar = tar::Builder::new(std::io::BufWriter::new(&file));
        for number in 0..count {
            let mut header = tar::Header::new_gnu();
            let (name, content): (_, &[u8]) = match number {
                0 => (
                    "oci-layout".to_owned(),
                    br#"{"imageLayoutVersion":"1.0.0"}"#,
                ),
                1 => (
                    "index.json".to_owned(),
                    br#"{"schemaVersion":2,"manifests":[]}"#,
                ),
                _ => (number.to_string(), b""),
            };
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).unwrap();
        }
        tar.into_inner().unwrap().flush().unwrap();
        file
    };
    OciLayout::open(many(ENTRIES_MAX).path()).unwrap();
    let refused = OciLayout::open(many(ENTRIES_MAX + 1).path());
    assert_eq!(reason_of(refused), "it has more than 65,536 files");
}
