//! The functions that `export` refuses, with its messages, and similar ones that it accepts.

use super::*;

fn expanded(item: &str) -> Result<TokenStream> {
    export(TokenStream::new(), item.parse().unwrap())
}

#[test]
fn what_cannot_be_called_with_bytes_is_refused() {
    for (item, rule) in [
        ("async fn f() {}", "not `async`"),
        ("extern \"C\" fn f() {}", "write a plain function"),
        ("unsafe fn f() {}", "not `unsafe`"),
        ("fn f<T>(input: T) {}", "no generic types"),
        ("fn f<const N: usize>() {}", "no generic types"),
        ("fn f(input: impl Read) {}", "no generic types"),
        ("fn f(&self) {}", "no `self`"),
        ("fn f(self, input: String) {}", "no `self`"),
        ("fn f(a: String, b: String) {}", "takes one input"),
        ("fn f(input: &mut [u8]) {}", "belongs to the host"),
        ("fn f(input: &str) -> &str {}", "the result is owned"),
        ("fn f(input: &str) -> Result<&str, E> {}", "is owned"),
        ("fn f<'a>(input: &'a str) -> Cow<'a, str> {}", "is owned"),
        ("fn f(input: &str) -> Option<Vec<&str>> {}", "is owned"),
        ("fn f() -> ! {}", "hosts wait for its result"),
        ("struct S;", "expected `fn`"),
    ] {
        let message = expanded(item).unwrap_err().to_string();
        assert!(message.contains(rule), "{item}: {message}");
    }
    let error = export(quote!(name = "x"), quote!()).unwrap_err();
    assert_eq!(error.to_string(), "`export` takes no arguments");
}

#[test]
fn other_functions_are_exported_under_their_names() {
    for (item, symbol, argument) in [
        ("fn f() {}", "qmt_plugin_export_f", "(f())"),
        ("fn r#type() {}", "qmt_plugin_export_type", "(r#type())"),
        ("pub fn g(input: Greeting) -> Answer {}", "_g", "decode"),
        ("fn h<'a>(input: &'a str) -> String {}", "_h", "borrow"),
        ("const fn i(_: &[u8]) {}", "_i", "borrow"),
        ("fn j() -> &'static str {}", "_j", "(j())"),
        ("fn k(input: (&str)) {}", "_k", "borrow"),
        ("fn l(i: &str) -> Result<u8, E<'_>> {}", "_l", "borrow"),
        ("fn m() -> Result<&'static str, E> {}", "_m", "(m())"),
        ("fn größe() {}", "_export_gr$f6$$df$e\"", "!(\"größe\""),
    ] {
        let shown = expanded(item).unwrap().to_string().replace(' ', "");
        assert!(shown.starts_with(&item.replace(' ', "")), "{shown}");
        let has_both = shown.contains(symbol) && shown.contains(argument);
        assert!(has_both, "{argument}: {shown}");
    }
}

#[test]
fn a_type_of_a_macro_is_read_like_any_other() {
    let name = quote!(&str);
    let name = proc_macro2::Group::new(proc_macro2::Delimiter::None, name);
    let shown = export(TokenStream::new(), quote!(fn f(input: #name) {})).unwrap();
    assert!(shown.to_string().contains("borrow"), "{shown}");
}

#[test]
fn symbols_of_the_compiler_are_refused_in_wasm_modules() {
    for (item, is_refused) in [
        ("fn memory() {}", true),
        ("fn main() {}", true),
        ("fn log(_: &str) {}", true),
        ("fn powf(_: &str) {}", true),
        ("fn memcmp(_: &str) {}", true),
        ("fn alloc(_: &str) {}", false),
        ("fn logs(_: &str) {}", false),
        ("fn length(_: &str) {}", false),
    ] {
        let shown = expanded(item).unwrap().to_string();
        assert_eq!(
            shown.contains("compile_error"),
            is_refused,
            "{item}: {shown}"
        );
    }
}
