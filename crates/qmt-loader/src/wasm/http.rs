//! HTTP for plugins: only to granted hosts, on every redirect, within the time of the call.
//!
//! Extism's own client looks at the first URL only and follows redirects to anywhere. This one
//! follows none by itself: each redirect is checked against the list, each name is resolved once, and
//! names that lead into private networks are refused unless the operator granted that very address.

mod host;
mod public;
mod redirect;

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{Duration, Instant};

use extism::Error;
use ureq::Body;
use ureq::http::Response;

pub(super) use self::host::AllowedHost;
use self::host::Origin;
use self::redirect::PluginRequest;
use qmt_oci_ref::text::escape;

/// The bytes of a request without its body: 64 KiB.
pub(super) const REQUEST_MAX: usize = 64 * 1024;
/// The redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// The time of a request where the call has no deadline, which does not happen.
const NO_DEADLINE: Duration = Duration::from_mins(1);

/// The last response of an instance, and the hosts that it may contact.
#[derive(Debug)]
pub(super) struct HttpState {
    hosts: Vec<AllowedHost>,
    /// The bytes of a response's body.
    body_max: u64,
    status: u16,
    headers: BTreeMap<String, String>,
}

impl HttpState {
    pub(super) fn new(hosts: Vec<AllowedHost>, body_max: u64) -> Self {
        Self {
            hosts,
            body_max,
            status: 0,
            headers: BTreeMap::new(),
        }
    }

    /// Returns the status of the last response; 0 if there was none.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Returns the headers of the last response as a JSON object.
    pub(super) fn headers(&self) -> Result<String, Error> {
        Ok(serde_json::to_string(&self.headers)?)
    }

    /// Sends what a plugin asks for, as JSON of Extism's `HttpRequest`, and returns the body.
    pub(super) fn send(
        &mut self,
        request: &[u8],
        body: &[u8],
        time: Option<Duration>,
    ) -> Result<Vec<u8>, Error> {
        self.status = 0;
        self.headers.clear();
        let deadline = Instant::now() + time.unwrap_or(NO_DEADLINE).min(NO_DEADLINE * 60);
        let mut request = PluginRequest::parse(request, body)?;
        for _ in 0..=REDIRECTS_MAX {
            let origin = Origin::of(&request.uri)?;
            let Some(granted) = self.hosts.iter().find(|host| host.is(&origin)) else {
                return Err(Error::msg(format!(
                    "host `{}` on port {} is not granted to this plugin",
                    escape(&origin.host),
                    origin.port
                )));
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::msg("timeout"));
            }
            let response = request.send(left, granted.names_an_address())?;
            match request.next(&response, &origin)? {
                Some(next) => request = next,
                None => return self.receive(response),
            }
        }
        Err(Error::msg(format!(
            "the request was redirected more than {REDIRECTS_MAX} times"
        )))
    }

    fn receive(&mut self, response: Response<Body>) -> Result<Vec<u8>, Error> {
        self.status = response.status().as_u16();
        for (name, value) in response.headers() {
            if let Ok(value) = value.to_str() {
                self.headers.insert(name.to_string(), value.to_owned());
            }
        }
        let limit = self.body_max;
        let mut content = Vec::new();
        // One byte more than allowed tells a full body from a cut one.
        response
            .into_body()
            .into_reader()
            .take(limit.saturating_add(1))
            .read_to_end(&mut content)?;
        if u64::try_from(content.len()).is_ok_and(|length| length > limit) {
            return Err(Error::msg(format!(
                "the response is larger than {limit} bytes"
            )));
        }
        Ok(content)
    }
}

#[cfg(test)]
mod tests;
