//! Mirrors that gave nothing, or the wrong content.

use std::sync::Arc;

use super::super::endpoint::Endpoint;
use super::super::sources::Inner;
use crate::error::RegistryError;
use crate::events::RegistryEvent;
use crate::mirror::Source as _;

/// Blames the mirrors that took part; without any, the error stays what it is.
pub(super) fn blame(
    inner: &Inner,
    contributors: &[Arc<Endpoint>],
    error: RegistryError,
) -> RegistryError {
    for mirror in contributors {
        skip_mirror(inner, mirror, &error);
    }
    match contributors.first() {
        Some(mirror) => RegistryError::MirrorLied {
            mirror: mirror.host.clone(),
            source: Box::new(error),
        },
        None => error,
    }
}

/// Tells that a mirror is left for the next source, and remembers if its content was wrong.
pub(crate) fn skip_mirror(inner: &Inner, source: &Arc<Endpoint>, error: &RegistryError) {
    if !source.is_mirror() {
        return;
    }
    let lied = error.is_content();
    if lied && !source.has_lied() {
        source.set_lied();
    }
    inner.context.events.send(RegistryEvent::MirrorSkipped {
        mirror: source.host.clone(),
        reason: error.to_string(),
        lied,
    });
}
