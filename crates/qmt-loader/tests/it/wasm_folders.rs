//! WASM-08: granted folders, against everything that WASI preview 1 can do to files.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use qmt_loader::Plugin;

use crate::wasi_calls::{
    CREATE, Call, FOLLOW, Function, READ, SUCCESS, TRUNCATE, WRITE, load_with, open, open_with,
};

/// The first folder's descriptor; the next one has the next number.
const FIRST: u64 = 3;
const DIRECTORY: u64 = 2;
const APPEND: u64 = 1;
/// Set both times to given values.
const SET_BOTH: u64 = 1 | 4;

type Tree = BTreeMap<String, (u32, i64, i64, u64, Vec<u8>)>;

/// All below `folder`: mode, time of change, links, content.
fn tree(folder: &Path) -> Tree {
    fn add(root: &Path, path: &Path, tree: &mut Tree) {
        let metadata = fs::symlink_metadata(path).unwrap();
        let content = if metadata.is_file() {
            fs::read(path).unwrap()
        } else if metadata.is_symlink() {
            fs::read_link(path)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes()
        } else {
            Vec::new()
        };
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let (mode, links) = (metadata.mode(), metadata.nlink());
        let found = (
            mode,
            metadata.mtime(),
            metadata.mtime_nsec(),
            links,
            content,
        );
        tree.insert(name, found);
        if metadata.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                add(root, &entry.unwrap().path(), tree);
            }
        }
    }
    let mut tree = Tree::new();
    add(folder, folder, &mut tree);
    tree
}

/// A folder with a file, an empty folder and links to both, and a subfolder with the same.
fn fill(folder: &Path) {
    for folder in [folder.to_owned(), folder.join("sub")] {
        fs::create_dir_all(folder.join("empty")).unwrap();
        fs::write(folder.join("file"), "content").unwrap();
        symlink("file", folder.join("link")).unwrap();
        symlink("empty", folder.join("way")).unwrap();
    }
}

fn folder(home: &Path, name: &str) -> String {
    fill(&home.join(name));
    home.join(name).display().to_string()
}

/// The calls that change the folder `at` by names; `other` is another folder, which is writable.
fn changes(at: u64, other: u64) -> Vec<Call> {
    use Function as F;
    let mut calls = Vec::new();
    for name in ["new", "new/", "empty/new", "way/new"] {
        calls.push(Call::of(F::PathCreateDirectory).with(at).text(name));
    }
    for name in ["empty", "empty/", "way/"] {
        calls.push(Call::of(F::PathRemoveDirectory).with(at).text(name));
    }
    for name in ["file", "link", "file/", "way/../file"] {
        calls.push(Call::of(F::PathUnlinkFile).with(at).text(name));
    }
    for (from, from_name, to, to_name) in [
        (at, "file", at, "new"),
        (at, "file", at, "new/"),
        (at, "file/", at, "new"),
        (at, "link", at, "file"),
        (at, "empty", at, "new"),
        (at, "empty/", at, "new/"),
        (at, "file", other, "taken"),
        (at, "empty/", other, "taken/"),
        (other, "file", at, "new"),
        (other, "file", at, "file"),
        (other, "empty/", at, "empty/"),
    ] {
        let call = Call::of(F::PathRename).with(from).text(from_name);
        calls.push(call.with(to).text(to_name));
        for follow in [0, FOLLOW] {
            let call = Call::of(F::PathLink).with(from).with(follow);
            calls.push(call.text(from_name).with(to).text(to_name));
        }
    }
    for target in ["file", "..", "/etc"] {
        let call = Call::of(F::PathSymlink).text(target);
        calls.push(call.with(at).text("new"));
    }
    for name in ["file", "link", "empty", ".", "way/", "file/"] {
        for follow in [0, FOLLOW] {
            for how in [SET_BOTH, 2 | 8] {
                let call = Call::of(F::PathFilestatSetTimes).with(at).with(follow);
                calls.push(
                    call.text(name)
                        .with(1_000_000_000)
                        .with(1_000_000_000)
                        .with(how),
                );
            }
        }
    }
    let times = Call::of(F::FdFilestatSetTimes);
    calls.push(times.with(at).with(1).with(1).with(SET_BOTH));
    calls
}

