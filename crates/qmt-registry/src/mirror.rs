//! Several sources for one registry: which are asked, and in which order.
//!
//! Content is addressed by digest, so a mirror needs no trust for it. A tag is somebody's word, so
//! only the registry itself, or a mirror that the operator calls authoritative, is asked for one.

use std::str::FromStr;

use qmt_oci_ref::{ReferenceError, RegistryHost};

use crate::http::HostOptions;

/// A mirror of a registry: `host`, `host/prefix`, `https://host/prefix` or `http://host/prefix`.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    pub(crate) host: RegistryHost,
    pub(crate) prefix: Option<String>,
    pub(crate) authoritative: bool,
    pub(crate) options: HostOptions,
}

impl MirrorOptions {
    /// A mirror that keeps the registry's repositories under their own paths.
    pub fn new(host: RegistryHost) -> Self {
        Self {
            host,
            prefix: None,
            authoritative: false,
            options: HostOptions::new(),
        }
    }

    /// Puts `prefix` before the repository's path: `proxy` makes `proxy/library/busybox`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into()).filter(|prefix: &String| !prefix.is_empty());
        self
    }

    /// Believes the mirror's tags and referrers, not only its content.
    #[must_use]
    pub fn authoritative(mut self, authoritative: bool) -> Self {
        self.authoritative = authoritative;
        self
    }

    /// Sets how the mirror is reached. Mirrors of a mirror are ignored.
    #[must_use]
    pub fn options(mut self, options: HostOptions) -> Self {
        self.options = options;
        self
    }

    /// Uses HTTP without TLS for this mirror.
    #[must_use]
    pub fn plain_http(mut self, plain_http: bool) -> Self {
        self.options = self.options.plain_http(plain_http);
        self
    }
}

impl FromStr for MirrorOptions {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (plain_http, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://"))
        {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => (false, text),
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        if !prefix.is_empty() {
            // A prefix is a repository's path, and held to its grammar.
            qmt_oci_ref::Repository::from_str(&format!("{host}/{prefix}"))?;
        }
        Ok(Self::new(host.parse()?)
            .prefix(prefix)
            .plain_http(plain_http))
    }
}

/// What is asked for, as far as it matters for who may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Content by its digest: anyone.
    Content,
    /// A tag: who is believed.
    Tag,
    /// Referrers: who is believed first; where the registry can't be reached, anyone, because
    /// whatever is found has to prove itself.
    Referrers,
}

/// What the order of sources needs to know of one.
pub(crate) trait Source {
    /// Whether its tags are believed.
    fn is_authoritative(&self) -> bool;
    /// Whether it has sent wrong content.
    fn has_lied(&self) -> bool;
}

/// The sources to ask, in order; the registry itself is always among them.
pub(crate) fn order<S: Source + Clone>(subject: Subject, mirrors: &[S], origin: &S) -> Vec<S> {
    let usable = mirrors.iter().filter(|mirror| !mirror.has_lied());
    let (believed, others): (Vec<S>, Vec<S>) = usable
        .cloned()
        .partition(|mirror| subject == Subject::Content || mirror.is_authoritative());
    let mut sources = believed;
    sources.push(origin.clone());
    if subject == Subject::Referrers {
        sources.extend(others);
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Named(&'static str, bool, bool);

    impl Source for Named {
        fn is_authoritative(&self) -> bool {
            self.1
        }
        fn has_lied(&self) -> bool {
            self.2
        }
    }

    #[test]
    fn the_order_depends_on_what_is_asked_for() {
        let mirrors = [
            Named("plain", false, false),
            Named("liar", true, true),
            Named("trusted", true, false),
        ];
        let origin = Named("origin", false, false);
        let names = |subject| -> Vec<&str> {
            order(subject, &mirrors, &origin)
                .iter()
                .map(|source| source.0)
                .collect()
        };
        assert_eq!(names(Subject::Content), ["plain", "trusted", "origin"]);
        assert_eq!(names(Subject::Tag), ["trusted", "origin"]);
        assert_eq!(names(Subject::Referrers), ["trusted", "origin", "plain"]);
    }

    #[test]
    fn mirrors_are_read_from_text() {
        let mirror: MirrorOptions = "http://127.0.0.1:5000/proxy/hub".parse().unwrap();
        assert_eq!(mirror.host.as_str(), "127.0.0.1:5000");
        assert_eq!(mirror.prefix.as_deref(), Some("proxy/hub"));
        assert!(mirror.options.plain_http);
        let mirror: MirrorOptions = "mirror.example.com".parse().unwrap();
        assert_eq!((mirror.prefix, mirror.options.plain_http), (None, false));
        assert!(
            !"https://mirror.example.com/"
                .parse::<MirrorOptions>()
                .unwrap()
                .options
                .plain_http
        );
        for wrong in [
            "",
            "http://",
            "mirror.example.com/UPPER",
            "ftp://mirror.example.com",
            "a b",
        ] {
            assert!(wrong.parse::<MirrorOptions>().is_err(), "{wrong:?}");
        }
    }
}
