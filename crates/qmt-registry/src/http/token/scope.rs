//! What a token is asked for.

use super::{Access, Ask};

/// The scopes to ask for: the registry's own words where they ask for no more than we need, since
/// some registries map names, else ours.
pub(super) fn scopes(ask: &Ask<'_>, demanded: Option<&str>) -> Vec<String> {
    let Some(repository) = ask.repository else {
        return Vec::new();
    };
    let wanted: &[&str] = match ask.access {
        Access::Check => return Vec::new(),
        Access::Pull => &["pull"],
        Access::Push => &["pull", "push"],
    };
    let fits = |scope: &str| {
        let mut parts = scope.split(':');
        let (kind, actions) = (parts.next(), parts.next_back().unwrap_or_default());
        let grants: Vec<&str> = actions.split(',').collect();
        kind == Some("repository")
            && grants.iter().all(|grant| wanted.contains(grant))
            && wanted.iter().all(|want| grants.contains(want))
    };
    let demanded: Vec<String> = demanded
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    let mut scopes = if demanded.len() == 1 && demanded.iter().all(|scope| fits(scope)) {
        demanded
    } else {
        vec![format!(
            "repository:{}:{}",
            ask.endpoint.path(repository),
            wanted.join(",")
        )]
    };
    if let Some(from) = ask.mount_from {
        scopes.push(format!("repository:{}:pull", ask.endpoint.path(from)));
    }
    scopes
}
