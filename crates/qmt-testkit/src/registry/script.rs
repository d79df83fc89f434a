//! The list of faults of a server, and which of them applies to a request.

use std::sync::{Mutex, PoisonError};

use super::fault::{Effect, Fault};
use super::log::LoggedRequest;

/// The faults of one server, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        self.list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(fault);
    }

    pub(crate) fn clear(&self) {
        self.list
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// What happens to `request`. Counts it for every fault that matches up to the one that
    /// strikes.
    pub(super) fn strike(&self, request: &LoggedRequest) -> Option<Effect> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in list.iter_mut().filter(|fault| fault.times > 0) {
            if !fault.matches(request) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times -= 1;
            return Some(fault.effect.clone());
        }
        None
    }
}

/// Whether `text` fits `pattern`, in which `*` matches any run of bytes.
pub(super) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when a literal does not fit: behind the last star, one byte further.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                p += 1;
                retry = Some((p, t));
            }
            (Some(wanted), Some(found)) if wanted == found => {
                p += 1;
                t += 1;
            }
            (None, None) => return true,
            _ => match retry {
                Some((star, from)) if from < text.len() => {
                    p = star;
                    t = from + 1;
                    retry = Some((star, t));
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn request(method: &str, target: &str) -> LoggedRequest {
        LoggedRequest {
            method: method.parse().unwrap(),
            target: target.to_owned(),
            version: http::Version::HTTP_11,
            headers: http::HeaderMap::new(),
            body_len: 0,
            status: None,
            connection: 0,
            at: std::time::Instant::now(),
        }
    }

    #[test]
    fn globs() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("*", "/v2/", true),
            ("/v2/*/blobs/*", "/v2/a/b/blobs/sha256:0", true),
            ("/v2/*/blobs/*", "/v2/a/b/manifests/1", false),
            ("*/manifests/1", "/v2/a/manifests/1", true),
            ("*/manifests/1", "/v2/a/manifests/11", false),
            ("*1*1", "/1/x/1", true),
            ("", "x", false),
            ("/v2/", "/v2/", true),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                fits,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn counts_pick_requests() {
        let faults = Faults::default();
        faults.add(Fault::on("GET", "/a").nth(2).respond(500));
        faults.add(Fault::on("*", "/a*").times(2).respond(501));
        let status = |method: &str, target: &str| {
            faults
                .strike(&request(method, target))
                .map(|e| e.status.unwrap().as_u16())
        };
        assert_eq!(status("PUT", "/a?x=1"), Some(501));
        assert_eq!(status("PUT", "/b"), None);
        assert_eq!(status("GET", "/a"), Some(501)); // The first GET; the first fault waits.
        assert_eq!(status("GET", "/a"), Some(500));
        assert_eq!(status("GET", "/a"), None);
    }

    #[test]
    fn a_question_mark_includes_the_query() {
        let faults = Faults::default();
        faults.add(Fault::on("GET", "/token?*scope=push*").respond(403));
        assert!(
            faults
                .strike(&request("GET", "/token?scope=pull"))
                .is_none()
        );
        assert!(
            faults
                .strike(&request("GET", "/token?a=b&scope=push,pull"))
                .is_some()
        );
    }

    #[test]
    fn a_predicate_narrows() {
        let faults = Faults::default();
        faults.add(
            Fault::on("*", "*")
                .when(|r| r.header("range").is_some())
                .respond(416),
        );
        let mut with = request("GET", "/");
        assert!(faults.strike(&with).is_none());
        with.headers
            .insert("range", HeaderValue::from_static("bytes=1-"));
        assert!(faults.strike(&with).is_some());
    }
}
