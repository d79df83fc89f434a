//! The registry's host, with its port where one is given.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::error::{ReferenceError, ReferenceErrorKind};
use crate::serde_text::serde_as_text;

/// Longest registry host in bytes, port included.
const HOST_MAX_BYTES: usize = 255;
/// The one name of Docker Hub.
const DOCKER_HUB: &str = "docker.io";
/// Other names that people and programs use for Docker Hub.
const DOCKER_HUB_ALIASES: [&str; 3] = [
    "index.docker.io",
    "registry-1.docker.io",
    "registry.hub.docker.com",
];
/// The host in the name of every layout. RFC 2606 reserves it, so no registry can have it.
const LAYOUTS: &str = "oci-layout.invalid";
const PART: &str = "registry host";

/// A registry's host name, IPv4 or bracketed IPv6 address, with an optional port.
///
/// Names are lower case here, since DNS does not tell cases apart; IPv6 addresses are in their
/// canonical form; every name of Docker Hub becomes `docker.io`. Equal values mean equal hosts.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryHost {
    text: Box<str>,
    /// Where the port's colon stands in `text`.
    colon: Option<usize>,
}

impl RegistryHost {
    /// Returns Docker Hub, `docker.io`.
    pub fn docker_hub() -> Self {
        Self::without_port(DOCKER_HUB)
    }

    /// Returns the host in the names of layouts on disk.
    pub(crate) fn of_layouts() -> Self {
        Self::without_port(LAYOUTS)
    }

    fn without_port(text: &str) -> Self {
        let text = text.into();
        Self { text, colon: None }
    }

    /// Reports whether this is Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        &*self.text == DOCKER_HUB
    }

    /// Returns the whole text, `host` or `host:port`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the host without port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        self.colon
            .and_then(|colon| self.text.get(..colon))
            .unwrap_or(&self.text)
    }

    /// Returns the port, where one is given.
    pub fn port(&self) -> Option<u16> {
        self.colon
            .and_then(|colon| self.text.get(colon + 1..))
            .and_then(|port| port.parse().ok())
    }
}

impl FromStr for RegistryHost {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = |position, kind| ReferenceError::new(text, position, kind);
        if text.is_empty() {
            return Err(error(0, ReferenceErrorKind::MissingPart { part: PART }));
        }
        if text.len() > HOST_MAX_BYTES {
            return Err(ReferenceError::too_long(text, PART, HOST_MAX_BYTES));
        }
        let (host, port_at) = if text.starts_with('[') {
            let end = text
                .find(']')
                .ok_or_else(|| error(0, ReferenceErrorKind::Ipv6))?;
            let (bracketed, rest) = text.split_at(end + 1);
            let host = ipv6(bracketed).ok_or_else(|| error(1, ReferenceErrorKind::Ipv6))?;
            match rest.chars().next() {
                None => (host, None),
                Some(':') => (host, Some(end + 2)),
                Some(character) => {
                    let kind = ReferenceErrorKind::character(character, PART);
                    return Err(error(end + 1, kind));
                }
            }
        } else {
            let (name, port_at) = match text.find(':') {
                Some(colon) => (text.get(..colon).unwrap_or_default(), Some(colon + 1)),
                None => (text, None),
            };
            domain(name).map_err(|(position, kind)| error(position, kind))?;
            (name.to_ascii_lowercase(), port_at)
        };
        let Some(port_at) = port_at else {
            let alias = DOCKER_HUB_ALIASES.contains(&host.as_str());
            return Ok(Self::without_port(if alias { DOCKER_HUB } else { &host }));
        };
        let port = text.get(port_at..).unwrap_or_default();
        let number = port.parse::<u16>().ok().filter(|number| *number != 0);
        let (true, Some(number)) = (port.bytes().all(|b| b.is_ascii_digit()), number) else {
            return Err(error(port_at, ReferenceErrorKind::Port));
        };
        let colon = Some(host.len());
        Ok(Self {
            text: format!("{host}:{number}").into_boxed_str(),
            colon,
        })
    }
}

/// Checks letters, digits and inner hyphens in non-empty components between dots.
fn domain(name: &str) -> Result<(), (usize, ReferenceErrorKind)> {
    let mut start = 0;
    for component in name.split('.') {
        let end = start + component.len();
        if component.is_empty() {
            let part = "component of the registry host";
            return Err((start, ReferenceErrorKind::MissingPart { part }));
        }
        for (at, character) in component.char_indices() {
            let inner = at > 0 && start + at + 1 < end;
            if !(character.is_ascii_alphanumeric() || (character == '-' && inner)) {
                let kind = ReferenceErrorKind::character(character, PART);
                return Err((start + at, kind));
            }
        }
        start = end + 1;
    }
    // In URLs, a host that ends with a number is an address, also in octal or hexadecimal form.
    if name.rsplit('.').next().is_some_and(is_number) && name.parse::<Ipv4Addr>().is_err() {
        return Err((0, ReferenceErrorKind::Ipv4));
    }
    Ok(())
}

/// Reports whether a URL has the component of a host as a number.
fn is_number(component: &str) -> bool {
    let lower = component.to_ascii_lowercase();
    match lower.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => lower.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Parses `[…]` and returns it in canonical form. Zones and dotted quads are not in the grammar.
fn ipv6(bracketed: &str) -> Option<String> {
    let inner = bracketed.strip_prefix('[')?.strip_suffix(']')?;
    if !inner.bytes().all(|b| b.is_ascii_hexdigit() || b == b':') {
        return None;
    }
    let address: Ipv6Addr = inner.parse().ok()?;
    let [high @ .., _, _] = address.segments();
    // An address that embeds IPv4 prints as a dotted quad, which would not parse again.
    if high == [0, 0, 0, 0, 0, 0xffff] || (high == [0; 6] && address.segments()[6] != 0) {
        let text = address.segments().map(|segment| format!("{segment:x}"));
        return Some(format!("[{}]", text.join(":")));
    }
    Some(format!("[{address}]"))
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

serde_as_text!(RegistryHost);

#[cfg(test)]
mod tests;
