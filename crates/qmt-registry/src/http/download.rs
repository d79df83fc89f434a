//! Files by URL, for what lies beside images: trust metadata, modules that a config names.

use bytes::Bytes;
use http::{HeaderMap, Method};
use url::Url;

use super::request::{Call, Payload};
use super::retry::Attempts;
use super::token::{Access, Auth};
use super::{HttpRegistry, request};
use crate::error::RegistryError;

impl HttpRegistry {
    /// Fetches the file at `url` whole, at most `limit` bytes of it. The rules of time, retries,
    /// redirects and addresses are those of registries; credentials are never sent.
    ///
    /// Plain HTTP is taken where the options of that host say so.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Url`] where `url` is none that is fetched, [`RegistryError::NotFound`],
    /// [`RegistryError::TooLarge`], and the network's errors.
    pub async fn download(&self, url: &str, limit: u64) -> Result<Bytes, RegistryError> {
        let url = Url::parse(url).map_err(|_| RegistryError::Url {
            fault: "the URL is malformed",
        })?;
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}").parse(),
            (Some(host), None) => host.parse(),
            (None, _) => {
                return Err(RegistryError::Url {
                    fault: "the URL names no host",
                });
            }
        };
        let host = host.map_err(|_| RegistryError::Url {
            fault: "the URL's host is malformed",
        })?;
        let endpoint = self.inner.sources(&host)?.origin.clone();
        if endpoint.version_url().scheme() != url.scheme() {
            let fault = "files are fetched by https; plain HTTP only from a host that the config allows it for";
            return Err(RegistryError::Url { fault });
        }
        let anonymous = Auth::new(None, false);
        let context = &self.inner.context;
        self.inner
            .within(&endpoint, async |mut attempts: Attempts| {
                let call = Call {
                    endpoint: &endpoint,
                    repository: None,
                    access: Access::Check,
                    mount_from: None,
                    method: Method::GET,
                    url: url.clone(),
                    headers: HeaderMap::new(),
                    payload: Payload::Empty,
                    what: "the file".to_owned(),
                };
                let answer =
                    request::send(context, &anonymous, &call, &[200], &mut attempts).await?;
                answer.body(&context.limits).whole(limit, "the file").await
            })
            .await
    }
}