/// The calls that change what the descriptor `of` is open for.
fn changes_of_file(of: u64) -> Vec<Call> {
    use Function as F;
    vec![
        Call::of(F::FdWrite).with(of).buffer(b"changed"),
        Call::of(F::FdPwrite).with(of).buffer(b"changed").with(1),
        Call::of(F::FdFilestatSetSize).with(of).with(1),
        Call::of(F::FdFilestatSetSize).with(of).with(4096),
        Call::of(F::FdAllocate).with(of).with(0).with(4096),
        Call::of(F::FdFilestatSetTimes)
            .with(of)
            .with(1)
            .with(1)
            .with(SET_BOTH),
        Call::of(F::FdFdstatSetRights).with(of),
    ]
}

async fn close(plugin: &dyn Plugin, descriptor: u64) {
    let call = Call::of(Function::FdClose).with(descriptor);
    assert_eq!(call.errno(plugin).await, SUCCESS);
}

/// Loads the plugin with the folder `kept`, which can be read only, and `writable` before it.
async fn load_with_kept(home: &Path) -> std::sync::Arc<dyn Plugin> {
    let writable = folder(home, "writable");
    let read_only = format!("ro:{}", folder(home, "kept"));
    load_with(&[(writable, "/writable"), (read_only, "/kept")]).await
}

/// WASM-08: no call changes anything in a folder that can be read only, nor below it.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_folder_stays_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let plugin = load_with_kept(home.path()).await;
    let plugin = &*plugin;
    let kept = home.path().join("kept");
    let before = tree(&kept);
    let (writable, read_only) = (FIRST, FIRST + 1);
    let mut folders = vec![read_only];
    for (name, rights) in [("sub", READ), ("sub", 0), ("sub/", READ), ("./sub/.", READ)] {
        let (errno, below) = open(read_only, name, DIRECTORY, rights)
            .result(plugin)
            .await;
        assert_eq!(errno, SUCCESS, "{name}");
        folders.push(below);
    }
    // One that claims the right to write either is not opened or writes as little.
    let (errno, below) = open(read_only, "sub", DIRECTORY, READ | WRITE)
        .result(plugin)
        .await;
    folders.extend((errno == SUCCESS).then_some(below));
    for at in folders {
        for call in changes(at, writable) {
            assert_ne!(call.errno(plugin).await, SUCCESS, "{call:?}");
            assert_eq!(tree(&kept), before, "{call:?}");
        }
    }
    // Reading is what the folder is granted for.
    let (errno, file) = open(read_only, "sub/../link", 0, READ).result(plugin).await;
    assert_eq!(errno, SUCCESS);
    let read = Call::of(Function::FdRead).with(file).buffer(&[0; 16]);
    assert_eq!(read.result(plugin).await, (SUCCESS, 7));
}

/// WASM-08: however a file in a folder that can be read only is opened, it is not written.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_read_only_folder_opens_for_writing() {
    let home = tempfile::tempdir().unwrap();
    let plugin = load_with_kept(home.path()).await;
    let plugin = &*plugin;
    let kept = home.path().join("kept");
    let before = tree(&kept);
    let (_, below) = open(FIRST + 1, "sub", DIRECTORY, READ).result(plugin).await;
    let mut opened = 0;
    for at in [FIRST + 1, below] {
        for name in ["file", "link", "new", "empty", "file/", "way/new", "."] {
            for how in 0..16 {
                for rights in [0, READ, WRITE, READ | WRITE, (1 << 30) - 1] {
                    for (follow, flags) in [(0, 0), (FOLLOW, 0), (FOLLOW, APPEND), (0, 0b11110)] {
                        let call = open_with(at, follow, name, how, rights, flags);
                        let (errno, file) = call.result(plugin).await;
                        if errno != SUCCESS {
                            continue;
                        }
                        opened += 1;
                        for change in changes_of_file(file) {
                            let errno = change.errno(plugin).await;
                            assert_ne!(errno, SUCCESS, "{change:?} after {call:?}");
                        }
                        close(plugin, file).await;
                    }
                }
            }
            assert_eq!(tree(&kept), before, "{name}");
        }
    }
    assert!(opened > 0);
}

