//! The config lines that accept a signer.

use qmt_plugins::config::{scope_of, scope_problem};
use serde_json::json;

use crate::output::Output;

/// Returns config lines that accept a signer for the image's repository, under a line that says `what`
/// they do. `policy` has the scope and the conditions of the policy that applied.
pub(super) fn accepting(
    output: &Output,
    image: &str,
    line: &str,
    what: &str,
    policy: Option<(&str, &[&str])>,
) -> String {
    if let Some(problem) = scope_problem(image) {
        return format!("\nto {what}: {problem}\n");
    }
    let (mut place, mut lacking) = (String::new(), String::new());
    if let Some((scope, conditions)) = policy {
        // A scope can be given once.
        if scope == scope_of(image) {
            place = format!(", in place of the policy of `{scope}`,");
        }
        if !conditions.is_empty() {
            let conditions = conditions.join("`, `");
            lacking = format!("; add what else the policy of `{scope}` requires (`{conditions}`)");
        }
    }
    let lines = config_lines(output, image, line).replace('\n', "\n  ");
    format!("\nthese config lines{place} {what}{lacking}:\n\n  {lines}\n")
}

/// Returns config lines that accept a signer for the image's repository.
pub(super) fn config_lines(output: &Output, image: &str, line: &str) -> String {
    let scope = json!(scope_of(image));
    output.config_lines(&format!(
        "[[oci.policy]]
scope = {scope}
{line}"
    ))
}
