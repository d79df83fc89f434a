//! What a server says about an error, made safe to show.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderValue;
use qmt_oci_ref::text::{self, without_byte_order_mark};
use serde_json::Value;
use zeroize::Zeroizing;

/// What is shorter than this occurs in any text, in bytes.
const SECRET_MIN: usize = 4;

/// What was sent as authorization, so that no server's message repeats it.
#[derive(Default)]
pub(crate) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    /// The secrets in an `Authorization` header.
    pub(crate) fn of_header(header: Option<&HeaderValue>) -> Self {
        let mut secrets = Self::default();
        let sent = header.and_then(|header| header.to_str().ok());
        let Some(sent) = sent
            .and_then(|text| text.split_once(' '))
            .map(|(_, sent)| sent)
        else {
            return secrets;
        };
        secrets.add(sent);
        let pair = STANDARD.decode(sent).map(Zeroizing::new).ok();
        let pair = pair
            .as_ref()
            .and_then(|pair| std::str::from_utf8(pair).ok());
        if let Some((_, password)) = pair.and_then(|pair| pair.split_once(':')) {
            secrets.add(pair.unwrap_or_default());
            secrets.add(password);
        }
        secrets
    }

    /// Adds a secret in the encodings in which it may be repeated.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() < SECRET_MIN {
            return;
        }
        let in_url = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
        let encoded = [
            secret.to_owned(),
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            in_url.replace('+', "%20"),
            in_url,
        ];
        self.0.extend(encoded.into_iter().map(|text| {
            // Padding may be missing, and the case of letters changed.
            Zeroizing::new(text.trim_end_matches('=').to_ascii_lowercase())
        }));
    }

    /// The text of an error body, escaped and cut. Empty if the body has no text.
    pub(crate) fn message(&self, body: &[u8]) -> String {
        let message = message(body);
        let lower = Zeroizing::new(message.to_ascii_lowercase());
        if self.0.iter().any(|secret| lower.contains(&**secret)) {
            return "(its message repeats the credential and is not shown)".to_owned();
        }
        text::escape(message.trim())
    }
}

/// Whether a body has the form in which registries describe errors.
pub(crate) fn is_registry_error(body: &[u8]) -> bool {
    let body = serde_json::from_slice::<Value>(without_byte_order_mark(body));
    body.is_ok_and(|body| body.get("errors").is_some_and(Value::is_array))
}

/// Reads the specification's JSON, a token server's JSON, the XML of an object store, or plain text.
fn message(body: &[u8]) -> String {
    let body = without_byte_order_mark(body);
    if let Ok(value) = serde_json::from_slice(body) {
        return of_json(&value);
    }
    let text = String::from_utf8_lossy(body);
    if is_web_page(body) {
        "an HTML page".to_owned()
    } else if text.trim_start().starts_with('<') {
        joined(["Code", "Message"].map(|name| element(&text, name)), ": ")
    } else {
        text.into_owned()
    }
}

/// The words in a JSON answer; the whole of it where it has none of the usual keys.
fn of_json(value: &Value) -> String {
    let entry = |entry: &Value| match entry {
        Value::String(text) => text.clone(),
        entry => joined(["code", "message"].map(|key| text_at(entry, key)), ": "),
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
        _ => match value {
            Value::Object(map) if map.is_empty() => String::new(),
            Value::String(text) => text.clone(),
            // As the text of JSON, but without escapes that are not necessary.
            value => value.to_string(),
        },
    }
}

fn text_at<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// Whether a body is an HTML page: of a gateway, a login page, a web site.
pub(crate) fn is_web_page(body: &[u8]) -> bool {
    let body = without_byte_order_mark(body).trim_ascii_start();
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
