//! Tests of the registry that forbids the network.

use futures_util::FutureExt as _;
use qmt_oci_ref::RegistryErrorKind;

use super::*;

#[test]
fn the_error_names_the_rule_and_what_was_asked_for() {
    let offline = Offline::new("`--offline`");
    let reference = "a.example/b:1".parse().unwrap();
    let answer = offline.resolve(&reference).now_or_never().unwrap();
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), RegistryErrorKind::Offline);
    assert!(matches!(
        error.downcast_ref(),
        Some(ClientError::Offline { .. })
    ));
    assert_eq!(
        error.to_string(),
        "`a.example/b:1` is not available offline: `--offline` forbids network access"
    );
}
