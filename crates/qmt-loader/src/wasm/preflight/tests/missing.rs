//! Imports that the host does not offer, and what they were meant to be.

use super::*;

fn missing(module: &str, name: &str) -> (BTreeMap<String, Option<String>>, String) {
    let host = BTreeSet::from([("my:host".to_owned(), "lookup\u{202e}".to_owned())]);
    // The text format has escapes for characters that it does not accept as they are.
    let escaped = name.replace('\u{202e}', r"\u{202e}");
    let text = format!(r#"(module (import "{module}" "{escaped}" (func)))"#);
    let error = preflight(&wat::parse_str(text).unwrap(), &host, None).unwrap_err();
    let text = error.to_string();
    match error {
        WasmRefusal::MissingImports { missing } => (missing, text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_nearest_offered_function_is_suggested() {
    let long = "x".repeat(10_000);
    for (module, name, expected) in [
        ("extism:host/env", "var_gett", Some("var_get")),
        ("extism:host/env", "http_requst", Some("http_request")),
        ("extism:host/env", "log_inof", Some("log_info")),
        ("wasi_snapshot_preview1", "fd_writ", Some("fd_write")),
        ("wasi_unstable", "fd_writ", Some("fd_write")),
        // The same name in another module, also if the same module has a near one.
        (
            "extism:host/user",
            "var_get",
            Some("extism:host/env.var_get"),
        ),
        ("env", "fd_write", Some("wasi_snapshot_preview1.fd_write")),
        (
            "extism:host/env",
            "fd_read",
            Some("wasi_snapshot_preview1.fd_read"),
        ),
        ("env", "var_gett", Some("extism:host/env.var_get")),
        ("my:host", "lokup\u{202e}", Some("lookup\u{202e}")),
        // Nothing is near.
        ("extism:host/env", "teleport", None),
        ("extism:host/env", "", None),
        ("extism:host/env", "fr", None),
        ("extism:host/env", &long, None),
    ] {
        let (missing, _) = missing(module, name);
        let import = format!("{module}.{name}");
        let expected = BTreeMap::from([(import, expected.map(str::to_owned))]);
        assert_eq!(missing, expected);
    }
}

/// WASM-10: names of plugins and of suggestions are escaped.
#[test]
fn suggestions_are_shown() {
    let (_, text) = missing("extism:host/env", "var_gett");
    assert!(
        text.ends_with("offer: `extism:host/env.var_gett` (did you mean `var_get`?)"),
        "{text}"
    );
    let (_, text) = missing("my:host", "lokup\u{202e}");
    assert!(
        text.ends_with("`my:host.lokup\\u{202e}` (did you mean `lookup\\u{202e}`?)"),
        "{text}"
    );
    let (_, text) = missing("extism:host/env", "teleport");
    assert!(text.ends_with("`extism:host/env.teleport`"), "{text}");
}
