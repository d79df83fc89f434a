//! CACHE-04, CACHE-06, F13: whatever happens to the files, wrong bytes are never handed out.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::fs::paths;

/// Writes over a file in place, as another program of the same user could.
pub(super) fn overwrite(path: &Path, content: &[u8]) {
    let file = writable(path);
    file.set_len(0).unwrap();
    file.write_all_at(content, 0).unwrap();
}

fn writable(path: &Path) -> File {
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o400)).unwrap();
    file
}

/// An entry that was tampered with is a miss, and can be filled again.
async fn heals(bed: &Bed, key: &Digest) {
    assert!(bed.is_miss(key).await);
    let again = bed.put(key, CONTENT).await;
    assert_eq!(again.read_proven().unwrap(), CONTENT);
}

#[tokio::test]
async fn cache_04_a_file_replaced_by_something_else_is_a_miss() {
    let bed = Bed::new();
    let key = manifest("a");
    let path = bed.put(&key, CONTENT).await.path().to_owned();
    let elsewhere = bed.cache.path().join("elsewhere");
    std::fs::write(&elsewhere, CONTENT).unwrap();
    std::fs::set_permissions(&elsewhere, Permissions::from_mode(0o400)).unwrap();
    let replace: [fn(&Path, &Path); 5] = [
        |path, elsewhere| symlink(elsewhere, path).unwrap(),
        |path, _| std::fs::create_dir(path).unwrap(),
        |path, _| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
        },
        |path, elsewhere| std::fs::hard_link(elsewhere, path).unwrap(),
        |path, elsewhere| {
            std::fs::copy(elsewhere, path).unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(0o460)).unwrap();
        },
    ];
    for (case, replace) in replace.iter().enumerate() {
        std::fs::remove_file(&path).unwrap();
        replace(&path, &elsewhere);
        assert!(bed.is_miss(&key).await, "case {case}");
        heals(&bed, &key).await;
    }
    assert_eq!(
        std::fs::read(&elsewhere).unwrap(),
        CONTENT,
        "the link's target is untouched"
    );
}

#[tokio::test]
async fn cache_04_a_size_that_differs_is_a_miss() {
    let bed = Bed::new();
    let key = manifest("a");
    for length in [0, 1, CONTENT.len() as u64 - 1, CONTENT.len() as u64 + 1] {
        let path = bed.put(&key, CONTENT).await.path().to_owned();
        writable(&path).set_len(length).unwrap();
        heals(&bed, &key).await;
        bed.cache.discard(&key).await.unwrap();
    }
}

#[tokio::test]
async fn cache_04_an_entry_replaced_by_a_link_is_a_miss() {
    let bed = Bed::new();
    let key = manifest("a");
    bed.put(&key, CONTENT).await;
    let entry = bed.cache.store.paths.entry(&key);
    let moved = bed.cache.path().join("moved");
    std::fs::rename(&entry, &moved).unwrap();
    std::fs::write(&entry, "a file").unwrap();
    heals(&bed, &key).await;
    std::fs::remove_dir_all(&entry).unwrap();
    symlink(&moved, &entry).unwrap();
    bed.cache.discard(&key).await.unwrap();
    heals(&bed, &key).await;
    assert!(
        moved.join("record.json").exists(),
        "what a link points to is not touched"
    );
}

#[tokio::test]
async fn cache_06_a_record_copied_from_another_digest_is_ignored() {
    let bed = Bed::new();
    let (one, two) = (manifest("one"), manifest("two"));
    bed.put(&one, CONTENT).await;
    bed.put(&two, b"other").await;
    let from = bed.cache.store.paths.record(&one);
    let to = bed.cache.store.paths.record(&two);
    std::fs::remove_file(&to).unwrap();
    std::fs::copy(&from, &to).unwrap();
    assert!(bed.is_miss(&two).await);
    assert!(!bed.is_miss(&one).await);
}

