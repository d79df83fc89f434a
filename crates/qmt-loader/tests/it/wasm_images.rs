//! The files of the cache of compiled modules: damaged, unwritable, used at once, unused.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use qmt_loader::wasm::WasmLoader;
use qmt_loader::{Artifact, LoadOptions, Loader};

use crate::support::{fixtures, in_a_child, is_child, wasm_text};

const DAY: Duration = Duration::from_hours(24);

/// Loads the fixture, or one like it, in a loader of its own, and calls it.
async fn greet(folder: &Path, own: &str) {
    let loader = WasmLoader::builder()
        .compile_cache(Some(folder.to_owned()))
        .build()
        .unwrap();
    greet_with(&loader, own).await;
}

fn echo(own: &str) -> Artifact {
    let echo = fs::read_to_string(fixtures().join("echo-wasm/echo.wat")).unwrap();
    let echo = echo.trim_end().strip_suffix(')').unwrap();
    wasm_text(&format!("{echo}(func (export \"own-{own}\")))"))
}

async fn greet_with(loader: &WasmLoader, own: &str) {
    let artifact = echo(own);
    let plugin = loader.load(artifact, LoadOptions::default()).await.unwrap();
    let answer = plugin.call("greet", Bytes::from("Ada")).await.unwrap();
    assert_eq!(answer, "Hello, Ada! (wasm)");
}

/// The files with this extension, or without one: records.
fn with_extension(folder: &Path, extension: Option<&str>) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().and_then(|it| it.to_str()) == extension)
        .collect()
}

/// Number and time of each image and record; a file that is replaced has others.
fn identities(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut files = with_extension(folder, None);
    files.extend(with_extension(folder, Some("image")));
    let identity = |path: PathBuf| {
        let metadata = fs::metadata(&path).unwrap();
        (path, (metadata.ino(), metadata.modified().unwrap()))
    };
    files.into_iter().map(identity).collect()
}

/// An image is mapped while the module's bytes are still read, and kept until these are loaded.
#[tokio::test]
async fn an_image_is_mapped_before_the_module_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let digest = echo("a").digest().clone();
    let builder = || WasmLoader::builder().compile_cache(Some(folder.to_owned()));
    let prepare = async |loader: &WasmLoader| {
        let options = LoadOptions::default();
        loader.prepare(&digest, &options).await
    };
    let loader = builder().build().unwrap();
    assert!(prepare(&loader).await.is_none(), "never compiled");
    greet_with(&loader, "a").await;
    for is_kept in [true, false] {
        let loader = builder().build().unwrap();
        let prepared = prepare(&loader).await;
        assert!(prepared.is_some());
        let kept = prepared.filter(|_| is_kept);
        for image in with_extension(folder, Some("image")) {
            fs::remove_file(image).unwrap();
        }
        greet_with(&loader, "a").await;
        let is_compiled = !with_extension(folder, Some("image")).is_empty();
        assert_eq!(is_compiled, !is_kept);
        drop(kept);
        // For the next round.
        greet(folder, "a").await;
    }
}

/// WASM-04, WASM-09: whatever happens to images and records, the module is compiled again and
/// answers; what is whole is not written again.
#[tokio::test]
async fn damaged_images_are_compiled_again() {
    type Damage = fn(&Path);
    fn each(folder: &Path, extension: Option<&str>, change: impl Fn(&Path, Vec<u8>)) {
        let files = with_extension(folder, extension);
        assert_eq!(files.len(), 2, "the kernel and the module: {files:?}");
        for path in files {
            let content = fs::read(&path).unwrap();
            change(&path, content);
        }
    }
    fn image(folder: &Path, change: impl Fn(&mut Vec<u8>)) {
        each(folder, Some("image"), |path, mut content| {
            change(&mut content);
            fs::write(path, content).unwrap();
        });
    }
    fn record(folder: &Path, content: &[u8]) {
        each(folder, None, |path, _| fs::write(path, content).unwrap());
    }
    let damages: [(&str, Damage); 15] = [
        ("first byte", |it| image(it, |bytes| bytes[0] ^= 1)),
        ("a byte inside", |it| {
            image(it, |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x80;
            });
        }),
        ("last byte", |it| {
            image(it, |bytes| *bytes.last_mut().unwrap() ^= 1);
        }),
        ("a byte less", |it| {
            image(it, |bytes| bytes.truncate(bytes.len() - 1));
        }),
        ("a byte more", |it| image(it, |bytes| bytes.push(0))),
        ("half", |it| {
            image(it, |bytes| bytes.truncate(bytes.len() / 2));
        }),
        ("empty image", |it| image(it, Vec::clear)),
        ("missing image", |it| {
            each(it, Some("image"), |path, _| fs::remove_file(path).unwrap());
        }),
        ("empty record", |it| record(it, b"")),
        ("binary record", |it| record(it, &[0xff; 64])),
        ("record of another image", |it| record(it, &[b'0'; 64])),
        ("record with a path", |it| {
            // Where it leads, there is an image that is whole.
            each(it, Some("image"), |path, _| {
                fs::copy(path, it.join("../x.image")).map(drop).unwrap();
            });
            record(it, b"../x");
        }),
        ("record with an absolute path", |it| {
            record(it, b"/etc/passwd");
        }),
        ("record with a line", |it| {
            each(it, None, |path, mut content| {
                content.push(b'\n');
                fs::write(path, content).unwrap();
            });
        }),
        ("a huge record", |it| record(it, &vec![b'a'; 8 << 20])),
    ];
    for (what, damage) in damages {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("compiled");
        greet(&folder, "x").await;
        let whole = identities(&folder);
        greet(&folder, "x").await;
        assert_eq!(identities(&folder), whole, "what is whole stays");
        damage(&folder);
        greet(&folder, "x").await;
        let again = identities(&folder);
        assert!(
            !again.values().any(|it| whole.values().any(|old| old == it))
                || what.contains("record")
        );
        greet(&folder, "x").await;
        assert_eq!(identities(&folder), again, "{what}: it is whole again");
        for path in with_extension(&folder, None) {
            let hash = fs::read_to_string(path).unwrap();
            assert!(
                folder.join(format!("{hash}.image")).exists(),
                "{what}: {hash}"
            );
        }
    }
}

