//! What a Wasm plugin may see of the host: nothing, until it is granted by name.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use bytes::Bytes;
use qmt_loader::{LoadError, LoadOptions, Loader, Plugin};

use crate::support::{chain, in_a_child, is_child, load, loader, number, wasm};

/// WASI's numbers of errors.
const BAD_DESCRIPTOR: u64 = 8;

/// WASM-07: no variables, no arguments, no folders, no standard streams; and nothing of what
/// Extism reads from the environment changes that.
#[test]
fn nothing_of_the_host_is_visible() {
    const NAME: &str = "wasm_rights::nothing_of_the_host_is_visible";
    if is_child() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(async {
            let plugin = load("hostile-wasm/wasi.wat").await;
            assert_eq!(number(&*plugin, "variables").await, 0);
            assert_eq!(number(&*plugin, "arguments").await, 0);
            assert_eq!(number(&*plugin, "folders").await, BAD_DESCRIPTOR);
            assert_eq!(number(&*plugin, "read").await, 0);
            assert_eq!(number(&*plugin, "random").await, 0);
            plugin.call("print", Bytes::new()).await.unwrap();
            let echo = load("echo-wasm/echo.wat").await;
            for name in ["CANARY", "PATH"] {
                let value = echo.call("configured", Bytes::from(name)).await.unwrap();
                assert!(value.is_empty());
            }
            // EXTISM_COREDUMP and EXTISM_MEMDUMP write files when a call traps.
            let calls = load("hostile-wasm/calls.wat").await;
            calls.call("trap", Bytes::new()).await.unwrap_err();
        });
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (core, memory, missing, cache) = (
        path("core"),
        path("memory"),
        path("none.toml"),
        path("cache"),
    );
    for wasi_output in [None, Some("1")] {
        let mut environment = vec![
            ("CANARY", "canary of the host"),
            ("HOME", home.path().to_str().unwrap()),
            ("XDG_CACHE_HOME", cache.as_str()),
            // A file that is not there would make Extism fail.
            ("EXTISM_CACHE_CONFIG", missing.as_str()),
            ("EXTISM_COREDUMP", core.as_str()),
            ("EXTISM_MEMDUMP", memory.as_str()),
            ("EXTISM_DEBUG", "1"),
            ("EXTISM_PROFILE", "perf"),
        ];
        environment.extend(wasi_output.map(|value| ("EXTISM_ENABLE_WASI_OUTPUT", value)));
        let printed = in_a_child(NAME, &environment);
        assert!(!printed.contains("canary from the plugin"), "{printed}");
    }
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// WASM-07: a variable that is granted by name arrives as configuration.
#[tokio::test]
async fn a_granted_variable_arrives() {
    let mut options = LoadOptions::default();
    options.allow.env = vec!["PATH".into()];
    let plugin = loader()
        .load(wasm("echo-wasm/echo.wat"), options)
        .await
        .unwrap();
    let value = plugin
        .call("configured", Bytes::from("PATH"))
        .await
        .unwrap();
    assert_eq!(value, std::env::var("PATH").unwrap());
}

/// WASM-08: a granted folder is all that is granted.
#[cfg(unix)]
#[tokio::test]
async fn a_granted_folder_has_an_edge() {
    let home = tempfile::tempdir().unwrap();
    let granted = home.path().join("granted");
    fs::create_dir(&granted).unwrap();
    fs::write(granted.join("file"), "x").unwrap();
    fs::write(home.path().join("secret"), "x").unwrap();
    std::os::unix::fs::symlink(home.path(), granted.join("link")).unwrap();
    let load = |path: String| {
        let mut options = LoadOptions::default();
        options.allow.paths.insert(path.into(), "/data".into());
        async move {
            loader()
                .load(wasm("hostile-wasm/wasi.wat"), options)
                .await
                .unwrap()
        }
    };
    let read_only = load(format!("ro:{}", granted.display())).await;
    let plugin: &dyn Plugin = &*read_only;
    assert_eq!(number(plugin, "folders").await, 0);
    assert_eq!(number(plugin, "open_file").await, 0);
    assert_ne!(number(plugin, "open_above").await, 0);
    assert_ne!(number(plugin, "open_through_link").await, 0);
    assert_ne!(number(plugin, "create").await, 0);
    assert!(!granted.join("new").exists());
    // The good twin: with writing granted, the same call creates the file.
    let writable = load(granted.display().to_string()).await;
    assert_eq!(number(&*writable, "create").await, 0);
    assert!(granted.join("new").exists());
    assert_ne!(number(&*writable, "open_above").await, 0);
}

/// WASM-06: no host is granted by default; one that is granted answers, on its port alone.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_granted_one_by_one() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut request = [0; 1024];
        let count = stream.read(&mut request).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nx-answer: yes\r\ncontent-length: 5\r\n\r\nhello")
            .unwrap();
        String::from_utf8_lossy(&request[..count]).into_owned()
    });
    let request = |path: &str| Bytes::from(format!(r#"{{"url":"http://{address}{path}"}}"#));
    let load = |hosts: Vec<String>| {
        let mut options = LoadOptions::default();
        options.allow.hosts = hosts;
        async move {
            loader()
                .load(wasm("hostile-wasm/http.wat"), options)
                .await
                .unwrap()
        }
    };
    for hosts in [
        vec![],
        vec!["127.0.0.1".to_owned()],
        vec![format!("localhost:{}", address.port())],
    ] {
        let plugin = load(hosts).await;
        let error = plugin.call("fetch", request("/")).await.unwrap_err();
        assert!(matches!(error, LoadError::Trapped { .. }), "{error:?}");
        let text = chain(&error);
        assert!(text.contains("not granted"), "{text}");
    }
    let plugin = load(vec![address.to_string()]).await;
    let answer = plugin.call("fetch", request("/path?query")).await.unwrap();
    assert_eq!(answer, "hello");
    let headers = plugin.call("headers", Bytes::new()).await.unwrap();
    assert!(String::from_utf8_lossy(&headers).contains(r#""x-answer":"yes""#));
    let seen = serving.join().unwrap();
    assert!(seen.starts_with("GET /path?query HTTP/1.1\r\n"), "{seen}");
}
