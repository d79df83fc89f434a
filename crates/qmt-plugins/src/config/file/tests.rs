//! Formats, keys, types, paths and limits of a config file.

mod environment;
mod trust;

use super::*;
use crate::config::{ByteSize, IdentityRule};

fn read(name: &str, text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    ConfigFile::read_with(&path, &variables).map(|file| file.config)
}

#[track_caller]
fn refused(text: &str, words: &[&str]) {
    let error = read("plugins.toml", text, &[]).expect_err(text).to_string();
    for word in words {
        assert!(error.contains(word), "{error:?} does not say {word:?}");
    }
}

/// CFG-02: credentials that are written into addresses, where the config has none.
#[test]
fn a_credential_in_an_address_is_not_shown() {
    let mirror = |text: &str| format!("[registries.\"a.example\"]\nmirrors = [\"{text}\"]");
    let scope =
        |text: &str| format!("[[oci.policy]]\nscope = \"{text}\"\nany_of = [{{ key = \"k\" }}]");
    for text in [
        mirror("https://s3cret@ghcr.io"),
        mirror("https://s3cret@ghcr.io/v2/acme"),
        mirror("oci://u:a/s3cret@ghcr.io/acme"),
        mirror("u:s3cret@ghcr.io"),
        scope("u:s3cret@ghcr.io"),
    ] {
        let error = read("p.toml", &text, &[]).expect_err(&text);
        let shown = text::messages(&error).join(": ");
        assert!(
            !shown.contains("s3cret") && shown.contains("ghcr.io"),
            "{shown}"
        );
    }
}

