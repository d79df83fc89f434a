//! WASM-08, WASM-11: files in a granted folder that are not files, and more of them than fit.
#![cfg(unix)]

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use bytes::Bytes;
use qmt_loader::Loader;
use qmt_loader::wasm::WasmLoader;
use rustix::fs::{CWD, FileType, Mode, OFlags};

use crate::support::{SLACK, fixtures, in_a_child, is_child, wasm, wasm_text};
use crate::wasi_calls::{
    Call, FOLLOW, Function, NOT_SUPPORTED, READ, SUCCESS, WRITE, load_with, open, open_with,
};

const FIRST: u64 = 3;
/// The most that a process may have open in the test of that.
const OPEN_MAX: u64 = 1024;

/// WASM-08: FIFOs and sockets are refused at once, and no thread waits for their other ends.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_file_is_not_opened() {
    let home = tempfile::tempdir().unwrap();
    let granted = home.path().join("granted");
    fs::create_dir_all(granted.join("sub")).unwrap();
    let fifo = granted.join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
    let _socket = UnixListener::bind(granted.join("socket")).unwrap();
    for name in ["fifo", "socket"] {
        symlink(name, granted.join(format!("{name}-link"))).unwrap();
        symlink(
            format!("../{name}-link"),
            granted.join(format!("sub/{name}")),
        )
        .unwrap();
    }
    for prefix in ["ro:", ""] {
        let path = format!("{prefix}{}", granted.display());
        let plugin = load_with(&[(path, "/data")]).await;
        let plugin = &*plugin;
        for name in ["fifo", "socket"] {
            for name in [
                name.to_owned(),
                format!("./{name}"),
                format!("{name}/"),
                format!("{name}-link"),
                format!("{name}-link/."),
                format!("sub/{name}"),
                format!("sub/../{name}"),
                format!("{name}/x"),
            ] {
                let begin = Instant::now();
                for how in 0..16 {
                    for rights in [0, READ, WRITE, READ | WRITE] {
                        for (follow, flags) in [(0, 0), (FOLLOW, 0), (FOLLOW, 4)] {
                            let call = open_with(FIRST, follow, &name, how, rights, flags);
                            assert_ne!(call.errno(plugin).await, SUCCESS, "{call:?}");
                        }
                    }
                }
                for follow in [0, FOLLOW] {
                    let call = Call::of(Function::PathFilestatSetTimes)
                        .with(FIRST)
                        .with(follow);
                    // It may succeed, without opening the file.
                    call.text(&name).with(1).with(1).with(5).errno(plugin).await;
                }
                let call = Call::of(Function::PathCreateDirectory).with(FIRST);
                assert_ne!(call.text(&format!("{name}/x")).errno(plugin).await, SUCCESS);
                assert!(begin.elapsed() < SLACK, "{name}: {:?}", begin.elapsed());
            }
        }
        let call = open(FIRST, "fifo", 0, READ);
        assert_eq!(call.errno(plugin).await, NOT_SUPPORTED);
        // A thread that waited for the other end would be this end's reader or writer.
        let options = OFlags::WRONLY | OFlags::NONBLOCK;
        let reader = rustix::fs::open(&fifo, options, Mode::empty());
        assert_eq!(reader.unwrap_err(), rustix::io::Errno::NXIO);
        let options = OFlags::RDONLY | OFlags::NONBLOCK;
        let end = fs::File::from(rustix::fs::open(&fifo, options, Mode::empty()).unwrap());
        let read = io::Read::read(&mut &end, &mut [0]).unwrap();
        assert_eq!(read, 0, "a writer waits");
    }
}

