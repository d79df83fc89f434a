//! Tests of the strict JSON reader.

use super::*;

fn reads(text: impl AsRef<[u8]>) -> bool {
    from_slice::<serde_json::Value>(text.as_ref()).is_ok()
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
    let error = |text: &str| {
        object::<serde_json::Value>(text.as_bytes())
            .unwrap_err()
            .to_string()
    };
    for empty in ["", " \n", "\u{feff}"] {
        assert_eq!(error(empty), "it is empty, not a JSON object");
    }
    assert_eq!(error("[]"), "it is not a JSON object");
    object::<serde_json::Value>(b"{}").unwrap();
}
