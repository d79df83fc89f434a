//! WASM-08: ways out of a granted folder, and folders that go away.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use qmt_loader::{LoadError, LoadOptions, Loader};

use crate::support::{chain, loader, wasm};
use crate::wasi_calls::{
    CREATE, Call, FOLLOW, Function, READ, SUCCESS, TRUNCATE, WRITE, load_with, open,
};

const FIRST: u64 = 3;
const DIRECTORY: u64 = 2;

/// A folder with links that lead out, next to a file that was not granted.
fn folder(home: &Path) -> String {
    let granted = home.join("granted");
    fs::create_dir_all(granted.join("sub")).unwrap();
    fs::write(granted.join("file"), "content").unwrap();
    fs::write(home.join("secret"), "secret").unwrap();
    fs::create_dir(home.join("outside")).unwrap();
    for (target, name) in [
        ("..", "up"),
        ("../secret", "relative"),
        ("../missing", "dangling"),
        ("/proc/self/fd", "descriptors"),
        ("/proc/self/root", "root"),
        ("/proc/self/cwd", "cwd"),
        ("sub/../../secret", "round"),
        ("up/secret", "twice"),
        ("loop", "loop"),
    ] {
        symlink(target, granted.join(name)).unwrap();
    }
    symlink(home.join("secret"), granted.join("absolute")).unwrap();
    granted.display().to_string()
}

/// Names that lead out of the folder.
fn ways_out(home: &Path) -> Vec<String> {
    let mut names = vec![
        home.join("secret").display().to_string(),
        home.join("granted/file").display().to_string(),
    ];
    let relative = [
        "..",
        "../secret",
        "../granted/file",
        "sub/../../secret",
        "sub/../../granted/file",
        "./../secret",
        ".//..//secret",
        "up",
        "up/",
        "up/secret",
        "relative",
        "relative/",
        "absolute",
        "dangling",
        "round",
        "twice",
        "descriptors",
        "descriptors/0",
        "descriptors/3",
        "root",
        "root/etc/passwd",
        "cwd/Cargo.toml",
        "loop",
        "/",
        "//",
        "/etc/passwd",
        "/proc/self/fd/0",
        "/proc/self/root/etc/passwd",
        "file/../../secret",
        "",
    ];
    names.extend(relative.map(str::to_owned));
    names
}

/// WASM-08: neither `..` nor absolute paths nor links lead out, in whatever folder.
#[tokio::test(flavor = "multi_thread")]
async fn no_way_leads_out_of_a_folder() {
    use Function as F;
    for prefix in ["ro:", ""] {
        let home = tempfile::tempdir().unwrap();
        let granted = format!("{prefix}{}", folder(home.path()));
        let plugin = load_with(&[(granted, "/data")]).await;
        let plugin = &*plugin;
        let (errno, below) = open(FIRST, "sub", DIRECTORY, READ).result(plugin).await;
        assert_eq!(errno, SUCCESS);
        for name in ways_out(home.path()) {
            for how in [0, DIRECTORY, CREATE, CREATE | TRUNCATE] {
                for rights in [READ, WRITE, READ | WRITE] {
                    let call = open(FIRST, &name, how, rights);
                    assert_ne!(call.errno(plugin).await, SUCCESS, "{call:?}");
                }
            }
            let times = Call::of(F::PathFilestatSetTimes)
                .with(FIRST)
                .with(FOLLOW)
                .text(&name);
            let target = Call::of(F::PathRename).with(FIRST).text("file").with(FIRST);
            for call in [
                Call::of(F::PathFilestatGet)
                    .with(FIRST)
                    .with(FOLLOW)
                    .text(&name),
                times.with(1).with(1).with(5),
                Call::of(F::PathCreateDirectory)
                    .with(FIRST)
                    .text(&format!("{name}/new")),
                Call::of(F::PathLink)
                    .with(FIRST)
                    .with(FOLLOW)
                    .text(&name)
                    .with(FIRST)
                    .text("new"),
                Call::of(F::PathSymlink)
                    .text("x")
                    .with(FIRST)
                    .text(&format!("{name}/new")),
                Call::of(F::PathUnlinkFile)
                    .with(FIRST)
                    .text(&format!("{name}/secret")),
                Call::of(F::PathRemoveDirectory)
                    .with(FIRST)
                    .text(&format!("{name}/outside")),
                target.text(&format!("{name}/new")),
            ] {
                assert_ne!(call.errno(plugin).await, SUCCESS, "{call:?}");
            }
        }
        // What a link says is read, where it leads is not; a listing ends at the folder, too.
        let link = Call::of(F::PathReadlink).with(FIRST).text("relative");
        assert_eq!(link.result(plugin).await, (SUCCESS, 9));
        let link = Call::of(F::PathReadlink)
            .with(FIRST)
            .text("up/granted/relative");
        assert_ne!(link.errno(plugin).await, SUCCESS);
        assert_eq!(
            Call::of(F::FdReaddir).with(FIRST).errno(plugin).await,
            SUCCESS
        );
        // A folder that was opened is an edge as well.
        for name in ["..", "../file", "../sub"] {
            assert_ne!(
                open(below, name, 0, READ).errno(plugin).await,
                SUCCESS,
                "{name}"
            );
        }
        // The good twin: what stays inside is opened.
        for name in ["sub/../file", "./file", "sub/.././sub/../file"] {
            assert_eq!(
                open(FIRST, name, 0, READ).errno(plugin).await,
                SUCCESS,
                "{name}"
            );
        }
        assert_eq!(fs::read(home.path().join("secret")).unwrap(), b"secret");
        let mut left: Vec<_> = fs::read_dir(home.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["granted", "outside", "secret"]);
    }
}

