//! Config lines in messages, in the format of the config file.

use std::path::Path;

use toml::{Table, Value};

use super::file::{Syntax, read_text};

/// The key under which the items of a list are read.
const ITEM: &str = "item";
/// The table and the key of the policies.
const OCI: &str = "oci";
const POLICY: &str = "policy";

/// Writes config lines in TOML, which follow the first line of [`Error::hint`](crate::Error::hint),
/// in the format of the config file `path`. They can be pasted: where the end of the file is not
/// their place, their first line is a comment that names it. Text that is not TOML stays as it is.
pub fn config_lines(path: &Path, toml: &str) -> String {
    let text = || read_text(path).map_or_else(|_| String::new(), |(text, _)| text);
    let lines = match Syntax::of(path) {
        Some(Syntax::Json) => {
            read(toml, |item| item).and_then(|value| serde_json::to_string_pretty(&value).ok())
        }
        Some(Syntax::Yaml) => read(toml, |item| Value::Array(vec![item])).and_then(|value| {
            in_yaml(&value, &text()).or_else(|| serde_yaml::to_string(&value).ok())
        }),
        Some(Syntax::Toml) => in_toml(toml, &text()),
        None => None,
    };
    lines.map_or_else(|| toml.to_owned(), |lines| lines.trim_end().to_owned())
}

/// Reads a part of a config, or an item of a list.
fn read(toml: &str, of_list: fn(Value) -> Value) -> Option<Value> {
    if let Ok(part) = toml.parse::<Table>() {
        return Some(Value::Table(part));
    }
    let mut list = format!("{ITEM} = {toml}").parse::<Table>().ok()?;
    list.remove(ITEM).map(of_list)
}

/// Returns the one policy of a part of a config.
fn policy(part: &Value) -> Option<&Value> {
    part.get(OCI)?.get(POLICY)?.get(0)
}

/// Returns a policy as an item of the list that `config` has in brackets, to which no table can be
/// appended.
fn in_toml(toml: &str, config: &str) -> Option<String> {
    let root = config.parse::<Table>().ok()?;
    if format!("{config}\n{toml}").parse::<Table>().is_ok() {
        return None;
    }
    let part = read(toml, |item| item)?;
    let policy = policy(&part)?;
    let has_policies = root.get(OCI)?.get(POLICY).is_some();
    Some(if has_policies {
        format!("# at the start of the list `policy` in `[oci]`\n{policy},")
    } else {
        format!("# in the table `oci`\npolicy = [{policy}]")
    })
}

/// Returns a policy as lines for below the key `oci` that `config` has, or for its list `policy`. What
/// is in braces as a whole is not looked at.
fn in_yaml(part: &Value, config: &str) -> Option<String> {
    let policy = policy(part)?;
    let item = serde_yaml::to_string(&[policy]).ok()?;
    let is_content = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
    let mut lines = config.lines().filter(is_content);
    lines.find(|line| is_key(line, OCI))?;
    let oci: Vec<&str> = lines.take_while(|line| line.starts_with(' ')).collect();
    let indent = oci.first().map_or("  ", |line| indentation(line));
    let keys = oci
        .iter()
        .map(|line| line.strip_prefix(indent).unwrap_or(line));
    let mut after = keys.zip(oci.iter().skip(1).map(Some).chain([None]));
    let list = after.find(|(key, _)| key.starts_with("policy:"));
    Some(match list {
        None => {
            let lines = indented(&format!("{POLICY}:\n{item}"), indent);
            format!("# below `oci:`\n{lines}")
        }
        Some((key, Some(first))) if is_key(key, POLICY) => {
            let lines = indented(&item, indentation(first));
            format!("# below `policy:` of `oci:`\n{lines}")
        }
        Some(_) => {
            let item = serde_json::to_string(policy).ok()?;
            format!("# at the start of the list `policy` of `oci:`\n{item},")
        }
    })
}

/// Reports whether the line is a key whose value is on the next lines.
fn is_key(line: &str, key: &str) -> bool {
    let rest = line
        .strip_prefix(key)
        .and_then(|line| line.strip_prefix(':'));
    rest.is_some_and(|rest| rest.trim().is_empty() || rest.trim().starts_with('#'))
}

fn indentation(line: &str) -> &str {
    let end = line.len() - line.trim_start_matches(' ').len();
    line.get(..end).unwrap_or_default()
}

