//! The pages of a list. <https://www.rfc-editor.org/rfc/rfc8288>

use http::{HeaderMap, header};
use url::Url;

use crate::error::ClientError;
use crate::http::transport::same_origin;

/// The next page, from `Link: <…>; rel="next"` (RFC 8288), which stays at the registry.
pub(super) fn next_page(
    url: &Url,
    headers: &HeaderMap,
    base: &Url,
) -> Result<Option<Url>, ClientError> {
    let protocol = |rule| ClientError::protocol(url, rule);
    for value in headers.get_all(header::LINK) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for link in unquoted(&text, '<') {
            let Some((target, parameters)) = link.split_once('>') else {
                continue;
            };
            if !unquoted(parameters, ';').any(is_next) {
                continue;
            }
            let next = url
                .join(target)
                .map_err(|_| protocol("a `Link` has a URL"))?;
            if same_origin(&next, base) {
                return Ok(Some(next));
            }
            if next.host() != base.host() {
                return Err(protocol("the next page is at the same host"));
            }
            // Behind a proxy, many registries know neither their scheme nor their port.
            let mut own = base.clone();
            own.set_path(next.path());
            own.set_query(next.query());
            return Ok(Some(own));
        }
    }
    Ok(None)
}

/// The parts of `text` between separators, of which those in quotes are none.
fn unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == '"';
        c == separator && !is_quoted
    })
}

/// Whether a parameter of a link is a list of relations with `next` in it.
fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let relations = value.trim_matches(|c| matches!(c, ' ' | ',' | '"' | '\''));
    let mut relations = relations.split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel")
        && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
}