/// Serde reads a list as the fields of a structure, so that its first item would switch verification off.
#[test]
fn a_list_is_no_table() {
    for (text, key) in [
        (r#"{"oci":[true]}"#, "`oci`"),
        (r#"{"oci":[]}"#, "`oci`"),
        (
            r#"{"registries":{"ghcr.io":[]}}"#,
            "`registries.\"ghcr.io\"`",
        ),
        (r#"{"providers":[["p","p.wasm"]]}"#, "`providers[0]`"),
        (
            r#"{"providers":[{"name":"a","path":"a.wasm"},{"name":"p","path":"p.wasm","allow":[]}]}"#,
            "`providers[1].allow`",
        ),
        (
            r#"{"providers":[{"name":"p","path":"p.wasm","limits":[]}]}"#,
            "`providers[0].limits`",
        ),
    ] {
        for name in ["plugins.json", "plugins.yaml"] {
            let error = read(name, text, &[]).expect_err(text).to_string();
            let words = [key, "must be a table, not a list"];
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
    let lists = r#"{"oci":{"policy":[{"scope":"**","any_of":[{"key":"k.pub","transparency_log":"optional"}]}]},
        "providers":[{"name":"p","path":"p.wasm","config":{"names":[1,{"a":[2]}]}}]}"#;
    read("plugins.json", lists, &[]).unwrap();
}

/// A key or value of 200 kB is not printed whole.
#[test]
fn long_keys_and_values_are_shortened() {
    let k = "k".repeat(200_000);
    let provider = "[[providers]]\nname = \"a\"\npath = \"oci://ghcr.io/a/b:1\"\n";
    for (name, text) in [
        ("p.toml", format!("{k} = 1")),
        ("p.toml", format!("[oci]\n{k} = 1")),
        ("p.toml", format!("[oci]\n\"{k} {k}\" = 1\n\"{k} {k}\" = 2")),
        ("p.toml", format!("[oci]\nparallel = \"{k} {k}\"")),
        ("p.toml", format!("[oci]\npull_policy = \"{k} {k}\"")),
        ("p.toml", format!("[registries.\"{k}/x\"]")),
        ("p.toml", format!("[registries.\"ghcr.io\"]\n{k} = 1")),
        ("p.toml", format!("{provider}{k} = 1")),
        ("p.toml", format!("{provider}limits.{k} = 1")),
        ("p.toml", format!("{provider}kind = \"{k}\"")),
        ("p.toml", format!("{provider}file = \"{k}/../x\"")),
        ("p.toml", format!("{provider}allow.libraries = [\"*{k}\"]")),
        (
            "p.toml",
            provider.replace("oci://ghcr.io/a/b:1", &format!("{k}://x")),
        ),
        (
            "p.toml",
            provider.replace("\"a\"", &format!("\"{k}\"")).repeat(2),
        ),
        ("p.json", format!("{{\"oci\":{{\"{k}\":1}}}}")),
        ("p.yaml", format!("oci:\n  ? {k}\n  : 1\n")),
    ] {
        let error = read(name, &text, &[]).unwrap_err().to_string();
        assert!(error.len() < 4000, "{} of {}", error.len(), &text[..40]);
        assert!(error.contains('…'), "{error}");
    }
}

/// The parser's own message quotes the line, which may have a secret.
#[test]
fn an_error_of_the_syntax_names_its_place() {
    refused("[oci]\nx = y\n", &["at line 2 column 5"]);
    refused("name = \"é\" x", &["at line 1 column 12"]);
    refused("[oci", &["at line 1 column"]);
}

/// A client certificate requires its key, so these names are not tried in a config.
#[test]
fn other_names_of_a_client_certificate_are_recognised() {
    for (name, meant) in [
        ("cert", "client_cert"),
        ("client_certificate", "client_cert"),
        ("certificate", "client_cert"),
        ("key", "client_key"),
        ("private_key", "client_key"),
        ("client_key_password", "client_key"),
    ] {
        let text = format!("[registries.\"a.example\"]\n{name} = \"x\"");
        refused(&text, &[&format!("did you mean `{meant}`?")]);
    }
}

/// The parsers' own messages are about documents and types.
#[test]
fn toml_and_tags_in_other_formats_are_called_that() {
    let toml = "[[providers]]\nname = \"p\"\npath = \"x.wasm\"\n";
    for name in ["p.yaml", "p.json"] {
        for text in [toml, "[oci]\ncache_dir = \"x\"\n"] {
            let error = read(name, text, &[]).unwrap_err().to_string();
            assert!(error.contains("written in TOML"), "{name}: {error}");
        }
    }
    let tag = "providers:\n- name: p\n  path: !env PLUGIN\n";
    let error = read("p.yaml", tag, &[]).unwrap_err().to_string();
    assert!(
        error.contains("tags such as `!name` are not supported"),
        "{error}"
    );
    assert!(error.contains("line 3"), "{error}");
}

/// The parser's own message does not say what is wrong.
#[test]
fn a_tab_in_yaml_is_called_that() {
    for (text, line) in [
        ("oci:\n\tparallel: 2\n", 2),
        ("oci:\n  parallel: 2\n  \ttimeout: 1m\n", 3),
        ("\toci: {}\n", 1),
        ("providers:\n- name: p\n\tpath: x\n", 3),
        ("oci:\n  parallel: 2\n\t\n", 3),
    ] {
        let error = read("p.yaml", text, &[]).unwrap_err().to_string();
        let said = format!("line {line} begins with a tab");
        assert!(error.contains(&said), "{text:?}: {error}");
    }
    let error = read("p.yaml", "oci: [\n", &[]).unwrap_err().to_string();
    assert!(!error.contains("tab"), "{error}");
    read("p.yaml", "oci:\n  parallel: 2\t# two\n", &[]).unwrap();
}

const MANUAL: &str = r#"
    [oci]
    insecure_skip_signature = false
    use_sigstore_tuf_data = false
    rekor_pub_keys = "rekor.pub"
    fulcio_certs = "fulcio.crt"
    cert_email = "signer@example.com"
    cert_issuer = "https://accounts.google.com"

    [[providers]]
    name = "my_oci_plugin"
    path = "oci://ghcr.io/my-org/my-plugin:latest"
    [providers.config]
    api_key = "x"
    retries = 3
"#;

#[test]
fn the_manuals_config_is_understood() {
    let config = read("plugins.toml", MANUAL, &[]).unwrap();
    assert_eq!(
        config.oci.rekor_pub_keys.as_slice(),
        [PathBuf::from("rekor.pub")]
    );
    assert_eq!(config.oci.identity, IdentityRule::PinOnFirstUse);
    assert_eq!(
        config.provider("my_oci_plugin").unwrap().config["retries"],
        3
    );
}

#[test]
fn json_and_yaml_say_the_same() {
    let json = r#"{"$schema":"config.schema.json","providers":[{"name":"a","path":"oci://x"}],"oci":{"max_artifact_size":"1KiB"}}"#;
    let yaml = "providers: [{name: a, path: 'oci://x'}]\noci: {max_artifact_size: 1KiB}\n";
    for (name, text) in [("p.json", json), ("p.yaml", yaml), ("p.yml", yaml)] {
        let config = read(name, text, &[]).unwrap();
        assert_eq!(
            config.oci.max_artifact_size,
            Some(ByteSize::new(1024)),
            "{name}"
        );
    }
    assert!(matches!(
        read("p.ini", "", &[]),
        Err(ConfigError::UnknownFormat { .. })
    ));
}

/// An empty list or a null is no reason to say less about its key.
#[test]
fn an_unknown_key_without_a_value_names_the_nearest() {
    for line in ["anyof = []", "anyof = [{}]"] {
        refused(
            &format!("[[oci.policy]]\nscope = \"**\"\n{line}\n"),
            &[
                "unknown key `oci.policy[0].anyof`",
                "did you mean `any_of`?",
            ],
        );
    }
    refused("[oci]\npublic_key = []\n", &["did you mean `public_keys`?"]);
    refused(
        "[oci]\npublic_keys = []\n",
        &["`oci.public_keys`: it is an empty list"],
    );
    let yaml = read("p.yaml", "oci:\n  cert_emial: null\n", &[]).unwrap_err();
    assert!(
        yaml.to_string().contains("did you mean `cert_email`?"),
        "{yaml}"
    );
}

/// CFG-04: unknown keys are errors that name the nearest right one.
#[test]
fn unknown_keys_name_the_nearest() {
    refused(
        "[oci]\ncert_emial = \"a@b\"",
        &["oci.cert_emial", "did you mean `cert_email`?"],
    );
    refused(
        "[[provider]]\nname = \"a\"",
        &["provider", "did you mean `providers`?"],
    );
    refused(
        "[[providers]]\nname = \"a\"\npath = \"x\"\nconfigs = {}",
        &["configs", "`config`"],
    );
    refused(
        "[registries.\"localhost:5000\"]\nplain_htp = true",
        &["plain_htp", "`plain_http`"],
    );
    // Of the two tables that have it, the one below.
    refused(
        "[[oci.policy]]\nscope = \"**\"\ntransparency_log = \"optional\"",
        &["did you mean `oci.policy.any_of.transparency_log`?"],
    );
}

/// The keys that cosign, policy-controller and the other tables have. What is proposed can be used.
#[test]
fn the_keys_of_other_tools_are_recognised() {
    const POLICY: &str = "oci.policy";
    const SIGNER: &str = "oci.policy.any_of";
    const REGISTRY: &str = "registries";
    for (names, proposed) in [
        (
            "cert_identity certificate_identity subject certificateIdentity",
            [
                ("oci", "cert_email"),
                (POLICY, "oci.policy.any_of.identity"),
                (SIGNER, "identity"),
            ],
        ),
        (
            "subjectRegExp identityRegexp certificate_identity_regexp",
            [
                ("oci", "oci.policy.any_of.identity_regex"),
                (POLICY, "oci.policy.any_of.identity_regex"),
                (SIGNER, "identity_regex"),
            ],
        ),
        (
            "issuerRegExp issuer_regex certificate_oidc_issuer cert_oidc_issuer",
            [
                ("oci", "cert_issuer"),
                (POLICY, "oci.policy.any_of.issuer"),
                (SIGNER, "issuer"),
            ],
        ),
        (
            "keys public_key",
            [
                ("oci", "public_keys"),
                (POLICY, "oci.policy.any_of.key"),
                (SIGNER, "key"),
            ],
        ),
        (
            "identities keyless authorities",
            [
                ("oci", "oci.policy.any_of"),
                (POLICY, "any_of"),
                (POLICY, "any_of"),
            ],
        ),
        ("identities", [(SIGNER, "identity"); 3]),
        (
            "identity cert_email cert_url",
            [(POLICY, "oci.policy.any_of.identity"); 3],
        ),
        ("cert_email cert_url", [(SIGNER, "identity"); 3]),
        ("issuer", [("oci", "cert_issuer"); 3]),
        (
            "issuer cert_issuer",
            [(POLICY, "oci.policy.any_of.issuer"); 3],
        ),
        (
            "key",
            [
                ("oci", "public_keys"),
                (POLICY, "oci.policy.any_of.key"),
                ("oci", "public_keys"),
            ],
        ),
        (
            "public_keys",
            [
                (SIGNER, "key"),
                (POLICY, "oci.policy.any_of.key"),
                (SIGNER, "key"),
            ],
        ),
        (
            "repository github_workflow_repository",
            [(SIGNER, "github_repository"); 3],
        ),
        ("image images glob repository", [(POLICY, "scope"); 3]),
        ("image ref source", [("providers", "path"); 3]),
        (
            "ca_cert cacert ca_certs tls_verify skip_tls_verify insecure_skip_verify",
            [(REGISTRY, "ca_file"); 3],
        ),
        ("proxy_url https_proxy", [(REGISTRY, "proxy"); 3]),
    ] {
        for name in names.split(' ') {
            for (table, meant) in proposed {
                let text = with_key(table, name);
                let error = read("p.toml", &text, &[]).expect_err(&text).to_string();
                let asked = format!("did you mean `{meant}`?");
                assert!(error.ends_with(&asked), "{text}: {error}");
                let (table, key) = meant.rsplit_once('.').unwrap_or((table, meant));
                let text = with_key(table, key);
                read("p.toml", &text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"));
            }
        }
    }
    // An identity that is a URL has a key of its own.
    refused(
        "[oci]\ncert_identity = \"https://gitlab.com/a/b\"",
        &["did you mean `cert_url`?"],
    );
}

/// Writes a config in which `table` has the key, and everything else that it must have.
fn with_key(table: &str, key: &str) -> String {
    let value = match key {
        "any_of" => "[{ key = \"k.pub\" }]".to_owned(),
        "github_repository" => "\"acme/echo\"".to_owned(),
        _ => "\"a@b.example\"".to_owned(),
    };
    let line = format!("{key} = {value}");
    let issuer = "issuer = \"https://accounts.google.com\"";
    let email = "identity = \"c@d.example\"";
    match table {
        "oci" => match key {
            "cert_email" => format!("[oci]\ncert_issuer = \"https://gitlab.com\"\n{line}\n"),
            "cert_issuer" => format!("[oci]\ncert_email = \"c@d.example\"\n{line}\n"),
            _ => format!("[oci]\n{line}\n"),
        },
        "oci.policy" => {
            let scope = if key == "scope" {
                ""
            } else {
                "scope = \"**\"\n"
            };
            let signer = if key == "any_of" {
                ""
            } else {
                "any_of = [{ key = \"k.pub\" }]\n"
            };
            let line = if key == "scope" {
                "scope = \"ghcr.io/a/b\""
            } else {
                &line
            };
            format!("[[oci.policy]]\n{scope}{signer}{line}\n")
        }
        "registries" => format!("[registries.\"a.example\"]\n{line}\n"),
        "oci.policy.any_of" => {
            let others = match key {
                "key" | "github_repository" => String::new(),
                "issuer" => format!(", {email}"),
                _ => format!(", {issuer}"),
            };
            format!("[[oci.policy]]\nscope = \"**\"\nany_of = [{{ {line}{others} }}]\n")
        }
        _ => format!("[[{table}]]\nname = \"a\"\n{line}\n"),
    }
}

/// CFG-04: wrong types and broken syntax name the key or the line.
#[test]
fn wrong_types_and_syntax() {
    refused(
        "[oci]\ninsecure_skip_signature = \"no\"",
        &["oci.insecure_skip_signature", "`true` or `false`"],
    );
    refused(
        "[oci]\nmax_artifact_size = \"big\"",
        &["oci.max_artifact_size", "512MiB"],
    );
    refused(
        "[oci]\npull_policy = \"sometimes\"",
        &[
            "oci.pull_policy",
            "`sometimes` is not supported",
            "`if-not-present`",
        ],
    );
    refused(
        "[[providers]]\nname = \"a\"\npath = \"oci://x\"\n\
         [[providers]]\nname = \"b\"\npath = \"oci://x\"\nnative = \"yes\"",
        &["`providers[1].native`", "use `deny`, `isolated`"],
    );
    refused(
        "[registries.\"ghcr.io\"]\nmirrors = [\"a b\"]",
        &["mirrors", "`a b`"],
    );
    refused("[oci\n", &["line 1"]);
    refused("[oci]\nparallel = 1\nparallel = 2", &["duplicate"]);
}

/// CFG-04: of two equal keys, none is dropped without a word.
#[test]
fn duplicate_keys_are_refused_in_each_format() {
    for (name, text, place) in [
        (
            "p.toml",
            "[oci]\ncert_email = \"a@b\"\ncert_email = \"c@d\"\n",
            "line 3 column 1",
        ),
        (
            "p.json",
            r#"{"oci":{"cert_email":"a@b","cert_email":"c@d"}}"#,
            "line 1 column 39",
        ),
        (
            "p.yaml",
            "oci:\n  cert_email: a@b\n  cert_email: c@d\n",
            "line 3 column 3",
        ),
        (
            "p.yaml",
            "providers:\n- name: a\n  path: x\n  name: b\n",
            "line 4 column 3",
        ),
        (
            "p.yaml",
            "oci: {public_keys: k.pub}\nproviders: []\noci: {insecure_skip_signature: true}\n",
            "line 3 column 1",
        ),
        (
            "p.yaml",
            "providers:\n- name: a\n  path: x\n  config: {deep: [{b: 1, b: 2}]}\n",
            "line 4 column 26",
        ),
    ] {
        let error = read(name, text, &[]).expect_err(text).to_string();
        assert!(error.contains("duplicate key"), "{text}: {error}");
        assert!(error.ends_with(&format!(" at {place}")), "{text}: {error}");
    }
    let values =
        "providers:\n- {name: a, path: 'oci://x', config: {80: [1, null, -1.5, true, 1e3]}}\n";
    read("p.yaml", values, &[]).unwrap();
}

/// What TOML and YAML allow is named where JSON does not.
#[test]
fn empty_json_and_comments_in_json_are_called_that() {
    for (text, words) in [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("// x\n{}", "one at line 1 column 1;"),
        ("{\n// x\n}", "one at line 2 column 1;"),
        ("{ /* x */ \"providers\": [] }", "one at line 1 column 3;"),
        ("{\n  \"providers\": [] // x\n}", "one at line 2 column 19;"),
        (
            "{\n  \"providers\": [],\n  # x\n}",
            "one at line 3 column 3;",
        ),
        ("{} // x", "one at line 1 column 4;"),
        ("{\"providers\": [],}", "trailing comma at line 1 column 18"),
    ] {
        let error = read("p.json", text, &[]).expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

/// CFG-04: mistakes that TOML itself does not find are explained.
#[test]
fn frequent_mistakes_are_explained() {
    for (text, key, words) in [
        (
            "[providers]\nname = \"a\"\n",
            "`providers`",
            "`[[providers]]`",
        ),
        (
            "[[oci.policy]]\nscope = \"**\"\n[oci.policy.any_of]\nkey = \"k\"\n",
            "`oci.policy[0].any_of`",
            "`[[oci.policy.any_of]]`",
        ),
        (
            "[oci.policy]\nscope = \"**\"\n",
            "`oci.policy`",
            "`[[oci.policy]]`",
        ),
        ("[[policy]]\nscope = \"**\"\n", "`policy`", "`oci.policy`"),
        (
            "[[providers]]\nname = \"a\"\npath = \"p.wasm\"\nhosts = []\n",
            "`providers[0].hosts`",
            "`providers.allow.hosts`",
        ),
        (
            "[[providers]]\nname = \"a\"\nimage = \"oci://a.b/c\"\n",
            "`providers[0].image`",
            "`path`",
        ),
        (
            "[oci]\nPUBLIC_KEYS = [\"k.pub\"]\n",
            "`oci.PUBLIC_KEYS`",
            "`public_keys`",
        ),
        (
            "[oci]\npublic_keys = [\"-----BEGIN PUBLIC KEY-----\"]\n",
            "`oci.public_keys`",
            "the content of a file",
        ),
        ("[oci]\ntimeout = \"0s\"\n", "`oci.timeout`", "more than 0"),
        (
            "[[providers]]\nname = \"a\"\npath = \"p.wasm\"\nlimits = { fuel = 0 }\n",
            "`providers[0].limits.fuel`",
            "more than 0",
        ),
        (
            "[[providers]]\nname = \"a\"\npath = \"p.wasm\"\nlimits.compile_timeout = \"0s\"\n",
            "`providers[0].limits.compile_timeout`",
            "more than 0",
        ),
        (
            "[[oci.policy]]\nscope = \"**\"\nrequire = 2\nany_of = [\n\
             { issuer = \"https://i.example\", identity = \"a\" },\n\
             { issuer = \"https://i.example\", identity = \"a\" },\n]\n",
            "`oci.policy[0].any_of[1]`",
            "given twice",
        ),
        (
            "[registries.ghcr.io]\nplain_http = true\n",
            "registries.ghcr.io",
            "`[registries.\"ghcr.io\"]`",
        ),
        (
            "[registries.registry.gitlab.com]\nplain_http = true\n",
            "registries",
            "`[registries.\"registry.gitlab.com\"]`",
        ),
        (
            "[registries.\"a.b\"]\ninsecure = true\n",
            "`registries.\"a.b\".insecure`",
            "`plain_http`",
        ),
        (
            "[registries.\"a.b\"]\npassword = \"x\"\n",
            "`registries.\"a.b\".password`",
            "`qmt-plugins login`",
        ),
        (
            "[oci]\nparallel = \"4\"\n",
            "`oci.parallel`",
            "a whole number",
        ),
        (
            "[oci]\ntransparency_log = false\n",
            "`oci.transparency_log`",
            "a string in quotes, not `false`",
        ),
        (
            "[[oci.policy]]\nscope = \"**\"\nsigned_after = 2026-01-01T00:00:00Z\n\
             any_of = [{ key = \"k\" }]\n",
            "`oci.policy[0].signed_after`",
            "it must be a string in quotes",
        ),
        (
            "[oci]\ninsecure_skip_signature = \"yes\"\n",
            "`oci.insecure_skip_signature`",
            "`true` or `false`",
        ),
    ] {
        refused(text, &[key, words]);
    }
}

#[test]
fn nulls_elsewhere_are_absence() {
    let provider = |field: &str| {
        format!(r#"{{"providers":[{{"name":"a","path":"oci://x","{field}":null}}]}}"#)
    };
    let mut texts: Vec<String> = ["kind", "file", "sha256", "config", "limits", "allow"]
        .map(provider)
        .into();
    texts.extend(
        [
            "null",
            r#"{"oci":null}"#,
            r#"{"registries":null}"#,
            r#"{"providers":null}"#,
            r#"{"registries":{"ghcr.io":null}}"#,
            r#"{"registries":{"ghcr.io":{"ca_file":null,"mirrors":null,"plain_http":null}}}"#,
            r#"{"oci":{"cache_dir":null,"timeout":null,"parallel":null,"pull_policy":null}}"#,
            r#"{"oci":{"insecure_skip_signature":null,"max_artifact_size":null}}"#,
            r#"{"providers":[{"name":"a","path":"oci://x","allow":{"native":null,"hosts":null}}]}"#,
            r#"{"providers":[{"name":"a","path":"oci://x","limits":{"fuel":null}}]}"#,
        ]
        .map(str::to_owned),
    );
    for text in texts {
        for name in ["p.json", "p.yaml"] {
            if let Err(error) = read(name, &text, &[]) {
                panic!("{name}: {text}: {error}");
            }
        }
    }
    for text in [
        "",
        "\n",
        "# nothing yet\n",
        "---\n",
        "oci:\nproviders:\n",
        "providers:\n- name: a\n  path: oci://x\n  config:\n  limits:\n",
    ] {
        if let Err(error) = read("p.yaml", text, &[]) {
            panic!("{text:?}: {error}");
        }
    }
    assert!(read("p.json", "[]", &[]).is_err());
    assert!(read("p.yaml", "- a\n", &[]).is_err());
}

#[test]
fn byte_order_marks_and_line_ends_of_windows() {
    let json = r#"{"oci":{"parallel":2}}"#;
    for (name, text) in [
        ("p.toml", "[oci]\nparallel = 2\n"),
        ("p.json", json),
        ("p.yaml", "oci:\n  parallel: 2\n"),
        ("P.YML", "oci:\n  parallel: 2\n"),
    ] {
        for text in [
            format!("\u{feff}{text}"),
            text.replace('\n', "\r\n"),
            format!("\u{feff}{}", text.replace('\n', "\r\n")),
        ] {
            let config = read(name, &text, &[]).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(config.oci.parallel, Some(2), "{text:?}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.toml");
    std::fs::write(&path, b"\xff\xfe[\0o\0c\0i\0]\0").unwrap();
    let error = ConfigFile::read_with(&path, &[]).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("UTF-16"), "{cause}");
}

/// CFG-04: YAML that its parser takes long for is refused before it begins.
#[test]
fn deep_yaml_ends_at_once() {
    let begin = std::time::Instant::now();
    for text in [
        "[".repeat(400_000),
        "{".repeat(400_000),
        "[{".repeat(200_000),
        // Brackets that close nothing.
        "[ #]\n".repeat(80_000),
        "[\"]\", ".repeat(60_000),
        "[']', ".repeat(60_000),
        "[\"\n]\n\",\n".repeat(50_000),
        "- ".repeat(200_000),
        "? ".repeat(200_000),
        (0..1000).fold(String::new(), |text, depth| {
            text + &" ".repeat(depth) + "a:\n"
        }),
        "a: &a [x]\n".to_owned() + &"b: [*a, *a, *a]\n".repeat(9),
        // The most work that is allowed.
        "[".repeat(256) + &"a,".repeat(524_000),
    ] {
        assert!(read("p.yaml", &text, &[]).is_err());
    }
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    // At the limit, the key is what is wrong.
    let at = |brackets: usize| {
        let text = format!("{{a: [{}]}}\n", "[],".repeat(brackets - 2));
        let padding = YAML_WORK_MAX / brackets - text.len();
        text + "#" + &"-".repeat(padding - 1)
    };
    let error = read("p.yaml", &at(1024), &[]).unwrap_err();
    assert!(matches!(error, ConfigError::UnknownKey { .. }), "{error}");
    let error = read("p.yaml", &(at(1024) + "-"), &[]).unwrap_err();
    assert!(error.to_string().contains("in brackets"), "{error}");
}

/// Every path is expanded in the same way.
#[test]
fn tildes_and_variables_in_every_path() {
    let home = directories::BaseDirs::new().unwrap().home_dir().to_owned();
    let text = |path: &str| {
        format!(
            r#"
            [oci]
            cache_dir = "{path}"
            public_keys = "{path}"
            fulcio_certs = ["{path}"]
            tsa_certs = "{path}"
            [[oci.policy]]
            scope = "ghcr.io/**"
            any_of = [{{ key = "{path}" }}]
            [registries."ghcr.io"]
            ca_file = "{path}"
            client_cert = "{path}"
            client_key = "{path}"
            [[providers]]
            name = "a"
            path = "{path}"
            [providers.allow]
            paths = {{ "ro:{path}" = "/data" }}
            "#
        )
    };
    let config = read("p.toml", &text("~/x"), &[]).unwrap();
    let expected = home.join("x");
    assert_eq!(config.oci.cache_dir.as_ref(), Some(&expected));
    let oci = &config.oci;
    for files in [&oci.public_keys, &oci.fulcio_certs, &oci.tsa_certs] {
        assert_eq!(files.as_slice(), std::slice::from_ref(&expected));
    }
    let policy = config.oci.policy.first().unwrap();
    assert_eq!(policy.any_of.first().unwrap().key.as_ref(), Some(&expected));
    let registry = config.registries.get("ghcr.io").unwrap();
    for path in [
        &registry.ca_file,
        &registry.client_cert,
        &registry.client_key,
    ] {
        assert_eq!(path.as_ref(), Some(&expected));
    }
    let allow = &config.providers.first().unwrap().allow;
    let granted = format!("ro:{}", expected.display());
    assert_eq!(allow.paths.keys().next(), Some(&granted));
    let config = read("p.toml", &text("file:///etc/x"), &[]).unwrap();
    assert_eq!(config.oci.public_keys.as_slice(), [PathBuf::from("/etc/x")]);
    for path in ["$HOME/x", "${HOME}/x", "~alice/x", "%USERPROFILE%/x"] {
        for key in ["cache_dir", "public_keys", "trusted_root", "rekor_pub_keys"] {
            let text = format!("[oci]\n{key} = \"{path}\"");
            refused(&text, &[&format!("oci.{key}"), "absolute path"]);
        }
    }
    let root = read("p.toml", "[oci]\ntrusted_root = \"~/root.json\"", &[]).unwrap();
    let expected = home.join("root.json").display().to_string();
    assert_eq!(root.oci.trusted_root, Some(expected));
}

/// CFG-04: a file at the size limit is read, one byte more is not.
#[test]
fn the_size_limit() {
    let limit = usize::try_from(CONFIG_MAX_BYTES).unwrap();
    assert!(read("p.toml", &"#".repeat(limit), &[]).is_ok());
    let error = read("p.toml", &"#".repeat(limit + 1), &[]).unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { .. }), "{error}");
}

/// CFG-04: a file that everyone may write can't decide over trust.
#[cfg(unix)]
#[test]
fn a_world_writable_config_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugins.toml");
    std::fs::write(&path, MANUAL).unwrap();
    assert!(ConfigFile::read_with(&path, &[]).is_ok());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = ConfigFile::read_with(&path, &[]).unwrap_err();
    assert!(
        matches!(error, ConfigError::WritableByAll { .. }),
        "{error}"
    );
}
