//! `docs/config.schema.json` is what `qmt-plugins config schema` prints.

use crate::command::{Desk, root};

#[test]
fn the_schema_in_the_documents_is_current() {
    let answer = Desk::new().run(&["config", "schema"]);
    assert_eq!(answer.code, Some(0), "{}", answer.transcript());
    let kept = std::fs::read_to_string(root().join("docs/config.schema.json")).unwrap();
    let advice = "run `cargo run -p qmt-plugins-cli -- config schema > docs/config.schema.json`";
    assert!(
        answer.stdout == kept,
        "docs/config.schema.json is not current: {advice}"
    );
}
