//! Tests of storing credentials.

use super::*;

/// CFG-01: neither user name nor secret is shown.
#[test]
fn debug_shows_only_the_kind() {
    let shown = [
        Credential::basic("canary-user", "canary-secret"),
        Credential::IdentityToken(SecretString::from("canary-secret")),
        Credential::Bearer(SecretString::from("canary-secret")),
    ]
    .map(|credential| format!("{credential:?}"));
    assert_eq!(shown, ["Basic(..)", "IdentityToken(..)", "Bearer(..)"]);
}
