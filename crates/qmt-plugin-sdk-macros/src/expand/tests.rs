//! What `export` refuses, with its words, and what passes next to it.

use super::*;

fn refused(item: TokenStream) -> String {
    export(TokenStream::new(), item).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_called_with_bytes_is_refused() {
    for (item, rule) in [
        (
            quote!(
                async fn f() {}
            ),
            "not `async`",
        ),
        (
            quote!(
                extern "C" fn f() {}
            ),
            "write a plain function",
        ),
        (
            quote!(
                unsafe fn f() {}
            ),
            "not `unsafe`",
        ),
        (
            quote!(
                fn f<T>(input: T) {}
            ),
            "no generic types",
        ),
        (
            quote!(
                fn f<const N: usize>() {}
            ),
            "no generic types",
        ),
        (
            quote!(
                fn f(input: impl Read) {}
            ),
            "no generic types",
        ),
        (
            quote!(
                fn f(&self) {}
            ),
            "no `self`",
        ),
        (
            quote!(
                fn f(self, input: String) {}
            ),
            "no `self`",
        ),
        (
            quote!(
                fn f(a: String, b: String) {}
            ),
            "takes one input",
        ),
        (
            quote!(
                fn f(input: &mut [u8]) {}
            ),
            "belongs to the host",
        ),
        (
            quote!(
                fn f(input: &str) -> &str {}
            ),
            "the result is owned",
        ),
        (
            quote!(
                struct S;
            ),
            "expected `fn`",
        ),
    ] {
        let message = refused(item);
        assert!(message.contains(rule), "{rule}: {message}");
    }
    let error = export(
        quote!(name = "x"),
        quote!(
            fn f() {}
        ),
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "`export` takes no arguments");
}

#[test]
fn other_functions_are_exported_under_their_names() {
    for (item, symbol, argument) in [
        (
            quote!(
                fn f() {}
            ),
            "qmt_plugin_export_f",
            "",
        ),
        (
            quote!(
                fn r#type() {}
            ),
            "qmt_plugin_export_type",
            "",
        ),
        (
            quote!(
                pub fn g(input: Greeting) -> Answer {}
            ),
            "_g",
            "decode",
        ),
        (
            quote!(
                fn h<'a>(input: &'a str) -> String {}
            ),
            "_h",
            "borrow",
        ),
        (
            quote!(
                const fn i(_: &[u8]) {}
            ),
            "_i",
            "borrow",
        ),
    ] {
        let shown = export(TokenStream::new(), item.clone())
            .unwrap()
            .to_string();
        assert!(shown.starts_with(&item.to_string()), "{shown}");
        assert!(
            shown.contains(symbol) && shown.contains(argument),
            "{shown}"
        );
    }
}
