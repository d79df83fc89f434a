//! Files that are not parts of images.

use std::sync::Arc;

use bytes::Bytes;
use qmt_oci_ref::{Digest, RegistryError, RegistryHost};
use url::Url;

use super::HttpRegistry;
use super::manifest::is_html;
use super::operation::Operation;
use crate::error::{ClientError, FileError};
use crate::http::auth::Auth;
use crate::http::transport::{ErrorBody, Secrets, is_web_page};
use crate::redact::RedactedUrl;

/// What a file is called in messages.
const FILE: &str = "the file";

impl HttpRegistry {
    /// Downloads the whole file at `url`, at most `limit` bytes. The rules of time, retries,
    /// redirects and addresses are those of registries; credentials are never sent.
    ///
    /// Plain HTTP is used where the options of that host allow it.
    ///
    /// # Errors
    ///
    /// [`ClientError::File`] where `url` is not allowed, or the server does not have the file or
    /// requires a credential, [`ClientError::TooLarge`], and the network's errors.
    pub async fn download(&self, url: &str, limit: u64) -> Result<Bytes, RegistryError> {
        Ok(self.file(url, limit, None).await?)
    }

    /// Does what [`Self::download`] does, and checks that the content hashes to `digest`.
    ///
    /// # Errors
    ///
    /// Those of [`Self::download`]. Other content is [`ClientError::File`], and
    /// [`ClientError::Protocol`] if the server encodes it.
    pub async fn download_pinned(
        &self,
        url: &str,
        limit: u64,
        digest: &Digest,
    ) -> Result<Bytes, RegistryError> {
        Ok(self.file(url, limit, Some(digest)).await?)
    }

    async fn file(
        &self,
        url: &str,
        limit: u64,
        digest: Option<&Digest>,
    ) -> Result<Bytes, ClientError> {
        let (url, host) = checked(url)?;
        let endpoint = self.inner.endpoint(&host)?;
        if endpoint.base.scheme() != url.scheme() {
            let rule = "files are downloaded by https, or by plain http from a host for which the \
                        config sets `plain_http`";
            return Err(FileError::Url { rule }.into());
        }
        let download = async |mut operation: Operation| {
            let mut request = operation.check_request(url, FILE.to_owned());
            request.spec.is_content = true;
            let answer = operation.send(&request, &[200]).await;
            let answer = answer.map_err(|error| error.of_file(request.redacted()))?;
            let (endpoint, spec) = (&operation.endpoint, &request.spec);
            let is_html = is_html(answer.headers());
            let secrets =
                Secrets::of_exchange(endpoint, spec, None, &answer.url).and(answer.secrets);
            let url = RedactedUrl::from(&answer.url);
            let is_encoded = answer.body.is_compressed();
            let content = answer.body.whole(limit, FILE).await?;
            let Some(digest) = digest else {
                return Ok(content);
            };
            let actual = Digest::of(digest.algorithm(), &content);
            // If it differs, the error says what arrived instead, where that is known.
            if actual != *digest && is_encoded {
                return Err(ClientError::Protocol {
                    url,
                    rule: "a file is sent without `Content-Encoding`, because none was requested",
                    compressed: true,
                });
            }
            if actual != *digest && is_web_page(&content) {
                let bytes = content;
                let title = secrets.message(&ErrorBody { bytes, is_html });
                return Err(FileError::WebPage { url, title }.into());
            }
            if actual != *digest {
                let expected = digest.clone();
                return Err(FileError::DigestMismatch {
                    url,
                    expected,
                    actual,
                }
                .into());
            }
            Ok(content)
        };
        let anonymous = Arc::new(Auth::anonymous());
        self.inner.run_with(anonymous, &host, download).await
    }
}

/// Parses a URL, and its host.
fn checked(url: &str) -> Result<(Url, RegistryHost), ClientError> {
    let refuse = |rule| FileError::Url { rule };
    let url = Url::parse(url).map_err(|_| refuse("the URL is malformed"))?;
    if !url.username().is_empty() || url.password().is_some() {
        let rule =
            "the URL has a user name or password, and files are downloaded without credentials";
        return Err(refuse(rule).into());
    }
    let host = url.host_str().ok_or(refuse("the URL has no host"))?;
    let port = url.port().map(|port| format!(":{port}"));
    let host = format!("{host}{}", port.unwrap_or_default());
    let host = host.parse();
    let host = host.map_err(|_| refuse("the URL's host is malformed"))?;
    Ok((url, host))
}