/// A folder that cannot be written to, because it is gone or because of its mode, costs time alone.
#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("compiled");
    let build = || {
        WasmLoader::builder()
            .compile_cache(Some(folder.clone()))
            .build()
            .unwrap()
    };
    let gone = build();
    fs::remove_dir_all(&folder).unwrap();
    greet_with(&gone, "gone").await;
    assert!(!folder.exists());
    greet(&folder, "kept").await;
    let kept = identities(&folder);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    greet(&folder, "kept").await;
    assert_eq!(identities(&folder), kept);
    // Root writes to it all the same.
    greet(&folder, "other").await;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    // Nor is a folder full of things in the way.
    for path in with_extension(&folder, None) {
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let _ = fs::remove_file(path.with_extension("lock"));
        fs::create_dir(path.with_extension("lock")).unwrap();
    }
    greet(&folder, "kept").await;
}

/// Two processes that start at the same time compile a module once.
#[test]
fn processes_wait_for_one_another() {
    const NAME: &str = "wasm_images::processes_wait_for_one_another";
    const FOLDER: &str = "QMT_LOADER_TEST_FOLDER";
    // Enough to be compiled for longer than it takes to look at a file.
    let module = || {
        let work = "(local.set 0 (i32.rotl (i32.mul (local.get 0) (i32.const 31)) (i32.const 7)))";
        let function = format!(
            "(func (param i32) (result i32) {} (local.get 0))",
            work.repeat(200)
        );
        wasm_text(&format!(
            "(module (func (export \"fine\")) {})",
            function.repeat(100)
        ))
    };
    let load = |folder: &Path| {
        let loader = WasmLoader::builder()
            .compile_cache(Some(folder.to_owned()))
            .build()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let plugin = loader.load(module(), LoadOptions::default()).await.unwrap();
            plugin.call("fine", Bytes::new()).await.unwrap();
        });
    };
    if is_child() {
        let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
        load(&folder);
        println!("images: {:?}", identities(&folder));
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("compiled");
    load(&folder);
    let locks = with_extension(&folder, Some("lock"));
    assert_eq!(locks.len(), 2);
    for path in identities(&folder).into_keys() {
        fs::remove_file(path).unwrap();
    }
    // Both processes wait here, so that they begin at the same time.
    let held: Vec<File> = locks
        .iter()
        .map(|path| File::options().write(true).open(path).unwrap())
        .collect();
    for file in &held {
        file.lock().unwrap();
    }
    let children = [(); 2].map(|()| {
        let folder = folder.to_str().unwrap().to_owned();
        std::thread::spawn(move || in_a_child(NAME, &[(FOLDER, &folder)]))
    });
    std::thread::sleep(Duration::from_millis(500));
    assert!(identities(&folder).is_empty(), "compiled without the lock");
    drop(held);
    let printed = children.map(|child| {
        let text = child.join().unwrap();
        let line = text
            .lines()
            .find_map(|line| line.split_once("images: "))
            .unwrap()
            .1;
        line.to_owned()
    });
    assert_eq!(printed[0], printed[1]);
    assert_eq!(printed[0], format!("{:?}", identities(&folder)));
}

/// What was not used for 30 days is deleted when another module is compiled, and nothing else.
#[tokio::test]
async fn unused_images_are_deleted() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("compiled");
    let age = |days: u32| {
        for path in identities(&folder).into_keys() {
            let file = File::options().append(true).open(path).unwrap();
            file.set_modified(SystemTime::now() - DAY * days).unwrap();
        }
    };
    greet(&folder, "one").await;
    greet(&folder, "two").await;
    // The kernel, and both.
    let all = identities(&folder);
    assert_eq!(all.len(), 6);
    age(29);
    let before = identities(&folder);
    greet(&folder, "three").await;
    assert!(
        before
            .keys()
            .all(|path| identities(&folder).contains_key(path))
    );
    age(31);
    let aged = identities(&folder);
    greet(&folder, "two").await;
    assert_eq!(identities(&folder).len(), 8, "reading deletes nothing");
    greet(&folder, "four").await;
    // "one" and "three" are gone: what stays is the kernel, "two" and "four".
    let left = identities(&folder);
    assert_eq!(left.len(), 6, "{left:?}");
    let used: Vec<_> = left
        .keys()
        .filter(|path| aged.contains_key(*path))
        .collect();
    assert_eq!(used.len(), 4);
    for path in used {
        let (file, time) = left[path];
        assert_eq!(file, aged[path].0, "it is not written again");
        assert!(time.elapsed().unwrap() < DAY, "its use is noted");
    }
    greet(&folder, "one").await;
    // Folders and links in it are not touched.
    fs::create_dir(folder.join("mine")).unwrap();
    symlink(home.path(), folder.join("link")).unwrap();
    age_of(&folder.join("mine"), 31);
    greet(&folder, "five").await;
    assert!(folder.join("mine").is_dir() && folder.join("link").exists());
}

fn age_of(path: &Path, days: u32) {
    let file = File::open(path).unwrap();
    file.set_modified(SystemTime::now() - DAY * days).unwrap();
}