fn indented(lines: &str, indent: &str) -> String {
    let lines = lines.lines().map(|line| format!("{indent}{line}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "[[oci.policy]]\nscope = \"ghcr.io/acme/**\"\n\
                          any_of = [{ key = \"team.pub\", transparency_log = \"optional\" }]";
    const ENTRY: &str = "{ key = \"team.pub\" }";

    fn lines(file: &str, toml: &str) -> String {
        config_lines(Path::new(file), toml)
    }

    #[test]
    fn lines_have_the_format_of_the_file() {
        for file in ["plugins.toml", "plugins", "plugins.conf"] {
            assert_eq!(lines(file, POLICY), POLICY);
        }
        let yaml = "oci:\n  policy:\n  - any_of:\n    - key: team.pub\n      \
                    transparency_log: optional\n    scope: ghcr.io/acme/**";
        assert_eq!(lines("plugins.YML", POLICY), yaml);
        assert_eq!(lines("plugins.yaml", ENTRY), "- key: team.pub");
        let json: serde_json::Value = serde_json::from_str(&lines("plugins.json", POLICY)).unwrap();
        assert_eq!(json["oci"]["policy"][0]["any_of"][0]["key"], "team.pub");
        assert_eq!(
            lines("plugins.json", ENTRY),
            "{\n  \"key\": \"team.pub\"\n}"
        );
    }

    #[test]
    fn text_that_is_not_toml_stays() {
        let text = "cosign sign image\ncosign verify image";
        assert_eq!(lines("plugins.yaml", text), text);
    }

    /// The lines are for the end of a file only if it allows that.
    #[test]
    fn lines_have_their_place_in_the_file() {
        let other = "scope: \"**\"\n    any_of: [{ key: other.pub }]\n";
        let toml = "{ scope = \"**\", any_of = [{ key = \"other.pub\" }] }";
        for (file, config, comment) in [
            ("p.toml", String::new(), None),
            ("p.toml", "[oci]\nparallel = 2\n".to_owned(), None),
            (
                "p.toml",
                format!("[oci]\nparallel = 2\npolicy = [\nHERE\n{toml},\n]\n[registries]\n"),
                Some("# at the start of the list `policy` in `[oci]`"),
            ),
            (
                "p.toml",
                format!("oci.parallel = 2\noci.policy = [\nHERE\n{toml}]\n"),
                Some("# at the start of the list `policy` in `[oci]`"),
            ),
            ("p.yaml", "registries: {}\n".to_owned(), None),
            (
                "p.yaml",
                "registries: {}\noci:\nHERE\n    # two\n    parallel: 2\n".to_owned(),
                Some("# below `oci:`"),
            ),
            (
                "p.yaml",
                "oci:   # none\nHERE\nproviders: []\n".to_owned(),
                Some("# below `oci:`"),
            ),
            (
                "p.yaml",
                format!("oci:\n  parallel: 2\n  policy:\nHERE\n  - {other}  timeout: 1m\n"),
                Some("# below `policy:` of `oci:`"),
            ),
            (
                "p.yaml",
                "oci:\n  policy: [\nHERE\n    { scope: x.y/z, any_of: [key: other.pub] }]\n"
                    .to_owned(),
                Some("# at the start of the list `policy` of `oci:`"),
            ),
            (
                "p.yml",
                format!("oci:\n policy: # ours\nHERE\n  - {other}\nproviders: []\n"),
                Some("# below `policy:` of `oci:`"),
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(file);
            let place = if config.contains("HERE\n") {
                "HERE\n"
            } else {
                ""
            };
            std::fs::write(&path, config.replace("HERE\n", "")).unwrap();
            let lines = config_lines(&path, POLICY);
            assert_eq!(
                lines.lines().next().filter(|line| line.starts_with('#')),
                comment
            );
            let pasted = if place.is_empty() {
                format!("{config}\n{lines}\n")
            } else {
                config.replace(place, &format!("{lines}\n"))
            };
            std::fs::write(&path, &pasted).unwrap();
            let read = crate::config::ConfigFile::read(&path);
            let read = read.unwrap_or_else(|error| panic!("{error}\n{pasted}"));
            let mut policies = read.config().oci.policy.iter();
            let is_pasted = policies.any(|policy| policy.scope == "ghcr.io/acme/**");
            assert!(is_pasted, "{pasted}");
        }
    }
}