/// WASM-08: a link that the plugin makes, moves or links to leads no further than others.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_the_plugin_leads_nowhere_else() {
    use Function as F;
    let home = tempfile::tempdir().unwrap();
    let granted = folder(home.path());
    let plugin = load_with(&[(granted.clone(), "/data")]).await;
    let plugin = &*plugin;
    let secret = home.path().join("secret").display().to_string();
    for (nth, target) in [
        "../secret",
        "..",
        &secret,
        "/proc/self/fd/0",
        "sub/../../secret",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("made{nth}");
        let made = Call::of(F::PathSymlink)
            .text(target)
            .with(FIRST)
            .text(&name);
        let errno = made.errno(plugin).await;
        assert!(!target.starts_with('/') || errno != SUCCESS, "{target}");
        for name in [name.clone(), format!("{name}/secret")] {
            assert_ne!(
                open(FIRST, &name, 0, READ).errno(plugin).await,
                SUCCESS,
                "{target}"
            );
        }
    }
    // It is good where it is made, and leads out where it is moved to.
    let made = Call::of(F::PathSymlink)
        .text("../file")
        .with(FIRST)
        .text("sub/good");
    assert_eq!(made.errno(plugin).await, SUCCESS);
    assert_eq!(
        open(FIRST, "sub/good", 0, READ).errno(plugin).await,
        SUCCESS
    );
    let link = Call::of(F::PathLink)
        .with(FIRST)
        .with(0)
        .text("sub/good")
        .with(FIRST);
    assert_eq!(link.text("hard").errno(plugin).await, SUCCESS);
    let rename = Call::of(F::PathRename)
        .with(FIRST)
        .text("sub/good")
        .with(FIRST);
    assert_eq!(rename.text("moved").errno(plugin).await, SUCCESS);
    fs::write(home.path().join("file"), "outside").unwrap();
    for name in ["hard", "moved"] {
        for rights in [READ, WRITE] {
            assert_ne!(
                open(FIRST, name, 0, rights).errno(plugin).await,
                SUCCESS,
                "{name}"
            );
        }
    }
    // A folder that is moved out while it is open is an edge all the same.
    let (_, below) = open(FIRST, "sub", DIRECTORY, READ).result(plugin).await;
    fs::rename(Path::new(&granted).join("sub"), home.path().join("sub")).unwrap();
    for name in ["../secret", "..", "../file"] {
        assert_ne!(
            open(below, name, 0, READ).errno(plugin).await,
            SUCCESS,
            "{name}"
        );
    }
}

/// WASM-08: a folder that goes away, or that the host cannot read, is an error and nothing worse.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_goes_away_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let granted = folder(home.path());
    let plugin = load_with(&[(granted.clone(), "/data")]).await;
    fs::remove_dir_all(&granted).unwrap();
    for call in [
        open(FIRST, "file", 0, READ),
        open(FIRST, "new", CREATE, WRITE),
        Call::of(Function::PathCreateDirectory)
            .with(FIRST)
            .text("new"),
    ] {
        assert_ne!(call.errno(&*plugin).await, SUCCESS, "{call:?}");
    }
    // The next instance has no folder to begin with.
    let error = plugin.lease().await.err().unwrap();
    assert!(chain(&error).contains(&granted), "{}", chain(&error));
    let mut options = LoadOptions::default();
    options
        .allow
        .paths
        .insert(granted.clone().into(), "/data".into());
    let load = async || {
        let artifact = wasm("hostile-wasm/wasi-calls.wat");
        loader().load(artifact, options.clone()).await
    };
    let error = load().await.err().unwrap();
    assert!(matches!(error, LoadError::Grant { .. }), "{error:?}");
    fs::create_dir(&granted).unwrap();
    fs::set_permissions(&granted, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads it all the same.
    let is_readable = fs::read_dir(&granted).is_ok();
    match load().await {
        Ok(plugin) => {
            let errno = open(FIRST, ".", DIRECTORY, READ).errno(&*plugin).await;
            assert!(errno != SUCCESS || is_readable);
        }
        Err(error) => {
            assert!(!is_readable);
            assert!(matches!(error, LoadError::Start { .. }), "{error:?}");
        }
    }
    fs::set_permissions(&granted, fs::Permissions::from_mode(0o700)).unwrap();
}
