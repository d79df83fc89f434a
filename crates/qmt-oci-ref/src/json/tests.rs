//! Tests of the strict JSON reader.

use super::*;

fn reads(text: impl AsRef<[u8]>) -> bool {
    from_slice::<Value>(text.as_ref()).is_ok()
}

/// DIG-05: everything that parsers are known to read differently, next to its valid form.
#[test]
fn ambiguous_json_is_refused() {
    for (good, bad) in [
        (r#"{"a":1,"b":2}"#, r#"{"a":1,"a":2}"#),
        (r#"{"a":1,"A":2}"#, r#"{"a":1,"\u0061":2}"#),
        (r#"{"x":{"y":[{"a":1}]}}"#, r#"{"x":{"y":[{"a":1,"a":1}]}}"#),
        ("{}\n", "{}{}"),
        ("{}", "{},"),
        ("\u{feff}{}", "\u{feff}\u{feff}{}"),
        ("{}\n", "{\u{feff}}"),
        (r#"{"a":null}"#, r#"{"a":NaN}"#),
        (r#"{"a":1e300}"#, r#"{"a":1e400}"#),
        (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d"}"#),
        (r#"{"a":1}"#, r#"{"a":01}"#),
        (r#"{"a":1}"#, r#"{"a":1,}"#),
        (r#"{"a":1}"#, "{a:1}"),
        (r#"{"a":1}"#, r#"{"a":1}//"#),
    ] {
        assert!(reads(good), "{good} was refused");
        assert!(!reads(bad), "{bad} was accepted");
    }
    assert!(!reads([b'"', 0xff, b'"']), "broken UTF-8 was accepted");
}

/// DIG-05, AUTH-10: nesting is bounded, so no input overflows the stack.
#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(reads(nested(127)));
    assert!(!reads(nested(128)));
    assert!(!reads("[".repeat(1_000_000)));
}

#[test]
fn what_is_empty_is_called_that() {
    let error = |text: &str| object::<Value>(text.as_bytes()).unwrap_err().to_string();
    for empty in ["", " \n", "\u{feff}"] {
        assert_eq!(error(empty), "it is empty, not a JSON object");
    }
    assert_eq!(error("[]"), "it is not a JSON object");
    object::<Value>(b"{}").unwrap();
}

/// A tree of values takes up to a hundred times the memory of its text.
#[test]
fn a_tree_has_few_values() {
    // `[` counts as well.
    let list = |count: usize| format!("[0{}]", ",0".repeat(count));
    assert!(value(list(VALUES_MAX - 1).as_bytes()).is_some());
    assert!(value(list(VALUES_MAX).as_bytes()).is_none());
    assert!(value(br#"{"a":1,"a":2}"#).is_none());
}

/// Names the test that runs in a separate process.
#[cfg(target_os = "linux")]
const FED: &str = "QMT_FED";

/// The error for a wrong type does not take more memory than the document is worth.
#[cfg(target_os = "linux")]
#[test]
fn a_wrong_type_in_a_large_document_does_not_eat_the_memory() {
    use crate::RawManifest;
    use crate::digest::DigestAlgorithm::Sha256;

    const NAME: &str = "json::tests::a_wrong_type_in_a_large_document_does_not_eat_the_memory";
    if std::env::var_os(FED).is_some() {
        let tiny = r#"{"":0},"#.repeat((4 << 20) / 8);
        let document = format!(r#"{{"mediaType":5,"a":[{tiny}0]}}"#);
        RawManifest::read(document.into(), None, Sha256).unwrap_err();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
        println!("\n{}", peak.unwrap());
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(program);
    command.args(["--exact", NAME, "--nocapture"]).env(FED, "1");
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let peak = output.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap_or_else(|| panic!("{output}"));
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 64 << 10, "{kib} KiB");
}
