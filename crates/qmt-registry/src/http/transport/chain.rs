//! A chain of redirects: each target is checked by the least trusted server that led to it.

use qmt_oci_ref::address::AddressKind;
use url::Url;

use super::endpoint::{Connection, Endpoint};
use super::redirect::{check_address, check_after};
use super::request::Answer;
use crate::error::ClientError;

/// The servers that redirected a request so far. The operator named the registry itself, so
/// a redirect back to it is checked by its own network.
pub(crate) struct RedirectChain<'a> {
    endpoint: &'a Endpoint,
    /// The outermost network of the other servers; `None` before there is one.
    outermost: Option<AddressKind>,
}

impl<'a> RedirectChain<'a> {
    pub(crate) fn new(endpoint: &'a Endpoint) -> Self {
        Self::led_by(endpoint, None)
    }

    /// The chain that goes on where servers in the network `outermost` led.
    pub(super) fn led_by(endpoint: &'a Endpoint, outermost: Option<AddressKind>) -> Self {
        Self {
            endpoint,
            outermost,
        }
    }

    /// Notes the server that sent `answer`, and in it who led there.
    pub(crate) fn pass(&mut self, answer: &mut Answer) {
        if !self.endpoint.is_origin_of(&answer.url) {
            self.outermost = Some(answer.network).into_iter().chain(self.outermost).min();
        }
        answer.led_by = self.outermost;
    }

    /// Refuses `to` where its host is an address to which a server of the chain may not lead.
    pub(crate) fn check(&self, from: &Url, to: &Url) -> Result<(), ClientError> {
        check_address(from, to, self.endpoint.known_kind())?;
        match self.outermost {
            Some(outermost) if !self.endpoint.is_origin_of(to) => check_after(from, to, outermost),
            Some(_) | None => Ok(()),
        }
    }

    /// The client for a host that the chain leads to.
    pub(crate) fn client(&self, url: &Url) -> Result<Connection, ClientError> {
        let kind = self.endpoint.kind();
        let outermost = self.outermost.filter(|_| !self.endpoint.is_origin_of(url));
        self.endpoint
            .foreign_client(url, outermost.map_or(kind, |other| other.min(kind)))
    }
}