#[tokio::test]
async fn cache_06_records_that_break_a_rule_are_ignored() {
    let bed = Bed::new();
    let key = manifest("a");
    bed.put(&key, CONTENT).await;
    let path = bed.cache.store.paths.record(&key);
    let good = serde_json::to_string(&record(&key, CONTENT)).unwrap();
    let seal = |body: &str| crate::fs::sealed::seal("record", &key.to_string(), body.as_bytes());
    overwrite(&path, &seal(&good));
    assert!(!bed.is_miss(&key).await);
    let bad = [
        good.replace("plugin.wasm", "../../../etc/passwd"),
        good.replace("plugin.wasm", "record.json"),
        good.replacen(key.hex(), manifest("b").hex(), 1),
        good.replace("\"size\"", "\"siez\""),
        good.replacen('{', r#"{"size":1,"#, 1),
        good.replacen('{', r#"{"surprise":1,"#, 1),
        String::new(),
        "[]".to_owned(),
        " ".repeat(70_000),
    ];
    for body in bad {
        overwrite(&path, &seal(&body));
        assert!(bed.is_miss(&key).await, "{body:.80}");
    }
    overwrite(&path, &seal(&good));
    assert!(!bed.is_miss(&key).await);
}

#[tokio::test]
async fn cache_06_evidence_of_another_subject_or_cut_short_is_ignored() {
    let bed = Bed::new();
    let (one, two) = (manifest("one"), manifest("two"));
    bed.cache
        .put_evidence(&one, br#"{"signer":"mallory"}"#)
        .await
        .unwrap();
    let from = bed.cache.store.paths.evidence(&one);
    let to = bed.cache.store.paths.evidence(&two);
    std::fs::copy(&from, &to).unwrap();
    assert!(bed.cache.evidence(&two).await.unwrap().is_none());
    let whole = std::fs::read(&from).unwrap();
    for length in 0..whole.len() {
        overwrite(&from, &whole[..length]);
        assert!(
            bed.cache.evidence(&one).await.unwrap().is_none(),
            "{length}"
        );
    }
    overwrite(&from, &whole);
    assert!(bed.cache.evidence(&one).await.unwrap().is_some());
}

/// F13, short form: every single-bit flip of the file is found before a byte is handed out.
#[tokio::test]
async fn f13_every_bit_flip_of_a_file_is_detected() {
    let bed = Bed::new();
    let key = manifest("a");
    let artifact = bed.put(&key, CONTENT).await;
    let file = writable(artifact.path());
    for (offset, byte) in CONTENT.iter().enumerate() {
        for bit in 0..8 {
            file.write_all_at(&[byte ^ (1 << bit)], offset as u64)
                .unwrap();
            let error = artifact.read_proven().unwrap_err();
            assert!(is_damaged(&error) && error.is_retryable(), "{error}");
            assert!(is_damaged(&artifact.prove().unwrap_err()));
        }
        file.write_all_at(&[*byte], offset as u64).unwrap();
    }
    assert_eq!(artifact.read_proven().unwrap(), CONTENT);
    artifact.prove().unwrap();
    heals(&bed, &key).await;
}

/// F13, short form: every single-bit flip of the record makes it a miss.
#[tokio::test]
async fn f13_every_bit_flip_of_a_record_is_detected() {
    let bed = Bed::new();
    let key = manifest("a");
    bed.put(&key, CONTENT).await;
    let path = bed.cache.store.paths.record(&key);
    let good = std::fs::read(&path).unwrap();
    let file = writable(&path);
    for (offset, byte) in good.iter().enumerate() {
        for bit in 0..8 {
            file.write_all_at(&[byte ^ (1 << bit)], offset as u64)
                .unwrap();
            assert!(
                bed.cache.store.read_record(&key).unwrap().is_none(),
                "{offset} {bit}"
            );
        }
        file.write_all_at(&[*byte], offset as u64).unwrap();
    }
    assert!(!bed.is_miss(&key).await);
}

#[tokio::test]
async fn a_damaged_entry_is_dropped_and_filled_again_with_its_blob() {
    let bed = Bed::new();
    let key = manifest("a");
    let layer = Digest::sha256(CONTENT);
    for _ in 0..2 {
        let staging = bed.fill(&key).await;
        let mut partial = staging.partial(&layer).unwrap();
        assert!(!partial.is_complete(), "the damaged blob went, too");
        partial.write_all(CONTENT).unwrap();
        partial.finish(CONTENT.len() as u64).unwrap();
        let artifact = staging.commit(record(&key, CONTENT)).unwrap();
        overwrite(artifact.path(), &[0; CONTENT.len()]);
        assert!(is_damaged(&artifact.read_proven().unwrap_err()));
        assert!(bed.is_miss(&key).await);
    }
}

#[tokio::test]
async fn a_damaged_partial_download_is_hashed_as_it_is() {
    let bed = Bed::new();
    let staging = bed.fill(&manifest("a")).await;
    let layer = Digest::sha256(CONTENT);
    let mut partial = staging.partial(&layer).unwrap();
    partial.write_all(&CONTENT[..8]).unwrap();
    drop(partial);
    let path = bed
        .cache
        .path()
        .join("partial")
        .join(paths::file_name(&layer));
    std::fs::write(&path, [0; 8]).unwrap();
    let partial = staging.partial(&layer).unwrap();
    assert_eq!(partial.digester().finish(), Digest::sha256([0; 8]));
}

#[tokio::test]
async fn verify_all_drops_what_is_damaged_and_nothing_else() {
    let bed = Bed::new();
    bed.put(&manifest("good"), CONTENT).await;
    let bad = bed
        .put(&manifest("bad"), b"0123456789")
        .await
        .path()
        .to_owned();
    overwrite(&bad, b"012345678X");
    let formless = bed
        .put(&manifest("formless"), CONTENT)
        .await
        .path()
        .to_owned();
    writable(&formless).set_len(3).unwrap();
    let small = blob("a/b", b"{}");
    bed.cache
        .put_bytes(&small, Bytes::from_static(b"{}"))
        .await
        .unwrap();
    let other = blob("a/b", b"[]");
    bed.cache
        .put_bytes(&other, Bytes::from_static(b"[]"))
        .await
        .unwrap();
    let other_path = bed.cache.store.paths.blob(other.digest());
    overwrite(&other_path, b"{]");

    let report = bed.cache.verify_all().await.unwrap();
    assert_eq!(report.good, 2);
    let formless = formless.parent().unwrap().to_owned();
    assert_eq!(report.damaged.len(), 3);
    for path in [&bad, &formless, &other_path] {
        assert!(
            report.damaged.contains(path),
            "{path:?} of {:?}",
            report.damaged
        );
        assert!(!path.exists());
    }
    assert_eq!(bed.cache.verify_all().await.unwrap().damaged.len(), 0);
}
