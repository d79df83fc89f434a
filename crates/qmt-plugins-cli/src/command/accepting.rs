//! The config lines that accept a signer.

use qmt_plugins::config::scope_of;

use crate::output::Output;

/// Says that the config has a policy of the same scope, which can be given once.
pub(super) fn in_place_of(applied: &str, image: &str) -> String {
    if applied == scope_of(image) {
        format!(", in place of the policy of `{applied}`,")
    } else {
        String::new()
    }
}

/// Says that the lines lack what the policy that applied requires besides a signer.
pub(super) fn lacking(conditions: &[&str], applied: &str) -> String {
    if conditions.is_empty() {
        return String::new();
    }
    let conditions = conditions.join("`, `");
    format!("; add what else the policy of `{applied}` requires (`{conditions}`)")
}

/// Returns config lines that accept a signer for the image's repository.
pub(super) fn accepting(output: &Output, image: &str, line: &str) -> String {
    let lines = config_lines(output, image, line).replace('\n', "\n  ");
    format!("\n  {lines}\n")
}

/// Returns the same lines without an indentation.
pub(super) fn config_lines(output: &Output, image: &str, line: &str) -> String {
    let scope = scope_of(image);
    output.config_lines(&format!("[[oci.policy]]\nscope = \"{scope}\"\n{line}"))
}
