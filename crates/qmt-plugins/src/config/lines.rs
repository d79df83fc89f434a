//! Config lines in messages, in the format of the config file.

use std::path::Path;

use toml::{Table, Value};

use super::file::Syntax;

/// The key under which the items of a list are read.
const ITEM: &str = "item";

/// Writes config lines in TOML, which follow the first line of [`Error::hint`](crate::Error::hint),
/// in the format of the config file `path`. Text that is not TOML stays as it is.
pub fn config_lines(path: &Path, toml: &str) -> String {
    let lines = match Syntax::of(path) {
        Some(Syntax::Json) => {
            read(toml, |item| item).and_then(|value| serde_json::to_string_pretty(&value).ok())
        }
        Some(Syntax::Yaml) => read(toml, |item| Value::Array(vec![item]))
            .and_then(|value| serde_yaml::to_string(&value).ok()),
        Some(Syntax::Toml) | None => None,
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
}