/// The older preview of WASI refuses them too.
#[tokio::test(flavor = "multi_thread")]
async fn the_older_preview_opens_no_fifo_either() {
    let home = tempfile::tempdir().unwrap();
    let fifo = home.path().join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::write(home.path().join("file"), "content").unwrap();
    let text = fs::read_to_string(fixtures().join("hostile-wasm/wasi-calls.wat")).unwrap();
    let artifact = wasm_text(&text.replace("wasi_snapshot_preview1", "wasi_unstable"));
    let mut options = crate::support::within(Duration::from_secs(5));
    let path = home.path().to_owned();
    options.allow.paths.insert(path, "/data".into());
    let loader = WasmLoader::builder().instances(1).build().unwrap();
    let plugin = loader.load(artifact, options).await.unwrap();
    let plugin = &*plugin;
    for rights in [READ, WRITE] {
        let errno = open(FIRST, "fifo", 0, rights).errno(plugin).await;
        assert_eq!(errno, NOT_SUPPORTED);
    }
    let times = Call::of(Function::PathFilestatSetTimes)
        .with(FIRST)
        .with(FOLLOW);
    let errno = times
        .text("fifo")
        .with(1)
        .with(1)
        .with(5)
        .errno(plugin)
        .await;
    assert_eq!(errno, NOT_SUPPORTED);
    assert_eq!(open(FIRST, "file", 0, WRITE).errno(plugin).await, SUCCESS);
    let times = Call::of(Function::PathFilestatSetTimes)
        .with(FIRST)
        .with(FOLLOW);
    let errno = times
        .text("file")
        .with(1)
        .with(1)
        .with(5)
        .errno(plugin)
        .await;
    assert_eq!(errno, SUCCESS);
}

/// WASM-11: what one plugin keeps open leaves descriptors for the host and for other plugins.
#[test]
fn a_plugin_cannot_open_all_that_the_host_may() {
    const NAME: &str = "wasm_open_files::a_plugin_cannot_open_all_that_the_host_may";
    if !is_child() {
        in_a_child(NAME, &[]);
        return;
    }
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = Some(OPEN_MAX);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let granted = home.path().join("granted");
        fs::create_dir(&granted).unwrap();
        fs::write(granted.join("file"), "content").unwrap();
        fs::write(home.path().join("secret"), "secret").unwrap();
        let granted = granted.display().to_string();
        let plugin = load_with(&[(granted, "/data")]).await;
        let before = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        // An error number or a trap: both are an answer, as long as there is an end.
        let ended = open(FIRST, "file", 0, READ).repeat(&*plugin).await;
        if let Ok((errno, count)) = ended {
            assert!(
                errno != SUCCESS && count < OPEN_MAX / 2,
                "{errno} after {count}"
            );
        }
        let files = [(); 64].map(|()| fs::File::open("/dev/null").unwrap());
        drop(files);
        let other = load_with(&[(home.path().display().to_string(), "/data")]).await;
        assert_eq!(open(FIRST, "secret", 0, READ).errno(&*other).await, SUCCESS);
        // With the plugin, all that it opened is closed.
        drop(plugin);
        drop(other);
        let after = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        assert!(after <= before + 8, "{before} open before, {after} after");
    });
}

/// More random bytes than there is time for.
#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_end_in_time() {
    let mut options = crate::support::within(Duration::from_millis(300));
    options.limits.memory_max = 64 << 20;
    let loader = WasmLoader::builder().instances(1).build().unwrap();
    let artifact = wasm("hostile-wasm/wasi-calls.wat");
    let plugin = loader.load(artifact, options).await.unwrap();
    // The memory ends before, which is an error for the plugin or the end of the call.
    let call = Call::of(Function::RandomGet)
        .with(0)
        .with(u64::from(u32::MAX));
    let begin = Instant::now();
    if let Ok(output) = plugin.call("call", call.input()).await {
        assert_ne!(output[..8], [0; 8]);
    }
    assert!(begin.elapsed() < SLACK, "{:?}", begin.elapsed());
    let call = Call::of(Function::RandomGet).with(8192).with(64);
    assert_eq!(call.errno(&*plugin).await, SUCCESS);
    assert!(plugin.call("missing", Bytes::new()).await.is_err());
}
