//! Lists: the tags of a repository, and the referrers of a manifest.

use std::ops::Bound;

use http::StatusCode;
use qmt_oci_ref::{Digest, manifest};
use serde_json::json;

use super::error::{ApiError, Code, json_response};
use super::{Api, Reply, set};
use crate::registry::server::Received;

impl Api {
    /// `GET /v2/<name>/tags/list?n=<count>&last=<tag>`.
    pub(super) fn tags(&self, name: &str, request: &Received) -> Reply {
        let store = self.store();
        let held = store
            .repository(name)
            .ok_or_else(|| ApiError::new(Code::NameUnknown, "no such repository"))?;
        let count = match request.parameter("n") {
            Some(text) => text
                .parse()
                .map_err(|_| ApiError::new(Code::PaginationInvalid, "`n` is not a number"))?,
            None => usize::MAX,
        };
        let start = request
            .parameter("last")
            .map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = held
            .tags
            .range((start, Bound::Unbounded))
            .map(|(tag, _)| tag);
        let tags: Vec<&String> = rest.by_ref().take(count).collect();
        let body = json!({ "name": name, "tags": tags });
        let mut response = json_response(StatusCode::OK, "application/json", &body);
        if let (Some(last), Some(_)) = (tags.last(), rest.next()) {
            let next = format!("/v2/{name}/tags/list?n={count}&last={last}");
            set(&mut response, "link", &format!("<{next}>; rel=\"next\""));
        }
        Ok(response)
    }

    /// `GET /v2/<name>/referrers/<digest>?artifactType=<media type>`.
    pub(super) fn referrers(&self, name: &str, digest: &str, request: &Received) -> Reply {
        if !self.has_referrers() {
            return Err(ApiError::new(Code::NameUnknown, "no such endpoint"));
        }
        let digest: Digest = digest
            .parse()
            .map_err(|_| ApiError::new(Code::DigestInvalid, "not a sha256 or sha512 digest"))?;
        let mut found = self.store().referrers(name, &digest);
        let filter = request.parameter("artifactType");
        if let Some(filter) = &filter {
            found.retain(|referrer| referrer.artifact_type.as_ref() == Some(filter));
        }
        let page = self.abilities.referrers_page;
        let from = request
            .parameter("from")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0_usize);
        let total = found.len();
        let entries: Vec<_> = found
            .into_iter()
            .skip(from)
            .take(page)
            .map(|referrer| referrer.entry)
            .collect();
        let next = from.saturating_add(entries.len());
        let body = json!({
            "schemaVersion": 2,
            "mediaType": manifest::OCI_INDEX,
            "manifests": entries,
        });
        let mut response = json_response(StatusCode::OK, manifest::OCI_INDEX, &body);
        if filter.is_some() {
            set(&mut response, "oci-filters-applied", "artifactType");
        }
        if next < total {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("from", &next.to_string());
            if let Some(filter) = &filter {
                query.append_pair("artifactType", filter);
            }
            let next = format!("/v2/{name}/referrers/{digest}?{}", query.finish());
            set(&mut response, "link", &format!("<{next}>; rel=\"next\""));
        }
        Ok(response)
    }
}
