//! What a server says about an error, made safe to show.

use bytes::Bytes;
use qmt_oci_ref::json;
use qmt_oci_ref::text::{self, without_byte_order_mark};
use serde_json::Value;

use super::secrets::Secrets;
use crate::error::text::APACHE_HTTPS_EXPECTED;

/// Most characters of a message: those that [`text::escape`] keeps, and one that it cuts off.
const MESSAGE_MAX: usize = 1025;
/// Most characters of the title of an HTML page.
const TITLE_MAX: usize = 120;

/// The beginning of an error's body.
pub(crate) struct ErrorBody {
    pub(crate) bytes: Bytes,
    /// Whether its `Content-Type` says that it is HTML.
    pub(crate) is_html: bool,
}

impl ErrorBody {
    pub(crate) fn is_web_page(&self) -> bool {
        self.is_html || is_web_page(&self.bytes)
    }
}

impl Secrets {
    /// The text of an error body, escaped and cut. Empty if the body has no text.
    pub(crate) fn message(&self, body: &ErrorBody) -> String {
        // Before it is cut, or a part of a value would be left.
        let message = self.cut_out(message(body, |title| self.cut_out(title)));
        let message: String = message.trim().chars().take(MESSAGE_MAX).collect();
        if self.are_in(&message) {
            return "(its message repeats the credential and is not shown)".to_owned();
        }
        text::escape(&message)
    }
}

/// Whether a body has the form in which registries describe errors.
pub(crate) fn is_registry_error(body: &[u8]) -> bool {
    json::value(body).is_some_and(|body| body.get("errors").is_some_and(Value::is_array))
}

/// Whether a body has that form, and no field of a manifest or index.
pub(crate) fn is_error_only(body: &[u8]) -> bool {
    const FIELDS: [&str; 4] = ["schemaVersion", "config", "layers", "manifests"];
    json::value(body).is_some_and(|body| {
        let has = |field: &str| body.get(field).is_some();
        body.get("errors").is_some_and(Value::is_array) && !FIELDS.iter().any(|field| has(field))
    })
}

/// Whether one of the errors in a body of that form has one of the codes.
pub(crate) fn has_error_code(body: &[u8], codes: &[&str]) -> bool {
    let body = json::value(body).unwrap_or_default();
    let errors = body.get("errors").and_then(Value::as_array);
    let found = errors.into_iter().flatten();
    let mut found = found.filter_map(|error| error.get("code")?.as_str());
    found.any(|code| codes.contains(&code))
}

/// Whether an answer denies access. Some registries do so with the status of a malformed request.
pub(crate) fn is_denied(status: u16, body: &[u8]) -> bool {
    matches!(status, 401 | 403) || has_error_code(body, &["DENIED", "UNAUTHORIZED"])
}

/// Reads the specification's JSON, a token server's JSON, the XML of an object store, the title of an
/// HTML page, or plain text.
fn message(body: &ErrorBody, cut_out: impl Fn(String) -> String) -> String {
    let bytes = without_byte_order_mark(&body.bytes);
    if let Some(value) = json::value(bytes) {
        return of_json(&value);
    }
    let text = String::from_utf8_lossy(bytes);
    let is_markup = text.trim_start().starts_with('<');
    if is_web_page(bytes) || (body.is_html && is_markup) {
        // Apache writes it below a title that does not say it.
        let title = if text.contains(APACHE_HTTPS_EXPECTED) {
            Some(APACHE_HTTPS_EXPECTED.to_owned())
        } else {
            title(&text)
        };
        let Some(title) = title else {
            return "an HTML page".to_owned();
        };
        let title: String = cut_out(title).chars().take(TITLE_MAX).collect();
        format!("an HTML page, `{title}`")
    } else if is_markup {
        joined(["Code", "Message"].map(|name| element(&text, name)), ": ")
    } else {
        text.into_owned()
    }
}

/// The title of an HTML page, in one line.
fn title(page: &str) -> Option<String> {
    // Of the same length as the page.
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower.get(start..)?.find('>')? + 1;
    let end = start + lower.get(start..)?.find("</title")?;
    let words: Vec<&str> = page.get(start..end)?.split_whitespace().collect();
    Some(words.join(" ")).filter(|title| !title.is_empty())
}

/// The words in a JSON answer; the whole of it where it has none of the usual keys.
fn of_json(value: &Value) -> String {
    let entry = |entry: &Value| match entry {
        Value::String(text) => text.clone(),
        entry => {
            let detail = entry.get("detail").map(written).unwrap_or_default();
            let words = text_at(entry, "message").filter(|words| !words.is_empty());
            let words = words.or(Some(&detail));
            joined([text_at(entry, "code"), words], ": ")
        }
    };
    let (errors, error) = (value.get("errors"), value.get("error"));
    let entries = errors.and_then(Value::as_array).into_iter().flatten();
    let entries = entries.take(4).chain(error).map(entry);
    let keys = ["error_description", "details", "detail", "message"];
    let others = keys.into_iter().filter_map(|key| text_at(value, key));
    let parts: Vec<String> = entries.chain(others.map(str::to_owned)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match joined(parts.into_iter().map(Some), "; ") {
        words if !words.is_empty() => words,
        _ => written(value),
    }
}

/// A value as text: that of JSON where it is not a text itself.
fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(map) if map.is_empty() => String::new(),
        Value::String(text) => text.clone(),
        // Without escapes that are not necessary.
        value => value.to_string(),
    }
}

fn text_at<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// Whether a body is an HTML page: of a gateway, a login page, a web site. Declarations of XML and
/// comments may come first.
pub(crate) fn is_web_page(body: &[u8]) -> bool {
    let mut body = without_byte_order_mark(body).trim_ascii_start();
    for (start, end) in [(&b"<?xml"[..], &b"?>"[..]), (b"<!--", b"-->")] {
        if body.starts_with(start) {
            let end_at = body.windows(end.len()).position(|text| text == end);
            let after = end_at.and_then(|at| body.get(at + end.len()..));
            body = after.unwrap_or_default().trim_ascii_start();
        }
    }
    [&b"<!doctype html"[..], b"<html"].iter().any(|start| {
        let beginning = body.get(..start.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
    })
}

fn joined<'a>(parts: impl IntoIterator<Item = Option<&'a str>>, separator: &str) -> String {
    let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(separator)
}

/// The text of the first element of that name. Object stores have no nested elements in these.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0)
}

#[cfg(test)]
mod tests;