/// WASM-08: a descriptor keeps its rights under another number.
#[tokio::test(flavor = "multi_thread")]
async fn another_number_gives_no_other_rights() {
    let home = tempfile::tempdir().unwrap();
    let plugin = load_with_kept(home.path()).await;
    let plugin = &*plugin;
    let kept = home.path().join("kept");
    let before = tree(&kept);
    let (errno, file) = open(FIRST + 1, "file", 0, READ).result(plugin).await;
    assert_eq!(errno, SUCCESS);
    // The number of a file that is open for writing, and that of the writable folder.
    let (errno, target) = open(FIRST, "file", 0, WRITE).result(plugin).await;
    assert_eq!(errno, SUCCESS);
    for (from, to) in [(file, target), (FIRST + 1, FIRST)] {
        let call = Call::of(Function::FdRenumber).with(from).with(to);
        assert_eq!(call.errno(plugin).await, SUCCESS);
        assert_ne!(call.errno(plugin).await, SUCCESS, "the number is free");
    }
    for call in changes_of_file(target)
        .into_iter()
        .chain(changes(FIRST, FIRST))
    {
        assert_ne!(call.errno(plugin).await, SUCCESS, "{call:?}");
    }
    for number in [1, 2, u64::from(u32::MAX)] {
        let call = Call::of(Function::FdRenumber).with(FIRST).with(number);
        call.errno(plugin).await;
        assert_ne!(
            open(number, "new", CREATE, WRITE).errno(plugin).await,
            SUCCESS
        );
    }
    assert_eq!(tree(&kept), before);
}

/// The good twin: in a writable folder and below it, the same calls do what they say.
#[tokio::test(flavor = "multi_thread")]
async fn a_writable_folder_changes() {
    use Function as F;
    let home = tempfile::tempdir().unwrap();
    let writable = folder(home.path(), "writable");
    let plugin = load_with(&[(writable, "/writable")]).await;
    let plugin = &*plugin;
    let root = home.path().join("writable");
    let (_, below) = open(FIRST, "sub", DIRECTORY, READ).result(plugin).await;
    for (at, path) in [(FIRST, root.clone()), (below, root.join("sub"))] {
        let times = Call::of(F::PathFilestatSetTimes).with(at).with(FOLLOW);
        let times = times
            .text("link")
            .with(1_000_000_000)
            .with(2_000_000_000)
            .with(SET_BOTH);
        let (errno, file) = open(at, "made", CREATE, READ | WRITE).result(plugin).await;
        assert_eq!(errno, SUCCESS);
        let symlink = Call::of(F::PathSymlink)
            .text("file")
            .with(at)
            .text("points");
        let link = Call::of(F::PathLink).with(at).with(0).text("file");
        let rename = Call::of(F::PathRename)
            .with(at)
            .text("file")
            .with(at)
            .text("renamed");
        for call in [
            times,
            Call::of(F::FdWrite).with(file).buffer(b"written"),
            Call::of(F::FdPwrite).with(file).buffer(b"W").with(0),
            Call::of(F::FdFilestatSetSize).with(file).with(5),
            Call::of(F::FdFilestatSetTimes)
                .with(file)
                .with(0)
                .with(0)
                .with(SET_BOTH),
            Call::of(F::PathCreateDirectory).with(at).text("new"),
            symlink,
            link.with(at).text("linked"),
            rename,
            Call::of(F::PathRemoveDirectory).with(at).text("empty"),
            Call::of(F::PathUnlinkFile).with(at).text("way"),
        ] {
            assert_eq!(call.errno(plugin).await, SUCCESS, "{call:?}");
        }
        close(plugin, file).await;
        assert_eq!(fs::read(path.join("made")).unwrap(), b"Writt");
        assert_eq!(fs::metadata(path.join("made")).unwrap().mtime(), 0);
        assert_eq!(fs::metadata(path.join("renamed")).unwrap().mtime(), 2);
        assert_eq!(fs::metadata(path.join("linked")).unwrap().nlink(), 2);
        assert_eq!(
            fs::read_link(path.join("points")).unwrap(),
            Path::new("file")
        );
        assert!(path.join("new").is_dir() && !path.join("empty").exists());
        assert_eq!(
            open(at, "made", TRUNCATE, WRITE).errno(plugin).await,
            SUCCESS
        );
        assert_eq!(fs::metadata(path.join("made")).unwrap().len(), 0);
    }
}
